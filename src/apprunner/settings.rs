//! What a service is configured with: as requested, checked beyond what a shape can say, and with the defaults that App Runner
//! fills in (spec 1.4, 1.7). egret acts on the network alone; the rest it keeps and returns.

use super::arn::{Account, Kind};
use super::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The port that App Runner expects the application at.
const PORT: &str = "8080";

/// What App Runner calls the auto scaling configuration of a service that has none of its own.
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

/// What CreateService and UpdateService can ask for. Shapes have been checked.
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

/// `NetworkConfiguration`. IPv4 is what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    /// The connector's ARN, with `EgressType` `VPC`; nothing with `DEFAULT`.
    pub(super) vpc_connector: Option<String>,
    /// `IsPubliclyAccessible`.
    pub(super) public: bool,
}

/// `NetworkConfiguration` as requested.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WantedNetwork {
    egress_configuration: Option<WantedEgress>,
    ingress_configuration: Option<WantedIngress>,
    ip_address_type: Option<String>,
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
    /// A new service's configuration. `network` has been worked out, since it needs what connectors there are.
    ///
    /// # Errors
    /// `InvalidRequestException`.
    pub(super) fn new(wanted: Wanted, network: Network, account: &Account) -> Result<Self, Fault> {
        let source = wanted.source_configuration.unwrap_or_default();
        let auto_scaling = wanted.auto_scaling_configuration_arn;
        Ok(Self {
            source: self::source(source)?,
            instance: Instance::default()
                .with(wanted.instance_configuration.unwrap_or_default())?,
            encryption: wanted.encryption_configuration,
            health_check: HealthCheck::default()
                .with(wanted.health_check_configuration.unwrap_or_default()),
            auto_scaling: auto_scaling_arn(auto_scaling, account)?,
            network,
            observability: observability(wanted.observability_configuration, account)?,
        })
    }

    /// The configuration after an update: what is not asked for stays.
    ///
    /// # Errors
    /// `InvalidRequestException`.
    pub(super) fn updated(
        &self,
        wanted: Wanted,
        network: Network,
        account: &Account,
    ) -> Result<Self, Fault> {
        let source = match wanted.source_configuration {
            Some(wanted) => same_kind_of_source(&self.source, source(wanted)?)?,
            None => self.source.clone(),
        };
        Ok(Self {
            source,
            instance: self
                .instance
                .clone()
                .with(wanted.instance_configuration.unwrap_or_default())?,
            encryption: self.encryption.clone(),
            health_check: self
                .health_check
                .clone()
                .with(wanted.health_check_configuration.unwrap_or_default()),
            auto_scaling: match wanted.auto_scaling_configuration_arn {
                Some(arn) => auto_scaling_arn(Some(arn), account)?,
                None => self.auto_scaling.clone(),
            },
            network,
            observability: match wanted.observability_configuration {
                Some(wanted) => observability(Some(wanted), account)?,
                None => self.observability.clone(),
            },
        })
    }

    /// `AutoScalingConfigurationSummary`: what the ARN says.
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

/// Checks `SourceConfiguration` and fills in its defaults.
fn source(mut source: Value) -> Result<Value, Fault> {
    let authentication = &source["AuthenticationConfiguration"];
    let has = |member: &str| authentication[member].is_string();
    let automatic = source["AutoDeploymentsEnabled"].as_bool();
    let automatic = match (source.get("ImageRepository"), source.get("CodeRepository")) {
        (Some(_), Some(_)) => {
            return Err(Fault::invalid(
                "SourceConfiguration has both an ImageRepository and a CodeRepository: give one of them",
            ));
        }
        (None, None) => {
            return Err(Fault::invalid(
                "SourceConfiguration has neither an ImageRepository nor a CodeRepository: give one of them",
            ));
        }
        (Some(image), None) => {
            let is_public = image["ImageRepositoryType"] == "ECR_PUBLIC";
            image_repository(image, is_public, has("AccessRoleArn"))?;
            if is_public && automatic == Some(true) {
                return Err(Fault::invalid(
                    "AutoDeploymentsEnabled cannot be true with an image of ECR Public",
                ));
            }
            automatic.unwrap_or(!is_public)
        }
        (None, Some(code)) => {
            if !has("ConnectionArn") {
                return Err(Fault::invalid(
                    "a CodeRepository needs the ConnectionArn of AuthenticationConfiguration",
                ));
            }
            code_repository(code)?;
            automatic.unwrap_or(true)
        }
    };
    source["AutoDeploymentsEnabled"] = json!(automatic);
    if let Some(image) = source.get_mut("ImageRepository").and_then(Value::as_object_mut) {
        let configuration = image.entry("ImageConfiguration").or_insert_with(|| json!({}));
        if configuration["Port"].is_null() {
            configuration["Port"] = json!(PORT);
        }
    }
    Ok(source)
}

