//! Types whose instances have network interfaces that Terraform does not list.

use super::reader::Block;

/// A type whose instances have network interfaces that Terraform does not list.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) kind: &'static str,
    /// The attribute with its name.
    pub(super) name: &'static str,
    pub(super) subnets: Subnets,
    /// The attribute with its security groups.
    pub(super) groups: &'static str,
    /// The attribute with its port, and the port if it is absent.
    pub(super) port: (&'static str, Option<&'static str>),
    /// Says that it has an interface in each of its subnets, and not in one.
    pub(super) in_each: bool,
    /// The attribute that names its cluster, and the cluster's type: it has the groups and the
    /// port.
    pub(super) cluster: Option<(&'static str, &'static str)>,
    /// The condition on which its interfaces have public addresses.
    pub(super) public: Public,
}

/// The condition on which the interfaces of a type have public addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Public {
    /// They never have any.
    Never,
    /// An attribute is true.
    If(&'static str),
    /// It is an internet-facing load balancer.
    Balancer,
}

/// The way in which a type names its subnets.
#[derive(Debug)]
pub(super) enum Subnets {
    /// An attribute with their ids.
    Listed(&'static str),
    /// An attribute with the name of a subnet group.
    Group(&'static str),
    /// An attribute of a block, which has the groups too.
    Within(&'static str, &'static str),
}

const fn owner(
    kind: &'static str,
    name: &'static str,
    subnets: Subnets,
    groups: &'static str,
    port: (&'static str, Option<&'static str>),
    in_each: bool,
) -> Owner {
    Owner { kind, name, subnets, groups, port, in_each, cluster: None, public: Public::Never }
}

const PUBLICLY_ACCESSIBLE: Public = Public::If("publicly_accessible");

impl Owner {
    const fn public(self, public: Public) -> Self {
        Self { public, ..self }
    }
}

const fn member(
    kind: &'static str,
    subnets: &'static str,
    cluster: &'static str,
    port: &'static str,
) -> Owner {
    Owner {
        kind,
        name: "identifier",
        subnets: Subnets::Group(subnets),
        groups: "vpc_security_group_ids",
        port: ("port", Some(port)),
        in_each: false,
        cluster: Some(("cluster_identifier", cluster)),
        public: Public::Never,
    }
}

use Subnets::{Group, Listed, Within};

/// Types whose instances have network interfaces.
pub(super) const OWNERS: &[Owner] = &[
    owner(
        "aws_db_instance",
        "identifier",
        Group("db_subnet_group_name"),
        "vpc_security_group_ids",
        ("port", None),
        false,
    )
    .public(PUBLICLY_ACCESSIBLE),
    member("aws_rds_cluster_instance", "db_subnet_group_name", "aws_rds_cluster", "3306/tcp")
        .public(PUBLICLY_ACCESSIBLE),
    member("aws_docdb_cluster_instance", "db_subnet_group_name", "aws_docdb_cluster", "27017/tcp"),
    member(
        "aws_neptune_cluster_instance",
        "neptune_subnet_group_name",
        "aws_neptune_cluster",
        "8182/tcp",
    )
    .public(PUBLICLY_ACCESSIBLE),
    owner(
        "aws_elasticache_cluster",
        "cluster_id",
        Group("subnet_group_name"),
        "security_group_ids",
        ("port", Some("6379/tcp")),
        false,
    ),
    owner(
        "aws_elasticache_replication_group",
        "replication_group_id",
        Group("subnet_group_name"),
        "security_group_ids",
        ("port", Some("6379/tcp")),
        false,
    ),
    owner(
        "aws_memorydb_cluster",
        "name",
        Group("subnet_group_name"),
        "security_group_ids",
        ("port", Some("6379/tcp")),
        false,
    ),
    owner(
        "aws_redshift_cluster",
        "cluster_identifier",
        Group("cluster_subnet_group_name"),
        "vpc_security_group_ids",
        ("port", Some("5439/tcp")),
        false,
    )
    .public(PUBLICLY_ACCESSIBLE),
    owner("aws_lb", "name", Listed("subnets"), "security_groups", ("", None), true)
        .public(Public::Balancer),
    owner("aws_alb", "name", Listed("subnets"), "security_groups", ("", None), true)
        .public(Public::Balancer),
    owner(
        "aws_mq_broker",
        "broker_name",
        Listed("subnet_ids"),
        "security_groups",
        ("", None),
        true,
    )
    .public(PUBLICLY_ACCESSIBLE),
    owner(
        "aws_opensearch_domain",
        "domain_name",
        Within("vpc_options", "subnet_ids"),
        "security_group_ids",
        ("", Some("443/tcp")),
        true,
    ),
    owner(
        "aws_msk_cluster",
        "cluster_name",
        Within("broker_node_group_info", "client_subnets"),
        "security_groups",
        ("", None),
        true,
    ),
];

/// Types that owners refer to: subnet groups and clusters.
pub(super) const OWNERS_NEED: &[&str] = &[
    "aws_db_subnet_group",
    "aws_neptune_subnet_group",
    "aws_elasticache_subnet_group",
    "aws_memorydb_subnet_group",
    "aws_redshift_subnet_group",
    "aws_rds_cluster",
    "aws_docdb_cluster",
    "aws_neptune_cluster",
];

/// Owners, and the objects that they refer to.
#[derive(Default)]
pub(super) struct Owners<'a> {
    pub(super) owners: Vec<(&'static Owner, Block<'a>)>,
    pub(super) needed: Vec<Block<'a>>,
}

impl<'a> Owners<'a> {
    pub(super) fn keep(&mut self, owner: &'static Owner, block: Block<'a>) {
        self.owners.push((owner, block));
    }

    pub(super) fn need(&mut self, block: Block<'a>) {
        self.needed.push(block);
    }
}

impl Owner {
    /// Returns its entry, if it is a type of these.
    pub(super) fn of(kind: &str) -> Option<&'static Self> {
        OWNERS.iter().find(|owner| owner.kind == kind)
    }
}
