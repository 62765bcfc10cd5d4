//! A service's configuration: as requested, checked beyond what a shape can express, and with the
//! defaults that App Runner fills in (spec 1.4, 1.7). egret acts on the network alone; it keeps and
//! returns the rest.

use super::arn::{Account, ArnKind};
use super::fault::Fault;
use super::noting::Noting;
use super::source;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Name, revision and id of App Runner's auto scaling configuration for a service that has none of
/// its own.
const DEFAULT_AUTO_SCALING: [&str; 3] =
    ["DefaultConfiguration", "1", "00000000000000000000000000000001"];

/// A service's configuration, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// `SourceConfiguration`.
    pub(super) source: Value,
    /// `InstanceConfiguration`.
    pub(super) instance: Instance,
    /// `EncryptionConfiguration`.
    pub(super) encryption: Option<Value>,
    /// `HealthCheckConfiguration`.
    pub(super) health_check: HealthCheck,
    /// `AutoScalingConfigurationArn`.
    pub(super) auto_scaling: String,
    /// `NetworkConfiguration`.
    pub(super) network: Network,
    /// `ObservabilityConfiguration`.
    pub(super) observability: Option<Value>,
}

/// The settings that CreateService and UpdateService can request. Shapes have been checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wanted {
    source_configuration: Option<Value>,
    instance_configuration: Option<WantedInstance>,
    encryption_configuration: Option<Value>,
    health_check_configuration: Option<WantedHealthCheck>,
    auto_scaling_configuration_arn: Option<String>,
    pub(super) network_configuration: Option<WantedNetwork>,
    observability_configuration: Option<Value>,
}

/// `InstanceConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance {
    cpu: String,
    memory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_role_arn: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedInstance {
    cpu: Option<String>,
    memory: Option<String>,
    instance_role_arn: Option<String>,
}

/// `HealthCheckConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthCheck {
    protocol: String,
    path: String,
    interval: i64,
    timeout: i64,
    healthy_threshold: i64,
    unhealthy_threshold: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedHealthCheck {
    protocol: Option<String>,
    path: Option<String>,
    interval: Option<i64>,
    timeout: Option<i64>,
    healthy_threshold: Option<i64>,
    unhealthy_threshold: Option<i64>,
}

/// `NetworkConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    /// The connector's ARN, with `EgressType` `VPC`; `None` with `DEFAULT`.
    pub(super) vpc_connector: Option<String>,
    /// `IsPubliclyAccessible`.
    pub(super) public: bool,
    /// `IpAddressType`, of incoming traffic.
    #[serde(default)]
    pub(super) ip_address_type: IpAddressType,
}

/// `IpAddressType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum IpAddressType {
    #[default]
    #[serde(rename = "IPV4")]
    Ipv4,
    #[serde(rename = "DUAL_STACK")]
    DualStack,
}

