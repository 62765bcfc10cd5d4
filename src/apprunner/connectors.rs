//! VPC connectors (spec 1.6): CreateVpcConnector, DescribeVpcConnector, ListVpcConnectors,
//! DeleteVpcConnector.

use super::arn::ArnKind;
use super::clock::now;
use super::desk::{Change, Desk};
use super::fault::{Fault, FaultKind};
use super::pages::List;
use super::records::Connector;
use super::shape::typed;
use super::store::Store;
use super::tags;
use crate::config::Spec;
use crate::config::apprunner::SameSecurityGroups;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wanted {
    vpc_connector_name: String,
    subnets: Vec<String>,
    #[serde(default)]
    security_groups: Vec<String>,
    #[serde(default)]
    tags: Value,
}

/// Serves CreateVpcConnector. The connector is `ACTIVE` at once; its ENIs come up when a service
/// uses it.
pub(super) fn create(
    desk: &Desk,
    store: &Store,
    spec: &Spec,
    request: Value,
) -> Result<Change, Fault> {
    let wanted: Wanted = typed(request)?;
    let tags = tags::of(&wanted.tags)?;
    let connector = new(desk, store, spec, wanted)?;
    Ok(Box::new(move |store| {
        store.put_connector(&connector)?;
        tags::put(store, &connector.arn, &tags)?;
        Ok(response(&connector))
    }))
}

/// Makes the connector that is asked for.
fn new(desk: &Desk, store: &Store, spec: &Spec, wanted: Wanted) -> Result<Connector, Fault> {
    let vpc = vpc_of(spec, &wanted.subnets)?;
    let security_groups = groups(spec, vpc, wanted.security_groups)?;
    let name = wanted.vpc_connector_name;
    let active = store.connectors()?.into_iter().filter(|entry| entry.value.is_active());
    let active: Vec<String> = active.map(|entry| entry.value.name).collect();
    if active.contains(&name) {
        return Err(Fault::invalid(format!(
            "a VPC connector with the name {name} is active, and one revision per name is supported: delete it first, or give \
             another name"
        )));
    }
    // The name of a connector in the lab file would be a mistake of the same kind.
    if spec.connectors.iter().any(|c| c.line != 0 && *c.name == name) {
        return Err(Fault::invalid(format!(
            "the lab file has a VPC connector with the name {name}: give another name"
        )));
    }
    same_groups(spec, store, &security_groups)?;
    if active.len() >= desk.quotas.vpc_connectors {
        return Err(Fault::new(
            FaultKind::ServiceQuotaExceeded,
            format!(
                "the account has {} VPC connectors, which is its quota (`vpc_connector_quota` in [apprunner])",
                active.len()
            ),
        ));
    }
    let id = Uuid::new_v4().simple().to_string();
    Ok(Connector {
        arn: desk.account.arn(ArnKind::VpcConnector, &[&name, "1", &id]),
        name,
        subnets: wanted.subnets,
        security_groups,
        created_at: now(),
        deleted_at: None,
    })
}

/// Refuses a connector whose groups another one has, if the lab file demands that.
fn same_groups(spec: &Spec, store: &Store, groups: &[String]) -> Result<(), Fault> {
    match spec.apprunner.same_security_groups {
        SameSecurityGroups::Accept => return Ok(()),
        SameSecurityGroups::Refuse => {}
    }
    let set = |groups: &[String]| groups.iter().cloned().collect::<BTreeSet<_>>();
    let wanted = set(groups);
    let active =
        store.connectors()?.into_iter().map(|entry| entry.value).filter(Connector::is_active);
    let same = active.into_iter().find(|other| set(&other.security_groups) == wanted);
    match same {
        Some(other) => Err(Fault::invalid(format!(
            "the VPC connector {} has these security groups already: give others, or use that connector",
            other.name
        ))),
        None => Ok(()),
    }
}

/// Serves DescribeVpcConnector. A deleted connector is `INACTIVE` for a while.
pub(super) fn describe(desk: &Desk, store: &Store, request: &Value) -> Result<Value, Fault> {
    find(desk, store, request).map(|connector| response(&connector))
}

/// Serves ListVpcConnectors: the active ones.
pub(super) fn list(store: &Store, request: &Value) -> Result<Value, Fault> {
    let mut all = store.connectors()?;
    all.retain(|entry| entry.value.is_active());
    let list = List { name: "ListVpcConnectors", member: "VpcConnectors", newest_first: false };
    list.page(store, request, all, Connector::document)
}

