//! Tags of connectors and services (spec 1.8): TagResource, UntagResource, ListTagsForResource.

use super::arn::ArnKind;
use super::desk::{Desk, record};
use super::fault::{Fault, FaultKind};
use super::store::Store;
use serde_json::{Value, json};

/// The most tags of a resource, as everywhere in AWS.
const MOST: usize = 50;

/// Parses tags from a request, each with its key.
///
/// # Errors
/// `InvalidRequestException`.
pub(super) fn of(given: &Value) -> Result<Vec<(String, String)>, Fault> {
    let given = given.as_array().map(Vec::as_slice).unwrap_or_default();
    if given.len() > MOST {
        return Err(too_many(given.len()));
    }
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in given {
        let Some(key) = tag["Key"].as_str() else {
            return Err(Fault::invalid("a tag needs a Key"));
        };
        if tags.iter().any(|(known, _)| known == key) {
            return Err(Fault::invalid(format!("the tag {key:?} is given twice")));
        }
        tags.push((key.to_owned(), tag["Value"].as_str().unwrap_or_default().to_owned()));
    }
    Ok(tags)
}

/// Writes tags of a new resource.
///
/// # Errors
/// The store cannot be written.
pub(super) fn put(store: &Store, arn: &str, tags: &[(String, String)]) -> Result<(), Fault> {
    for (key, value) in tags {
        store.put_tag(arn, key, value)?;
    }
    Ok(())
}

/// Serves TagResource: adds tags, or overwrites those with the same keys.
pub(super) fn tag(desk: &Desk, store: &mut Store, request: &Value) -> Result<Value, Fault> {
    let arn = living(desk, store, request)?;
    let tags = of(&request["Tags"])?;
    record(store, |store| {
        put(store, &arn, &tags)?;
        let count = store.tags(&arn)?.len();
        if count > MOST { Err(too_many(count)) } else { Ok(json!({})) }
    })
}

/// Serves UntagResource. A missing key is no error.
pub(super) fn untag(desk: &Desk, store: &mut Store, request: &Value) -> Result<Value, Fault> {
    let arn = living(desk, store, request)?;
    let keys: Vec<&str> =
        request["TagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    record(store, |store| {
        for key in keys {
            store.remove_tag(&arn, key)?;
        }
        Ok(json!({}))
    })
}

/// Serves ListTagsForResource.
pub(super) fn list(desk: &Desk, store: &Store, request: &Value) -> Result<Value, Fault> {
    let arn = living(desk, store, request)?;
    let tags = store.tags(&arn)?.into_iter();
    let tags: Vec<Value> = tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    Ok(json!({ "Tags": tags }))
}

fn too_many(count: usize) -> Fault {
    Fault::invalid(format!("a resource can have {MOST} tags, and these would be {count}"))
}

/// Returns the resource of a request, which must exist and not be deleted.
fn living(desk: &Desk, store: &Store, request: &Value) -> Result<String, Fault> {
    let arn = request["ResourceArn"].as_str().unwrap_or_default();
    let kind = desk.account.any(arn)?.kind;
    desk.account.whole(arn, kind)?;
    let is_deleted = match kind {
        ArnKind::VpcConnector => store.connector(arn)?.map(|connector| !connector.is_active()),
        ArnKind::Service => store.service(arn)?.map(|service| service.is_deleted()),
        ArnKind::AutoScalingConfiguration | ArnKind::ObservabilityConfiguration => None,
    };
    match is_deleted {
        Some(false) => Ok(arn.to_owned()),
        Some(true) => {
            Err(Fault::new(FaultKind::InvalidState, format!("the {kind} {arn} is deleted")))
        }
        None => Err(Fault::new(FaultKind::ResourceNotFound, format!("there is no {kind} {arn}"))),
    }
}
