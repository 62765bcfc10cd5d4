//! Writes a change as a fragment of a CloudFormation template, by the template's logical ids.

use super::objects::{DefaultObject, Hop, Named, Object, Objects};
use super::template;
use super::traffic::Traffic;
use super::words::{Words, group_description, group_name};
use crate::explain::fix::change::Change;
use crate::explain::fix::new_endpoint::{Guard, NewGateway, NewInterface};
use crate::vpc::{
    AclRule, ConnectorIx, Destination, Direction, NetworkAclIx, Peer, PrefixListIx, ResourceIx,
    RouteTableIx, SecurityGroupIx, SecurityGroupRule, SubnetIx, Target,
};
use ipnetwork::Ipv4Network;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The action that adds resources, or elements of lists.
const ADD: &str = "add to the template";
/// The action that gives properties other values.
const CHANGE: &str = "change in the template";

/// Writes a fragment; the error names what the template does not have.
pub(super) fn written(change: &Change, objects: Objects<'_>) -> Result<Words, String> {
    let mut fragment = Fragment::of(objects);
    let (id, action) = match change {
        Change::GroupRules { group, direction, rules } => {
            fragment.group_rules(*group, *direction, rules)?
        }
        Change::AclRules { acl, direction, rules } => {
            fragment.acl_rules(*acl, *direction, rules)?
        }
        Change::AddRoute { table, destination, target } => {
            fragment.add_route(*table, *destination, target)?
        }
        Change::Redirect { table, position, target } => {
            fragment.redirect((*table, *position), target)?
        }
        Change::EndpointTable { endpoint, table } => {
            let own = objects.endpoint(*endpoint)?;
            let tables = vec![fragment.id(objects.table(*table)?)?];
            fragment.change(own.id, None, json!({ "RouteTableIds": tables }));
            (own.id.to_owned(), ADD)
        }
        Change::ListEntries { list, entries } => fragment.list_entries(*list, entries)?,
        Change::MoveConnector { connector, subnets } => {
            fragment.move_connector(*connector, subnets)?
        }
        Change::PublicAddresses { connector } => {
            let name = &objects.snapshot.connector(*connector).name;
            return Err(format!("the template has no ECS service {name}"));
        }
        Change::SourceDestCheckOff { appliance } => fragment.source_dest_check_off(*appliance)?,
        Change::InterfaceEndpoint(new) => fragment.interface_endpoint(new)?,
        Change::GatewayEndpoint(new) => fragment.gateway_endpoint(new)?,
    };
    Ok(Words { id, action: action.to_owned(), text: fragment.text() })
}

/// The object to change, and the action.
type Done = Result<(String, &'static str), String>;

/// A fragment in progress.
struct Fragment<'a> {
    objects: Objects<'a>,
    taken: BTreeSet<String>,
    parameters: Map<String, Value>,
    resources: Map<String, Value>,
}

impl<'a> Fragment<'a> {
    fn of(objects: Objects<'a>) -> Self {
        let taken = objects.account().written.names.clone();
        Self { objects, taken, parameters: Map::new(), resources: Map::new() }
    }

    fn text(self) -> String {
        let mut sections = Map::new();
        let all = [("Parameters", self.parameters), ("Resources", self.resources)];
        for (name, section) in all {
            if !section.is_empty() {
                sections.insert(name.to_owned(), Value::Object(section));
            }
        }
        let is_json = self.objects.account().written.is_json;
        let write = if is_json { template::json } else { template::yaml };
        write(&Value::Object(sections))
    }

    /// Adds a resource under a logical id that is free, with the condition of the one that it
    /// belongs to; returns that id.
    fn add(&mut self, like: &str, kind: &str, owner: &Object<'_>, properties: Value) -> String {
        let like: String = like.chars().filter(char::is_ascii_alphanumeric).collect();
        let names = (2..).map(|number| format!("{like}{number}"));
        let mut names = std::iter::once(like.clone()).chain(names);
        let name = names.find(|name| self.taken.insert(name.clone())).unwrap_or(like);
        let mut resource = json!({ "Type": kind });
        let (Object::Own(own)
        | Object::Default { vpc: own, .. }
        | Object::ServiceList { endpoint: own, .. }) = owner;
        if let Some(condition) = self.objects.account().written.conditions.get(own.id) {
            resource["Condition"] = json!(condition);
        }
        resource["Properties"] = properties;
        self.resources.insert(name.clone(), resource);
        name
    }

