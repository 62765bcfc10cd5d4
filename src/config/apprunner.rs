//! `[apprunner]`: App Runner's behaviour where its documentation leaves it open, or differs from
//! what users see.

use super::diagnostic::{At, Span};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The section's settings that belong to the lab.
#[derive(Clone, Debug, Default)]
pub struct AppRunner {
    /// `startup_latency`: the time that the ENIs of a combination of subnets and security groups
    /// take to come up the first time that a service of the API uses it (spec 1.12), not yet
    /// divided by the time scale. Absent: no time.
    pub startup_latency: Option<StartupLatency>,
    /// `public_subnets`.
    pub public_subnets: PublicSubnets,
    /// `access_role`: with `require`, an image of ECR needs its role, code its connection, and each
    /// the ARN of one.
    pub access_role: Strictness,
    /// `source`: with `require`, images, code, and other members that egret does not use are
    /// refused as App Runner does.
    pub source: Strictness,
    /// `same_security_groups`: a second connector with the same groups is accepted or refused.
    pub same_security_groups: SameSecurityGroups,
    /// `refuse_subnets`: the step that fails for a service whose connector has refused subnets.
    pub refuse_subnets: RefuseSubnets,
    /// `unsupported_availability_zones`.
    pub unsupported_availability_zones: Vec<At<String>>,
    /// The API itself.
    pub api: Api,
    /// The place of `api` in the lab file.
    pub api_at: Option<Span>,
}

/// The App Runner API's address, and the settings of its account. A running lab keeps those that it
/// began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// `api`: the address at which it listens. Absent: it does not listen, unless the command line
    /// says so.
    pub listen: Option<SocketAddr>,
    /// `account`: twelve digits.
    pub account: String,
    /// `store`: the database of created objects; absent: beside the lab file.
    pub store: Option<String>,
    /// `service_quota` (spec 1.9).
    pub service_quota: usize,
    /// `vpc_connector_quota` (spec 1.9).
    pub vpc_connector_quota: usize,
    /// `deleted_for`: the time for which deleted objects can still be described.
    pub deleted_for: Duration,
    /// `access_key`: the keys that requests must be signed with; without any they need no
    /// signature.
    pub access_keys: Vec<AccessKey>,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `id`.
    pub id: String,
    /// `secret`, which nothing prints.
    pub secret: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: None,
            account: "123456789012".to_owned(),
            store: None,
            service_quota: 30,
            vpc_connector_quota: 10,
            deleted_for: Duration::from_secs(3600),
            access_keys: Vec::new(),
        }
    }
}

impl Api {
    /// Lists each setting by its key, with its value here and in `other`, without secrets. Two
    /// access keys whose secrets differ are different.
    pub fn facts(&self, other: &Self) -> [(&'static str, String, String); 7] {
        let listen = |api: &Self| api.listen.map_or_else(|| "none".to_owned(), |a| a.to_string());
        let store = |api: &Self| api.store.clone().unwrap_or_else(|| "none".to_owned());
        let ids = |api: &Self| {
            let ids = api.access_keys.iter().map(|key| key.id.as_str());
            ids.collect::<Vec<_>>().join(", ")
        };
        let (own, mut theirs) = (ids(self), ids(other));
        if self.access_keys != other.access_keys && own == theirs {
            theirs.push_str(" with another secret");
        }
        let number = |number: usize| number.to_string();
        let time = |time: Duration| format!("{time:?}");
        [
            ("apprunner.api", listen(self), listen(other)),
            ("apprunner.account", self.account.clone(), other.account.clone()),
            ("apprunner.store", store(self), store(other)),
            ("apprunner.service_quota", number(self.service_quota), number(other.service_quota)),
            (
                "apprunner.vpc_connector_quota",
                number(self.vpc_connector_quota),
                number(other.vpc_connector_quota),
            ),
            ("apprunner.deleted_for", time(self.deleted_for), time(other.deleted_for)),
            ("apprunner.access_key", own, theirs),
        ]
    }
}

/// A range of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartupLatency {
    /// The shortest.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

/// The result for a service whose connector has a public subnet (spec 1.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PublicSubnets {
    /// It runs, and the internet gateway drops its packets to the internet: what users see.
    #[default]
    Accept,
    /// It fails to create, or its update is rolled back: what the documentation says.
    Refuse,
}

/// The result of a request that App Runner refuses because of something that egret does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// It is accepted, and the operation's log says what App Runner asks for.
    #[default]
    Note,
    /// It is refused.
    Require,
}

/// The result for a connector with the same groups as another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSecurityGroups {
    /// It is created.
    #[default]
    Accept,
    /// It is refused, as one report about AWS's API says.
    Refuse,
}

/// The step that fails if App Runner refuses a connector's subnets for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RefuseSubnets {
    /// The operation, after the request was answered.
    #[default]
    Operation,
    /// The request itself.
    Request,
}

impl StartupLatency {
    /// Returns the time that an ENI takes, by its id: the same for each call, and spread evenly
    /// over different ENIs.
    pub fn of(&self, eni: &str) -> Duration {
        // The digits of an id are made by a hash, except the first, which is a zero.
        let digits = eni.strip_prefix("eni-0").and_then(|digits| digits.get(..8));
        let drawn = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
        let range = self.longest.saturating_sub(self.shortest);
        self.shortest + range.mul_f64(f64::from(drawn) / f64::from(u32::MAX)).min(range)
    }
}