/// `NetworkConfiguration` as requested.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WantedNetwork {
    egress_configuration: Option<WantedEgress>,
    ingress_configuration: Option<WantedIngress>,
    ip_address_type: Option<IpAddressType>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedEgress {
    egress_type: Option<String>,
    vpc_connector_arn: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WantedIngress {
    is_publicly_accessible: Option<bool>,
}

impl Settings {
    /// Makes a new service's configuration. `network` has been resolved already, since that needs
    /// the existing connectors.
    ///
    /// # Errors
    /// `InvalidRequestException`.
    pub(super) fn new(
        wanted: Wanted,
        network: Network,
        account: &Account,
        noting: &mut Noting<'_>,
    ) -> Result<Self, Fault> {
        let source = wanted.source_configuration.unwrap_or_default();
        let auto_scaling = wanted.auto_scaling_configuration_arn;
        Ok(Self {
            source: source::checked(source, noting)?,
            instance: Instance::default()
                .with(wanted.instance_configuration.unwrap_or_default(), noting)?,
            encryption: wanted.encryption_configuration,
            health_check: HealthCheck::default()
                .with(wanted.health_check_configuration.unwrap_or_default()),
            auto_scaling: auto_scaling_arn(auto_scaling, account, noting)?,
            network,
            observability: observability(wanted.observability_configuration, account, noting)?,
        })
    }

    /// Returns the configuration after an update: settings that are not requested stay.
    ///
    /// # Errors
    /// `InvalidRequestException`.
    pub(super) fn updated(
        &self,
        wanted: Wanted,
        network: Network,
        account: &Account,
        noting: &mut Noting<'_>,
    ) -> Result<Self, Fault> {
        let source = match wanted.source_configuration {
            Some(wanted) => {
                let source = source::checked(wanted, noting)?;
                source::of_same_kind(&self.source, &source, noting)?;
                source
            }
            None => self.source.clone(),
        };
        Ok(Self {
            source,
            instance: self
                .instance
                .clone()
                .with(wanted.instance_configuration.unwrap_or_default(), noting)?,
            encryption: self.encryption.clone(),
            health_check: self
                .health_check
                .clone()
                .with(wanted.health_check_configuration.unwrap_or_default()),
            auto_scaling: match wanted.auto_scaling_configuration_arn {
                Some(arn) => auto_scaling_arn(Some(arn), account, noting)?,
                None => self.auto_scaling.clone(),
            },
            network,
            observability: match wanted.observability_configuration {
                Some(wanted) => observability(Some(wanted), account, noting)?,
                None => self.observability.clone(),
            },
        })
    }

    /// Returns the `AutoScalingConfigurationSummary` that the ARN describes.
    pub(super) fn auto_scaling_summary(&self) -> Value {
        let mut parts = self.auto_scaling.split('/').skip(1);
        let name = parts.next().unwrap_or_default();
        let mut summary = json!({
            "AutoScalingConfigurationArn": self.auto_scaling,
            "AutoScalingConfigurationName": name,
            "Status": "ACTIVE",
            "HasAssociatedService": true,
            "IsDefault": name == DEFAULT_AUTO_SCALING[0],
        });
        if let Some(revision) = parts.next().and_then(|text| text.parse::<u32>().ok()) {
            summary["AutoScalingConfigurationRevision"] = json!(revision);
        }
        summary
    }
}

fn auto_scaling_arn(
    given: Option<String>,
    account: &Account,
    noting: &mut Noting<'_>,
) -> Result<String, Fault> {
    let kind = ArnKind::AutoScalingConfiguration;
    let Some(arn) = given else { return Ok(account.arn(kind, &DEFAULT_AUTO_SCALING)) };
    named(&arn, kind, account, noting)?;
    Ok(arn)
}

fn observability(
    given: Option<Value>,
    account: &Account,
    noting: &mut Noting<'_>,
) -> Result<Option<Value>, Fault> {
    if let Some(arn) = given.as_ref().and_then(|g| g["ObservabilityConfigurationArn"].as_str()) {
        named(arn, ArnKind::ObservabilityConfiguration, account, noting)?;
    }
    Ok(given)
}

/// Notes an ARN that names nothing of the account. A request for a missing resource is an invalid
/// request: the model has no other error for CreateService.
fn named(
    arn: &str,
    kind: ArnKind,
    account: &Account,
    noting: &mut Noting<'_>,
) -> Result<(), Fault> {
    match account.resource(arn, kind) {
        Ok(_) => Ok(()),
        Err(fault) => noting.source(fault.message),
    }
}

impl Default for Instance {
    /// Returns 1 vCPU and 2 GB, in the units that App Runner answers in.
    fn default() -> Self {
        Self { cpu: "1024".to_owned(), memory: "2048".to_owned(), instance_role_arn: None }
    }
}

impl Instance {
    fn with(self, wanted: WantedInstance, noting: &mut Noting<'_>) -> Result<Self, Fault> {
        let cpu = wanted.cpu.as_deref().map(units);
        let memory = wanted.memory.as_deref().map(units);
        let instance = Self {
            cpu: cpu.unwrap_or(self.cpu),
            memory: memory.unwrap_or(self.memory),
            instance_role_arn: wanted.instance_role_arn.or(self.instance_role_arn),
        };
        let fitting = memory_for(&instance.cpu);
        // A CPU that App Runner does not have fits no memory; its shape has reported it.
        if !fitting.is_empty() && !fitting.contains(&instance.memory.as_str()) {
            noting.source(format!(
                "Cpu {} cannot be together with Memory {}: it goes with {}",
                instance.cpu,
                instance.memory,
                fitting.join(", ")
            ))?;
        }
        Ok(instance)
    }
}

/// Converts to App Runner's units: `1 vCPU` is 1024 units, `2 GB` is 2048 MB.
fn units(given: &str) -> String {
    let Some((number, _)) = given.split_once(' ') else { return given.to_owned() };
    match number {
        "0.25" => "256".to_owned(),
        "0.5" => "512".to_owned(),
        whole => whole.parse::<u32>().map_or_else(|_| given.to_owned(), |n| (n * 1024).to_string()),
    }
}

/// Returns the memory sizes that fit a CPU (spec 1.4).
fn memory_for(cpu: &str) -> &'static [&'static str] {
    match cpu {
        "256" => &["512", "1024"],
        "512" => &["1024"],
        "1024" => &["2048", "3072", "4096"],
        "2048" => &["4096", "6144"],
        "4096" => &["8192", "10240", "12288"],
        _ => &[],
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            protocol: "TCP".to_owned(),
            path: "/".to_owned(),
            interval: 5,
            timeout: 2,
            healthy_threshold: 1,
            unhealthy_threshold: 5,
        }
    }
}

