//! Reads `[apprunner]`.

use crate::config::apprunner::{
    AccessKey, Api, AppRunner, PublicSubnets, RefuseSubnets, SameSecurityGroups, Strictness,
};
use crate::config::form;
use crate::config::key::{Key, Table, Type, words};
use crate::config::reader::Section;
use crate::config::text;
use std::net::SocketAddr;

pub(super) static APPRUNNER: Table = Table::new(
    "[apprunner]",
    &[
        Key::optional(
            "startup_latency",
            Type::Text(form::LATENCY),
            "How much longer a service takes to start if its connector needs a new ENI, such as \
             2m-5m.",
        ),
        Key::optional(
            "public_subnets",
            Type::Words(&words(&PUBLIC_SUBNETS)),
            "What happens to a service with a connector in public subnets; accept if absent.",
        ),
        Key::optional(
            "access_role",
            Type::Words(&words(&STRICTNESS)),
            "What happens to an image or code without the role or connection that App Runner asks \
             for; note if absent.",
        ),
        Key::optional(
            "source",
            Type::Words(&words(&STRICTNESS)),
            "What happens to other errors in images, code and settings without a function in egret; \
             note if absent.",
        ),
        Key::optional(
            "same_security_groups",
            Type::Words(&words(&SAME_SECURITY_GROUPS)),
            "What happens to a second connector with the same security groups; accept if absent.",
        ),
        Key::optional(
            "refuse_subnets",
            Type::Words(&words(&REFUSE_SUBNETS)),
            "What fails if the connector's subnets are not accepted; operation if absent.",
        ),
        Key::optional(
            "unsupported_availability_zones",
            Type::list(&Type::Text(form::ZONE)),
            "The zones whose subnets App Runner does not accept.",
        ),
        Key::optional(
            "api",
            Type::Text(form::SOCKET_ADDRESS),
            "The address and port where the App Runner API listens, such as 127.0.0.1:4566.",
        ),
        Key::optional(
            "account",
            Type::Text(form::ACCOUNT),
            "The account in ARNs; 123456789012 if absent.",
        ),
        Key::optional(
            "store",
            Type::Text(form::STRING),
            "The path of the API's database, relative to the lab file.",
        ),
        Key::optional(
            "service_quota",
            Type::Integer(1, 1000),
            "How many services may exist; 30 if absent.",
        ),
        Key::optional(
            "vpc_connector_quota",
            Type::Integer(1, 1000),
            "How many active connectors may exist; 10 if absent.",
        ),
        Key::optional(
            "deleted_for",
            Type::Text(form::DURATION),
            "How long deleted objects can still be described; 1h if absent.",
        ),
        Key::optional(
            "access_key",
            Type::Tables(&ACCESS_KEY),
            "The keys of which one must sign each request; without any, signatures are not checked.",
        ),
    ],
);

static ACCESS_KEY: Table = Table::new(
    "[[apprunner.access_key]]",
    &[
        Key::required("id", Type::Text(form::KEY_ID), "The id of the access key."),
        Key::required(
            "secret",
            Type::Text(form::STRING),
            "Its secret, which egret prints nowhere.",
        ),
    ],
);

const PUBLIC_SUBNETS: [(&str, PublicSubnets); 2] =
    [("accept", PublicSubnets::Accept), ("refuse", PublicSubnets::Refuse)];

const STRICTNESS: [(&str, Strictness); 2] =
    [("note", Strictness::Note), ("require", Strictness::Require)];

const SAME_SECURITY_GROUPS: [(&str, SameSecurityGroups); 2] =
    [("accept", SameSecurityGroups::Accept), ("refuse", SameSecurityGroups::Refuse)];

const REFUSE_SUBNETS: [(&str, RefuseSubnets); 2] =
    [("operation", RefuseSubnets::Operation), ("request", RefuseSubnets::Request)];

pub(super) fn read(root: &Section<'_>) -> AppRunner {
    let Some(section) = root.get("apprunner").and_then(|v| v.table()) else {
        return AppRunner::default();
    };
    let latency = section.get("startup_latency");
    let public = section.get("public_subnets").and_then(|v| v.one_of(&PUBLIC_SUBNETS));
    let strictness = |key| section.get(key).and_then(|v| v.one_of(&STRICTNESS));
    let same = section.get("same_security_groups").and_then(|v| v.one_of(&SAME_SECURITY_GROUPS));
    let refuse = section.get("refuse_subnets").and_then(|v| v.one_of(&REFUSE_SUBNETS));
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
        let given = section.get(key).and_then(|v| v.integer());
        given.map_or(default, |at| usize::try_from(*at).unwrap_or(default))
    };
    let get = |key| section.get(key);
    let keys = get("access_key").map(|v| v.tables());
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
