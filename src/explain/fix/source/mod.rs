//! Writes changes in the words of the source from which the lab file is made: commands of the AWS
//! CLI, blocks of Terraform, a fragment of a CloudFormation template.

mod aws_cli;
mod cloudformation;
mod hcl;
mod objects;
mod references;
mod subject;
mod template;
mod terraform;
mod terraform_endpoints;
mod terraform_groups;
#[cfg(test)]
mod tests;
mod traffic;
mod words;

use super::change::Change;
use crate::config::import::{Format, Source};
use crate::vpc::Snapshot;
use objects::Objects;
use serde::Serialize;
use words::Words;

/// The form in which a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Form {
    /// Lines of a lab file.
    #[serde(rename = "toml")]
    Toml,
    /// Commands of the AWS CLI.
    #[serde(rename = "aws-cli")]
    AwsCli,
    /// Resources and blocks of Terraform.
    #[serde(rename = "hcl")]
    Hcl,
    /// A fragment of a CloudFormation template.
    #[serde(rename = "cloudformation")]
    CloudFormation,
}

/// Writes a change for a source; the error says why it cannot be written.
pub(super) fn written(
    change: &Change,
    snapshot: &Snapshot,
    source: &Source,
) -> Option<(Form, Result<Words, String>)> {
    let objects = Objects { snapshot, source };
    Some(match source.account.written.format? {
        Format::Describe => (Form::AwsCli, aws_cli::written(change, objects)),
        Format::Terraform => (Form::Hcl, terraform::written(change, objects)),
        Format::CloudFormation => (Form::CloudFormation, cloudformation::written(change, objects)),
    })
}
