//! The packet that the words of the command line ask for.

use super::super::CliError;
use clap::ValueEnum;

/// The language of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Speaks {
    /// A TCP connection
    Tcp,
    /// A datagram that an echo or a resolver answers
    Udp,
    /// A ping
    Icmp,
    /// A GET over HTTP
    Http,
    /// A GET over HTTPS, by the certificates that tasks trust
    Https,
}

impl Speaks {
    /// Returns the word of the command line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the protocol of its packets, as `egret explain` has it.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::Tcp | Self::Http | Self::Https => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    /// Returns the port that is meant where none is given.
    const fn usual_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp | Self::Icmp => None,
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::from_str(word, true).ok()
    }
}

/// The wanted packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its destination: a name or an address.
    pub(super) host: String,
    /// Its port; `None` for the first one on which the destination listens, and for a ping.
    pub(super) port: Option<u16>,
    pub(super) speaks: Speaks,
    /// The path of a GET.
    pub(super) path: String,
}

impl Wanted {
    /// Reads `DEST[:PORT][/PROTO]` or a URL, and the options that say the same.
    ///
    /// # Errors
    /// Two words that contradict each other; a destination that is not one host.
    pub(super) fn parse(
        destination: &str,
        speaks: Option<Speaks>,
        port: Option<u16>,
    ) -> Result<Self, CliError> {
        let read =
            if destination.contains("://") { url(destination)? } else { words(destination)? };
        let (host, own_port, said, path) = read;
        let speaks = one(said, speaks, "protocols")?.unwrap_or(Speaks::Tcp);
        let port = one(own_port, port, "ports")?.or(speaks.usual_port());
        match (speaks, port) {
            (Speaks::Icmp, Some(_)) => {
                Err(CliError::Usage("a ping has no port: leave it out".to_owned()))
            }
            (Speaks::Tcp | Speaks::Udp | Speaks::Icmp | Speaks::Http | Speaks::Https, port) => {
                Ok(Self { host, port, speaks, path })
            }
        }
    }

    /// Returns the destination as `egret explain` takes it.
    pub(super) fn destination(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

type Read = (String, Option<u16>, Option<Speaks>, String);

/// Returns the only one of two answers.
fn one<T: PartialEq>(said: Option<T>, given: Option<T>, what: &str) -> Result<Option<T>, CliError> {
    match (said, given) {
        (Some(said), Some(given)) if said != given => {
            Err(CliError::Usage(format!("DEST and the option name two {what}: give one")))
        }
        (said, given) => Ok(said.or(given)),
    }
}

fn words(destination: &str) -> Result<Read, CliError> {
    let (before, word) = match destination.split_once('/') {
        Some((before, word)) => (before, Some(word)),
        None => (destination, None),
    };
    let is_internet = before.split(':').next() == Some("internet");
    if is_internet || word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(CliError::Usage(format!(
            "`{destination}` is more than one host: a probe goes to one, such as 203.0.113.10:443"
        )));
    }
    let speaks = word.map(|word| {
        Speaks::of(word).ok_or_else(|| {
            CliError::Usage(format!(
                "a probe does not speak `{word}`: use tcp, udp, icmp, http or https"
            ))
        })
    });
    let (host, port) = match before.rsplit_once(':') {
        Some((host, port)) => (host, Some(read_port(port)?)),
        None => (before, None),
    };
    Ok((host.to_owned(), port, speaks.transpose()?, "/".to_owned()))
}

fn read_port(word: &str) -> Result<u16, CliError> {
    match word.parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(CliError::Usage(format!(
            "`{word}` is not a port: a probe goes to one, from 1 to 65535"
        ))),
    }
}

fn url(text: &str) -> Result<Read, CliError> {
    let wrong = || CliError::Usage("a probe takes URLs such as https://api.example/v1".to_owned());
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(wrong()) };
    let speaks = match Speaks::of(scheme) {
        Some(speaks @ (Speaks::Http | Speaks::Https)) => speaks,
        Some(Speaks::Tcp | Speaks::Udp | Speaks::Icmp) | None => return Err(wrong()),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((host.to_owned(), uri.port_u16(), Some(speaks), path.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn wanted(destination: &str) -> (String, Speaks, String) {
        let wanted = Wanted::parse(destination, None, None).unwrap();
        (wanted.destination(), wanted.speaks, wanted.path)
    }

    #[test]
    fn a_destination_says_host_port_and_language() {
        for (destination, host, speaks) in [
            ("db", "db", Speaks::Tcp),
            ("db:5432", "db:5432", Speaks::Tcp),
            ("db:53/udp", "db:53", Speaks::Udp),
            ("10.0.1.10/icmp", "10.0.1.10", Speaks::Icmp),
            ("db/https", "db:443", Speaks::Https),
            ("db:8443/https", "db:8443", Speaks::Https),
            ("http://db", "db:80", Speaks::Http),
            ("https://db:8443", "db:8443", Speaks::Https),
        ] {
            assert_eq!(wanted(destination), (host.to_owned(), speaks, "/".to_owned()));
        }
        assert_eq!(wanted("https://db/v1?a=b").2, "/v1?a=b");
    }

    #[test]
    fn what_is_no_single_packet_is_a_usage_error() {
        let refused = |destination, speaks, port| {
            Wanted::parse(destination, speaks, port).unwrap_err().exit_code()
        };
        for destination in
            ["internet:443", "10.0.0.0/16:443", "db:0", "db:1-2", "db/gre", "postgres://db"]
        {
            assert_eq!(refused(destination, None, None), 2, "{destination}");
        }
        assert_eq!(refused("db/udp", Some(Speaks::Tcp), None), 2);
        assert_eq!(refused("db:80", None, Some(81)), 2);
        assert_eq!(refused("db", Some(Speaks::Icmp), Some(80)), 2);
    }
}