    /// Gives a resource other properties.
    fn change(&mut self, id: &str, kind: Option<&str>, properties: Value) {
        let mut resource = Map::new();
        resource.extend(kind.map(|kind| ("Type".to_owned(), json!(kind))));
        resource.insert("Properties".to_owned(), properties);
        self.resources.insert(id.to_owned(), Value::Object(resource));
    }

    /// Refers to the id of an object. An object that the template cannot name becomes a parameter.
    fn id(&mut self, object: Object<'_>) -> Result<Value, String> {
        Ok(match object {
            Object::Own(own) => json!({ "Ref": own.id }),
            Object::Default { vpc, what, .. } => {
                let attribute = match what {
                    DefaultObject::NetworkAcl => "DefaultNetworkAcl",
                    DefaultObject::SecurityGroup => "DefaultSecurityGroup",
                    DefaultObject::RouteTable => {
                        let way_out = "give its subnets a table of the template";
                        return Err(format!(
                            "no template can name the {} of {}: {way_out}",
                            what.noun(),
                            vpc.id
                        ));
                    }
                };
                json!({ "Fn::GetAtt": [vpc.id, attribute] })
            }
            Object::ServiceList { service, endpoint } => {
                let name = format!("{}PrefixList", endpoint.id);
                let parameter =
                    json!({ "Type": "String", "Description": format!("the id of {service}") });
                self.parameters.insert(name.clone(), parameter);
                json!({ "Ref": name })
            }
        })
    }

    /// Refers to a group's id: the meaning of `Ref` depends on whether the group is in a VPC.
    fn group_id(&mut self, group: Object<'_>) -> Result<Value, String> {
        match group {
            Object::Own(own) => Ok(json!({ "Fn::GetAtt": [own.id, "GroupId"] })),
            Object::Default { .. } | Object::ServiceList { .. } => self.id(group),
        }
    }

    fn group_rules(
        &mut self,
        group: SecurityGroupIx,
        direction: Direction,
        rules: &[SecurityGroupRule],
    ) -> Done {
        let own = self.objects.group(group)?;
        let (kind, word, end) = match direction {
            Direction::Egress => ("AWS::EC2::SecurityGroupEgress", "To", "Destination"),
            Direction::Ingress => ("AWS::EC2::SecurityGroupIngress", "From", "Source"),
        };
        for rule in rules {
            let traffic = Traffic::of(&rule.traffic);
            let mut properties =
                json!({ "GroupId": self.group_id(own)?, "IpProtocol": traffic.word });
            if let Some((from, to)) = traffic.port_range() {
                properties["FromPort"] = json!(from);
                properties["ToPort"] = json!(to);
            }
            let (key, peer, name) = self.peer(rule, end)?;
            properties[key] = peer;
            let like = format!("{}{word}{name}{}", logical_id(&own), camel(&traffic.shown()));
            self.add(&like, kind, &own, properties);
        }
        Ok((own.to_string(), ADD))
    }

    /// Returns the property for the other end of a rule, its value, and a word for it.
    fn peer(
        &mut self,
        rule: &SecurityGroupRule,
        end: &str,
    ) -> Result<(String, Value, String), String> {
        Ok(match rule.peer {
            Peer::Cidr(cidr) => {
                let text = cidr.to_string();
                let name = match cidr.prefix() {
                    0 => "Anywhere".to_owned(),
                    _ => text.trim_end_matches("/32").replace(['.', '/'], "x"),
                };
                ("CidrIp".to_owned(), json!(text), name)
            }
            Peer::SecurityGroup(ix) => {
                let group = self.objects.group(ix)?;
                let name = logical_id(&group);
                (format!("{end}SecurityGroupId"), self.group_id(group)?, name)
            }
            Peer::PrefixList(ix) => {
                let list = self.objects.list(ix)?;
                (format!("{end}PrefixListId"), self.id(list)?, logical_id(&list))
            }
        })
    }

    fn acl_rules(&mut self, acl: NetworkAclIx, direction: Direction, rules: &[AclRule]) -> Done {
        let own = self.objects.acl(acl)?;
        for rule in rules {
            let traffic = Traffic::of(&rule.traffic);
            let mut properties = json!({
                "NetworkAclId": self.id(own)?,
                "RuleNumber": rule.number,
                "Egress": direction == Direction::Egress,
                "Protocol": traffic.number.parse::<i32>().unwrap_or(-1),
                "RuleAction": "allow",
                "CidrBlock": rule.cidr.to_string(),
            });
            if let Some((from, to)) = traffic.ports {
                properties["PortRange"] = json!({ "From": from, "To": to });
            }
            if let Some((kind, code)) = traffic.icmp {
                properties["Icmp"] = json!({ "Type": kind, "Code": code });
            }
            let direction = camel(&direction.to_string());
            let like = format!("{}{direction}{}", logical_id(&own), rule.number);
            self.add(&like, "AWS::EC2::NetworkAclEntry", &own, properties);
        }
        Ok((own.to_string(), ADD))
    }