impl HealthCheck {
    fn with(self, wanted: WantedHealthCheck) -> Self {
        Self {
            protocol: wanted.protocol.unwrap_or(self.protocol),
            path: wanted.path.unwrap_or(self.path),
            interval: wanted.interval.unwrap_or(self.interval),
            timeout: wanted.timeout.unwrap_or(self.timeout),
            healthy_threshold: wanted.healthy_threshold.unwrap_or(self.healthy_threshold),
            unhealthy_threshold: wanted.unhealthy_threshold.unwrap_or(self.unhealthy_threshold),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { vpc_connector: None, public: true, ip_address_type: IpAddressType::Ipv4 }
    }
}

impl Network {
    /// Returns the network after a request. `connector` finds the connector that an ARN names, and
    /// returns its whole ARN.
    ///
    /// # Errors
    /// `InvalidRequestException`.
    pub(super) fn with(
        self,
        wanted: WantedNetwork,
        connector: impl FnOnce(&str) -> Result<String, Fault>,
        noting: &mut Noting<'_>,
    ) -> Result<Self, Fault> {
        if wanted.ip_address_type == Some(IpAddressType::DualStack) {
            noting.note(
                "IpAddressType DUAL_STACK is about incoming traffic: the service's own packets stay IPv4",
            );
        }
        let ingress = wanted.ingress_configuration.and_then(|i| i.is_publicly_accessible);
        let vpc_connector = match wanted.egress_configuration {
            Some(egress) => egress.connector(self.vpc_connector, connector)?,
            None => self.vpc_connector,
        };
        Ok(Self {
            vpc_connector,
            public: ingress.unwrap_or(self.public),
            ip_address_type: wanted.ip_address_type.unwrap_or(self.ip_address_type),
        })
    }

