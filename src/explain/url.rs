//! Reads a URL as a destination: its host, and its port or that of its scheme.

use super::target::{TargetError, ipv6, port};
use http::Uri;

/// The ports of schemes, by IANA or common use.
const PORTS: &[(&str, u16)] = &[
    ("amqp", 5672),
    ("amqps", 5671),
    ("ftp", 21),
    ("git", 9418),
    ("http", 80),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("kafka", 9092),
    ("ldap", 389),
    ("ldaps", 636),
    ("mariadb", 3306),
    ("memcached", 11211),
    ("mongodb", 27017),
    ("mqtt", 1883),
    ("mqtts", 8883),
    ("mysql", 3306),
    ("nats", 4222),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("rediss", 6379),
    ("sftp", 22),
    ("smtp", 25),
    ("smtps", 465),
    ("sqlserver", 1433),
    ("ssh", 22),
    ("ws", 80),
    ("wss", 443),
];

/// Reads the host and the port.
///
/// # Errors
/// The text is no URL, or its port is unknown.
pub(super) fn parse(text: &str) -> Result<(String, u16), TargetError> {
    let wrong = || TargetError::Url(without_user(text));
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(wrong()) };
    if let Some(address) = ipv6(host) {
        return Err(TargetError::Ipv6(address));
    }
    if host.is_empty() {
        return Err(wrong());
    }
    let given = uri.port().map(|given| port(given.as_str())).transpose()?;
    let known = || PORTS.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name));
    match given.or_else(|| known().map(|(_, port)| *port)) {
        Some(port) => Ok((host.to_owned(), port)),
        None => Err(TargetError::UrlPort { scheme: scheme.to_owned(), host: host.to_owned() }),
    }
}

/// Removes the user and the password from a URL, which no output shows. An invalid port may be part
/// of a password with a slash in it, so it is removed with everything before the last `@`.
pub(super) fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let has_password = port.bytes().any(|byte| !byte.is_ascii_digit());
    let user = if has_password { rest.rfind('@') } else { authority.rfind('@') };
    let shown = user.and_then(|at| rest.get(at + 1..)).unwrap_or(rest);
    format!("{scheme}://{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_url_is_not_shown_and_its_path_is() {
        let shown = |text| without_user(text);
        assert_eq!(shown("postgres://user:p@ss@db/shop"), "postgres://db/shop");
        assert_eq!(shown("postgres://user:p/ss@db/shop"), "postgres://db/shop");
        assert_eq!(shown("postgres://user:secret@db:5432/shop"), "postgres://db:5432/shop");
        assert_eq!(shown("https://api.example/users/@me"), "https://api.example/users/@me");
        assert_eq!(shown("https://u@api.example?to=a@b"), "https://api.example?to=a@b");
        assert_eq!(shown("db@corp:443"), "db@corp:443");
    }
}
