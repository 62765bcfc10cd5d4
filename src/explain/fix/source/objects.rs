//! Finds the objects of a change in the source.

use crate::config::import::{Account, NetworkInterface, ObjectKind, Origin, Source, VpcConnector};
use crate::vpc::{
    Connector, GatewayEndpoint, GatewayEndpointIx, NetworkAclIx, PrefixListIx, ResourceIx,
    RouteTable, RouteTableIx, SecurityGroupIx, Snapshot, SubnetIx, Target, VpcIx,
};
use std::fmt;

/// A configuration, and the source from which it is made.
#[derive(Clone, Copy)]
pub(super) struct Objects<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) source: &'a Source,
}

/// The name of an object in the source, and its place there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) id: &'a str,
    pub(super) origin: &'a Origin,
}

/// An object of a change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object<'a> {
    /// The source has it.
    Own(Named<'a>),
    /// AWS makes it with its VPC; the source has only the VPC, and possibly the object's id.
    Default { vpc: Named<'a>, what: DefaultObject, id: Option<&'a str> },
    /// AWS's prefix list of a service; the source has a gateway endpoint for it.
    ServiceList { service: &'a str, endpoint: Named<'a> },
}

/// Writes the object's name for people.
impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(own) => f.write_str(own.id),
            Self::Default { vpc, what, .. } => write!(f, "{} of {}", what.noun(), vpc.id),
            Self::ServiceList { service, .. } => f.write_str(service),
        }
    }
}

impl DefaultObject {
    /// Returns the attribute of Terraform's VPCs that names it.
    pub(super) const fn attribute(self) -> &'static str {
        match self {
            Self::RouteTable => "main_route_table_id",
            Self::NetworkAcl => "default_network_acl_id",
            Self::SecurityGroup => "default_security_group_id",
        }
    }

    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::RouteTable => "main route table",
            Self::NetworkAcl => "default network ACL",
            Self::SecurityGroup => "default security group",
        }
    }
}

/// An object that AWS makes with a VPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultObject {
    RouteTable,
    NetworkAcl,
    SecurityGroup,
}

