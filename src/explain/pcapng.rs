//! Writes packets as a pcapng file (draft-ietf-opsawg-pcapng): one section, one interface for each
//! side of the translation, and each packet on it as it is on a wire, with its verdict as its
//! comment. Bytes in, bytes out: the caller has the clock and the file.

use crate::packet::{VnetHeader, segment};

/// The type of a section header block.
pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// The type of an enhanced packet block.
pub const ENHANCED_PACKET: u32 = 6;
/// The type of an interface statistics block.
pub const INTERFACE_STATISTICS: u32 = 5;
/// The type of an interface description block.
const INTERFACE_DESCRIPTION: u32 = 1;
/// LINKTYPE_IPV4: the packet begins with its IPv4 header. libpcap reads no file with two interfaces
/// of LINKTYPE_RAW, because it compares that number with its own for the same link type.
const LINKTYPE_IPV4: u16 = 228;
/// The size limit of this writer's blocks in bytes: a packet of 64 KiB, a comment of the same size,
/// and the headers around them.
pub const LARGEST_BLOCK: usize = 1 << 18;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_TEXT: u16 = 3;
const RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const PACKET_ID: u16 = 5;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

/// A side of the translation, which is an interface of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// Packets as the task has them.
    Inside,
    /// Packets as hosts outside egret have them.
    Outside,
}

/// The direction in which a packet crosses an interface, seen from egret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// egret received it.
    In,
    /// egret sent it.
    Out,
}

/// A packet to be written.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// The side.
    pub interface: Interface,
    /// The direction.
    pub heading: Heading,
    /// Nanoseconds since 1970-01-01 UTC.
    pub at: u64,
    /// The same number for the inside and the outside copy of a packet.
    pub id: u64,
    /// The bytes as they crossed the TUN device.
    pub bytes: &'a [u8],
    /// The work that the kernel has left to do on them.
    pub vnet: VnetHeader,
    /// Its verdict, in words.
    pub comment: &'a str,
}

/// Appends the beginning of a file: its title, and its two interfaces, each with packets of at most
/// `snaplen` bytes.
pub fn begin(out: &mut Vec<u8>, title: &str, snaplen: u32) {
    block(out, SECTION_HEADER, |body| {
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        // The length of the section is not known yet.
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        option(body, COMMENT, title.as_bytes());
        option(body, APPLICATION, concat!("egret ", env!("CARGO_PKG_VERSION")).as_bytes());
        end_of_options(body);
    });
    for (name, text) in [
        ("inside", "as tasks send and get them"),
        (
            "outside",
            "as they leave egret and come back: after the ENI's and the NAT gateway's translation",
        ),
    ] {
        block(out, INTERFACE_DESCRIPTION, |body| {
            body.extend_from_slice(&LINKTYPE_IPV4.to_le_bytes());
            body.extend_from_slice(&0_u16.to_le_bytes());
            body.extend_from_slice(&snaplen.to_le_bytes());
            option(body, INTERFACE_NAME, name.as_bytes());
            option(body, INTERFACE_TEXT, text.as_bytes());
            option(body, RESOLUTION, &[9]);
            end_of_options(body);
        });
    }
}

/// Appends a packet as it is on a wire: a super-packet as its segments, each cut to `snaplen`
/// bytes, the first `most` of them. Returns their number.
pub fn packet(out: &mut Vec<u8>, captured: &Captured<'_>, snaplen: u32, most: u64) -> u64 {
    let mut written = 0;
    segment::on_the_wire(captured.bytes, captured.vnet, |bytes| {
        if written < most {
            enhanced_packet(out, captured, bytes, snaplen);
            written += 1;
        }
    });
    written
}

/// Appends the number of packets that were seen on both interfaces so far, and the number of those
/// left out.
pub fn statistics(out: &mut Vec<u8>, at: u64, received: u64, left_out: u64) {
    block(out, INTERFACE_STATISTICS, |body| {
        body.extend_from_slice(&0_u32.to_le_bytes());
        timestamp(body, at);
        option(body, RECEIVED, &received.to_le_bytes());
        option(body, DROPPED, &left_out.to_le_bytes());
        end_of_options(body);
    });
}