fn image_repository(image: &Value, is_public: bool, has_role: bool) -> Result<(), Fault> {
    let identifier = image["ImageIdentifier"].as_str().unwrap_or_default();
    if identifier.starts_with("public.ecr.aws/") != is_public {
        let fitting = if is_public { "ECR" } else { "ECR_PUBLIC" };
        return Err(Fault::invalid(format!(
            "ImageIdentifier {identifier} is not of the ImageRepositoryType given; {fitting} would fit it"
        )));
    }
    if !is_public && !has_role {
        return Err(Fault::invalid(
            "an image of ECR needs the AccessRoleArn of AuthenticationConfiguration",
        ));
    }
    port(&image["ImageConfiguration"]["Port"])
}

fn code_repository(code: &Value) -> Result<(), Fault> {
    let configuration = &code["CodeConfiguration"];
    let values = &configuration["CodeConfigurationValues"];
    if configuration["ConfigurationSource"] == "API" && values.is_null() {
        return Err(Fault::invalid(
            "ConfigurationSource API needs CodeConfigurationValues; REPOSITORY takes them from apprunner.yaml",
        ));
    }
    port(&values["Port"])
}

/// `Port` is a string (spec 1.4).
fn port(given: &Value) -> Result<(), Fault> {
    let Some(text) = given.as_str() else { return Ok(()) };
    let digits = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
    if digits && text.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(());
    }
    Err(Fault::invalid(format!("Port {text:?} is not a port: give a number from 1 to 65535")))
}

fn same_kind_of_source(before: &Value, after: Value) -> Result<Value, Fault> {
    let is_image = |source: &Value| source.get("ImageRepository").is_some();
    if is_image(before) == is_image(&after) {
        return Ok(after);
    }
    Err(Fault::invalid(
        "an update cannot turn a service with a CodeRepository into one with an ImageRepository, or the other way round: create \
         another service",
    ))
}

fn auto_scaling_arn(given: Option<String>, account: &Account) -> Result<String, Fault> {
    let kind = Kind::AutoScalingConfiguration;
    let Some(arn) = given else { return Ok(account.arn(kind, &DEFAULT_AUTO_SCALING)) };
    account.resource(&arn, kind)?;
    Ok(arn)
}

fn observability(given: Option<Value>, account: &Account) -> Result<Option<Value>, Fault> {
    if let Some(arn) = given.as_ref().and_then(|g| g["ObservabilityConfigurationArn"].as_str()) {
        account.resource(arn, Kind::ObservabilityConfiguration)?;
    }
    Ok(given)
}

impl Default for Instance {
    /// 1 vCPU and 2 GB, in the units that App Runner answers in.
    fn default() -> Self {
        Self { cpu: "1024".to_owned(), memory: "2048".to_owned(), instance_role_arn: None }
    }
}

impl Instance {
    fn with(self, wanted: WantedInstance) -> Result<Self, Fault> {
        let cpu = wanted.cpu.as_deref().map(units);
        let memory = wanted.memory.as_deref().map(units);
        let instance = Self {
            cpu: cpu.unwrap_or(self.cpu),
            memory: memory.unwrap_or(self.memory),
            instance_role_arn: wanted.instance_role_arn.or(self.instance_role_arn),
        };
        let fitting = memory_for(&instance.cpu);
        if fitting.contains(&instance.memory.as_str()) {
            return Ok(instance);
        }
        Err(Fault::invalid(format!(
            "Cpu {} cannot be together with Memory {}: it goes with {}",
            instance.cpu,
            instance.memory,
            fitting.join(", ")
        )))
    }
}

/// `1 vCPU` is 1024 units, `2 GB` is 2048 MB.
fn units(given: &str) -> String {
    let Some((number, _)) = given.split_once(' ') else { return given.to_owned() };
    match number {
        "0.25" => "256".to_owned(),
        "0.5" => "512".to_owned(),
        whole => whole.parse::<u32>().map_or_else(|_| given.to_owned(), |n| (n * 1024).to_string()),
    }
}

/// Spec 1.4: which memory goes with which CPU.
fn memory_for(cpu: &str) -> &'static [&'static str] {
    match cpu {
        "256" => &["512", "1024"],
        "512" => &["1024"],
        "1024" => &["2048", "3072", "4096"],
        "2048" => &["4096", "6144"],
        _ => &["8192", "10240", "12288"],
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
        Self { vpc_connector: None, public: true }
    }
}

impl Network {
    /// The network after what is wanted. `connector` finds the connector that an ARN names, and gives its whole ARN.
    ///
    /// # Errors
    /// `InvalidRequestException`.
    pub(super) fn with(
        self,
        wanted: WantedNetwork,
        connector: impl FnOnce(&str) -> Result<String, Fault>,
    ) -> Result<Self, Fault> {
        if wanted.ip_address_type.as_deref() == Some("DUAL_STACK") {
            return Err(Fault::invalid(
                "egret has no IPv6: IpAddressType DUAL_STACK is not supported here, IPV4 is",
            ));
        }
        let ingress = wanted.ingress_configuration.and_then(|i| i.is_publicly_accessible);
        let vpc_connector = match wanted.egress_configuration {
            Some(egress) => egress.connector(connector)?,
            None => self.vpc_connector,
        };
        Ok(Self { vpc_connector, public: ingress.unwrap_or(self.public) })
    }

