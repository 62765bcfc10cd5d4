//! Writes a change as commands of the AWS CLI, with the ids of the account.

use super::objects::{DefaultObject, Hop, Named, Object, Objects};
use super::traffic::Traffic;
use super::words::{WIDTH, Words, group_description, group_name};
use crate::config::import::VpcConnector;
use crate::explain::fix::change::Change;
use crate::explain::fix::new_endpoint::{Guard, NewGateway, NewInterface};
use crate::explain::shell::shell_word;
use crate::vpc::{
    AclRule, ConnectorIx, Destination, Direction, NetworkAclIx, Peer, PrefixListIx, ResourceIx,
    RouteTableIx, SecurityGroupIx, SecurityGroupRule, SubnetIx, Target,
};
use ipnetwork::Ipv4Network;

/// Writes commands; the error names what the account does not have.
pub(super) fn written(change: &Change, objects: Objects<'_>) -> Result<Words, String> {
    let (id, commands) = match change {
        Change::GroupRules { group, direction, rules } => {
            group_rules(objects, *group, *direction, rules)?
        }
        Change::AclRules { acl, direction, rules } => acl_rules(objects, *acl, *direction, rules)?,
        Change::AddRoute { table, destination, target } => {
            let destination = Destination::Cidr(*destination);
            route(objects, "create-route", *table, destination, target)?
        }
        Change::Redirect { table, position, target } => {
            let own = &objects.snapshot.route_table(*table).routes[usize::from(*position)];
            route(objects, "replace-route", *table, own.destination, target)?
        }
        Change::EndpointTable { endpoint, table } => {
            let endpoint = objects.endpoint(*endpoint)?;
            let table = word(objects.table(*table)?);
            let id = format!("--vpc-endpoint-id {}", shell_word(endpoint.id));
            let added = format!("--add-route-table-ids {table}");
            let command = command("aws ec2 modify-vpc-endpoint", &[id, added]);
            (endpoint.id.to_owned(), vec![command])
        }
        Change::ListEntries { list, entries } => list_entries(objects, *list, entries)?,
        Change::MoveConnector { connector, subnets } => {
            move_connector(objects, *connector, subnets)?
        }
        Change::PublicAddresses { connector } => {
            let name = &objects.snapshot.connector(*connector).name;
            return Err(format!("the source has no ECS service {name}"));
        }
        Change::SourceDestCheckOff { appliance } => source_dest_check_off(objects, *appliance)?,
        Change::InterfaceEndpoint(new) => interface_endpoint(objects, new)?,
        Change::GatewayEndpoint(new) => gateway_endpoint(objects, new)?,
    };
    Ok(Words { id, action: "run".to_owned(), text: commands.join("\n") })
}

type Commands = Result<(String, Vec<String>), String>;

fn group_rules(
    objects: Objects<'_>,
    group: SecurityGroupIx,
    direction: Direction,
    rules: &[SecurityGroupRule],
) -> Commands {
    let own = objects.group(group)?;
    let permissions = permissions(objects, rules)?;
    let id = format!("--group-id {}", word(own));
    let head = format!("aws ec2 authorize-security-group-{direction}");
    Ok((own.to_string(), vec![command(&head, &[id, permissions])]))
}

fn permissions(objects: Objects<'_>, rules: &[SecurityGroupRule]) -> Result<String, String> {
    let all: Result<Vec<String>, String> =
        rules.iter().map(|rule| permission(objects, rule)).collect();
    Ok(format!("--ip-permissions '[\n        {}]'", all?.join(",\n        ")))
}

/// Writes a rule as an element of `IpPermissions`, on lines of limited width.
fn permission(objects: Objects<'_>, rule: &SecurityGroupRule) -> Result<String, String> {
    let traffic = Traffic::of(&rule.traffic);
    let mut fields = vec![format!("\"IpProtocol\": \"{}\"", traffic.word)];
    if let Some((from, to)) = traffic.port_range() {
        fields.push(format!("\"FromPort\": {from}, \"ToPort\": {to}"));
    }
    let (list, key, peer) = match rule.peer {
        Peer::Cidr(block) => ("IpRanges", "CidrIp", block.to_string()),
        Peer::SecurityGroup(ix) => ("UserIdGroupPairs", "GroupId", in_json(objects.group(ix)?)),
        Peer::PrefixList(ix) => ("PrefixListIds", "PrefixListId", in_json(objects.list(ix)?)),
    };
    let fields = fields.join(", ");
    Ok(format!("{{{fields},\n         \"{list}\": [{{\"{key}\": \"{peer}\"}}]}}"))
}

