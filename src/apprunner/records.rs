//! The records of resources, and their form in responses (spec 1.6, 1.7).

use super::settings::{Network, Settings};
use crate::explain::ServiceOperation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Moment(pub(super) u64);

/// `VpcConnector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connector {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) subnets: Vec<String>,
    pub(super) security_groups: Vec<String>,
    pub(super) created_at: Moment,
    /// The time of its deletion: from then on it is `INACTIVE`.
    pub(super) deleted_at: Option<Moment>,
}

/// `Service`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) id: String,
    pub(super) url: String,
    pub(super) status: ServiceStatus,
    pub(super) created_at: Moment,
    pub(super) updated_at: Moment,
    pub(super) deleted_at: Option<Moment>,
    /// The settings that were requested last.
    pub(super) settings: Settings,
    /// The settings that an update in progress returns to if it fails.
    pub(super) before: Option<Settings>,
    /// The parts of it that the lab has now.
    pub(super) in_force: Option<InForce>,
    /// The ARN of the connector whose ENIs come up for it, while they do.
    pub(super) starting: Option<String>,
}

/// The parts of a service that the lab has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InForce {
    pub(super) network: Network,
    pub(super) tasks: u16,
}

/// `ServiceStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ServiceStatus {
    CreateFailed,
    Running,
    Deleted,
    DeleteFailed,
    Paused,
    OperationInProgress,
}

/// `OperationSummary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) kind: OperationType,
    pub(super) status: OperationStatus,
    pub(super) service_arn: String,
    pub(super) started_at: Moment,
    pub(super) updated_at: Moment,
    pub(super) ended_at: Option<Moment>,
    /// The time at which it can be done, once that is known.
    pub(super) due_at: Option<Moment>,
    /// The service's status before it.
    pub(super) from: ServiceStatus,
    /// The lines that App Runner would have written into the service's event log.
    #[serde(default)]
    pub(super) log: Vec<String>,
}

/// `OperationType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OperationType {
    #[serde(rename = "CREATE_SERVICE")]
    Create,
    #[serde(rename = "PAUSE_SERVICE")]
    Pause,
    #[serde(rename = "RESUME_SERVICE")]
    Resume,
    #[serde(rename = "DELETE_SERVICE")]
    Delete,
    #[serde(rename = "UPDATE_SERVICE")]
    Update,
}

/// `OperationStatus`, as far as egret uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum OperationStatus {
    InProgress,
    Failed,
    Succeeded,
    RollbackSucceeded,
}

impl Moment {
    /// Returns the form in responses: seconds, with a fraction (spec 1.1).
    pub(super) fn document(self) -> Value {
        let (seconds, milliseconds) = (self.0 / 1000, self.0 % 1000);
        let text = format!("{seconds}.{milliseconds:03}");
        json!(text.parse::<f64>().unwrap_or_default())
    }

    pub(super) fn after(self, time: std::time::Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    pub(super) fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Connector {
    pub(super) fn is_active(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Returns the form in responses. There is one revision per name (spec 1.6).
    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "VpcConnectorName": self.name,
            "VpcConnectorArn": self.arn,
            "VpcConnectorRevision": 1,
            "Subnets": self.subnets,
            "SecurityGroups": self.security_groups,
            "Status": if self.is_active() { "ACTIVE" } else { "INACTIVE" },
            "CreatedAt": self.created_at.document(),
        });
        if let Some(deleted) = self.deleted_at {
            document["DeletedAt"] = deleted.document();
        }
        document
    }
}

impl Service {
    pub(super) fn is_deleted(&self) -> bool {
        self.status == ServiceStatus::Deleted
    }

    /// Returns whether it uses a connector: by its requested settings, by those that the lab has,
    /// or by those that it may return to.
    pub(super) fn uses(&self, connector: &str) -> bool {
        let before = self.before.iter().map(|before| &before.network);
        let in_force = self.in_force.iter().map(|in_force| &in_force.network);
        let mut networks = [&self.settings.network].into_iter().chain(before).chain(in_force);
        !self.is_deleted() && networks.any(|n| n.vpc_connector.as_deref() == Some(connector))
    }

    pub(super) fn document(&self) -> Value {
        let settings = &self.settings;
        let mut document = self.summary();
        document["SourceConfiguration"] = settings.source.clone();
        document["InstanceConfiguration"] = json!(settings.instance);
        document["HealthCheckConfiguration"] = json!(settings.health_check);
        document["AutoScalingConfigurationSummary"] = settings.auto_scaling_summary();
        document["NetworkConfiguration"] = settings.network.document();
        let optional = [
            ("DeletedAt", self.deleted_at.map(Moment::document)),
            ("EncryptionConfiguration", settings.encryption.clone()),
            ("ObservabilityConfiguration", settings.observability.clone()),
        ];
        for (member, value) in optional {
            if let Some(value) = value {
                document[member] = value;
            }
        }
        document
    }

    pub(super) fn summary(&self) -> Value {
        json!({
            "ServiceName": self.name,
            "ServiceId": self.id,
            "ServiceArn": self.arn,
            "ServiceUrl": self.url,
            "CreatedAt": self.created_at.document(),
            "UpdatedAt": self.updated_at.document(),
            "Status": self.status,
        })
    }
}

impl ServiceStatus {
    /// Returns App Runner's word.
    pub(super) fn word(self) -> String {
        json!(self).as_str().unwrap_or_default().to_owned()
    }
}

impl Operation {
    /// Returns the operation as `egret services` shows it.
    pub(super) fn shown(&self) -> ServiceOperation {
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        ServiceOperation {
            id: self.id.clone(),
            kind: word(json!(self.kind)),
            status: word(json!(self.status)),
            started_at_ms: self.started_at.0,
            ended_at_ms: self.ended_at.map(|at| at.0),
            log: self.log.clone(),
        }
    }

    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "Id": self.id,
            "Type": self.kind,
            "Status": self.status,
            "TargetArn": self.service_arn,
            "StartedAt": self.started_at.document(),
            "UpdatedAt": self.updated_at.document(),
        });
        if let Some(ended) = self.ended_at {
            document["EndedAt"] = ended.document();
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_seconds_with_a_fraction() {
        assert_eq!(Moment(1_629_329_805_374).document().to_string(), "1629329805.374");
        assert_eq!(Moment(1_629_329_805_007).document().to_string(), "1629329805.007");
        assert_eq!(Moment(1_629_329_805_000).document().to_string(), "1629329805.0");
    }
}
