//! The lab of a network configuration, running or not.

use super::config::Config;
use super::environment::Attachment;
use super::error::{CniError, Code};
use crate::daemon::attachments::{AttachmentRow, DetachRequest, Detached, Object, Which};
use crate::daemon::control::{
    AttachResourceRequest, AttachTaskRequest, LabInfo, ResourceAnswer, TaskAnswer,
};
use crate::daemon::{Client, ClientError, forget_attached};
use crate::explain::ResourceRow;
use crate::linux::{Foreign, ForeignError};
use std::path::Path;

/// A lab, and the object there that containers are attached to.
pub(super) struct Lab<'a> {
    name: &'a str,
    object: &'a Object,
    client: Client,
}

impl<'a> Lab<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        Self { name: &config.lab, object: &config.object, client: Client::new(&config.lab) }
    }

    /// Attaches a container. One that is attached so already stays as it is.
    ///
    /// # Errors
    /// The lab does not run, has no such object, or refuses the namespace.
    pub(super) async fn attach(&self, wanted: &Attachment) -> Result<(), CniError> {
        let namespace = open(wanted.netns.as_deref().unwrap_or_default())?;
        let (interface, container) = (wanted.interface.clone(), Some(wanted.container.clone()));
        let attached = match self.object {
            Object::Service(service) => {
                let (service, number) = (service.clone(), None);
                let request = AttachTaskRequest { service, number, interface, container };
                let path = "/v1/tasks/attach";
                self.client
                    .post_with::<TaskAnswer>(path, &request, namespace.into())
                    .await
                    .map(drop)
            }
            Object::Resource(name) => {
                let request = AttachResourceRequest { interface, container };
                let path = format!("/v1/resources/{name}/attach");
                let sent =
                    self.client.post_with::<ResourceAnswer>(&path, &request, namespace.into());
                sent.await.map(drop)
            }
        };
        match attached {
            Ok(()) => Ok(()),
            Err(error @ ClientError::Refused(_)) => {
                // An unknown name is the configuration's fault, not the container's.
                match self.require_object().await {
                    Err(missing) if missing.code() == Code::NotAvailable => {
                        Err(missing.with_code(Code::Config))
                    }
                    Ok(()) | Err(_) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the attachment of a container.
    ///
    /// # Errors
    /// There is none, or the lab does not run.
    pub(super) async fn find(&self, wanted: &Attachment) -> Result<AttachmentRow, CniError> {
        let rows: Vec<AttachmentRow> = self.client.get("/v1/attachments").await?;
        let Attachment { container, interface, .. } = wanted;
        let is_it = |row: &AttachmentRow| {
            row.object == *self.object
                && row.container.as_ref() == Some(container)
                && row.interface == *interface
        };
        rows.into_iter().find(is_it).ok_or_else(|| {
            let (object, lab) = (self.object, self.name);
            let message = format!(
                "container {container} is not attached to {object} of lab `{lab}` by {interface}"
            );
            CniError::new(Code::UnknownContainer, message)
        })
    }

    /// Detaches what a request selects, from the running lab or from what a killed one left.
    ///
    /// # Errors
    /// The lab starts, ends or does not answer, or a step failed.
    pub(super) async fn detach(&self, which: Which) -> Result<(), CniError> {
        let request = DetachRequest { object: self.object.clone(), which };
        let asked = self.client.post::<Detached>("/v1/attachments/detach", &request).await;
        match asked {
            Ok(_) => Ok(()),
            Err(
                ClientError::NotRunning { .. }
                | ClientError::WentDown { .. }
                | ClientError::Broken { .. },
            ) => Ok(forget_attached(self.name, &request).await.map(drop)?),
            Err(
                error @ (ClientError::NotRoot { .. }
                | ClientError::Refused(_)
                | ClientError::Failed(_)
                | ClientError::Silent(_)),
            ) => Err(error.into()),
        }
    }

    /// Requires that the lab runs and has the object.
    ///
    /// # Errors
    /// The lab does not run, or lacks it.
    pub(super) async fn require_object(&self) -> Result<(), CniError> {
        let info: LabInfo = self.client.get("/v1/lab").await.map_err(cut_off)?;
        let is_there = match self.object {
            Object::Service(name) => info.services.contains(name),
            Object::Resource(name) => {
                let rows: Vec<ResourceRow> = self.client.get("/v1/resources").await?;
                rows.iter().any(|row| row.resource == *name)
            }
        };
        if is_there { Ok(()) } else { Err(self.lacks()) }
    }

    fn lacks(&self) -> CniError {
        let message = format!("lab `{}` has no {}", self.name, self.object);
        CniError::new(Code::NotAvailable, message)
    }
}

/// Returns the error of STATUS: the containers of a lab that does not run are cut off too.
fn cut_off(error: ClientError) -> CniError {
    let is_down = matches!(error, ClientError::NotRunning { starting: None, .. });
    let error = CniError::from(error);
    if is_down { error.with_code(Code::LimitedConnectivity) } else { error }
}

/// Opens the namespace at a path. That of a process is a link of the kernel's own.
///
/// # Errors
/// No network namespace has that path.
pub(super) fn open(path: &str) -> Result<Foreign, CniError> {
    let process = path.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/ns/net"));
    let opened = match process.and_then(|process| process.parse().ok()) {
        Some(process) => Foreign::of_process(process),
        None => Foreign::at(Path::new(path)),
    };
    opened.map_err(|error| {
        let code = match &error {
            ForeignError::Open { .. } => Code::Io,
            ForeignError::Link(_) | ForeignError::NoNamespace(_) | ForeignError::Passed => {
                Code::Environment
            }
            ForeignError::NoProcess(_) => Code::UnknownContainer,
        };
        CniError::new(code, format!("CNI_NETNS: {error}"))
    })
}
