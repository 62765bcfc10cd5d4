//! Reads `[apprunner]`.

use crate::config::apprunner::{
    AccessKey, Api, AppRunner, PublicSubnets, RefuseSubnets, SameSecurityGroups, Strictness,
};
use crate::config::reader::Section;
use crate::config::text;
use std::net::SocketAddr;

const KEYS: [&str; 14] = [
    "startup_latency",
    "public_subnets",
    "access_role",
    "source",
    "same_security_groups",
    "refuse_subnets",
    "unsupported_availability_zones",
    "api",
    "account",
    "store",
    "service_quota",
    "vpc_connector_quota",
    "deleted_for",
    "access_key",
];

pub(super) fn read(root: &Section<'_>) -> AppRunner {
    let Some(section) = root.get("apprunner").and_then(|v| v.table("[apprunner]", &KEYS)) else {
        return AppRunner::default();
    };
    let words = [("accept", PublicSubnets::Accept), ("refuse", PublicSubnets::Refuse)];
    let latency = section.get("startup_latency");
    let public = section.get("public_subnets").and_then(|v| v.one_of(&words));
    let words = [("note", Strictness::Note), ("require", Strictness::Require)];
    let strictness = |key| section.get(key).and_then(|v| v.one_of(&words));
    let words = [("accept", SameSecurityGroups::Accept), ("refuse", SameSecurityGroups::Refuse)];
    let same = section.get("same_security_groups").and_then(|v| v.one_of(&words));
    let words = [("operation", RefuseSubnets::Operation), ("request", RefuseSubnets::Request)];
    let refuse = section.get("refuse_subnets").and_then(|v| v.one_of(&words));
    let listen = section.get("api").and_then(|v| v.parse(text::socket_address));
    AppRunner {
        startup_latency: latency.and_then(|v| v.parse_number_too(text::latency)).map(|at| at.value),
        public_subnets: public.map_or_else(PublicSubnets::default, |at| at.value),
        access_role: strictness("access_role").map_or_else(Strictness::default, |at| at.value),
        source: strictness("source").map_or_else(Strictness::default, |at| at.value),
        same_security_groups: same.map_or_else(SameSecurityGroups::default, |at| at.value),
        refuse_subnets: refuse.map_or_else(RefuseSubnets::default, |at| at.value),
        unsupported_availability_zones: section
            .list("unsupported_availability_zones", |zone| zone.parse(text::zone)),
        api: api(&section, listen.map(|at| at.value)),
        api_at: listen.map(|at| at.span),
    }
}

fn api(section: &Section<'_>, listen: Option<SocketAddr>) -> Api {
    let aws = Api::default();
    let quota = |key, default| {
        let given = section.get(key).and_then(|v| v.integer_in(1, 1000));
        given.map_or(default, |at| usize::try_from(*at).unwrap_or(default))
    };
    let get = |key| section.get(key);
    let keys = get("access_key").map(|v| v.tables("[[apprunner.access_key]]", &["id", "secret"]));
    Api {
        listen,
        account: get("account")
            .and_then(|v| v.parse(text::account))
            .map_or(aws.account, |at| at.value),
        store: get("store").and_then(|v| v.parse(text::file)).map(|at| at.value),
        service_quota: quota("service_quota", aws.service_quota),
        vpc_connector_quota: quota("vpc_connector_quota", aws.vpc_connector_quota),
        deleted_for: get("deleted_for")
            .and_then(|v| v.parse_number_too(text::duration))
            .map_or(aws.deleted_for, |at| at.value),
        access_keys: keys.unwrap_or_default().iter().filter_map(access_key).collect(),
    }
}

fn access_key(section: &Section<'_>) -> Option<AccessKey> {
    let id = section.required("id").and_then(|v| v.parse(text::key_id));
    let secret = section.required("secret").and_then(|v| v.secret(text::secret));
    Some(AccessKey { id: id?.value, secret: secret?.value })
}