    /// Returns the form in responses.
    pub(super) fn document(&self) -> Value {
        let egress = match &self.vpc_connector {
            Some(arn) => json!({"EgressType": "VPC", "VpcConnectorArn": arn}),
            None => json!({"EgressType": "DEFAULT"}),
        };
        json!({
            "EgressConfiguration": egress,
            "IngressConfiguration": {"IsPubliclyAccessible": self.public},
            "IpAddressType": self.ip_address_type,
        })
    }
}

impl WantedEgress {
    /// Returns the connector after a request; if none is requested, `before` stays.
    fn connector(
        self,
        before: Option<String>,
        find: impl FnOnce(&str) -> Result<String, Fault>,
    ) -> Result<Option<String>, Fault> {
        match (self.egress_type.as_deref(), self.vpc_connector_arn) {
            (Some("VPC"), Some(arn)) => find(&arn).map(Some),
            (None, Some(arn)) if before.is_some() => find(&arn).map(Some),
            (_, Some(_)) => Err(Fault::invalid(
                "VpcConnectorArn is only valid with EgressType VPC: give both, or neither",
            )),
            (Some("VPC"), None) if before.is_none() => {
                Err(Fault::invalid("EgressType VPC needs a VpcConnectorArn"))
            }
            (Some("VPC") | None, None) => Ok(before),
            (Some(_), None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::apprunner::{AppRunner, Strictness};

    fn account() -> Account {
        Account { id: "123456789012".to_owned(), region: "us-east-1".to_owned() }
    }

    fn public_image() -> Value {
        json!({"ImageRepository": {
            "ImageIdentifier": "public.ecr.aws/aws-containers/hello-app-runner:latest",
            "ImageRepositoryType": "ECR_PUBLIC"}})
    }

    fn made(wanted: Value) -> Result<Settings, Fault> {
        let wanted: Wanted = serde_json::from_value(wanted).unwrap();
        let lab = strict();
        Settings::new(wanted, Network::default(), &account(), &mut Noting::new(&lab, Vec::new()))
    }

    fn strict() -> AppRunner {
        let (access_role, source) = (Strictness::Require, Strictness::Require);
        AppRunner { access_role, source, ..AppRunner::default() }
    }

    #[test]
    fn defaults_are_app_runners() {
        let settings = made(json!({"SourceConfiguration": public_image()})).unwrap();
        assert_eq!(
            settings.source["ImageRepository"]["ImageConfiguration"],
            json!({"Port": "8080"})
        );
        assert_eq!(settings.source["AutoDeploymentsEnabled"], json!(false));
        assert_eq!(
            serde_json::to_value(&settings.instance).unwrap(),
            json!({"Cpu": "1024", "Memory": "2048"})
        );
        assert_eq!(
            serde_json::to_value(&settings.health_check).unwrap(),
            json!({"Protocol": "TCP", "Path": "/", "Interval": 5, "Timeout": 2,
                "HealthyThreshold": 1, "UnhealthyThreshold": 5})
        );
        let summary = settings.auto_scaling_summary();
        assert_eq!(summary["AutoScalingConfigurationName"], "DefaultConfiguration");
        assert_eq!(summary["AutoScalingConfigurationRevision"], 1);
        assert_eq!(
            settings.network.document(),
            json!({"EgressConfiguration": {"EgressType": "DEFAULT"},
                "IngressConfiguration": {"IsPubliclyAccessible": true}, "IpAddressType": "IPV4"})
        );
    }

    #[test]
    fn cpu_and_memory_go_in_pairs() {
        let with = |cpu: &str, memory: &str| {
            made(json!({"SourceConfiguration": public_image(),
                "InstanceConfiguration": {"Cpu": cpu, "Memory": memory}}))
        };
        for (cpu, memory) in [
            ("0.25 vCPU", "0.5 GB"),
            ("256", "1 GB"),
            ("0.5 vCPU", "1024"),
            ("1 vCPU", "2 GB"),
            ("1024", "4096"),
            ("2 vCPU", "6 GB"),
            ("4096", "12 GB"),
        ] {
            let settings = with(cpu, memory).unwrap();
            assert!(settings.instance.cpu.parse::<u32>().is_ok());
        }
        for (cpu, memory) in [("256", "2048"), ("0.5 vCPU", "0.5 GB"), ("4 vCPU", "2 GB")] {
            assert!(with(cpu, memory).unwrap_err().message.contains("cannot be together"));
        }
    }

    #[test]
    fn configurations_of_another_account_are_an_invalid_request() {
        for (member, of) in [
            ("AutoScalingConfigurationArn", "autoscalingconfiguration"),
            ("ObservabilityConfiguration", "observabilityconfiguration"),
        ] {
            let arn = format!("arn:aws:apprunner:us-east-1:999999999999:{of}/a/1/2");
            let value = match member {
                "ObservabilityConfiguration" => {
                    json!({"ObservabilityEnabled": true, "ObservabilityConfigurationArn": arn})
                }
                _ => json!(arn),
            };
            let fault = made(json!({"SourceConfiguration": public_image(), member: value}));
            assert_eq!(
                fault.unwrap_err().kind,
                super::super::FaultKind::InvalidRequest,
                "{member}"
            );
        }
    }

    /// By default; a strict lab refuses each.
    #[test]
    fn size_and_configurations_that_app_runner_has_not_are_noted() {
        let arn = |of: &str| format!("arn:aws:apprunner:eu-west-1:999999999999:{of}/a/1/2");
        let auto = arn("autoscalingconfiguration");
        let observed = arn("observabilityconfiguration");
        let wanted = json!({"SourceConfiguration": public_image(),
            "InstanceConfiguration": {"Cpu": "256", "Memory": "4096"},
            "AutoScalingConfigurationArn": auto,
            "ObservabilityConfiguration":
                {"ObservabilityEnabled": true, "ObservabilityConfigurationArn": observed}});
        let lab = AppRunner::default();
        let mut noting = Noting::new(&lab, Vec::new());
        let wanted = serde_json::from_value(wanted).unwrap();
        let settings = Settings::new(wanted, Network::default(), &account(), &mut noting).unwrap();
        assert_eq!((settings.auto_scaling, settings.instance.memory), (auto, "4096".to_owned()));
        let notes = noting.notes();
        for part in ["cannot be together", "autoscaling", "observability"] {
            assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:?}");
        }
        assert!(notes.len() == 3 && notes.iter().all(|note| note.contains("source = ")));
        // An instance with an unknown size is reported once, where its shape is checked.
        let odd = WantedInstance { cpu: Some("16 vCPU".to_owned()), ..WantedInstance::default() };
        let mut noting = Noting::new(&lab, Vec::new());
        assert_eq!(Instance::default().with(odd, &mut noting).unwrap().cpu, "16384");
        assert!(noting.notes().is_empty());
    }

    #[test]
    fn a_cpu_that_there_is_not_goes_with_no_memory() {
        assert!(memory_for("0x25 vCPU").is_empty());
        let odd = json!({"ServiceName": "abcd", "SourceConfiguration": {},
            "InstanceConfiguration": {"Cpu": "0x25 vCPU"}});
        let lab = strict();
        let fault = super::super::shape::checked(&super::super::shapes::CREATE_SERVICE, odd, &lab);
        let message = fault.unwrap_err().message;
        assert!(message.contains("(0.25|0.5|1|2|4) vCPU"), "the model's own words: {message}");
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let before = made(json!({"SourceConfiguration": public_image(),
            "InstanceConfiguration": {"Cpu": "2048", "Memory": "4096"}}))
        .unwrap();
        let wanted = json!({"InstanceConfiguration": {"Memory": "6 GB"},
            "HealthCheckConfiguration": {"Interval": 10}});
        let wanted = serde_json::from_value(wanted).unwrap();
        let lab = strict();
        let mut noting = Noting::new(&lab, Vec::new());
        let after =
            before.updated(wanted, before.network.clone(), &account(), &mut noting).unwrap();
        assert_eq!((after.instance.cpu.as_str(), after.instance.memory.as_str()), ("2048", "6144"));
        assert_eq!((after.health_check.interval, after.health_check.timeout), (10, 2));
        assert_eq!(after.source, before.source);
        let code = json!({"SourceConfiguration": {"CodeRepository": {},
            "AuthenticationConfiguration": {"ConnectionArn": "arn"}}});
        let code = serde_json::from_value(code).unwrap();
        let fault =
            before.updated(code, before.network.clone(), &account(), &mut noting).unwrap_err();
        assert!(fault.message.contains("create another service"), "{fault}");
    }

    #[test]
    fn dual_stack_is_kept_with_a_note_that_egress_stays_ipv4() {
        let lab = AppRunner::default();
        let mut noting = Noting::new(&lab, Vec::new());
        let wanted = |value| serde_json::from_value(value).unwrap();
        let dual = wanted(json!({"IpAddressType": "DUAL_STACK"}));
        let dual = Network::default().with(dual, |_| unreachable!(), &mut noting).unwrap();
        assert_eq!(dual.document()["IpAddressType"], "DUAL_STACK");
        let kept = dual.with(wanted(json!({})), |_| unreachable!(), &mut noting).unwrap();
        assert_eq!(kept.document()["IpAddressType"], "DUAL_STACK");
        let notes = noting.notes();
        assert!(notes.len() == 1 && notes[0].contains("stay IPv4"), "{notes:?}");
    }

    #[test]
    fn egress_and_connector_belong_together() {
        let network = |wanted: Value| {
            let wanted = serde_json::from_value(wanted).unwrap();
            let lab = AppRunner::default();
            Network::default().with(
                wanted,
                |arn| Ok(arn.to_owned()),
                &mut Noting::new(&lab, Vec::new()),
            )
        };
        let egress = |egress: Value| network(json!({"EgressConfiguration": egress}));
        let through = egress(json!({"EgressType": "VPC", "VpcConnectorArn": "arn"})).unwrap();
        assert_eq!(through.vpc_connector.as_deref(), Some("arn"));
        assert_eq!(egress(json!({})).unwrap(), Network::default());
        assert!(egress(json!({"EgressType": "VPC"})).is_err());
        assert!(egress(json!({"EgressType": "DEFAULT", "VpcConnectorArn": "arn"})).is_err());
        assert!(egress(json!({"VpcConnectorArn": "arn"})).is_err());
        let lab = AppRunner::default();
        let mut noting = Noting::new(&lab, Vec::new());
        // An update of a service that leaves by a VPC: settings that are not requested stay.
        let update = |egress: Value| {
            let wanted = json!({ "EgressConfiguration": egress });
            let wanted = serde_json::from_value(wanted).unwrap();
            let lab = AppRunner::default();
            let with = through.clone().with(
                wanted,
                |arn| Ok(arn.to_owned()),
                &mut Noting::new(&lab, Vec::new()),
            );
            with.unwrap().vpc_connector
        };
        assert_eq!(update(json!({})).as_deref(), Some("arn"));
        assert_eq!(update(json!({"EgressType": "VPC"})).as_deref(), Some("arn"));
        assert_eq!(update(json!({"VpcConnectorArn": "other"})).as_deref(), Some("other"));
        assert_eq!(update(json!({"EgressType": "DEFAULT"})), None);
        let nothing = serde_json::from_value(json!({})).unwrap();
        let kept = through.with(nothing, |_| unreachable!(), &mut noting);
        assert_eq!(kept.unwrap().vpc_connector.as_deref(), Some("arn"));
    }
}