/// Serves DeleteVpcConnector.
pub(super) fn delete(desk: &Desk, store: &Store, request: &Value) -> Result<Change, Fault> {
    let mut connector = find(desk, store, request)?;
    if !connector.is_active() {
        return Err(unknown(&connector.arn));
    }
    let users = store.services()?.into_iter().filter(|e| e.value.uses(&connector.arn));
    let users: Vec<String> = users.map(|entry| entry.value.name).collect();
    if !users.is_empty() {
        // The first two sentences are AWS's own (spec 1.6).
        return Err(Fault::invalid(format!(
            "Provided VPC connector arn is being used by other services. ARN: {}. Services: {}",
            connector.arn,
            users.join(", ")
        )));
    }
    connector.deleted_at = Some(now());
    Ok(Box::new(move |store| {
        store.put_connector(&connector)?;
        Ok(response(&connector))
    }))
}

/// Returns the active connector that an ARN names, which may be partial: `…/name` and `…/name/1`
/// do.
///
/// # Errors
/// `InvalidRequestException` if there is none.
pub(super) fn active(desk: &Desk, store: &Store, arn: &str) -> Result<Connector, Fault> {
    let named = desk.account.resource(arn, ArnKind::VpcConnector);
    let named = named.map_err(|fault| Fault::invalid(fault.message))?;
    let parts = named.parts.join("/");
    let is_it = |connector: &Connector| {
        let whole = connector.arn.rsplit(":vpcconnector/").next().unwrap_or_default();
        let rest = whole.strip_prefix(parts.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let all = store.connectors()?.into_iter().map(|entry| entry.value);
    let found = all.into_iter().find(|connector| connector.is_active() && is_it(connector));
    found.ok_or_else(|| {
        Fault::invalid(format!("there is no active VPC connector with the ARN {arn}"))
    })
}

fn find(desk: &Desk, store: &Store, request: &Value) -> Result<Connector, Fault> {
    let arn = request["VpcConnectorArn"].as_str().unwrap_or_default();
    desk.account.whole(arn, ArnKind::VpcConnector)?;
    store.connector(arn)?.ok_or_else(|| unknown(arn))
}

fn unknown(arn: &str) -> Fault {
    let message = format!("there is no VPC connector with the ARN {arn}");
    Fault::new(FaultKind::ResourceNotFound, message)
}

fn response(connector: &Connector) -> Value {
    json!({ "VpcConnector": connector.document() })
}

/// Returns the VPC of all of the subnets, which must be one.
fn vpc_of<'s>(spec: &'s Spec, subnets: &[String]) -> Result<&'s str, Fault> {
    not_twice("Subnets", subnets)?;
    let unknown: Vec<&str> =
        subnets.iter().map(String::as_str).filter(|id| spec.subnet(id).is_none()).collect();
    if !unknown.is_empty() {
        return Err(Fault::invalid(format!("there is no subnet {}", unknown.join(", "))));
    }
    let mut vpcs = subnets.iter().filter_map(|id| Some(spec.subnet(id)?.vpc.value.as_str()));
    let Some(first) = vpcs.next() else {
        return Err(Fault::invalid("Subnets is empty: a VPC connector needs at least one"));
    };
    match vpcs.find(|vpc| *vpc != first) {
        None => Ok(first),
        Some(other) => Err(Fault::invalid(format!(
            "Subnets are in different VPCs ({first} and {other}): all must be in one"
        ))),
    }
}

/// Returns the groups of a connector: those that were requested, or the VPC's default one.
fn groups(spec: &Spec, vpc: &str, wanted: Vec<String>) -> Result<Vec<String>, Fault> {
    not_twice("SecurityGroups", &wanted)?;
    for id in &wanted {
        match spec.vpc_of_group(id) {
            None => return Err(Fault::invalid(format!("there is no security group {id}"))),
            Some(theirs) if theirs != vpc => {
                return Err(Fault::invalid(format!(
                    "security group {id} is in VPC {theirs}, and the subnets are in {vpc}"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(if wanted.is_empty() { vec![spec.default_security_group(vpc)] } else { wanted })
}

fn not_twice(member: &str, ids: &[String]) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    let again = ids.iter().find(|id| !seen.insert(id.as_str()));
    again.map_or(Ok(()), |id| Err(Fault::invalid(format!("{member} names {id} twice"))))
}
