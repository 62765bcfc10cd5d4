//! ARNs of App Runner's resources (spec 1.5):
//! `arn:aws:apprunner:<region>:<account>:<kind>/<name>/…`.

use super::fault::{Fault, FaultKind};
use std::fmt;

/// The account that resources belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Twelve digits.
    pub(super) id: String,
    /// Such as `us-east-1`.
    pub(super) region: String,
}

/// The kind of resource that an ARN names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArnKind {
    /// `vpcconnector/<name>/<revision>/<id>`.
    VpcConnector,
    /// `service/<name>/<id>`.
    Service,
    /// `autoscalingconfiguration/<name>/<revision>/<id>`.
    AutoScalingConfiguration,
    /// `observabilityconfiguration/<name>/<revision>/<id>`.
    ObservabilityConfiguration,
}

/// The resource part of an ARN of this account: a kind and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    pub(super) kind: ArnKind,
    /// Name, then revision and id, or id; the last ones may be missing.
    pub(super) parts: Vec<&'a str>,
}

impl ArnKind {
    const ALL: [Self; 4] = [
        Self::VpcConnector,
        Self::Service,
        Self::AutoScalingConfiguration,
        Self::ObservabilityConfiguration,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::VpcConnector => "vpcconnector",
            Self::Service => "service",
            Self::AutoScalingConfiguration => "autoscalingconfiguration",
            Self::ObservabilityConfiguration => "observabilityconfiguration",
        }
    }

    /// Counts the parts that follow it in a whole ARN.
    fn parts(self) -> usize {
        match self {
            Self::Service => 2,
            Self::VpcConnector
            | Self::AutoScalingConfiguration
            | Self::ObservabilityConfiguration => 3,
        }
    }
}

impl fmt::Display for ArnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VpcConnector => "VPC connector",
            Self::Service => "service",
            Self::AutoScalingConfiguration => "auto scaling configuration",
            Self::ObservabilityConfiguration => "observability configuration",
        })
    }
}

impl Account {
    /// Returns a resource's ARN.
    pub(super) fn arn(&self, kind: ArnKind, parts: &[&str]) -> String {
        let (partition, region, id) = (self.partition(), &self.region, &self.id);
        let (kind, parts) = (kind.word(), parts.join("/"));
        format!("arn:{partition}:apprunner:{region}:{id}:{kind}/{parts}")
    }

    fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// Returns the resource that an ARN names, which must be of this account and region and of that
    /// kind.
    ///
    /// # Errors
    /// `InvalidRequestException` for an ARN of something else, `ResourceNotFoundException` for one
    /// of another account.
    pub(super) fn resource<'a>(&self, arn: &'a str, kind: ArnKind) -> Result<Resource<'a>, Fault> {
        let resource = self.any(arn)?;
        if resource.kind == kind {
            return Ok(resource);
        }
        Err(Fault::invalid(format!("{arn} is the ARN of a {}, not of a {kind}", resource.kind)))
    }

    /// Requires what [`Account::resource`] requires, and that no part of the ARN is missing.
    ///
    /// # Errors
    /// As [`Account::resource`], and `InvalidRequestException` for a partial ARN.
    pub(super) fn whole(&self, arn: &str, kind: ArnKind) -> Result<(), Fault> {
        let resource = self.resource(arn, kind)?;
        if resource.parts.len() == kind.parts() {
            return Ok(());
        }
        let parts = match kind.parts() {
            2 => "<name>/<id>",
            _ => "<name>/<revision>/<id>",
        };
        let word = kind.word();
        Err(Fault::invalid(format!("{arn} is not the whole ARN, which ends in {word}/{parts}")))
    }

    /// Returns the resource that an ARN of this account and region names.
    ///
    /// # Errors
    /// As [`Account::resource`].
    pub(super) fn any<'a>(&self, arn: &'a str) -> Result<Resource<'a>, Fault> {
        let malformed =
            || Fault::invalid(format!("{arn} is not the ARN of an App Runner resource"));
        let mut fields = arn.splitn(6, ':');
        let mut field = || fields.next().ok_or_else(malformed);
        let (_, partition, service) = (field()?, field()?, field()?);
        let (region, account, resource) = (field()?, field()?, field()?);
        let mut parts = resource.split('/');
        let word = parts.next().unwrap_or_default();
        let kind =
            ArnKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(malformed)?;
        let parts: Vec<&str> = parts.collect();
        let too_many = parts.len() > kind.parts();
        if service != "apprunner" || parts.is_empty() || too_many || parts.contains(&"") {
            return Err(malformed());
        }
        if (partition, region, account) != (self.partition(), &self.region, &self.id) {
            return Err(Fault::new(
                FaultKind::ResourceNotFound,
                format!("{arn} is not of account {} and region {}", self.id, self.region),
            ));
        }
        Ok(Resource { kind, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account { id: "123456789012".to_owned(), region: "us-east-1".to_owned() }
    }

    #[test]
    fn an_arn_names_its_object() {
        let id = "3f2eb10e2c494674952026f646844e3d";
        let arn = account().arn(ArnKind::VpcConnector, &["web", "1", id]);
        assert_eq!(
            arn,
            format!("arn:aws:apprunner:us-east-1:123456789012:vpcconnector/web/1/{id}")
        );
        let resource = account().resource(&arn, ArnKind::VpcConnector).unwrap();
        assert_eq!(resource.parts, ["web", "1", id]);
        assert_eq!(account().whole(&arn, ArnKind::VpcConnector), Ok(()));
        let partial = "arn:aws:apprunner:us-east-1:123456789012:vpcconnector/web";
        assert!(account().resource(partial, ArnKind::VpcConnector).is_ok());
        let fault = account().whole(partial, ArnKind::VpcConnector).unwrap_err();
        assert!(fault.message.ends_with("vpcconnector/<name>/<revision>/<id>"), "{fault}");
    }

    #[test]
    fn an_arn_of_another_resource_or_account() {
        for (arn, kind) in [
            ("arn:aws:apprunner:us-east-1:123456789012:service/web/1", FaultKind::InvalidRequest),
            ("arn:aws:apprunner:us-east-1:123456789012:vpcconnector", FaultKind::InvalidRequest),
            ("arn:aws:apprunner:us-east-1:123456789012:vpcconnector/", FaultKind::InvalidRequest),
            (
                "arn:aws:apprunner:us-east-1:123456789012:vpcconnector/a/1/2/3",
                FaultKind::InvalidRequest,
            ),
            ("arn:aws:ec2:us-east-1:123456789012:vpcconnector/a/1/2", FaultKind::InvalidRequest),
            (
                "arn:aws:apprunner:us-east-2:123456789012:vpcconnector/a/1/2",
                FaultKind::ResourceNotFound,
            ),
            (
                "arn:aws:apprunner:us-east-1:999999999999:vpcconnector/a/1/2",
                FaultKind::ResourceNotFound,
            ),
            ("nothing", FaultKind::InvalidRequest),
        ] {
            let fault = account().resource(arn, ArnKind::VpcConnector).unwrap_err();
            assert_eq!(fault.kind, kind, "{fault}");
        }
    }

    #[test]
    fn other_partitions_have_arns_of_their_own() {
        for (region, begin) in [("cn-north-1", "arn:aws-cn:"), ("us-gov-west-1", "arn:aws-us-gov:")]
        {
            let account = Account { region: region.to_owned(), ..account() };
            let arn = account.arn(ArnKind::Service, &["web", "1"]);
            assert!(arn.starts_with(begin), "{arn}");
            assert!(account.any(&arn).is_ok());
        }
    }
}
