//! The TCP connections of programs in a namespace, as its kernel lists them.

use super::Netns;
use procfs_core::net::{TcpNetEntries, TcpNetEntry, TcpState};
use procfs_core::{ExplicitSystemInfo, FromBufReadSI as _};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};

/// A connection over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// This end.
    pub local: SocketAddrV4,
    /// The other end.
    pub remote: SocketAddrV4,
    /// The state of the connection.
    pub state: SocketState,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Its handshake is not complete.
    Opening,
    /// Both ends may send.
    Established,
    /// One end has ended it, or both have.
    Closing,
}

/// Lists the connections of a namespace over IPv4; listening and ended ones are left out.
///
/// # Errors
/// The namespace cannot be entered, or the kernel's list cannot be read.
pub fn tcp_sockets(netns: &Netns) -> io::Result<Vec<TcpSocket>> {
    // An IPv6 socket may have a connection over IPv4. Without IPv6 the kernel has no second table.
    let read = |table| match std::fs::read(format!("/proc/thread-self/net/{table}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    };
    let tables = netns.run(|| ["tcp", "tcp6"].map(read)).map_err(io::Error::other)?;
    let mut sockets = Vec::new();
    for table in tables {
        sockets.extend(parse(&table?)?.iter().filter_map(socket));
    }
    Ok(sockets)
}

fn parse(table: &[u8]) -> io::Result<Vec<TcpNetEntry>> {
    // Of these, only the byte order matters for the table.
    let box_of_ours = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 0,
        page_size: 0,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let entries = TcpNetEntries::from_buf_read(table, &box_of_ours).map_err(io::Error::other)?;
    Ok(entries.0)
}

fn socket(entry: &TcpNetEntry) -> Option<TcpSocket> {
    let state = match entry.state {
        TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv => SocketState::Opening,
        TcpState::Established => SocketState::Established,
        TcpState::FinWait1
        | TcpState::FinWait2
        | TcpState::CloseWait
        | TcpState::LastAck
        | TcpState::Closing => SocketState::Closing,
        TcpState::TimeWait | TcpState::Close | TcpState::Listen => return None,
    };
    Some(TcpSocket {
        local: over_ipv4(entry.local_address)?,
        remote: over_ipv4(entry.remote_address)?,
        state,
    })
}

fn over_ipv4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(address) => {
            Some(SocketAddrV4::new(address.ip().to_ipv4_mapped()?, address.port()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn sockets(lines: &str) -> Vec<TcpSocket> {
        let entries = parse(format!("{HEADING}{lines}").as_bytes()).unwrap();
        entries.iter().filter_map(socket).collect()
    }

    #[test]
    fn connections_of_both_families_are_listed_and_what_listens_or_has_ended_is_not() {
        let rest = "00000000:00000000 00:00000000 00000000     0        0 99 1 0000000000000000 20 4 1 10 -1\n";
        let line = |ends: &str, state: &str| format!("   0: {ends} {state} {rest}");
        let ends = "01004064:C350 0A7100CB:01BB";
        let mapped = "0000000000000000FFFF000001004064:C350 0000000000000000FFFF00000A7100CB:01BB";
        let other = "B80D0120000000000000000001000000:C350 B80D0120000000000000000002000000:01BB";
        let (local, remote) =
            ("100.64.0.1:50000".parse().unwrap(), "203.0.113.10:443".parse().unwrap());
        for (state, found) in [
            ("01", Some(SocketState::Established)),
            ("02", Some(SocketState::Opening)),
            ("03", Some(SocketState::Opening)),
            ("04", Some(SocketState::Closing)),
            ("05", Some(SocketState::Closing)),
            ("06", None),
            ("07", None),
            ("08", Some(SocketState::Closing)),
            ("09", Some(SocketState::Closing)),
            ("0A", None),
            ("0B", Some(SocketState::Closing)),
        ] {
            let expected: Vec<_> =
                found.map(|state| TcpSocket { local, remote, state }).into_iter().collect();
            assert_eq!(sockets(&line(ends, state)), expected, "{state}");
            assert_eq!(sockets(&line(mapped, state)), expected, "{state}");
            assert_eq!(sockets(&line(other, state)), [], "{state}");
        }
    }
}
