//! AWS Signature Version 4: checks that a request was signed with a secret key of the lab file,
//! just now, for this service and region. (AWS General Reference, "Create a signed AWS API
//! request".)

use super::fault::{Fault, FaultKind};
use crate::config::apprunner::AccessKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, SystemTime};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "apprunner";
/// The header with the hash of the body.
const BODY_HASH: &str = "x-amz-content-sha256";
/// The largest difference of the signer's clock.
const TOLERANCE: Duration = Duration::from_secs(300);

/// The parts of a request that a signature covers.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// Headers, with names in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// Checks the head of a request: it must name one of the keys, be of now, and sign what it must. If
/// the head has the hash of the body, which few clients send, the signature itself is checked as
/// well; otherwise [`Claimed::covers`] does that.
///
/// # Errors
/// AWS's exception for the fault.
pub(super) fn check(
    request: Signed<'_>,
    keys: &[AccessKey],
    region: &str,
    now: SystemTime,
) -> Result<Claimed, Fault> {
    let Some(header) = request.header("authorization") else {
        return Err(Fault::new(
            FaultKind::MissingAuthenticationToken,
            "Missing Authentication Token",
        ));
    };
    let claim = Claim::parse(header)?;
    let date = request.header("x-amz-date").unwrap_or_default();
    claim.fits(date, region)?;
    let Some(key) = keys.iter().find(|key| key.id == claim.key_id) else {
        return Err(Fault::new(
            FaultKind::UnrecognizedClient,
            "The security token included in the request is invalid. (The access key is not among those of the lab file.)",
        ));
    };
    claim.signs(&request)?;
    is_of_now(date, now)?;
    let claimed = Claimed {
        canonical: request.canonical(claim.signed_headers),
        to_sign: format!("{ALGORITHM}\n{date}\n{}\n", claim.scope()),
        key: claim.signing_key(&key.secret).ok_or_else(wrong)?,
        signature: unhex(claim.signature).ok_or_else(wrong)?,
        body: request.header(BODY_HASH).map(str::to_owned),
    };
    if let Some(hash) = &claimed.body {
        claimed.is_signed(hash)?;
    }
    Ok(claimed)
}

/// A signature whose head is valid, with the data to check the rest.
pub(super) struct Claimed {
    /// The canonical request up to the hash of the body.
    canonical: String,
    /// The text to sign, up to the hash of the canonical request.
    to_sign: String,
    key: Vec<u8>,
    signature: Vec<u8>,
    /// The hash of the body, if the head has it and the signature is checked.
    body: Option<String>,
}

impl Claimed {
    /// Checks that the body is the one that was signed.
    ///
    /// # Errors
    /// AWS's exception if another body was signed.
    pub(super) fn covers(&self, body: &[u8]) -> Result<(), Fault> {
        let hash = sha256(body);
        match &self.body {
            None => self.is_signed(&hash),
            Some(given) if *given == hash => Ok(()),
            Some(_) => Err(invalid(&format!(
                "The provided '{BODY_HASH}' header does not match what was computed."
            ))),
        }
    }

    /// Compares the signature in constant time, so that the time reveals nothing of the right one.
    fn is_signed(&self, hash: &str) -> Result<(), Fault> {
        let canonical = sha256(format!("{}{hash}", self.canonical).as_bytes());
        let mac = mac(&self.key, format!("{}{canonical}", self.to_sign).as_bytes());
        let is_signature = mac.is_some_and(|mac| mac.verify_slice(&self.signature).is_ok());
        if is_signature { Ok(()) } else { Err(wrong()) }
    }
}

fn wrong() -> Fault {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
         signing method.",
    )
}