    fn add_route(
        &mut self,
        table: RouteTableIx,
        destination: Ipv4Network,
        target: &Target,
    ) -> Done {
        let own = self.objects.table(table)?;
        let hop = self.objects.target(target, table)?;
        let mut properties = json!({
            "RouteTableId": self.id(own)?,
            "DestinationCidrBlock": destination.to_string(),
        });
        let (key, target) = target_of(hop)?;
        properties[key] = target;
        let like = format!("{}To{}", logical_id(&own), hop.named().id);
        self.add(&like, "AWS::EC2::Route", &own, properties);
        Ok((own.to_string(), ADD))
    }

    /// Changes the target of a route, which is a resource of its own.
    fn redirect(&mut self, (table, position): (RouteTableIx, u16), target: &Target) -> Done {
        let own = self.objects.table(table)?;
        let route = &self.objects.snapshot.route_table(table).routes[usize::from(position)];
        let place = self.objects.source.place(route.line);
        let id = place.and_then(|place| logical_id_of(&place.path));
        let Some(id) = id else {
            return Err(format!("the template does not say the route of {own}"));
        };
        let (destination, value) = match route.destination {
            Destination::Cidr(cidr) => ("DestinationCidrBlock", json!(cidr.to_string())),
            Destination::PrefixList(ix) => {
                ("DestinationPrefixListId", self.id(self.objects.list(ix)?)?)
            }
        };
        let (key, target) = target_of(self.objects.target(target, table)?)?;
        let mut properties = json!({ "RouteTableId": self.id(own)? });
        properties[destination] = value;
        properties[key] = target;
        self.change(id, Some("AWS::EC2::Route"), properties);
        Ok((id.to_owned(), "replace in the template, with all properties"))
    }

    fn list_entries(&mut self, list: PrefixListIx, entries: &[Ipv4Network]) -> Done {
        let own = self.objects.own_list(list)?;
        let entry = |entry: &Ipv4Network| json!({ "Cidr": entry.to_string() });
        let added: Vec<Value> = entries.iter().map(entry).collect();
        let mut properties = json!({ "Entries": added });
        if let Some(most) = self.objects.larger(list, own, entries.len()) {
            properties["MaxEntries"] = json!(most);
        }
        self.change(own.id, None, properties);
        Ok((own.id.to_owned(), ADD))
    }

    /// Gives a connector other subnets, which replaces it. CloudFormation refuses that if the
    /// template gives the connector a name.
    fn move_connector(&mut self, connector: ConnectorIx, subnets: &[SubnetIx]) -> Done {
        let own = self.objects.connector(self.objects.snapshot.connector(connector))?;
        let subnets: Result<Vec<Value>, String> =
            subnets.iter().map(|ix| Ok(json!({ "Ref": self.objects.subnet(*ix)?.id }))).collect();
        let mut properties = Map::new();
        if own.name != own.id {
            let name = format!("{}-moved", own.name);
            properties.insert("VpcConnectorName".to_owned(), json!(name));
        }
        properties.insert("Subnets".to_owned(), json!(subnets?));
        self.change(&own.id, None, Value::Object(properties));
        Ok((own.id.clone(), CHANGE))
    }

    fn source_dest_check_off(&mut self, appliance: ResourceIx) -> Done {
        let own = self.objects.interface(appliance)?;
        let id = logical_id_of(&own.origin.path).unwrap_or(&own.id);
        self.change(id, None, json!({ "SourceDestCheck": false }));
        Ok((id.to_owned(), CHANGE))
    }