/// Returns the type and the length of the block with which `bytes` begin. `None` if there are too
/// few bytes.
///
/// # Errors
/// The bytes are no block of this writer.
pub fn first_block(bytes: &[u8]) -> Result<Option<(u32, usize)>, NoBlock> {
    let Some((&[t0, t1, t2, t3, l0, l1, l2, l3], _)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let kind = u32::from_le_bytes([t0, t1, t2, t3]);
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if length < 12 || !length.is_multiple_of(4) || length > LARGEST_BLOCK {
        return Err(NoBlock);
    }
    Ok((bytes.len() >= length).then_some((kind, length)))
}

/// Returns the number of packets left out, if `block` is an interface statistics block of this
/// writer.
pub fn left_out(block: &[u8]) -> Option<u64> {
    if first_block(block).ok()??.0 != INTERFACE_STATISTICS {
        return None;
    }
    // Type, length, interface, timestamp, then two options of 4 and 8 bytes.
    let bytes = block.get(20 + 12 + 4..20 + 12 + 4 + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The error for bytes that are no block of a pcapng file of egret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lab did not send a pcapng file")]
pub struct NoBlock;

fn enhanced_packet(out: &mut Vec<u8>, captured: &Captured<'_>, bytes: &[u8], snaplen: u32) {
    let original = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let kept = bytes.get(..usize::try_from(snaplen).unwrap_or(usize::MAX)).unwrap_or(bytes);
    block(out, ENHANCED_PACKET, |body| {
        let interface: u32 = match captured.interface {
            Interface::Inside => 0,
            Interface::Outside => 1,
        };
        let heading: u32 = match captured.heading {
            Heading::In => 1,
            Heading::Out => 2,
        };
        body.extend_from_slice(&interface.to_le_bytes());
        timestamp(body, captured.at);
        body.extend_from_slice(&original.min(snaplen).to_le_bytes());
        body.extend_from_slice(&original.to_le_bytes());
        body.extend_from_slice(kept);
        pad(body);
        option(body, PACKET_FLAGS, &heading.to_le_bytes());
        option(body, PACKET_ID, &captured.id.to_le_bytes());
        option(body, COMMENT, captured.comment.as_bytes());
        end_of_options(body);
    });
}

/// Writes a block: its type, its length, `write`'s body, its length again.
fn block(out: &mut Vec<u8>, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    pad(&mut body);
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&body);
    out.extend_from_slice(&length);
}

/// Writes a time, the upper half first, whatever the byte order.
fn timestamp(body: &mut Vec<u8>, at: u64) {
    body.extend_from_slice(&((at >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(at as u32).to_le_bytes());
}

/// Writes an option; a text that is too long for it is cut between two characters.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = match value.get(..usize::from(u16::MAX)) {
        None => value,
        Some(cut) => cut.utf8_chunks().next().map_or(cut, |chunk| chunk.valid().as_bytes()),
    };
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    option(body, END_OF_OPTIONS, &[]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::packet::{TcpFlags, builder};
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const SRC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), 40_000);
    const DST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);

    /// Reads a file by the draft's definition, without the writer's code.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let length = u32_at(file, 4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(u32_at(file, length - 4) as usize, length, "the length stands at both ends");
            assert_eq!(first_block(file), Ok(Some((u32_at(file, 0), length))));
            blocks.push((u32_at(file, 0), file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        blocks
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let mut options = Vec::new();
        loop {
            let [code, len] =
                [0, 2].map(|at| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
            if code == END_OF_OPTIONS {
                assert_eq!((len, bytes.len()), (0, 4), "nothing follows the last option");
                return options;
            }
            options.push((code, bytes[4..4 + usize::from(len)].to_vec()));
            bytes = &bytes[4 + usize::from(len).next_multiple_of(4)..];
        }
    }

    struct Read {
        interface: u32,
        at: u64,
        original: u32,
        bytes: Vec<u8>,
        options: Vec<(u16, Vec<u8>)>,
    }

    fn packets(file: &[u8]) -> Vec<Read> {
        let enhanced = blocks(file).into_iter().filter(|(kind, _)| *kind == ENHANCED_PACKET);
        let read = |(_, body): (u32, Vec<u8>)| {
            let kept = u32_at(&body, 12) as usize;
            Read {
                interface: u32_at(&body, 0),
                at: u64::from(u32_at(&body, 4)) << 32 | u64::from(u32_at(&body, 8)),
                original: u32_at(&body, 16),
                bytes: body[20..20 + kept].to_vec(),
                options: options(&body[20 + kept.next_multiple_of(4)..]),
            }
        };
        enhanced.map(read).collect()
    }

    fn captured(bytes: &[u8]) -> Captured<'_> {
        Captured {
            interface: Interface::Outside,
            heading: Heading::Out,
            at: 1_790_000_000_123_456_789,
            id: 7,
            bytes,
            vnet: VnetHeader::default(),
            comment: "forward: rule 1 of sg-app",
        }
    }

    #[test]
    fn a_file_begins_with_its_section_and_two_interfaces_in_nanoseconds() {
        let mut file = Vec::new();
        begin(&mut file, "lab `walk`", 256);
        let blocks = blocks(&file);
        assert_eq!(
            blocks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [SECTION_HEADER, 1, 1]
        );
        let section = &blocks[0].1;
        assert_eq!(u32_at(section, 0), 0x1a2b_3c4d);
        assert_eq!(section[4..16], [1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(options(&section[16..])[0], (COMMENT, b"lab `walk`".to_vec()));
        for ((_, body), name) in blocks[1..].iter().zip(["inside", "outside"]) {
            assert_eq!((body[0], u32_at(body, 4)), (228, 256));
            let options = options(&body[8..]);
            assert_eq!(options[0], (INTERFACE_NAME, name.into()));
            assert_eq!(options[2], (RESOLUTION, vec![9]));
        }
    }

    #[test]
    fn a_packet_is_read_back_with_its_time_and_its_comment() {
        let bytes = builder::udp(SRC, DST, b"odd");
        let mut file = Vec::new();
        assert_eq!(packet(&mut file, &captured(&bytes), 65_535, 9), 1);
        let read = &packets(&file)[0];
        assert_eq!((read.interface, read.at), (1, 1_790_000_000_123_456_789));
        assert_eq!((&read.bytes, read.original as usize), (&bytes, bytes.len()));
        let expected = [
            (PACKET_FLAGS, vec![2, 0, 0, 0]),
            (PACKET_ID, vec![7, 0, 0, 0, 0, 0, 0, 0]),
            (COMMENT, b"forward: rule 1 of sg-app".to_vec()),
        ];
        assert_eq!(read.options, expected);
    }

    #[test]
    fn a_super_packet_is_its_segments_cut_to_the_snaplen() {
        let mut bytes = builder::tcp(SRC, DST, TcpFlags::ACK, 1, 1, &[5; 3000]);
        let vnet = builder::to_super_packet(&mut bytes, 1448);
        let mut file = Vec::new();
        assert_eq!(packet(&mut file, &Captured { vnet, ..captured(&bytes) }, 60, 9), 3);
        let lengths: Vec<_> = packets(&file).iter().map(|r| (r.bytes.len(), r.original)).collect();
        assert_eq!(lengths, [(60, 1488), (60, 1488), (60, 144)]);
        assert_eq!(packet(&mut file, &Captured { vnet, ..captured(&bytes) }, 60, 2), 2, "no more");
    }

    #[test]
    fn the_last_statistics_tell_what_was_left_out() {
        let mut file = Vec::new();
        statistics(&mut file, 1, 12, 3);
        assert_eq!(left_out(&file), Some(3));
        let options = options(&blocks(&file)[0].1[12..]);
        assert_eq!(
            options,
            [(RECEIVED, 12_u64.to_le_bytes().into()), (DROPPED, 3_u64.to_le_bytes().into())]
        );
        let mut other = Vec::new();
        begin(&mut other, "", 60);
        assert_eq!(left_out(&other), None);
    }

    #[test]
    fn wrong_blocks_are_refused_and_missing_bytes_are_waited_for() {
        assert_eq!(first_block(&[6, 0, 0, 0, 32]), Ok(None));
        assert_eq!(first_block(&[6, 0, 0, 0, 32, 0, 0, 0]), Ok(None));
        for length in [0_u32, 8, 13, 1 << 30] {
            let bytes = [[6, 0, 0, 0], length.to_le_bytes()].concat();
            assert_eq!(first_block(&bytes), Err(NoBlock), "{length}");
        }
    }

    #[test]
    fn a_comment_that_is_too_long_is_cut_between_characters() {
        let comment = "é".repeat(40_000);
        let bytes = builder::udp(SRC, DST, b"");
        let mut file = Vec::new();
        packet(&mut file, &Captured { comment: &comment, ..captured(&bytes) }, 65_535, 9);
        let reported = &packets(&file)[0].options[2].1;
        assert_eq!(reported.len(), 65_534);
        assert!(String::from_utf8(reported.clone()).is_ok());
    }

    proptest! {
        #[test]
        fn any_packet_is_a_whole_number_of_blocks(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            comment in ".{0,80}",
            gso in any::<(u8, u8, u16)>(),
            snaplen in any::<u32>(),
        ) {
            let (flags, gso_type, gso_size) = gso;
            let vnet = VnetHeader { flags, gso_type, gso_size, ..VnetHeader::default() };
            let mut file = Vec::new();
            begin(&mut file, &comment, snaplen);
            let mut one = captured(&bytes);
            (one.vnet, one.comment) = (vnet, &comment);
            let written = packet(&mut file, &one, snaplen, u64::MAX);
            let read = packets(&file);
            prop_assert_eq!(read.len() as u64, written);
            for packet in read {
                prop_assert_eq!(packet.bytes.len() as u32, packet.original.min(snaplen));
                prop_assert_eq!(&packet.options[2].1, comment.as_bytes());
            }
        }
    }
}