    /// As responses have it.
    pub(super) fn document(&self) -> Value {
        let egress = match &self.vpc_connector {
            Some(arn) => json!({"EgressType": "VPC", "VpcConnectorArn": arn}),
            None => json!({"EgressType": "DEFAULT"}),
        };
        json!({
            "EgressConfiguration": egress,
            "IngressConfiguration": {"IsPubliclyAccessible": self.public},
            "IpAddressType": "IPV4",
        })
    }
}

impl WantedEgress {
    fn connector(
        self,
        find: impl FnOnce(&str) -> Result<String, Fault>,
    ) -> Result<Option<String>, Fault> {
        match (self.egress_type.as_deref(), self.vpc_connector_arn) {
            (Some("VPC"), Some(arn)) => find(&arn).map(Some),
            (Some("VPC"), None) => Err(Fault::invalid("EgressType VPC needs a VpcConnectorArn")),
            (_, Some(_)) => Err(Fault::invalid(
                "VpcConnectorArn is only valid with EgressType VPC: give both, or neither",
            )),
            (_, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        Settings::new(wanted, Network::default(), &account())
    }

    #[track_caller]
    fn refused(source: Value, part: &str) {
        let fault = made(json!({"SourceConfiguration": source})).unwrap_err();
        assert!(fault.message.contains(part), "{fault}");
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
    fn sources_that_do_not_hold_together() {
        refused(json!({}), "neither");
        let mut both = public_image();
        both["CodeRepository"] = json!({});
        refused(both, "both");
        refused(json!({"CodeRepository": {}}), "ConnectionArn");
        let mut typed = public_image();
        typed["ImageRepository"]["ImageRepositoryType"] = json!("ECR");
        refused(typed, "ECR_PUBLIC would fit");
        let mut port = public_image();
        port["ImageRepository"]["ImageConfiguration"] = json!({"Port": "+80"});
        refused(port, "Port \"+80\"");
        let mut automatic = public_image();
        automatic["AutoDeploymentsEnabled"] = json!(true);
        refused(automatic, "ECR Public");
        let private = "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1";
        let private = json!({"ImageIdentifier": private, "ImageRepositoryType": "ECR"});
        refused(json!({"ImageRepository": private}), "AccessRoleArn");
        let connection = json!({"ConnectionArn": "arn"});
        refused(
            json!({"AuthenticationConfiguration": connection, "CodeRepository": {
                "CodeConfiguration": {"ConfigurationSource": "API"}}}),
            "CodeConfigurationValues",
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
    fn an_update_keeps_what_it_does_not_name() {
        let before = made(json!({"SourceConfiguration": public_image(),
            "InstanceConfiguration": {"Cpu": "2048", "Memory": "4096"}}))
        .unwrap();
        let wanted = json!({"InstanceConfiguration": {"Memory": "6 GB"},
            "HealthCheckConfiguration": {"Interval": 10}});
        let wanted = serde_json::from_value(wanted).unwrap();
        let after = before.updated(wanted, before.network.clone(), &account()).unwrap();
        assert_eq!((after.instance.cpu.as_str(), after.instance.memory.as_str()), ("2048", "6144"));
        assert_eq!((after.health_check.interval, after.health_check.timeout), (10, 2));
        assert_eq!(after.source, before.source);
        let code = json!({"SourceConfiguration": {"CodeRepository": {},
            "AuthenticationConfiguration": {"ConnectionArn": "arn"}}});
        let code = serde_json::from_value(code).unwrap();
        let fault = before.updated(code, before.network.clone(), &account()).unwrap_err();
        assert!(fault.message.contains("create another service"), "{fault}");
    }

    #[test]
    fn egress_and_connector_belong_together() {
        let network = |wanted: Value| {
            let wanted = serde_json::from_value(wanted).unwrap();
            Network::default().with(wanted, |arn| Ok(arn.to_owned()))
        };
        let egress = |egress: Value| network(json!({"EgressConfiguration": egress}));
        let through = egress(json!({"EgressType": "VPC", "VpcConnectorArn": "arn"})).unwrap();
        assert_eq!(through.vpc_connector.as_deref(), Some("arn"));
        assert_eq!(egress(json!({})).unwrap(), Network::default());
        assert!(egress(json!({"EgressType": "VPC"})).is_err());
        assert!(egress(json!({"EgressType": "DEFAULT", "VpcConnectorArn": "arn"})).is_err());
        assert!(egress(json!({"VpcConnectorArn": "arn"})).is_err());
        let dual = network(json!({"IpAddressType": "DUAL_STACK"})).unwrap_err();
        assert!(dual.message.contains("no IPv6"), "{dual}");
        let kept = through.with(serde_json::from_value(json!({})).unwrap(), |_| unreachable!());
        assert_eq!(kept.unwrap().vpc_connector.as_deref(), Some("arn"));
    }
}
