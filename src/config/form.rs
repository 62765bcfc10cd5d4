//! The forms of strings in a lab file, as regular expressions for `egret schema`. `text` parses
//! the strings; a form takes each string that its parser takes.
//!
//! The expressions keep to what ECMA 262 and the crate `regex` both understand.

/// The form of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The types that `docs/reference/lab-file.md` may give a key of this form, and a list of them.
    pub(super) page: (&'static str, &'static str),
    /// An expression for the whole string, if it has a form at all.
    pub(super) pattern: Option<&'static str>,
    /// The fewest characters, if the expression does not bound them.
    pub(super) shortest: u32,
    /// The most characters, if the expression does not bound them.
    pub(super) longest: Option<u32>,
    /// Strings that the expression takes and the parser does not.
    pub(super) except: &'static [&'static str],
}

impl Form {
    const fn of(page: (&'static str, &'static str), pattern: &'static str) -> Self {
        Self { page, pattern: Some(pattern), shortest: 0, longest: None, except: &[] }
    }

    /// Returns the form of any string that is not empty.
    const fn any(page: (&'static str, &'static str)) -> Self {
        Self { page, pattern: None, shortest: 1, longest: None, except: &[] }
    }
}

macro_rules! address {
    () => {
        concat!("(", byte!(), r"\.){3}", byte!())
    };
}

/// A number from 0 to 255 as the standard library reads the bytes of an address.
macro_rules! byte {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}

/// A number from 0 to 65535.
macro_rules! port {
    () => {
        "0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})"
    };
}

macro_rules! length {
    () => {
        "0*(3[0-2]|[12]?[0-9])"
    };
}

macro_rules! id {
    () => {
        "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    };
}

macro_rules! label {
    () => {
        "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    };
}

macro_rules! dns_name {
    () => {
        concat!(label!(), r"(\.", label!(), r")*\.?")
    };
}

macro_rules! duration {
    () => {
        "[0-9]+(ms|s|m|h)"
    };
}

pub(super) const STRING: Form = Form::any(("string", "strings"));
pub(super) const REFERENCE: Form = Form::any(("reference", "references"));
pub(super) const SERVICE: Form = Form::any(("service", "services"));
pub(super) const DESTINATION: Form = Form::any(("destination", "destinations"));
pub(super) const ANY_ID: Form = Form::any(("id", "ids"));

/// A string that may also be empty.
pub(super) const TEXT: Form = Form { shortest: 0, ..STRING };

/// `text::word`.
pub(super) const ID: Form =
    Form { except: &["local", "blackhole"], ..Form::of(("id", "ids"), concat!("^", id!(), "$")) };

/// `text::apprunner_name`.
pub(super) const APP_RUNNER_NAME: Form =
    Form::of(("App Runner name", "App Runner names"), "^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$");

/// `text::lab_name`.
pub(super) const LAB_NAME: Form = Form::of(("string", "strings"), "^[a-z0-9][a-z0-9-]{0,31}$");

/// `text::group_name`.
pub(super) const GROUP_NAME: Form =
    Form::of(("string", "strings"), "^[A-Za-z_][A-Za-z0-9_.-]{0,31}$");

/// `text::region`.
pub(super) const REGION: Form =
    Form::of(("string", "strings"), "^[a-z]{2,4}-[a-z]+(-[a-z]+)?-[1-9][0-9]?$");

/// `text::zone`.
pub(super) const ZONE: Form = Form::of(("string", "zones"), "^[a-z0-9-]{1,64}$");

/// `text::endpoint_service`.
pub(super) const ENDPOINT_SERVICE: Form =
    Form::of(("string", "strings"), "^[A-Za-z0-9._-]{1,255}$");

/// `text::address`.
pub(super) const ADDRESS: Form = Form::of(("address", "addresses"), concat!("^", address!(), "$"));

/// `text::public_address`, whose ranges the expression does not know.
pub(super) const PUBLIC_ADDRESS: Form =
    Form::of(("public address", "public addresses"), concat!("^", address!(), "$"));

/// `text::cidr`.
pub(super) const CIDR: Form =
    Form::of(("CIDR", "CIDRs"), concat!("^", address!(), "/", length!(), "$"));

/// A block of a size that AWS takes for VPCs and subnets.
pub(super) const NETWORK: Form =
    Form::of(("CIDR", "CIDRs"), concat!("^", address!(), "/0*(1[6-9]|2[0-8])$"));

/// An address, or a block.
pub(super) const BLOCK: Form =
    Form::of(("address, CIDR", "addresses"), concat!("^", address!(), "(/", length!(), ")?$"));

/// A block, or the id of a prefix list.
pub(super) const ROUTED: Form = Form::of(
    ("CIDR, or reference to a prefix list", ""),
    concat!("^(", address!(), "/", length!(), "|", id!(), ")$"),
);

/// A block, or the id of a group or prefix list, such as the default group of a VPC.
pub(super) const PEER: Form = Form::of(
    ("CIDR, security group, prefix list, or a list of these", "the same"),
    concat!("^(", address!(), "/", length!(), "|", id!(), "(/default)?)$"),
);

/// `text::protocol`.
pub(super) const PROTOCOL: Form = Form::of(
    ("string", "strings"),
    r"^(tcp|udp|icmp|all|-1|\+?0*(25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2}))$",
);

/// `text::ports`.
pub(super) const PORTS: Form = Form::of(
    ("string", "strings"),
    concat!(r"^(all|\s*", port!(), r"\s*(-\s*", port!(), r"\s*)?)$"),
);

/// `text::listen`.
pub(super) const LISTEN: Form =
    Form::of(("string", "strings"), concat!(r"^\s*", port!(), r"\s*/(tcp|udp|http|https)$"));

/// `text::duration`.
pub(super) const DURATION: Form =
    Form::of(("duration", "durations"), concat!("^", duration!(), "$"));

/// `text::timeout`: a duration that is not zero.
pub(super) const TIMEOUT: Form = Form::of(("duration", "durations"), "^0*[1-9][0-9]*(ms|s|m|h)$");

/// `text::latency`.
pub(super) const LATENCY: Form = Form::of(
    ("duration or range", ""),
    concat!(r"^\s*", duration!(), r"\s*(-\s*", duration!(), r"\s*)?$"),
);

/// `text::dns_name`.
pub(super) const DNS_NAME: Form = Form {
    longest: Some(254),
    ..Form::of(("DNS name", "DNS names"), concat!("^", dns_name!(), "$"))
};

/// The name of a record in a zone.
pub(super) const RECORD_NAME: Form =
    Form::of(("string", "strings"), concat!(r"^(@|\*\.?|(\*\.?)?", dns_name!(), ")$"));

/// A value of a record, of whichever type; AWS counts bytes, which are no fewer.
pub(super) const RECORD_VALUE: Form = Form { page: ("list", "list"), longest: Some(255), ..TEXT };

/// `text::socket_address`.
pub(super) const SOCKET_ADDRESS: Form = Form::of(
    ("string", "strings"),
    concat!("^(", address!(), r"|\[[0-9A-Fa-f:.%]+\]):", port!(), "$"),
);

/// `text::account`.
pub(super) const ACCOUNT: Form = Form::of(("string of 12 digits", ""), "^[0-9]{12}$");

/// `text::key_id`.
pub(super) const KEY_ID: Form = Form::of(("string", "strings"), "^[A-Za-z0-9]{1,128}$");