/// Returns the text for an object between single quotes, in which a shell substitutes nothing.
fn in_json(object: Object<'_>) -> String {
    match object {
        Object::Own(own) => own.id.to_owned(),
        Object::Default { .. } | Object::ServiceList { .. } => format!("'{}'", word(object)),
    }
}

fn acl_rules(
    objects: Objects<'_>,
    acl: NetworkAclIx,
    direction: Direction,
    rules: &[AclRule],
) -> Commands {
    let own = objects.acl(acl)?;
    let entry = |rule: &AclRule| {
        let traffic = Traffic::of(&rule.traffic);
        let mut options = vec![
            format!("--network-acl-id {}", word(own)),
            format!("--{direction}"),
            format!("--rule-number {}", rule.number),
            format!("--protocol {}", traffic.number),
        ];
        if let Some((from, to)) = traffic.ports {
            options.push(format!("--port-range From={from},To={to}"));
        }
        if let Some((kind, code)) = traffic.icmp {
            options.push(format!("--icmp-type-code Type={kind},Code={code}"));
        }
        options.push(format!("--cidr-block {}", rule.cidr));
        options.push("--rule-action allow".to_owned());
        command("aws ec2 create-network-acl-entry", &options)
    };
    Ok((own.to_string(), rules.iter().map(entry).collect()))
}

fn route(
    objects: Objects<'_>,
    verb: &str,
    table: RouteTableIx,
    destination: Destination,
    target: &Target,
) -> Commands {
    let own = objects.table(table)?;
    let destination = match destination {
        Destination::Cidr(block) => format!("--destination-cidr-block {block}"),
        Destination::PrefixList(ix) => {
            format!("--destination-prefix-list-id {}", word(objects.list(ix)?))
        }
    };
    let (option, hop) = match objects.target(target, table)? {
        Hop::InternetGateway(own) => ("gateway-id", own),
        Hop::NatGateway(own) => ("nat-gateway-id", own),
        Hop::Peering(own) => ("vpc-peering-connection-id", own),
        Hop::Endpoint(own) => ("vpc-endpoint-id", own),
        Hop::Interface(own) => ("network-interface-id", own),
    };
    let table = format!("--route-table-id {}", word(own));
    let target = format!("--{option} {}", shell_word(hop.id));
    Ok((own.to_string(), vec![command(&format!("aws ec2 {verb}"), &[table, destination, target])]))
}

fn list_entries(objects: Objects<'_>, list: PrefixListIx, entries: &[Ipv4Network]) -> Commands {
    let own = objects.own_list(list)?;
    let id = format!("--prefix-list-id {}", shell_word(own.id));
    let written = &objects.account().written;
    let mut commands = Vec::new();
    if let Some(most) = objects.larger(list, own, entries.len()) {
        let most = format!("--max-entries {most}");
        commands.push(command("aws ec2 modify-managed-prefix-list", &[id.clone(), most]));
    }
    let version = match written.list_versions.get(own.id) {
        Some(version) if commands.is_empty() => version.to_string(),
        Some(_) | None => {
            commands.push(version_of(own));
            "\"$version\"".to_owned()
        }
    };
    let added: Vec<String> = entries.iter().map(|entry| format!("Cidr={entry}")).collect();
    let options =
        [id, format!("--current-version {version}"), format!("--add-entries {}", added.join(" "))];
    commands.push(command("aws ec2 modify-managed-prefix-list", &options));
    Ok((own.id.to_owned(), commands))
}

/// Returns a command that asks for the version of a list, which the source does not have.
fn version_of(list: Named<'_>) -> String {
    let options = [
        format!("--prefix-list-ids {}", shell_word(list.id)),
        "--query 'PrefixLists[0].Version'".to_owned(),
        "--output text)".to_owned(),
    ];
    command("version=$(aws ec2 describe-managed-prefix-lists", &options)
}