/// The contents of the `Authorization` header.
struct Claim<'a> {
    key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn parse(header: &'a str) -> Result<Self, Fault> {
        let incomplete = |what: &str| {
            let message = format!("Authorization header requires {what}.");
            Fault::new(FaultKind::IncompleteSignature, message)
        };
        let Some(rest) = header.strip_prefix(ALGORITHM) else {
            return Err(incomplete(&format!("the algorithm '{ALGORITHM}'")));
        };
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| incomplete(&format!("'{name}' parameter")))
        };
        let credential = part("Credential")?;
        let fields: Vec<&str> = credential.split('/').collect();
        let [key_id, date, region, service, "aws4_request"] = fields[..] else {
            return Err(incomplete(
                "a Credential of the form <key>/<date>/<region>/<service>/aws4_request",
            ));
        };
        let (signed_headers, signature) = (part("SignedHeaders")?, part("Signature")?);
        Ok(Self { key_id, date, region, service, signed_headers, signature })
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }

    /// Derives the key that signs for this day, region and service.
    fn signing_key(&self, secret: &str) -> Option<Vec<u8>> {
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.date, self.region, self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes())?.finalize().into_bytes().to_vec();
        }
        Some(key)
    }

    /// Requires that all parts that determine the request are signed. Headers that are not signed
    /// could be changed on the way.
    fn signs(&self, request: &Signed<'_>) -> Result<(), Fault> {
        let is_signed = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        if !is_signed("host") {
            return Err(invalid("'Host' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let must = |name: &str| name == "content-type" || name.starts_with("x-amz-");
        let left = request.headers.iter().find(|(name, _)| must(name) && !is_signed(name));
        match left {
            None => Ok(()),
            Some((name, _)) => Err(invalid(&format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization: so must every X-Amz- header and the Content-Type."
            ))),
        }
    }

    fn fits(&self, date: &str, region: &str) -> Result<(), Fault> {
        let scoped = [
            (self.service, SERVICE, "service"),
            (self.region, region, "region"),
            (self.date, date.get(..8).unwrap_or_default(), "date"),
        ];
        for (given, right, what) in scoped {
            if given != right {
                return Err(invalid(&format!(
                    "Credential should be scoped to a valid {what}: '{given}' is given, '{right}' is meant."
                )));
            }
        }
        Ok(())
    }
}

impl<'a> Signed<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Returns the canonical request over these headers, up to the hash of the body.
    fn canonical(&self, signed_headers: &str) -> String {
        let lines: String = signed_headers
            .split(';')
            .map(|name| {
                let all = self.headers.iter().filter(|(known, _)| *known == name);
                let values: Vec<String> = all.map(|(_, value)| folded(value)).collect();
                format!("{name}:{}\n", values.join(","))
            })
            .collect();
        let mut query: Vec<String> =
            self.query.split('&').filter(|p| !p.is_empty()).map(parameter).collect();
        query.sort();
        let (method, path, query) = (self.method, self.path, query.join("&"));
        format!("{method}\n{path}\n{query}\n{lines}\n{signed_headers}\n")
    }
}

/// Writes a query parameter, which always has its `=`.
fn parameter(text: &str) -> String {
    if text.contains('=') { text.to_owned() } else { format!("{text}=") }
}