/// The target of a route.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hop<'a> {
    InternetGateway(Named<'a>),
    NatGateway(Named<'a>),
    Peering(Named<'a>),
    Endpoint(Named<'a>),
    Interface(Named<'a>),
}

impl<'a> Hop<'a> {
    pub(super) fn named(self) -> Named<'a> {
        match self {
            Self::InternetGateway(own)
            | Self::NatGateway(own)
            | Self::Peering(own)
            | Self::Endpoint(own)
            | Self::Interface(own) => own,
        }
    }
}

impl<'a> Objects<'a> {
    pub(super) fn account(&self) -> &'a Account {
        &self.source.account
    }

    pub(super) fn group(&self, ix: SecurityGroupIx) -> Result<Object<'a>, String> {
        let group = self.snapshot.security_group(ix);
        let (line, kind) = (group.line, ObjectKind::SecurityGroup);
        self.in_vpc(group.vpc, line, (kind, &group.id), DefaultObject::SecurityGroup)
    }

    pub(super) fn acl(&self, ix: NetworkAclIx) -> Result<Object<'a>, String> {
        let acl = self.snapshot.network_acl(ix);
        let (line, kind) = (acl.line, ObjectKind::NetworkAcl);
        self.in_vpc(acl.vpc, line, (kind, &acl.id), DefaultObject::NetworkAcl)
    }

    pub(super) fn table(&self, ix: RouteTableIx) -> Result<Object<'a>, String> {
        let table = self.snapshot.route_table(ix);
        let (line, kind) = (table.line, ObjectKind::RouteTable);
        self.in_vpc(table.vpc, line, (kind, &table.id), DefaultObject::RouteTable)
    }

    /// Finds an object that AWS makes with a VPC if the user does not: a source may name it by its
    /// VPC.
    fn in_vpc(
        &self,
        vpc: VpcIx,
        line: u32,
        (kind, word): (ObjectKind, &str),
        what: DefaultObject,
    ) -> Result<Object<'a>, String> {
        let vpc = self.vpc(vpc)?;
        if line == 0 {
            let attribute = (vpc.id.to_owned(), what.attribute().to_owned());
            let id = self.account().written.defaults.get(&attribute).map(String::as_str);
            return Ok(Object::Default { vpc, what, id });
        }
        let own = self.named(kind, word)?;
        let is_default = own.origin == vpc.origin;
        let id = Some(own.id);
        Ok(if is_default { Object::Default { vpc, what, id } } else { Object::Own(own) })
    }

    pub(super) fn list(&self, ix: PrefixListIx) -> Result<Object<'a>, String> {
        let word = &self.snapshot.prefix_list(ix).id;
        if let Ok(own) = self.named(ObjectKind::PrefixList, word) {
            return Ok(Object::Own(own));
        }
        let mut endpoints = self.snapshot.parts().gateway_endpoints.iter();
        let Some(endpoint) = endpoints.find(|endpoint| endpoint.prefix_list == ix) else {
            return Err(absent(ObjectKind::PrefixList, word));
        };
        let named = self.named(ObjectKind::VpcEndpoint, &endpoint.id)?;
        Ok(Object::ServiceList { service: &endpoint.service, endpoint: named })
    }

    /// Finds a prefix list that the user may change.
    pub(super) fn own_list(&self, ix: PrefixListIx) -> Result<Named<'a>, String> {
        let is_of_aws = |own: &Named<'_>| {
            let mut lists = self.account().prefix_lists.iter();
            let name = lists.find(|list| list.id == own.id).and_then(|list| list.name.as_deref());
            name.is_some_and(|name| name.starts_with("com.amazonaws."))
        };
        let list = self.list(ix)?;
        match list {
            Object::Own(own) if !is_of_aws(&own) => Ok(own),
            Object::Own(_) | Object::Default { .. } | Object::ServiceList { .. } => {
                Err(format!("only AWS changes the prefix list {list}"))
            }
        }
    }

    /// Returns the number of entries that a list needs, if that is more than its maximum.
    pub(super) fn larger(&self, ix: PrefixListIx, list: Named<'_>, added: usize) -> Option<usize> {
        let most = usize::try_from(*self.account().written.list_sizes.get(list.id)?).ok()?;
        let wanted = self.snapshot.prefix_list(ix).entries.len() + added;
        (wanted > most).then_some(wanted)
    }

    pub(super) fn vpc(&self, ix: VpcIx) -> Result<Named<'a>, String> {
        self.named(ObjectKind::Vpc, &self.snapshot.vpc(ix).id)
    }

    pub(super) fn subnet(&self, ix: SubnetIx) -> Result<Named<'a>, String> {
        self.named(ObjectKind::Subnet, &self.snapshot.subnet(ix).id)
    }

    pub(super) fn endpoint(&self, ix: GatewayEndpointIx) -> Result<Named<'a>, String> {
        let endpoint: &GatewayEndpoint = self.snapshot.gateway_endpoint(ix);
        self.named(ObjectKind::VpcEndpoint, &endpoint.id)
    }

    /// Lists the tables with a route to a gateway endpoint.
    pub(super) fn tables_of(&self, endpoint: GatewayEndpointIx) -> Vec<Result<Object<'a>, String>> {
        let tables = (0..).map(RouteTableIx).zip(&self.snapshot.parts().route_tables);
        let target = Target::GatewayEndpoint(endpoint);
        let leads = |own: &RouteTable| own.routes.iter().any(|route| route.target == target);
        tables.filter(|(_, own)| leads(own)).map(|(ix, _)| self.table(ix)).collect()
    }

    /// Finds a connector of the source. Connectors given by `--connector` belong to the user.
    pub(super) fn connector(&self, connector: &Connector) -> Result<&'a VpcConnector, String> {
        let id = self.source.id(ObjectKind::Connector, &connector.name);
        let mut all = self.account().vpc_connectors.iter();
        let found = id.and_then(|id| all.find(|one| one.id == id));
        match found {
            Some(own) if own.origin.file.starts_with("--connector") => {
                let subnets = "it is not in the source: give --connector the other subnets";
                Err(format!("the command line makes VPC connector {}; {subnets}", connector.name))
            }
            Some(own) => Ok(own),
            None => Err(absent(ObjectKind::Connector, &connector.name)),
        }
    }

    pub(super) fn interface(&self, ix: ResourceIx) -> Result<&'a NetworkInterface, String> {
        let own = self.snapshot.resource(ix);
        let id = self.source.id(ObjectKind::Resource, &own.name);
        let mut all = self.account().network_interfaces.iter();
        let found = id.and_then(|id| all.find(|interface| interface.id == id));
        found.ok_or_else(|| absent(ObjectKind::Resource, &own.name))
    }

    pub(super) fn target(&self, target: &Target, table: RouteTableIx) -> Result<Hop<'a>, String> {
        let named = |kind, word: &str| self.named(kind, word);
        let snapshot = self.snapshot;
        Ok(match target {
            Target::InternetGateway => {
                let vpc = snapshot.vpc(snapshot.route_table(table).vpc);
                let word = vpc.internet_gateway.as_ref().map_or("", |gateway| gateway.id.as_str());
                Hop::InternetGateway(named(ObjectKind::InternetGateway, word)?)
            }
            Target::NatGateway(ix) => {
                let gateway = snapshot.nat_gateway(*ix);
                Hop::NatGateway(named(ObjectKind::NatGateway, &gateway.id)?)
            }
            Target::Peering(ix) => {
                Hop::Peering(named(ObjectKind::Peering, &snapshot.peering(*ix).id)?)
            }
            Target::GatewayEndpoint(ix) => Hop::Endpoint(self.endpoint(*ix)?),
            Target::GatewayLoadBalancerEndpoint(ix) => {
                let endpoint = snapshot.gateway_load_balancer_endpoint(*ix);
                Hop::Endpoint(named(ObjectKind::VpcEndpoint, &endpoint.id)?)
            }
            Target::NetworkInterface(ix) => {
                let interface = self.interface(*ix)?;
                Hop::Interface(Named { id: &interface.id, origin: &interface.origin })
            }
            Target::Blackhole(_) | Target::Local => return Err(NO_TARGET.to_owned()),
        })
    }

    fn named(&self, kind: ObjectKind, word: &str) -> Result<Named<'a>, String> {
        let source: &'a Source = self.source;
        let id = source.id(kind, word);
        let named = id.and_then(|id| Some(Named { id, origin: self.origin(kind, id)? }));
        named.ok_or_else(|| absent(kind, word))
    }

    fn origin(&self, kind: ObjectKind, id: &str) -> Option<&'a Origin> {
        macro_rules! of {
            ($objects:ident) => {
                self.account().$objects.iter().find(|one| one.id == id).map(|one| &one.origin)
            };
        }
        match kind {
            ObjectKind::Vpc => of!(vpcs),
            ObjectKind::Subnet => of!(subnets),
            ObjectKind::RouteTable => of!(route_tables),
            ObjectKind::InternetGateway => of!(internet_gateways),
            ObjectKind::NatGateway => of!(nat_gateways),
            ObjectKind::VpcEndpoint => of!(vpc_endpoints),
            ObjectKind::Peering => of!(peering_connections),
            ObjectKind::SecurityGroup => of!(security_groups),
            ObjectKind::PrefixList => of!(prefix_lists),
            ObjectKind::NetworkAcl => of!(network_acls),
            ObjectKind::Connector => of!(vpc_connectors),
            ObjectKind::Resource | ObjectKind::NetworkInterface => of!(network_interfaces),
            ObjectKind::InternetHost | ObjectKind::Service => None,
        }
    }
}

const NO_TARGET: &str = "the source has no such target of a route";

fn absent(kind: ObjectKind, word: &str) -> String {
    format!("the source has no {} {word}", kind.noun())
}