    /// Adds an interface endpoint, with its group if that is new, and the property of its VPC that
    /// private names need.
    fn interface_endpoint(&mut self, new: &NewInterface) -> Done {
        let vpc = self.objects.vpc(new.vpc)?;
        if new.hostnames {
            self.change(vpc.id, None, json!({ "EnableDnsHostnames": true }));
        }
        let groups: Result<Vec<Value>, String> = match &new.guard {
            Guard::Groups(all) => {
                all.iter().map(|ix| self.group_id(self.objects.group(*ix)?)).collect()
            }
            Guard::New { id, ingress } => {
                Ok(vec![self.new_group(vpc, id, &new.service, ingress)?])
            }
        };
        let subnets: Result<Vec<Value>, String> = new
            .subnets
            .iter()
            .map(|ix| Ok(json!({ "Ref": self.objects.subnet(*ix)?.id })))
            .collect();
        let properties = json!({
            "VpcId": { "Ref": vpc.id },
            "VpcEndpointType": "Interface",
            "ServiceName": new.service,
            "SubnetIds": subnets?,
            "SecurityGroupIds": groups?,
            "PrivateDnsEnabled": true,
        });
        Ok((self.add_endpoint(&new.id, vpc, properties), ADD))
    }

    /// Adds a group with its inbound rules; returns a reference to its id.
    fn new_group(
        &mut self,
        vpc: Named<'_>,
        id: &str,
        service: &str,
        ingress: &[SecurityGroupRule],
    ) -> Result<Value, String> {
        let mut rules = Vec::new();
        for rule in ingress {
            let traffic = Traffic::of(&rule.traffic);
            let mut entry = json!({ "IpProtocol": traffic.word });
            if let Some((from, to)) = traffic.port_range() {
                entry["FromPort"] = json!(from);
                entry["ToPort"] = json!(to);
            }
            let (key, peer, _) = self.peer(rule, "Source")?;
            entry[key] = peer;
            rules.push(entry);
        }
        let properties = json!({
            "GroupName": group_name(id),
            "GroupDescription": group_description(service),
            "VpcId": { "Ref": vpc.id },
            "SecurityGroupIngress": rules,
        });
        let like = camel(&format!("{}_group", group_name(id)));
        let name = self.add(&like, "AWS::EC2::SecurityGroup", &Object::Own(vpc), properties);
        Ok(json!({ "Fn::GetAtt": [name, "GroupId"] }))
    }

    /// Adds a gateway endpoint. The prefix list of a service is AWS's own.
    fn gateway_endpoint(&mut self, new: &NewGateway) -> Done {
        let vpc = self.objects.vpc(new.vpc)?;
        let tables: Result<Vec<Value>, String> =
            new.tables.iter().map(|ix| self.id(self.objects.table(*ix)?)).collect();
        let properties = json!({
            "VpcId": { "Ref": vpc.id },
            "VpcEndpointType": "Gateway",
            "ServiceName": new.service,
            "RouteTableIds": tables?,
        });
        Ok((self.add_endpoint(&new.id, vpc, properties), ADD))
    }

    fn add_endpoint(&mut self, id: &str, vpc: Named<'_>, properties: Value) -> String {
        self.add(&camel(id), "AWS::EC2::VPCEndpoint", &Object::Own(vpc), properties)
    }
}

/// Returns the property of a route for its target, and the target.
fn target_of(hop: Hop<'_>) -> Result<(&'static str, Value), String> {
    let key = match hop {
        Hop::InternetGateway(_) => "GatewayId",
        Hop::NatGateway(_) => "NatGatewayId",
        Hop::Peering(_) => "VpcPeeringConnectionId",
        Hop::Endpoint(_) => "VpcEndpointId",
        Hop::Interface(_) => "NetworkInterfaceId",
    };
    let Named { id, .. } = hop.named();
    let is_own = matches!(hop, Hop::Interface(own) if logical_id_of(&own.origin.path) != Some(id));
    match is_own {
        true => Err(format!("the template cannot name the network interface {id}")),
        false => Ok((key, json!({ "Ref": id }))),
    }
}

/// Returns the logical id in a place, such as `Resources.Vpc.Properties`.
fn logical_id_of(place: &str) -> Option<&str> {
    place.strip_prefix("Resources.")?.split(['.', '[']).next()
}

/// Returns the logical id of an object, or that of its owner.
fn logical_id(object: &Object<'_>) -> String {
    match object {
        Object::Own(own) => own.id.to_owned(),
        Object::Default { vpc, .. } => format!("{}Default", vpc.id),
        Object::ServiceList { endpoint, .. } => endpoint.id.to_owned(),
    }
}

/// Makes a part of a logical id.
fn camel(word: &str) -> String {
    let mut name = String::new();
    for part in word.split(['_', '-']) {
        let mut letters = part.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.extend(letters);
    }
    name
}
