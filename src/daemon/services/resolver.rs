//! The Route 53 Resolver: recursive only, with the names of the VPC that the task asks from (spec
//! 2.5, 8).

use super::bounded::{Bounded, Connection};
use crate::vpc::dns::{Answer, Lookup, RecordType, TTL};
use crate::vpc::{DnsRecord, RecordData, Snapshot};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::serve::Listener as _;
use hickory_proto::op::{Edns, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, PTR, SOA, TXT};
use hickory_proto::rr::{self, DNSClass, Name, RData, Record};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

/// DNS's port.
pub(super) const PORT: u16 = 53;
/// Bytes of the largest answer over UDP, if the client accepts so many (RFC 9715).
const UDP_PAYLOAD: u16 = 1232;
/// Bytes of an answer without EDNS (RFC 1035, 4.2.1).
const PLAIN_PAYLOAD: u16 = 512;

/// Answers from the committed configuration.
pub(super) struct Resolver {
    current: Arc<ArcSwap<Snapshot>>,
}

/// The contents of an answer.
#[derive(Debug)]
struct Response {
    code: ResponseCode,
    answers: Vec<Record>,
    /// The SOA record for negative caching (RFC 2308).
    soa: Option<Record>,
}

impl Resolver {
    pub(super) fn new(current: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { current }
    }

    fn respond(&self, request: &Request) -> Response {
        if request.metadata.op_code != OpCode::Query {
            return Response::only(ResponseCode::NotImp);
        }
        // One question, as every resolver has it (RFC 9619).
        let Ok(info) = request.request_info() else { return Response::only(ResponseCode::FormErr) };
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Response::only(ResponseCode::BADVERS);
        }
        let IpAddr::V4(from) = info.src.ip() else { return Response::only(ResponseCode::Refused) };
        if info.query.query_class() != DNSClass::IN {
            return Response::only(ResponseCode::Refused);
        }
        answer(
            &self.current.load(),
            from,
            &info.query.name().to_string(),
            record_type(info.query.query_type()),
            info.query.query_type(),
        )
    }
}

#[async_trait]
impl RequestHandler for Resolver {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        let Response { code, answers, soa } = self.respond(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        metadata.response_code = code;
        let edns = request.edns.as_ref().map(|theirs| {
            let mut edns = Edns::new();
            edns.set_max_payload(theirs.max_payload().clamp(PLAIN_PAYLOAD, UDP_PAYLOAD));
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let response = builder.build(metadata, &answers, &[], &soa, &[]);
        match handle.send_response(response).await {
            Ok(info) => info,
            // The task has closed its connection: nothing is sent.
            Err(_) => hickory_proto::op::Header {
                metadata,
                counts: hickory_proto::op::HeaderCounts::default(),
            }
            .into(),
        }
    }
}

/// Answers over TCP for ever. `hickory` would serve an unlimited number of connections.
pub(super) async fn serve_tcp(mut listener: Bounded, resolver: Arc<Resolver>) {
    // Ends with this future, and ends its connections then.
    let mut connections = JoinSet::new();
    loop {
        let (connection, from) = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let resolver = Arc::clone(&resolver);
        connections.spawn(async move {
            // A connection that breaks is ignored.
            let _ = answer_all(connection, from, &resolver).await;
        });
    }
}

/// Answers one question after the other (RFC 1035, 4.2.2). An invalid question ends the connection.
async fn answer_all(
    mut connection: Connection,
    from: SocketAddr,
    resolver: &Resolver,
) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(connection.read_u16().await?)];
        connection.read_exact(&mut question).await?;
        let request =
            Request::from_bytes(question, from, Protocol::Tcp).map_err(io::Error::other)?;
        if request.metadata.message_type != MessageType::Query {
            return Ok(());
        }
        let answer = Written::default();
        resolver.handle_request::<_, TokioTime>(&request, answer.clone()).await;
        connection.write_all(&answer.take()).await?;
    }
}

/// An answer with its length in front, as DNS over TCP has it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ResponseHandler for Written {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut message = Vec::new();
        let mut encoder = BinEncoder::new(&mut message);
        encoder.set_max_size(u16::MAX);
        let info = response.destructive_emit(&mut encoder)?;
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *written = [&length.to_be_bytes()[..], &message].concat();
        Ok(info)
    }
}

/// Answers a task. An address that is no task's is not one of the lab's.
fn answer(
    snapshot: &Snapshot,
    from: Ipv4Addr,
    name: &str,
    record_type: RecordType,
    asked: rr::RecordType,
) -> Response {
    let Some(task) = snapshot.task(from) else { return Response::only(ResponseCode::Refused) };
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    let Answer { records, outcome, zone } = snapshot.resolve(vpc, name, record_type);
    let answers: Vec<Record> = records.iter().filter_map(record).collect();
    match outcome {
        Lookup::Found => Response { code: ResponseCode::NoError, answers, soa: None },
        Lookup::NoData if asked == rr::RecordType::SOA && zone == canonical(name) => {
            let answers = soa(&zone).into_iter().collect();
            Response { code: ResponseCode::NoError, answers, soa: None }
        }
        Lookup::NoData => Response { code: ResponseCode::NoError, answers, soa: soa(&zone) },
        Lookup::NoSuchName => Response { code: ResponseCode::NXDomain, answers, soa: soa(&zone) },
        Lookup::Loop => Response::only(ResponseCode::ServFail),
    }
}

fn canonical(name: &str) -> String {
    crate::vpc::dns::canonical_name(name)
}

impl Response {
    fn only(code: ResponseCode) -> Self {
        Self { code, answers: Vec::new(), soa: None }
    }
}

fn record_type(asked: rr::RecordType) -> RecordType {
    if asked == rr::RecordType::A {
        RecordType::A
    } else if asked == rr::RecordType::CNAME {
        RecordType::Cname
    } else if asked == rr::RecordType::PTR {
        RecordType::Ptr
    } else if asked == rr::RecordType::TXT {
        RecordType::Txt
    } else if asked == rr::RecordType::ANY {
        RecordType::Any
    } else {
        RecordType::Other
    }
}

/// Converts a record; `None` for a name that the lab file can have and the DNS cannot, such as
/// `a..b`.
fn record(record: &DnsRecord) -> Option<Record> {
    let data = match &record.data {
        RecordData::A(address) => RData::A((*address).into()),
        RecordData::Cname(to) => RData::CNAME(CNAME(dns_name(to)?)),
        RecordData::Ptr(to) => RData::PTR(PTR(dns_name(to)?)),
        RecordData::Txt(text) => RData::TXT(TXT::new(vec![text.clone()])),
    };
    Some(Record::from_rdata(dns_name(&record.name)?, record.ttl, data))
}

/// Makes the zone's own record as Route 53 does.
fn soa(zone: &str) -> Option<Record> {
    let server = dns_name("ns-0.awsdns-00.com")?;
    let admin = dns_name("awsdns-hostmaster.amazon.com")?;
    let minimum = TTL;
    let soa = SOA::new(server, admin, 1, 7200, 900, 1_209_600, minimum);
    Some(Record::from_rdata(dns_name(zone)?, TTL, RData::SOA(soa)))
}

fn dns_name(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}
