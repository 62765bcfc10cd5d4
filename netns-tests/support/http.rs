//! HTTP written by hand: requests that no client of egret would send.

use super::PATIENCE;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// Connects to the control socket of a lab.
pub fn control(lab: &str) -> UnixStream {
    let stream = UnixStream::connect(format!("/run/egret/{lab}/control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects to the App Runner API at a URL.
pub fn api(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Posts a body to the control socket of a lab, and returns the status and the body of the answer.
pub fn post(lab: &str, path: &str, body: &str) -> (u16, String) {
    let head = head(path, body.len());
    exchange(control(lab), &format!("{head}{body}"))
}

/// Returns the head of a request whose body has this many bytes.
pub fn head(path: &str, bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n"
    )
}

/// Sends a request, reads the answer to its end, and returns its status and body.
pub fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that has not read all of the request may reset the connection after its answer.
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        panic!("no answer: {read:?} {answer:?}");
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Waits until the other end has closed; returns `false` if it sends something or takes too long.
pub fn is_closed(mut stream: impl Read) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0))
}
