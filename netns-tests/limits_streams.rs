//! Captures that nothing reads share one budget of memory.

use crate::lifecycle::LAB;
use crate::support::http::{control, head};
use crate::support::lab::{Lab, can_run};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

const CAPTURES: usize = 40;
/// The limit is far above what the lab uses without captures plus the budget of all captures, and
/// far below what they would use with one budget each.
const MOST_KB: u64 = 700_000;

/// A program that sends 100 datagrams at a time and gets them back, so that only a few are lost on
/// the way.
const TRAFFIC: &str = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for batch in range(200):
    for _ in range(100):
        s.sendto(b'x' * 1400, ('10.0.1.10', 53))
    last = b'last %d' % batch
    said = b''
    while said != last:
        s.sendto(last, ('10.0.1.10', 53))
        try:
            said = s.recv(2000)
            while said != last:
                said = s.recv(2000)
        except TimeoutError:
            pass
print('done', flush=True)
import sys
sys.stdin.read()";

/// Begins a capture whose packets nothing reads.
fn unread(lab: &Lab) -> UnixStream {
    let body = r#"{"subject":"web","inside":true,"outside":true,"count":null,"snaplen":65535}"#;
    let mut stream = control(lab.name());
    stream.write_all(format!("{}{body}", head("/v1/capture", body.len())).as_bytes()).unwrap();
    // The answer begins once packets are watched.
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    stream
}

/// Returns the peak memory of the lab's process, in kB.
fn memory(lab: &Lab) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lab.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn unread_captures_share_one_budget() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let captures: Vec<UnixStream> = (0..CAPTURES).map(|_| unread(&lab)).collect();
    lab.task_program("web", TRAFFIC).wait_for("done");
    let memory = memory(&lab);
    assert!(memory < MOST_KB, "{memory} kB");
    drop(captures);
}