/// Writes a new revision of a connector, because a connector cannot be changed, and makes its
/// services use it.
fn move_connector(objects: Objects<'_>, connector: ConnectorIx, subnets: &[SubnetIx]) -> Commands {
    let own = objects.connector(objects.snapshot.connector(connector))?;
    let subnets: Result<Vec<&str>, String> =
        subnets.iter().map(|ix| Ok(objects.subnet(*ix)?.id)).collect();
    let mut options = vec![
        format!("--vpc-connector-name {}", shell_word(&own.name)),
        format!("--subnets {}", subnets?.join(" ")),
    ];
    if !own.security_groups.is_empty() {
        options.push(format!("--security-groups {}", own.security_groups.join(" ")));
    }
    options.push("--query VpcConnector.VpcConnectorArn".to_owned());
    options.push("--output text)".to_owned());
    let mut commands = vec![command("connector=$(aws apprunner create-vpc-connector", &options)];
    commands.extend(services(objects, own).map(|arn| {
        let egress = "EgressConfiguration={EgressType=VPC,VpcConnectorArn=$connector}";
        let options =
            [format!("--service-arn {arn}"), format!("--network-configuration \"{egress}\"")];
        command("aws apprunner update-service", &options)
    }));
    Ok((own.name.clone(), commands))
}

/// Returns the ARNs of the services that use a connector.
fn services<'a>(
    objects: Objects<'a>,
    connector: &'a VpcConnector,
) -> impl Iterator<Item = String> + 'a {
    let users = objects.account().services.iter();
    let users = users.filter(|service| service.vpc_connector.as_ref() == Some(&connector.id));
    users.map(move |service| match objects.account().written.service_arns.get(&service.name) {
        Some(arn) => shell_word(arn),
        None => format!(
            "\"$(aws apprunner list-services --output text \\\n        --query \"ServiceSummaryList[?ServiceName=='{}'].ServiceArn\")\"",
            service.name
        ),
    })
}

fn source_dest_check_off(objects: Objects<'_>, appliance: ResourceIx) -> Commands {
    let own = objects.interface(appliance)?;
    let id = format!("--network-interface-id {}", shell_word(&own.id));
    let off = "--no-source-dest-check".to_owned();
    let command = command("aws ec2 modify-network-interface-attribute", &[id, off]);
    Ok((own.id.clone(), vec![command]))
}

/// Creates an interface endpoint, with its group if that is new, and the attribute of its VPC that
/// private names need.
fn interface_endpoint(objects: Objects<'_>, new: &NewInterface) -> Commands {
    let vpc = shell_word(objects.vpc(new.vpc)?.id);
    let mut commands = Vec::new();
    if new.hostnames {
        let options = [format!("--vpc-id {vpc}"), "--enable-dns-hostnames".to_owned()];
        commands.push(command("aws ec2 modify-vpc-attribute", &options));
    }
    let groups: Vec<String> = match &new.guard {
        Guard::Groups(all) => {
            let words = all.iter().map(|ix| Ok(word(objects.group(*ix)?)));
            words.collect::<Result<_, String>>()?
        }
        Guard::New { id, ingress } => {
            commands.append(&mut new_group(objects, (&vpc, id), &new.service, ingress)?);
            vec![NEW_GROUP.to_owned()]
        }
    };
    let subnets: Result<Vec<String>, String> =
        new.subnets.iter().map(|ix| Ok(shell_word(objects.subnet(*ix)?.id))).collect();
    let mut options = endpoint_options("Interface", &vpc, &new.service);
    options.push(listed("--subnet-ids", &subnets?));
    options.push(listed("--security-group-ids", &groups));
    options.push("--private-dns-enabled".to_owned());
    commands.push(command(CREATE_ENDPOINT, &options));
    Ok((new.id.clone(), commands))
}

const CREATE_ENDPOINT: &str = "aws ec2 create-vpc-endpoint";
/// The shell variable for the id of a new group, which AWS chooses.
const NEW_GROUP: &str = "\"$group\"";

