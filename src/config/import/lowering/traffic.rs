//! Converts protocol, ports and ICMP fields from EC2's spelling to the lab file's (spec 4.1, 5).

use super::document::quoted;

/// Keys of an inline table, and their rendered values.
pub(super) type Fields = Vec<(&'static str, String)>;

/// The traffic of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// The lab file's fields, rendered.
    Fields(Fields),
    /// IPv6 alone.
    Ipv6,
}

/// Returns a rule's fields: `from` and `to` are ports, or with ICMP type and code; `None` and -1
/// are any.
///
/// # Errors
/// The reason why AWS has no such traffic.
pub(super) fn traffic(
    protocol: &str,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<Traffic, String> {
    let protocol = protocol.trim().to_ascii_lowercase();
    let fields = match protocol.as_str() {
        "tcp" | "6" => vec![named("tcp"), ("ports", ports(from, to)?)],
        "udp" | "17" => vec![named("udp"), ("ports", ports(from, to)?)],
        "icmp" | "1" => icmp(from, to)?,
        "all" | "-1" => vec![named("all")],
        "icmpv6" | "58" => return Ok(Traffic::Ipv6),
        other => match other.parse::<u8>() {
            Ok(number) => vec![("protocol", number.to_string())],
            Err(_) => return Err(format!("{other:?} is not a protocol of AWS")),
        },
    };
    Ok(Traffic::Fields(fields))
}

fn named(protocol: &str) -> (&'static str, String) {
    ("protocol", quoted(protocol))
}

fn ports(from: Option<i64>, to: Option<i64>) -> Result<String, String> {
    let (from, to) = match (from.filter(|p| *p != -1), to.filter(|p| *p != -1)) {
        (None, None) | (Some(0), Some(65_535)) => return Ok(quoted("all")),
        (Some(from), None) => (from, from),
        (None, Some(to)) => (0, to),
        (Some(from), Some(to)) => (from, to),
    };
    let valid = 0..=65_535;
    match (valid.contains(&from) && valid.contains(&to), from.cmp(&to)) {
        (true, std::cmp::Ordering::Equal) => Ok(quoted(from)),
        (true, std::cmp::Ordering::Less) => Ok(quoted(format!("{from}-{to}"))),
        _ => Err(format!("ports {from} to {to} are not a range within 0 to 65535")),
    }
}

fn icmp(icmp_type: Option<i64>, code: Option<i64>) -> Result<Fields, String> {
    let mut fields = vec![named("icmp")];
    let given = [("icmp_type", icmp_type), ("icmp_code", code)];
    for (key, value) in given {
        match value {
            None | Some(-1) => break,
            Some(value @ 0..=255) => fields.push((key, value.to_string())),
            Some(value) => return Err(format!("{value} is not an ICMP type or code")),
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(protocol: &str, from: i64, to: i64) -> String {
        match traffic(protocol, Some(from), Some(to)).unwrap() {
            Traffic::Fields(fields) => super::super::document::inline(&fields),
            Traffic::Ipv6 => "IPv6".to_owned(),
        }
    }

    #[test]
    fn ec2_spells_and_the_lab_file_reads() {
        assert_eq!(rendered("tcp", 443, 443), "{ protocol = \"tcp\", ports = \"443\" }");
        assert_eq!(rendered("17", 1024, 65535), "{ protocol = \"udp\", ports = \"1024-65535\" }");
        assert_eq!(rendered("6", 0, 65535), "{ protocol = \"tcp\", ports = \"all\" }");
        assert_eq!(rendered("6", -1, -1), "{ protocol = \"tcp\", ports = \"all\" }");
        assert_eq!(rendered("icmp", -1, -1), "{ protocol = \"icmp\" }");
        assert_eq!(rendered("icmp", 3, 4), "{ protocol = \"icmp\", icmp_type = 3, icmp_code = 4 }");
        assert_eq!(rendered("icmp", 8, -1), "{ protocol = \"icmp\", icmp_type = 8 }");
        assert_eq!(rendered("icmpv6", -1, -1), "IPv6");
    }

    /// Spec 4.1: with any other number all ports are allowed, whatever ports are given.
    #[test]
    fn other_protocols_have_no_ports() {
        assert_eq!(rendered("50", 1, 2), "{ protocol = 50 }");
        assert_eq!(rendered("-1", 443, 443), "{ protocol = \"all\" }");
    }

    #[test]
    fn values_that_aws_does_not_know_are_refused() {
        for (protocol, from, to) in
            [("tcp", 10, 9), ("tcp", 0, 65536), ("udp", -7, 3), ("icmp", 256, 0), ("sctp", 1, 1)]
        {
            assert!(traffic(protocol, Some(from), Some(to)).is_err(), "{protocol} {from} {to}");
        }
    }
}