/// Removes the space around a value, and reduces each run of space in it to one.
fn folded(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_of_now(date: &str, now: SystemTime) -> Result<(), Fault> {
    let Some(then) = instant(date) else {
        let message = "Date must be in ISO-8601 'basic format', in the header 'X-Amz-Date'.";
        return Err(Fault::new(FaultKind::IncompleteSignature, message));
    };
    let earlier = now.duration_since(then).unwrap_or_default();
    let later = then.duration_since(now).unwrap_or_default();
    if earlier > TOLERANCE {
        return Err(invalid(&format!("Signature expired: {date} is more than 5 minutes ago.")));
    }
    if later > TOLERANCE {
        return Err(invalid(&format!(
            "Signature not yet current: {date} is more than 5 minutes ahead."
        )));
    }
    Ok(())
}

/// Parses a time such as `20260102T030405Z`.
fn instant(date: &str) -> Option<SystemTime> {
    let (day, time) = date.strip_suffix('Z')?.split_once('T')?;
    let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    let (year, month, day) = (part(day, 0, 4)?, part(day, 4, 6)?, part(day, 6, 8)?);
    let (hour, minute, second) = (part(time, 0, 2)?, part(time, 2, 4)?, part(time, 4, 6)?);
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

fn mac(key: &[u8], message: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac)
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn invalid(message: &str) -> Fault {
    Fault::new(FaultKind::InvalidSignature, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "7983e7b99ed14dca440f687931b872a226ccb72c8a80a344f5dd6515263512a9";
    const DATE: &str = "20260102T030405Z";

    fn keys() -> Vec<AccessKey> {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
        vec![AccessKey { id: "AKIDEXAMPLE".to_owned(), secret }]
    }

    fn authorization() -> String {
        format!(
            "{ALGORITHM} Credential=AKIDEXAMPLE/20260102/us-east-1/apprunner/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={SIGNATURE}"
        )
    }

    /// Checks what botocore 1.44.5 signed, with another header or body in place of its own, `later`
    /// seconds later.
    fn check_with(change: (&str, Option<&str>), body: &str, later: u64) -> Result<(), Fault> {
        let authorization = authorization();
        let mut headers = vec![
            ("x-amz-target", "AppRunner.ListServices"),
            ("content-type", "application/x-amz-json-1.0"),
            ("host", "127.0.0.1:4566"),
            ("x-amz-date", DATE),
            ("authorization", authorization.as_str()),
        ];
        headers.retain(|(name, _)| *name != change.0);
        headers.extend(change.1.map(|value| (change.0, value)));
        let (path, query) = ("/", "");
        let request = Signed { method: "POST", path, query, headers: &headers };
        let now = instant(DATE).unwrap() + Duration::from_secs(later);
        check(request, &keys(), "us-east-1", now)?.covers(body.as_bytes())
    }

    /// Signs a request with the hash of its body in the head.
    fn signed_with_hash(hash: &str) -> (Vec<(&'static str, String)>, SystemTime) {
        let names = "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target";
        let claim = format!(
            "{ALGORITHM} Credential=AKIDEXAMPLE/20260102/us-east-1/apprunner/aws4_request, SignedHeaders={names}, Signature="
        );
        let mut headers = vec![
            ("x-amz-target", "AppRunner.ListServices".to_owned()),
            ("content-type", "application/x-amz-json-1.0".to_owned()),
            ("host", "127.0.0.1:4566".to_owned()),
            ("x-amz-date", DATE.to_owned()),
            (BODY_HASH, hash.to_owned()),
        ];
        let lent: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let request = Signed { method: "POST", path: "/", query: "", headers: &lent };
        let canonical = sha256(format!("{}{hash}", request.canonical(names)).as_bytes());
        let claimed = Claim::parse(&claim).unwrap();
        let key = claimed.signing_key(&keys()[0].secret).unwrap();
        let to_sign = format!("{ALGORITHM}\n{DATE}\n{}\n{canonical}", claimed.scope());
        let signature = hex(&mac(&key, to_sign.as_bytes()).unwrap().finalize().into_bytes());
        headers.push(("authorization", format!("{claim}{signature}")));
        (headers, instant(DATE).unwrap())
    }

    #[test]
    fn signature_is_checked_before_the_body_where_the_head_has_its_hash() {
        let (headers, now) = signed_with_hash(&sha256(BODY.as_bytes()));
        let of_head = |change: &dyn Fn(&str) -> String| {
            let headers: Vec<(&str, String)> =
                headers.iter().map(|(name, value)| (*name, change(value))).collect();
            let lent: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let request = Signed { method: "POST", path: "/", query: "", headers: &lent };
            check(request, &keys(), "us-east-1", now)
        };
        let claimed = of_head(&str::to_owned).ok().unwrap();
        assert_eq!(claimed.covers(BODY.as_bytes()), Ok(()));
        let other = claimed.covers(b"{}").unwrap_err();
        assert!(other.message.contains(BODY_HASH), "{other}");
        // The head fails before any body is read.
        let changed = of_head(&|value| value.replace("ListServices", "DeleteService"));
        assert_eq!(changed.err().unwrap().kind, FaultKind::InvalidSignature);
    }

    const BODY: &str = r#"{"MaxResults": 5}"#;
    const NOTHING: (&str, Option<&str>) = ("", None);

    #[track_caller]
    fn refused(change: (&str, Option<&str>), body: &str, later: u64, kind: FaultKind, part: &str) {
        let fault = check_with(change, body, later).unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(part), "{fault}");
    }

    #[test]
    fn a_request_that_botocore_signed() {
        assert_eq!(check_with(NOTHING, BODY, 0), Ok(()));
        assert_eq!(check_with(NOTHING, BODY, 299), Ok(()));
        assert_eq!(
            check_with(("content-type", Some(" application/x-amz-json-1.0 ")), BODY, 0),
            Ok(())
        );
    }

    #[test]
    fn a_request_changed_on_its_way_is_refused() {
        let kind = FaultKind::InvalidSignature;
        refused(NOTHING, "{}", 0, kind, "does not match");
        refused(("x-amz-target", Some("AppRunner.DeleteService")), BODY, 0, kind, "does not match");
        let other = authorization().replace("Signature=7", "Signature=8");
        refused(("authorization", Some(&other)), BODY, 0, kind, "does not match");
        let odd = authorization().replace(SIGNATURE, "zz");
        refused(("authorization", Some(&odd)), BODY, 0, kind, "does not match");
        refused(("host", None), BODY, 0, kind, "does not match");
    }

    #[test]
    fn a_signature_of_another_time_or_place() {
        let kind = FaultKind::InvalidSignature;
        refused(NOTHING, BODY, 301, kind, "Signature expired");
        let other = authorization().replace("us-east-1", "eu-west-1");
        refused(("authorization", Some(&other)), BODY, 0, kind, "valid region");
        let other = authorization().replace("/apprunner/", "/ec2/");
        refused(("authorization", Some(&other)), BODY, 0, kind, "valid service");
        refused(("x-amz-date", Some("20260103T030405Z")), BODY, 0, kind, "valid date");
        refused(("x-amz-date", Some("20260102T031005Z")), BODY, 0, kind, "not yet current");
        let unsigned = authorization().replace("host;", "");
        refused(("authorization", Some(&unsigned)), BODY, 0, kind, "'Host'");
    }

    #[test]
    fn headers_that_name_the_operation_must_be_signed() {
        let kind = FaultKind::InvalidSignature;
        for name in ["content-type", "x-amz-date", "x-amz-target"] {
            let without = authorization().replace(name, "").replace(";;", ";");
            let without = without.replace("=;", "=").replace(";,", ",");
            let part = format!("'{name}' must be a 'SignedHeader'");
            refused(("authorization", Some(&without)), BODY, 0, kind, &part);
        }
        refused(("x-amz-more", Some("x")), BODY, 0, kind, "'x-amz-more'");
        assert_eq!(check_with(("user-agent", Some("x")), BODY, 0), Ok(()));
    }

    #[test]
    fn a_claim_that_lacks_something() {
        refused(("authorization", None), BODY, 0, FaultKind::MissingAuthenticationToken, "Missing");
        let kind = FaultKind::IncompleteSignature;
        for (given, part) in [
            ("Bearer x", "algorithm"),
            (ALGORITHM, "'Credential'"),
            ("AWS4-HMAC-SHA256 Credential=a/b", "Credential of the form"),
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/apprunner/aws4_request",
                "'SignedHeaders'",
            ),
        ] {
            refused(("authorization", Some(given)), BODY, 0, kind, part);
        }
        refused(("x-amz-date", Some("20260102Tü")), BODY, 0, kind, "ISO-8601");
        let stranger = authorization().replace("AKIDEXAMPLE", "AKIDOTHER");
        let kind = FaultKind::UnrecognizedClient;
        refused(("authorization", Some(&stranger)), BODY, 0, kind, "security token");
    }

    #[test]
    fn no_secret_is_printed() {
        let printed = format!("{:?}", keys());
        assert!(printed.contains("AKIDEXAMPLE") && !printed.contains("wJalr"), "{printed}");
    }
}
