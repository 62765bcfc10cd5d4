//! Handles resource types that have no counterpart in a lab. It reports the consequences, and
//! nothing for types that no packet depends on.

use super::object::{Mapper, Reported};
use super::template::Resource;

/// The effect of a type on the lab.
enum Bearing {
    /// No packet depends on it.
    None,
    /// A part of IPv6.
    Ipv6,
    LeftOut(&'static str),
    NotUnderstood(&'static str),
}

const SILENT_HOST: &str = "nothing answers for it in the lab";
const NO_TASK: &str = "the lab has no task of it, and does not evaluate its packets";
const FARGATE_TASKS: &str = "the lab has none of its tasks, as a source or a destination: in the lab file, a [[service]] with kind = \"fargate\" and its subnets and security groups can stand for it";
const FUNCTION: &str = "the lab does not evaluate its packets: in the lab file, a [[service]] with kind = \"lambda\" and its subnets and security groups can stand for it";
const ROUTES_APART: &str = "the lab has none; routes to it are listed separately";
const NO_PACKET: &str = "no verdict depends on it";

/// Types by name, or by the start of their names if the entry ends with a colon or a star.
const BEARINGS: [(&str, Bearing); 97] = [
    // Ways out of the VPC.
    ("AWS::EC2::CarrierGateway", Bearing::LeftOut(ROUTES_APART)),
    ("AWS::EC2::CustomerGateway", Bearing::None),
    ("AWS::EC2::EgressOnlyInternetGateway", Bearing::Ipv6),
    ("AWS::EC2::LocalGatewayRoute*", Bearing::LeftOut(ROUTES_APART)),
    ("AWS::EC2::LocalGatewayVirtualInterface*", Bearing::None),
    ("AWS::EC2::SubnetCidrBlock", Bearing::Ipv6),
    ("AWS::EC2::TransitGateway*", Bearing::LeftOut(ROUTES_APART)),
    ("AWS::EC2::VPNConnection*", Bearing::LeftOut(ROUTES_APART)),
    ("AWS::EC2::VPNGateway", Bearing::LeftOut(ROUTES_APART)),
    (
        "AWS::EC2::VPNGatewayRoutePropagation",
        Bearing::NotUnderstood(
            "routes that the gateway propagates are known when the stack is created: the lab has none of them",
        ),
    ),
    (
        "AWS::NetworkFirewall:",
        Bearing::LeftOut("the lab has no firewall; routes to its endpoints are listed separately"),
    ),
    ("AWS::NetworkManager:", Bearing::LeftOut(ROUTES_APART)),
    // Rules.
    (
        "AWS::EC2::SecurityGroupVpcAssociation",
        Bearing::NotUnderstood("in the lab the group is of its own VPC alone"),
    ),
    (
        "AWS::EC2::VPCBlockPublicAccessExclusion",
        Bearing::NotUnderstood("the lab has no exclusions from VPC Block Public Access"),
    ),
    // Names.
    (
        "AWS::EC2::DHCPOptions",
        Bearing::LeftOut(
            "tasks ask the VPC's resolver in the lab, whatever name servers the options have",
        ),
    ),
    ("AWS::EC2::VPCDHCPOptionsAssociation", Bearing::None),
    (
        "AWS::Route53Resolver:",
        Bearing::LeftOut("the lab's resolver knows its own zones and names only"),
    ),
    ("AWS::ServiceDiscovery:", Bearing::LeftOut("the lab's resolver does not know its names")),
    // Objects with addresses in subnets.
    ("AWS::AmazonMQ::Broker", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::AutoScaling::AutoScalingGroup", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::DAX::Cluster", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::DMS::ReplicationInstance", Bearing::LeftOut(NO_TASK)),
    ("AWS::DirectoryService:", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::ECS::Service", Bearing::LeftOut(FARGATE_TASKS)),
    ("AWS::ECS::TaskSet", Bearing::LeftOut(FARGATE_TASKS)),
    ("AWS::EKS::Cluster", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::EKS::Nodegroup", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::ElasticLoadBalancing::LoadBalancer", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::Elasticsearch::Domain", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::FSx::FileSystem", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::MSK:", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::MemoryDB::Cluster", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::OpenSearchServerless::VpcEndpoint", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::OpenSearchService::Domain", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::RDS::DBProxy", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::Redshift::Cluster", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::RedshiftServerless::Workgroup", Bearing::LeftOut(SILENT_HOST)),
    (
        "AWS::AppRunner::VpcIngressConnection",
        Bearing::LeftOut("it concerns requests to a service; a lab models what a service sends"),
    ),
    // Objects that bring resources of their own.
    (
        "AWS::CloudFormation::CustomResource",
        Bearing::LeftOut("the resources that its function creates are not in the template"),
    ),
    ("AWS::CloudFormation::Macro", Bearing::None),
    (
        "AWS::CloudFormation::Stack",
        Bearing::LeftOut(
            "the lab does not have the resources of its template: import that template, or the deployed VPC",
        ),
    ),
    (
        "AWS::CloudFormation::StackSet",
        Bearing::LeftOut(
            "the lab does not have the resources of its template: import that template, or the deployed VPC",
        ),
    ),
    ("AWS::CloudFormation:", Bearing::None),
    ("AWS::Serverless::Function", Bearing::LeftOut(FUNCTION)),
    ("AWS::Serverless:", Bearing::None),
    (
        "Custom:",
        Bearing::LeftOut("the resources that its function creates are not in the template"),
    ),
    // Objects that no packet depends on.
    ("AWS::CDK::Metadata", Bearing::None),
    ("AWS::EC2::CapacityReservation*", Bearing::None),
    ("AWS::EC2::ClientVpn*", Bearing::LeftOut(NO_TASK)),
    ("AWS::EC2::EC2Fleet", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::EC2::EnclaveCertificateIamRoleAssociation", Bearing::None),
    ("AWS::EC2::FlowLog", Bearing::LeftOut(NO_PACKET)),
    ("AWS::EC2::Host", Bearing::None),
    ("AWS::EC2::IPAM*", Bearing::None),
    ("AWS::EC2::InstanceConnectEndpoint", Bearing::None),
    ("AWS::EC2::KeyPair", Bearing::None),
    ("AWS::EC2::LaunchTemplate", Bearing::None),
    ("AWS::EC2::NetworkInsights*", Bearing::None),
    ("AWS::EC2::NetworkInterfacePermission", Bearing::None),
    ("AWS::EC2::NetworkPerformanceMetricSubscription", Bearing::None),
    ("AWS::EC2::PlacementGroup", Bearing::None),
    ("AWS::EC2::SnapshotBlockPublicAccess", Bearing::None),
    ("AWS::EC2::SpotFleet", Bearing::LeftOut(SILENT_HOST)),
    ("AWS::EC2::TrafficMirror*", Bearing::None),
    ("AWS::EC2::VPCEndpointConnectionNotification", Bearing::None),
    ("AWS::EC2::VPCEndpointService*", Bearing::None),
    ("AWS::EC2::VerifiedAccess*", Bearing::None),
    ("AWS::EC2::Volume", Bearing::None),
    ("AWS::EC2::VolumeAttachment", Bearing::None),
    ("AWS::AppRunner::AutoScalingConfiguration", Bearing::None),
    ("AWS::AppRunner::ObservabilityConfiguration", Bearing::None),
    ("AWS::ApiGateway:", Bearing::None),
    ("AWS::ApiGatewayV2:", Bearing::None),
    ("AWS::ApplicationAutoScaling:", Bearing::None),
    ("AWS::AutoScaling:", Bearing::None),
    ("AWS::Backup:", Bearing::None),
    ("AWS::CertificateManager:", Bearing::None),
    ("AWS::CloudFront:", Bearing::None),
    ("AWS::CloudTrail:", Bearing::None),
    ("AWS::CloudWatch:", Bearing::None),
    ("AWS::Cognito:", Bearing::None),
    ("AWS::DynamoDB:", Bearing::None),
    ("AWS::ECR:", Bearing::None),
    ("AWS::Events:", Bearing::None),
    ("AWS::IAM:", Bearing::None),
    ("AWS::KMS:", Bearing::None),
    ("AWS::Kinesis:", Bearing::None),
    ("AWS::Logs:", Bearing::None),
    ("AWS::S3:", Bearing::None),
    ("AWS::SNS:", Bearing::None),
    ("AWS::SQS:", Bearing::None),
    ("AWS::SSM:", Bearing::None),
    ("AWS::Scheduler:", Bearing::None),
    ("AWS::SecretsManager:", Bearing::None),
    ("AWS::StepFunctions:", Bearing::None),
    ("AWS::WAFv2:", Bearing::None),
    ("AWS::XRay:", Bearing::None),
];

/// Ends of the names of types that are only settings of objects with addresses.
const SETTINGS: [&str; 22] = [
    "SubnetGroup",
    "ParameterGroup",
    "OptionGroup",
    "SecurityGroupIngress",
    "TargetGroup",
    "Listener",
    "ListenerRule",
    "ListenerCertificate",
    "TaskDefinition",
    "::FileSystem",
    "AccessPoint",
    "Permission",
    "LayerVersion",
    "EventSourceMapping",
    "::Version",
    "::Alias",
    "::Url",
    "::User",
    "UserGroup",
    "CapacityProvider",
    "Policy",
    "Role",
];

impl<'t> Mapper<'_, 't> {
    pub(super) fn other(&mut self, resource: &Resource<'t>) -> Result<(), Reported> {
        let kind = resource.kind;
        let object = self.object(resource, kind, &[]);
        if kind.ends_with("::MODULE") {
            let consequence = "the lab does not have the resources that it creates; import the processed template: aws cloudformation get-template --template-stage Processed";
            self.not_understood(&object, "a module", consequence);
            return Ok(());
        }
        match bearing(kind) {
            Some(Bearing::None) => {}
            Some(Bearing::Ipv6) => self.findings.ipv6(kind, &object.origin),
            Some(Bearing::LeftOut(consequence)) => {
                let what = "a lab has no counterpart of it";
                self.findings.left_out(&object.label, &object.origin, what, *consequence);
            }
            Some(Bearing::NotUnderstood(consequence)) => {
                let what = "a lab has no counterpart of it";
                self.not_understood(&object, what, *consequence);
            }
            None if kind.starts_with("AWS::EC2::") => {
                let what = format!("egret does not know the type {kind}");
                self.not_understood(&object, what, "its effect on the VPC is not in the lab");
            }
            None if SETTINGS.iter().any(|end| kind.ends_with(end)) => {}
            None => {
                let what = format!("egret does not know the type {kind}");
                self.findings.left_out(
                    &object.label,
                    &object.origin,
                    what,
                    "if it has addresses in the VPC, nothing answers there in the lab",
                );
            }
        }
        Ok(())
    }

    /// Reports a function in the VPC, which sends packets; one outside does not concern the lab.
    pub(super) fn function(&mut self, resource: &Resource<'t>) -> Result<(), Reported> {
        let function = self.object(resource, "function", &["VpcConfig"]);
        if self.has(&function, "VpcConfig") {
            self.findings.left_out(
                &function.label,
                &function.origin,
                "a Lambda function in the VPC",
                FUNCTION,
            );
        }
        Ok(())
    }

    /// Maps `AWS::EC2::VPCBlockPublicAccessOptions`, which concern every VPC of the region.
    pub(super) fn block_public_access(&mut self, resource: &Resource<'t>) -> Result<(), Reported> {
        let options =
            self.object(resource, "VPC Block Public Access", &["InternetGatewayBlockMode"]);
        let mode = self.text(&options, "InternetGatewayBlockMode")?;
        self.account.vpcs.iter_mut().for_each(|vpc| vpc.block_public_access.clone_from(&mode));
        Ok(())
    }
}

/// Returns the longest entry that the type is, or begins with.
fn bearing(kind: &str) -> Option<&'static Bearing> {
    let is_of = |name: &str| match name.strip_suffix('*') {
        Some(beginning) => kind.starts_with(beginning),
        None => name == kind || (name.ends_with(':') && kind.starts_with(name)),
    };
    let found = BEARINGS.iter().filter(|(name, _)| is_of(name));
    found.max_by_key(|(name, _)| name.len()).map(|(_, bearing)| bearing)
}
