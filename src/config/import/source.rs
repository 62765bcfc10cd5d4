//! Places in a source, the user's options for it, and its errors.

use crate::config::MOST_LISTED;
use crate::config::text::{self, Fault};
use crate::edge::{and_more, shown};
use ipnetwork::Ipv4Network;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A place in a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// The file, as it was given or found.
    pub file: Arc<str>,
    /// The path inside it, such as `Vpcs[0]`, `Resources.PrivateSubnetA` or
    /// `module.net.aws_subnet.a`; empty for the file.
    pub path: String,
}

impl Origin {
    /// Returns the place of a whole file.
    pub fn file(file: &str) -> Self {
        Self { file: file.into(), path: String::new() }
    }

    /// Returns another place of the same file.
    #[must_use]
    pub fn at(&self, path: impl Into<String>) -> Self {
        Self { file: Arc::clone(&self.file), path: path.into() }
    }

    /// Returns the place of a member of this object.
    #[must_use]
    pub fn member(&self, key: &str) -> Self {
        match self.path.as_str() {
            "" => self.at(key),
            path => self.at(format!("{path}.{key}")),
        }
    }

    /// Returns the place of an element of this list, counted from 0.
    #[must_use]
    pub fn element(&self, position: usize) -> Self {
        self.at(format!("{}[{position}]", self.path))
    }

    /// Parses a string of this place as an IPv4 CIDR block, in EC2's canonical form.
    ///
    /// # Errors
    /// A string that is not one, at this place.
    pub fn cidr(&self, text: &str) -> Result<Ipv4Network, ImportError> {
        let block = text::cidr(text).map_err(|fault| self.fault(fault))?;
        Ok(Ipv4Network::new(block.network(), block.prefix()).unwrap_or(block))
    }

    /// Parses a string of this place as an IPv4 address.
    ///
    /// # Errors
    /// A string that is not one, at this place.
    pub fn address(&self, text: &str) -> Result<Ipv4Addr, ImportError> {
        text::address(text).map_err(|fault| self.fault(fault))
    }

    /// Makes an error at this place.
    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) -> ImportError {
        let (message, help): (String, String) = (message.into(), help.into());
        let (message, help) = (shown(&message).into_owned(), shown(&help).into_owned());
        ImportError { origin: self.clone(), message, help }
    }

    fn fault(&self, fault: Fault) -> ImportError {
        self.error(fault.message, fault.help)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&shown(&self.file)),
            path => write!(f, "{}: {}", shown(&self.file), shown(path)),
        }
    }
}

/// The user's options for a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--region`: the region of a source that does not name its own.
    pub region: Option<String>,
    /// `--parameter K=V`: the parameters of a CloudFormation template.
    pub parameters: BTreeMap<String, String>,
}

/// The reason why a source cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{origin}: {message}\n  {help}")]
pub struct ImportError {
    /// Its place.
    pub origin: Origin,
    /// The fault.
    pub message: String,
    /// The advice: what would be valid, or what to do.
    pub help: String,
}

/// All faults that prevent reading a source; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ImportErrors(pub Vec<ImportError>);

impl From<ImportError> for ImportErrors {
    fn from(error: ImportError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ImportErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().take(MOST_LISTED).enumerate() {
            let gap = if position == 0 { "" } else { "\n" };
            write!(f, "{gap}{error}")?;
        }
        let left_out = self.0.len().saturating_sub(MOST_LISTED);
        and_more(left_out, "error").map_or(Ok(()), |more| write!(f, "\n{more}"))
    }
}

impl std::error::Error for ImportErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_from_the_file_inwards() {
        let file = Origin::file("describe-vpcs.json");
        assert_eq!(file.to_string(), "describe-vpcs.json");
        let block = file.member("Vpcs").element(3).member("CidrBlock");
        assert_eq!(block.to_string(), "describe-vpcs.json: Vpcs[3].CidrBlock");
    }

    #[test]
    fn host_bits_of_a_block_go_as_ec2_drops_them() {
        let place = Origin::file("t").member("CidrBlock");
        assert_eq!(place.cidr("100.68.0.18/18").unwrap().to_string(), "100.68.0.0/18");
    }

    #[test]
    fn an_error_names_the_place_and_the_way_out() {
        let place = Origin::file("vpc.yaml").at("Resources.Net.CidrBlock");
        let error = ImportErrors::from(place.cidr("10.0.0.0").unwrap_err());
        assert_eq!(
            error.to_string(),
            "vpc.yaml: Resources.Net.CidrBlock: \"10.0.0.0\" is not a CIDR block\n  for one address, write 10.0.0.0/32"
        );
    }
}
