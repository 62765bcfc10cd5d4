//! The certificate authority of a lab, which vouches for its HTTPS listeners.
//!
//! Its key exists in this process only, as do those of the listeners: nothing that a task or
//! another lab can read signs for it. So the next process, which resumes the lab of a killed one,
//! makes an authority of its own.

use crate::linux::clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The validity of certificates: the longest that strict clients take.
const VALID: Duration = Duration::from_secs(825 * 24 * 60 * 60);

/// A certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The reason why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate or its key.
    #[error("making the certificate of {of}: {source}")]
    Certificate {
        /// Its subject.
        of: String,
        /// The error.
        source: rcgen::Error,
    },
    /// The listener's use of it.
    #[error("using the certificate of {of}: {source}")]
    Use {
        /// Its subject.
        of: String,
        /// The error.
        source: rustls::Error,
    },
}

impl Authority {
    /// Makes the authority of a lab.
    ///
    /// # Errors
    /// The kernel gives no random numbers.
    pub(super) fn new(lab: &str) -> Result<Self, AuthorityError> {
        let name = format!("egret lab {lab}");
        let made = authority(&name);
        let issuer = made.map_err(|source| AuthorityError::Certificate { of: name, source })?;
        Ok(Self { issuer })
    }

    /// Returns its certificate as PEM.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Makes a certificate of a host, for its names and addresses, and returns the server's end of
    /// TLS with it.
    ///
    /// # Errors
    /// A name that a certificate cannot have.
    pub(super) fn certify(
        &self,
        host: &str,
        names: &BTreeSet<String>,
        addresses: &BTreeSet<Ipv4Addr>,
    ) -> Result<TlsAcceptor, AuthorityError> {
        let of = || host.to_owned();
        let made = self.certificate(host, names, addresses);
        let (certificate, key) =
            made.map_err(|source| AuthorityError::Certificate { of: of(), source })?;
        let chain = vec![certificate.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key.into()));
        let mut server = server.map_err(|source| AuthorityError::Use { of: of(), source })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(server)))
    }

    fn certificate(
        &self,
        host: &str,
        names: &BTreeSet<String>,
        addresses: &BTreeSet<Ipv4Addr>,
    ) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
        let mut params = params(host);
        let names = names.iter().map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
        let addresses = addresses.iter().map(|address| Ok(SanType::IpAddress((*address).into())));
        params.subject_alt_names = names.chain(addresses).collect::<Result<_, rcgen::Error>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// Returns what every certificate has: its subject and its validity, from yesterday, so that a
/// clock that is set back does no harm.
fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = date_time_ymd(1970, 1, 1) + Duration::from_nanos(clock::wall());
    (params.not_before, params.not_after) = (now - DAY, now + VALID);
    params
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    /// Connects to a host with a certificate of `server`'s, as a client that trusts `trusted`.
    async fn connects(server: &Authority, trusted: &Authority, name: &'static str) -> bool {
        let names = BTreeSet::from(["orders-db".to_owned(), "*.api_1.example".to_owned()]);
        let addresses = BTreeSet::from([Ipv4Addr::new(10, 0, 1, 10)]);
        let acceptor = server.certify("orders-db", &names, &addresses).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from(name).unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let (accepted, connected) =
            tokio::join!(acceptor.accept(far), connector.connect(name, near));
        assert_eq!(accepted.is_ok(), connected.is_ok());
        connected.is_ok()
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_lab_connects_by_each_name_and_address() {
        let lab = Authority::new("shop").unwrap();
        for name in ["orders-db", "a.api_1.example", "10.0.1.10"] {
            assert!(connects(&lab, &lab, name).await, "{name}");
        }
        for other in ["orders", "10.0.1.11"] {
            assert!(!connects(&lab, &lab, other).await, "{other}");
        }
    }

    #[tokio::test]
    async fn a_client_that_trusts_another_lab_refuses() {
        let (lab, other) = (Authority::new("shop").unwrap(), Authority::new("shop").unwrap());
        assert!(!connects(&lab, &other, "orders-db").await);
    }
}