fn endpoint_options(kind: &str, vpc: &str, service: &str) -> Vec<String> {
    vec![
        format!("--vpc-endpoint-type {kind}"),
        format!("--vpc-id {vpc}"),
        format!("--service-name {}", shell_word(service)),
    ]
}

/// Creates a group with its inbound rules.
fn new_group(
    objects: Objects<'_>,
    (vpc, id): (&str, &str),
    service: &str,
    ingress: &[SecurityGroupRule],
) -> Result<Vec<String>, String> {
    let options = [
        format!("--vpc-id {vpc}"),
        format!("--group-name {}", shell_word(group_name(id))),
        format!("--description {}", shell_word(&group_description(service))),
        "--query GroupId".to_owned(),
        "--output text)".to_owned(),
    ];
    let created = command("group=$(aws ec2 create-security-group", &options);
    let admits = [format!("--group-id {NEW_GROUP}"), permissions(objects, ingress)?];
    Ok(vec![created, command("aws ec2 authorize-security-group-ingress", &admits)])
}

/// Creates a gateway endpoint. The prefix list of a service is AWS's own.
fn gateway_endpoint(objects: Objects<'_>, new: &NewGateway) -> Commands {
    let vpc = shell_word(objects.vpc(new.vpc)?.id);
    let tables: Result<Vec<String>, String> =
        new.tables.iter().map(|ix| Ok(word(objects.table(*ix)?))).collect();
    let mut options = endpoint_options("Gateway", &vpc, &new.service);
    options.push(listed("--route-table-ids", &tables?));
    Ok((new.id.clone(), vec![command(CREATE_ENDPOINT, &options)]))
}

/// Returns an option with several words, on lines of limited width.
fn listed(option: &str, words: &[String]) -> String {
    let mut text = option.to_owned();
    for word in words {
        let last = text.lines().next_back().unwrap_or_default();
        let first = word.lines().next().unwrap_or_default();
        let fits = last.len() + 1 + first.len() <= WIDTH - "     \\".len();
        text.push_str(if fits { " " } else { " \\\n        " });
        text.push_str(word);
    }
    text
}

/// Writes a command on lines of limited width.
fn command(head: &str, options: &[String]) -> String {
    let mut lines = vec![head.to_owned()];
    for option in options {
        let first = option.lines().next().unwrap_or_default();
        let room = WIDTH - " \\".len();
        match lines.last_mut() {
            Some(line) if line.len() + 1 + first.len() <= room && !option.contains('\n') => {
                line.push(' ');
                line.push_str(option);
            }
            _ => lines.push(format!("    {option}")),
        }
    }
    lines.join(" \\\n")
}

/// Returns the text for an object in a command.
fn word(object: Object<'_>) -> String {
    match object {
        Object::Own(own) => shell_word(own.id),
        Object::Default { vpc, what, .. } => {
            let (call, filter, query) = match what {
                DefaultObject::RouteTable => {
                    let filter = "Name=association.main,Values=true";
                    ("describe-route-tables", filter, "RouteTables[0].RouteTableId")
                }
                DefaultObject::NetworkAcl => {
                    let filter = "Name=default,Values=true";
                    ("describe-network-acls", filter, "NetworkAcls[0].NetworkAclId")
                }
                DefaultObject::SecurityGroup => {
                    let filter = "Name=group-name,Values=default";
                    ("describe-security-groups", filter, "SecurityGroups[0].GroupId")
                }
            };
            let vpc = format!("Name=vpc-id,Values={}", vpc.id);
            asked(call, &[&vpc, filter], query)
        }
        Object::ServiceList { service, .. } => {
            let name = format!("Name=prefix-list-name,Values={service}");
            asked("describe-managed-prefix-lists", &[&name], "PrefixLists[0].PrefixListId")
        }
    }
}

/// Returns a substitution that asks the account for an id.
fn asked(call: &str, filters: &[&str], query: &str) -> String {
    let filters = filters.join(" ");
    format!(
        "\"$(aws ec2 {call} \\\n        --filters {filters} \\\n        --query '{query}' --output text)\""
    )
}
