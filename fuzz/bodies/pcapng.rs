//! The pcapng writer: its output is read by a reader that is written from the draft, independently
//! of the writer.

use super::tape::Tape;
use egret::explain::pcapng::{self, Captured, ENHANCED_PACKET, Heading, Interface};
use egret::packet::{TcpFlags, VnetHeader, builder};
use std::net::{Ipv4Addr, SocketAddrV4};

const PACKETS: usize = 20;

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let mut tape = Tape(data);
    let Some(snaplen) = tape.u16() else { return };
    let snaplen = u32::from(snaplen);
    let mut file = Vec::new();
    let title = String::from_utf8_lossy(tape.take(5)).into_owned();
    pcapng::begin(&mut file, &title, snaplen);
    let mut expected = Vec::new();
    for _ in 0..PACKETS {
        let Some(packet) = next(&mut tape) else { break };
        let captured = Captured { bytes: &packet.bytes, comment: &packet.comment, ..packet.rest };
        let most = tape.byte().map_or(u64::MAX, |most| u64::from(most) + 1);
        let written = pcapng::packet(&mut file, &captured, snaplen, most);
        assert!((1..=most).contains(&written), "at least once, and no more often than wanted");
        expected
            .extend((0..written).map(|_| (packet.rest.at, packet.rest.id, packet.comment.clone())));
    }
    pcapng::statistics(&mut file, 7, expected.len() as u64, 3);
    let read = read(&file, snaplen);
    assert_eq!(read.len(), expected.len());
    for (read, (at, id, comment)) in read.iter().zip(&expected) {
        assert_eq!((read.at, read.id), (*at, *id));
        assert!(comment.starts_with(&read.comment), "a comment is cut at its end only");
    }
    // A reader gets the file in pieces: an incomplete block is never refused, and is accepted only
    // when it is whole.
    let cut = usize::from(tape.u16().unwrap_or(0)) % file.len();
    assert!(
        matches!(pcapng::first_block(&file[..cut]), Ok(found) if found.is_none_or(|(_, len)| len <= cut))
    );
    let _ = pcapng::first_block(data);
    let _ = pcapng::left_out(data);
}

struct One {
    bytes: Vec<u8>,
    comment: String,
    rest: Captured<'static>,
}

fn next(tape: &mut Tape<'_>) -> Option<One> {
    let interface = tape.choose(&[Interface::Inside, Interface::Outside])?;
    let heading = tape.choose(&[Heading::In, Heading::Out])?;
    let (at, id) = (u64::from(tape.u32()?) << 20, u64::from(tape.byte()?));
    let comment = match tape.byte()? {
        255 => "é".repeat(40_000),
        len => String::from_utf8_lossy(tape.take(usize::from(len))).into_owned(),
    };
    let (bytes, vnet) = match tape.byte()? % 4 {
        0 => {
            let vnet = VnetHeader::from_bytes(&tape.take(10).try_into().ok()?);
            let len = usize::from(tape.u16()? % 2000);
            (tape.take(len).to_vec(), vnet)
        }
        1 => super_packet(tape)?,
        2 => {
            let (mut bytes, vnet) = super_packet(tape)?;
            let place = usize::from(tape.u16()?) % bytes.len().max(1);
            *bytes.get_mut(place)? = tape.byte()?;
            (bytes, vnet)
        }
        _ => (builder::udp(socket(), socket(), tape.take(64)), VnetHeader::default()),
    };
    let rest = Captured { interface, heading, at, id, bytes: &[], vnet, comment: "" };
    Some(One { bytes, comment, rest })
}

fn socket() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443)
}

fn super_packet(tape: &mut Tape<'_>) -> Option<(Vec<u8>, VnetHeader)> {
    let payload = vec![tape.byte()?; usize::from(tape.u16()?)];
    let mut bytes = match tape.byte()? % 2 {
        0 => builder::tcp(socket(), socket(), TcpFlags(tape.byte()?), 1, 1, &payload),
        _ => builder::udp(socket(), socket(), &payload),
    };
    // A size of a few bytes would make tens of thousands of segments.
    let vnet = builder::to_super_packet(&mut bytes, tape.u16()?.max(500));
    Some((bytes, vnet))
}

struct Read {
    at: u64,
    id: u64,
    comment: String,
}

/// Returns the packets of a file, and checks its form.
fn read(mut file: &[u8], snaplen: u32) -> Vec<Read> {
    let mut packets = Vec::new();
    let mut kinds = Vec::new();
    while !file.is_empty() {
        let (kind, len) = (u32_at(file, 0), u32_at(file, 4) as usize);
        assert!(len >= 12 && len % 4 == 0 && len <= file.len());
        assert_eq!(u32_at(file, len - 4) as usize, len, "the length stands at both ends");
        assert_eq!(pcapng::first_block(file), Ok(Some((kind, len))));
        let body = &file[8..len - 4];
        if kind == ENHANCED_PACKET {
            packets.push(read_packet(body, snaplen));
        }
        kinds.push(kind);
        file = &file[len..];
    }
    assert_eq!(kinds[..3], [pcapng::SECTION_HEADER, 1, 1], "a section with two interfaces");
    packets
}

fn read_packet(body: &[u8], snaplen: u32) -> Read {
    let at = u64::from(u32_at(body, 4)) << 32 | u64::from(u32_at(body, 8));
    let (kept, original) = (u32_at(body, 12), u32_at(body, 16));
    assert!(u32_at(body, 0) < 2, "one of the two interfaces");
    assert_eq!(kept, original.min(snaplen));
    let (mut id, mut comment) = (0, String::new());
    let mut options = &body[20 + (kept as usize).next_multiple_of(4)..];
    loop {
        let (code, len) = (u16_at(options, 0), usize::from(u16_at(options, 2)));
        let value = &options[4..4 + len];
        match code {
            0 => break assert_eq!((len, options.len()), (0, 4), "nothing follows the last option"),
            1 => {
                comment = std::str::from_utf8(value).expect("UTF-8, as the draft has it").to_owned()
            }
            5 => id = u64::from_le_bytes(value.try_into().expect("eight bytes")),
            _ => {}
        }
        options = &options[4 + len.next_multiple_of(4)..];
    }
    Read { at, id, comment }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

/// Returns seeds with whole packets, super-packets whole and damaged, and comments of every length.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let head = |snaplen: u16| [&snaplen.to_be_bytes()[..], b"title"].concat();
    let packet = |rest: &[u8]| [&[1, 0, 0, 0, 1, 0, 9, 4][..], b"drop", rest].concat();
    let whole = packet(&[3, b'd', b'a', b't', b'a']);
    let many = packet(&[1, 7, 0x20, 0, 0, 0x10, 5, 0xa0]);
    let datagrams = packet(&[1, 7, 0x20, 0, 1, 5, 0xa0]);
    let damaged = packet(&[2, 7, 0x20, 0, 0, 0x10, 5, 0xa0, 0, 2, 0xff]);
    let long = [&[0, 1, 0, 0, 0, 1, 0, 255][..], &[3, 1]].concat();
    [
        ("whole", [head(65_535), whole.clone()].concat()),
        ("super-packet", [head(65_535), many.clone(), datagrams].concat()),
        ("damaged", [head(128), damaged, whole].concat()),
        ("long-comment", [head(60), long, many].concat()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
