//! The resource types of the AWS provider, and the treatment of each.

use super::import::Import;
use super::owners::{OWNERS_NEED, Owner};
use super::reader::{Block, Trouble};
use super::{
    apprunner, endpoints, interfaces, names, network, public_addresses, routing, security_groups,
};

/// The phase in which a type is read: objects come before their parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Elastic IPs, VPCs and subnets.
    Ground,
    /// Objects in VPCs and subnets, by id.
    Objects,
    /// Rules, routes, associations.
    Parts,
    /// Facts that a later resource decides, such as which table is the main one.
    Last,
}

impl Phase {
    pub(super) const ALL: [Self; 4] = [Self::Ground, Self::Objects, Self::Parts, Self::Last];
}

/// The treatment of a type.
#[derive(Clone, Copy)]
pub(super) enum Treatment {
    /// It is read, in its phase.
    Read(Phase, Read),
    /// It has network interfaces that are not listed.
    Owner(&'static Owner),
    /// An owner refers to it.
    Needed,
    /// It has no counterpart, with this consequence.
    LeftOut(&'static str),
    /// Packets may depend on it.
    NotUnderstood,
    /// It concerns only IPv6.
    Ipv6,
    /// It has no effect on packets.
    Nothing,
    /// It is not known: it has an effect if it is in a VPC.
    Unlisted,
}

const LEADS_OUT: &str = "the lab ends there: routes that lead to it drop";
const NO_FILTER: &str = "the lab has no such filter: what it would stop passes";
const NO_TASK: &str = "the lab has none of its tasks, as a source or a destination: in the lab file, a [[service]] with kind = \"fargate\" and its subnets and security groups can stand for it";
const NO_HOST: &str = "its addresses are not in the source, and the lab has no such resource: add a [[resource]] for it";

type Read = fn(&mut Import<'_>, &Block<'_>) -> Result<(), Trouble>;

/// Returns the function that reads a type of part, or removes it again (`Import::forget`). Objects
/// list such parts too.
pub(super) fn part(kind: &str) -> Option<Read> {
    Some(match kind {
        "aws_security_group_rule" => security_groups::rule,
        "aws_vpc_security_group_ingress_rule" | "aws_vpc_security_group_egress_rule" => {
            security_groups::single_rule
        }
        "aws_route" => routing::route,
        "aws_network_acl_rule" => network::network_acl_rule,
        "aws_network_acl_association" => network::network_acl_association,
        "aws_network_interface_sg_attachment" => interfaces::group_attachment,
        "aws_vpc_endpoint_route_table_association" => endpoints::route_table,
        "aws_vpc_endpoint_subnet_association" => endpoints::subnet,
        "aws_vpc_endpoint_security_group_association" => endpoints::security_group,
        "aws_ec2_managed_prefix_list_entry" => endpoints::prefix_list_entry,
        "aws_route53_zone_association" => names::association,
        _ => return None,
    })
}

/// Returns the treatment of a type. Data sources that only list ids have no effect.
pub(super) fn kind(kind: &str, data: bool) -> Treatment {
    use Phase::{Ground, Last, Objects, Parts};
    use Treatment::{Ipv6, LeftOut, Needed, NotUnderstood, Nothing, Read};
    match kind {
        "aws_vpc" | "aws_default_vpc" => Read(Ground, network::vpc),
        "aws_subnet" | "aws_default_subnet" => Read(Ground, network::subnet),
        "aws_eip" => Read(Ground, public_addresses::elastic_ip),
        "aws_vpc_ipv4_cidr_block_association" => Read(Objects, network::vpc_cidr_block),
        "aws_internet_gateway" => Read(Objects, network::internet_gateway),
        "aws_internet_gateway_attachment" => Read(Parts, network::internet_gateway_attachment),
        "aws_nat_gateway" => Read(Objects, network::nat_gateway),
        "aws_vpc_peering_connection" => Read(Objects, network::peering),
        "aws_vpc_peering_connection_accepter" => Read(Parts, network::peering_accepter),
        "aws_vpc_peering_connection_options" if !data => Read(Last, network::peering_options),
        "aws_vpc_block_public_access_options" => Read(Last, network::block_public_access),

        "aws_network_acl" | "aws_default_network_acl" => Read(Objects, network::network_acl),
        "aws_network_acl_rule" => Read(Parts, network::network_acl_rule),
        "aws_network_acl_association" => Read(Last, network::network_acl_association),

        "aws_route_table" | "aws_default_route_table" => Read(Objects, routing::route_table),
        "aws_route" if !data => Read(Parts, routing::route),
        "aws_route_table_association" => Read(Parts, routing::association),
        "aws_main_route_table_association" => Read(Last, routing::main_association),
        "aws_vpn_gateway_route_propagation" => Read(Parts, routing::propagation),

        "aws_security_group" if data => Read(Objects, security_groups::group_of_others),
        "aws_security_group" | "aws_default_security_group" => {
            Read(Objects, security_groups::group)
        }
        "aws_security_group_rule" => Read(Parts, security_groups::rule),
        "aws_vpc_security_group_ingress_rule"
        | "aws_vpc_security_group_egress_rule"
        | "aws_vpc_security_group_rule" => Read(Parts, security_groups::single_rule),

        "aws_vpc_endpoint" => Read(Objects, endpoints::endpoint),
        "aws_vpc_endpoint_policy" => Read(Parts, endpoints::policy),
        "aws_vpc_endpoint_route_table_association" => Read(Parts, endpoints::route_table),
        "aws_vpc_endpoint_subnet_association" => Read(Parts, endpoints::subnet),
        "aws_vpc_endpoint_security_group_association" => Read(Parts, endpoints::security_group),
        "aws_vpc_endpoint_private_dns" => Read(Parts, endpoints::private_dns),
        "aws_ec2_managed_prefix_list" => Read(Objects, endpoints::prefix_list),
        "aws_ec2_managed_prefix_list_entry" => Read(Parts, endpoints::prefix_list_entry),
        "aws_prefix_list" => Read(Objects, endpoints::service_list),

        "aws_network_interface" => Read(Objects, interfaces::network_interface),
        "aws_network_interface_attachment" => Read(Parts, interfaces::attachment),
        "aws_network_interface_sg_attachment" => Read(Last, interfaces::group_attachment),
        "aws_instance" => Read(Parts, interfaces::instance),
        "aws_eip_association" => Read(Last, public_addresses::association),
        "aws_efs_mount_target" => Read(Objects, interfaces::mount_target),

        "aws_route53_zone" => Read(Objects, names::zone),
        "aws_route53_zone_association" => Read(Parts, names::association),
        "aws_route53_record" if !data => Read(Last, names::record),

        "aws_apprunner_vpc_connector" => Read(Objects, apprunner::connector),
        "aws_apprunner_service" => Read(Objects, apprunner::service),
        _ if data => Nothing,

        "aws_lambda_function" => Read(Objects, interfaces::function),
        "aws_ecs_service" | "aws_ecs_task_set" => LeftOut(NO_TASK),
        "aws_ec2_transit_gateway"
        | "aws_ec2_transit_gateway_vpc_attachment"
        | "aws_vpn_gateway"
        | "aws_vpn_gateway_attachment"
        | "aws_ec2_carrier_gateway"
        | "aws_networkmanager_vpc_attachment"
        | "aws_dx_gateway_association" => LeftOut(LEADS_OUT),
        "aws_networkfirewall_firewall" | "aws_route53_resolver_firewall_rule_group_association" => {
            LeftOut(NO_FILTER)
        }
        "aws_vpc_dhcp_options_association" | "aws_default_vpc_dhcp_options" => {
            LeftOut("tasks ask the VPC's own resolver, whatever DHCP says")
        }
        "aws_route53_resolver_endpoint" | "aws_route53_resolver_rule_association" => LeftOut(
            "the lab's resolver forwards nothing: names of other networks are unknown to it",
        ),
        "aws_vpc_endpoint_service" => {
            LeftOut("it accepts connections from other VPCs, and opens none")
        }
        "aws_egress_only_internet_gateway" | "aws_vpc_ipv6_cidr_block_association" => Ipv6,
        other if OWNERS_NEED.contains(&other) => Needed,
        other => match Owner::of(other) {
            Some(owner) => Treatment::Owner(owner),
            None if HARMLESS.contains(&other) => Nothing,
            None if HOSTS.contains(&other) => LeftOut(NO_HOST),
            None if DECIDES.iter().any(|start| other.starts_with(start)) => NotUnderstood,
            None if LEADS.iter().any(|start| other.starts_with(start)) => LeftOut(LEADS_OUT),
            None if other.starts_with("awscc_ec2_") => NotUnderstood,
            None => Treatment::Unlisted,
        },
    }
}

/// Types that have addresses in subnets, which a state does not have.
const HOSTS: &[&str] = &[
    "aws_autoscaling_group",
    "aws_dax_cluster",
    "aws_db_proxy",
    "aws_directory_service_directory",
    "aws_dms_replication_instance",
    "aws_eks_cluster",
    "aws_eks_node_group",
    "aws_elasticache_serverless_cache",
    "aws_elb",
    "aws_fsx_lustre_file_system",
    "aws_fsx_ontap_file_system",
    "aws_fsx_openzfs_file_system",
    "aws_fsx_windows_file_system",
    "aws_msk_serverless_cluster",
    "aws_opensearchserverless_vpc_endpoint",
    "aws_redshiftserverless_workgroup",
];

/// Types whose names begin like those below, and that no packet depends on.
const HARMLESS: &[&str] = &[
    "aws_apprunner_auto_scaling_configuration_version",
    "aws_apprunner_connection",
    "aws_apprunner_custom_domain_association",
    "aws_apprunner_observability_configuration",
    "aws_apprunner_default_auto_scaling_configuration_version",
    "aws_apprunner_deployment",
    "aws_apprunner_vpc_ingress_connection",
    "aws_route53_health_check",
    "aws_subnet_cidr_reservation",
    "aws_ec2_subnet_cidr_reservation",
    "aws_vpc_dhcp_options",
    "aws_vpc_endpoint_connection_accepter",
    "aws_vpc_endpoint_connection_notification",
    "aws_vpc_endpoint_service_allowed_principal",
    "aws_vpc_endpoint_service_private_dns_verification",
    "aws_vpc_network_performance_metric_subscription",
    "aws_flow_log",
    "aws_alb_target_group",
    "aws_lb_target_group",
    "aws_service_discovery_private_dns_namespace",
    "aws_eip_domain_name",
];

/// Starts of types that decide about packets: one that is not known yet may matter.
const DECIDES: &[&str] = &[
    "aws_apprunner_vpc",
    "aws_default_",
    "aws_internet_gateway",
    "aws_nat_",
    "aws_network_acl",
    "aws_network_interface",
    "aws_route_",
    "aws_security_group",
    "aws_subnet",
    "aws_vpc_",
    "aws_vpc_security_group",
];

/// Starts of types of other networks.
const LEADS: &[&str] = &[
    "aws_customer_gateway",
    "aws_dx_",
    "aws_ec2_client_vpn",
    "aws_ec2_local_gateway",
    "aws_ec2_transit_gateway",
    "aws_networkmanager_",
    "aws_vpclattice_",
    "aws_vpn_",
];
