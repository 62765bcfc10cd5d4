//! Selects packets and flows by the lab's names, for `trace`, `capture` and `flows`.

use super::coverage::joined;
use super::shown_ids::SHORT;
use super::target::TaskRef;
use super::{TargetError, service_name};
use crate::config::known;
use crate::packet::Protocol;
use crate::pipeline::watch::{Filter, Only};
use crate::vpc::{Snapshot, VpcIx};
use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The most tasks that an error names.
const MOST_TASKS: usize = 8;

/// A selection, word by word as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// `SERVICE[/N]`.
    pub service: Option<String>,
    /// An ENI, a NAT gateway or `app-runner`, by its id, its device or its tag `Name`.
    pub interface: Option<String>,
    /// `CIDR[:PORT]` or `NAME[:PORT]`.
    pub destination: Option<String>,
    /// `drops`, `forwards` or `events`.
    pub only: Option<String>,
}

/// The reason why a selection is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No such service, or not a task's number.
    #[error(transparent)]
    Task(#[from] TargetError),
    /// No such task.
    #[error("service `{service}` has no task {number}; it has {known}")]
    UnknownTask {
        /// The service.
        service: String,
        /// The task's number.
        number: u16,
        /// The tasks that it has.
        known: String,
    },
    /// No such ENI or gateway.
    #[error("no ENI or NAT gateway `{name}` in the lab{known}")]
    UnknownInterface {
        /// The word.
        name: String,
        /// The existing ids.
        known: String,
    },
    /// Neither a block of addresses nor a name.
    #[error("`{name}` is neither an IPv4 address, a CIDR block nor a name in the lab{known}")]
    UnknownDestination {
        /// The word.
        name: String,
        /// The existing names.
        known: String,
    },
    /// The name has one address in one VPC, and another in another.
    #[error("`{name}` has several addresses in the lab; use one of {addresses}")]
    SeveralAddresses {
        /// The word.
        name: String,
        /// Its addresses.
        addresses: String,
    },
    /// Not a port.
    #[error("`{0}` is not a port; write CIDR:PORT with a number from 1 to 65535")]
    Port(String),
    /// Not a kind of record.
    #[error("unknown value `{0}`: use drops, forwards or events")]
    Only(String),
    /// The word names nothing that can be captured.
    #[error("`{name}` is neither an ENI, a NAT gateway nor a service of the lab{known}")]
    UnknownSubject {
        /// The word.
        name: String,
        /// The names that can be captured.
        known: String,
    },
    /// Not a protocol.
    #[error("`{0}` is not a protocol; use tcp, udp, icmp or a number from 0 to 255")]
    Protocol(String),
}

impl Selection {
    /// Returns the filter of a selection in a lab.
    ///
    /// # Errors
    /// The first invalid word, with the valid ones.
    pub fn filter(&self, snapshot: &Snapshot) -> Result<Filter, SelectionError> {
        let (service, task) = match &self.service {
            Some(word) => service(word, snapshot)?,
            None => (None, None),
        };
        let (destinations, port) = match &self.destination {
            Some(word) => destination(word, snapshot)?,
            None => (Vec::new(), None),
        };
        let interface = match &self.interface {
            Some(word) => Some(interface(word, snapshot)?),
            None => None,
        };
        let only = match self.only.as_deref() {
            None => None,
            Some("drops") => Some(Only::Drops),
            Some("forwards") => Some(Only::Forwards),
            Some("events") => Some(Only::Events),
            Some(other) => return Err(SelectionError::Only(other.to_owned())),
        };
        Ok(Filter { service, task, interface, destinations, port, only })
    }
}

/// Returns the filter for the subject of `egret capture`: an ENI, a NAT gateway, a service or one
/// of its tasks.
///
/// # Errors
/// The word is none of them.
pub fn subject(word: &str, snapshot: &Snapshot) -> Result<Filter, SelectionError> {
    let of = |interface| Ok(Filter { interface: Some(interface), ..Filter::default() });
    if let Some(interface) = interface_with(word, snapshot) {
        return of(interface);
    }
    let name = word.split_once('/').map_or(word, |(name, _)| name);
    if snapshot.parts().services.iter().any(|service| service.name == name) {
        let (service, task) = service(word, snapshot)?;
        return Ok(Filter { service, task, ..Filter::default() });
    }
    if let Some(interface) = interface_called(word, snapshot) {
        return of(interface);
    }
    let services = snapshot.parts().services.iter().map(|service| service.name.clone());
    let known = it_has(word, words_for_interfaces(snapshot).chain(services));
    Err(SelectionError::UnknownSubject { name: word.to_owned(), known })
}

/// Returns a protocol by name or number.
///
/// # Errors
/// The word is no protocol.
pub fn protocol(word: &str) -> Result<Protocol, SelectionError> {
    super::target::protocol(word).map_err(|_| SelectionError::Protocol(word.to_owned()))
}

fn service(
    word: &str,
    snapshot: &Snapshot,
) -> Result<(Option<String>, Option<u16>), SelectionError> {
    let TaskRef { service, number } = TaskRef::parse(word, snapshot)?;
    let name = service_name(snapshot, service).to_owned();
    let mut tasks: Vec<u16> =
        snapshot.tasks().filter(|task| task.service == service).map(|task| task.number).collect();
    if let Some(number) = number.filter(|number| !tasks.contains(number)) {
        tasks.sort_unstable();
        let known: Vec<String> = tasks.iter().map(|number| format!("{name}/{number}")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { joined(&known, MOST_TASKS) };
        return Err(SelectionError::UnknownTask { service: name, number, known });
    }
    Ok((Some(name), number))
}

/// Returns the id of the interface that a word means, by its id, its device or its name.
fn interface(word: &str, snapshot: &Snapshot) -> Result<String, SelectionError> {
    let found = interface_with(word, snapshot).or_else(|| interface_called(word, snapshot));
    found.ok_or_else(|| SelectionError::UnknownInterface {
        name: word.to_owned(),
        known: it_has(word, words_for_interfaces(snapshot)),
    })
}

/// Returns the id of the interface that has this id or this device, or whose id alone begins so, as
/// tables show it.
fn interface_with(word: &str, snapshot: &Snapshot) -> Option<String> {
    let whole = interfaces(snapshot).find(|(id, device)| id == word || device == word);
    let mut begun = interfaces(snapshot).filter(|(id, _)| is_short_of(word, id));
    let alone = begun.next().filter(|_| begun.next().is_none());
    whole.or(alone).map(|(id, _)| id)
}

/// Returns the id of the only interface whose tag `Name` has this value, as tables show it.
fn interface_called(name: &str, snapshot: &Snapshot) -> Option<String> {
    let mut called = names_of_interfaces(snapshot).filter(|(_, own)| *own == name);
    let alone = called.next().filter(|_| called.next().is_none());
    alone.map(|(id, _)| id)
}

fn names_of_interfaces(snapshot: &Snapshot) -> impl Iterator<Item = (String, &str)> {
    let tags = &snapshot.parts().name_tags;
    interfaces(snapshot).filter_map(|(id, _)| tags.get(&id).map(|name| (id, name.as_str())))
}

/// Lists the ids and names of interfaces.
fn words_for_interfaces(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let names = names_of_interfaces(snapshot).map(|(_, name)| name.to_owned());
    interfaces(snapshot).map(|(id, _)| id).chain(names)
}

/// Returns whether a word is a short form of an id: at least its prefix and eight digits.
fn is_short_of(word: &str, id: &str) -> bool {
    let digits = word.rsplit_once('-').map_or(0, |(_, digits)| digits.len());
    digits >= SHORT && id.starts_with(word)
}

/// Lists the ids and devices of interfaces.
fn interfaces(snapshot: &Snapshot) -> impl Iterator<Item = (String, String)> {
    let parts = snapshot.parts();
    let enis = parts.enis.iter().map(|eni| (eni.id.clone(), eni.device.clone()));
    let gateways = parts.nat_gateways.iter().map(|nat| (nat.id.clone(), nat.device.clone()));
    let own = parts.apprunner_address.map(|_| ("app-runner".to_owned(), "app-runner".to_owned()));
    enis.chain(gateways).chain(own)
}

fn destination(
    word: &str,
    snapshot: &Snapshot,
) -> Result<(Vec<Ipv4Network>, Option<u16>), SelectionError> {
    let (place, port) = match word.rsplit_once(':') {
        Some((place, port)) => (place, Some(port)),
        None => (word, None),
    };
    let port = match port.map(|port| (port, port.parse::<u16>())) {
        None => None,
        Some((_, Ok(port))) if port > 0 => Some(port),
        Some((word, Ok(_) | Err(_))) => return Err(SelectionError::Port(word.to_owned())),
    };
    if let Ok(network) = place.parse::<Ipv4Network>() {
        return Ok((vec![network], port));
    }
    let named = match names(snapshot).find(|(name, _)| *name == place) {
        Some((_, address)) => address,
        None => resolved(place, snapshot)?,
    };
    let public = public_address(named, snapshot);
    Ok(([named].into_iter().chain(public).map(Ipv4Network::from).collect(), port))
}

/// Returns the address that the resolvers of all VPCs have for a name: an alias, a name of a
/// private zone.
fn resolved(name: &str, snapshot: &Snapshot) -> Result<Ipv4Addr, SelectionError> {
    let vpcs = (0..snapshot.parts().vpcs.len()).map(VpcIx::from);
    let asked = vpcs.filter(|vpc| snapshot.vpc(*vpc).enable_dns_support).map(Some).chain([None]);
    let found = asked.filter_map(|vpc| super::target::address_of(name, vpc, snapshot));
    let addresses: Vec<Ipv4Addr> = found.collect::<BTreeSet<_>>().into_iter().collect();
    match *addresses {
        [address] => Ok(address),
        [] => Err(SelectionError::UnknownDestination {
            name: name.to_owned(),
            known: it_has(name, names(snapshot).map(|(name, _)| name.to_owned())),
        }),
        [..] => Err(SelectionError::SeveralAddresses {
            name: name.to_owned(),
            addresses: addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn names(snapshot: &Snapshot) -> impl Iterator<Item = (&str, Ipv4Addr)> {
    let parts = snapshot.parts();
    let resources = parts.resources.iter().map(|r| (r.name.as_str(), r.address));
    resources.chain(parts.internet_hosts.iter().map(|h| (h.name.as_str(), h.address)))
}

/// Finds the public address of a named resource by its private one: packets have one or the other.
fn public_address(private: Ipv4Addr, snapshot: &Snapshot) -> Option<Ipv4Addr> {
    let resources = snapshot.parts().resources.iter();
    resources.filter(|resource| resource.address == private).find_map(|r| r.public_address)
}

fn it_has(word: &str, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    known(word, "it has", &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::*;
    use super::*;
    use crate::config::Lab;
    use crate::vpc::{Generation, Parts};

    fn dst(word: &str) -> Result<(Vec<Ipv4Network>, Option<u16>), String> {
        destination(word, &snapshot()).map_err(|e| e.to_string())
    }

    /// The ENI's id is `eni-0a1b2c3d4e5f60718`.
    #[test]
    fn an_interface_may_be_named_as_tables_show_it() {
        let found = |word: &str| interface(word, &snapshot()).ok();
        let id = Some("eni-0a1b2c3d4e5f60718".to_owned());
        assert_eq!(found("eni-0a1b2c3d4e5f60718"), id);
        assert_eq!(found("eni-0a1b2c3d"), id);
        assert_eq!(found("eni-0a1b2c3d4e5f"), id);
        for other in ["eni-0a1b2c3", "eni-0a1b2c3e", "eni-", ""] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn regression_a_name_means_the_public_address_of_a_resource_too() {
        let lab = include_str!("cases/public-endpoint.toml");
        let alias = lab.replace("listen", "aliases = [\"api.example\"]\nlisten");
        let snapshot = Lab::parse("lab.toml", &alias).unwrap().lower(Generation(1));
        let both = vec!["10.0.1.10".parse().unwrap(), "203.0.113.50".parse().unwrap()];
        let of = |word| destination(word, &snapshot);
        assert_eq!(of("api:443"), Ok((both.clone(), Some(443))));
        assert_eq!(of("api.example"), Ok((both.clone(), None)));
        assert_eq!(of("203.0.113.50"), Ok((vec![both[1]], None)), "an address is one address");
        let filter = Selection { destination: Some("api".into()), ..Selection::default() };
        let filter = filter.filter(&snapshot).unwrap();
        assert!(both.iter().all(|network| filter.has_address(network.ip())));
        assert!(!filter.has_address("203.0.113.51".parse().unwrap()));
    }

    #[test]
    fn a_destination_is_a_block_an_address_or_a_name_with_or_without_a_port() {
        let network = |text: &str| vec![text.parse().unwrap()];
        assert_eq!(dst("10.0.0.0/8"), Ok((network("10.0.0.0/8"), None)));
        assert_eq!(dst("10.0.0.0/8:443"), Ok((network("10.0.0.0/8"), Some(443))));
        assert_eq!(dst("203.0.113.10:53"), Ok((network("203.0.113.10/32"), Some(53))));
        let named = Ipv4Network::from(ORDERS_DB_ADDRESS);
        assert_eq!(dst("orders-db:5432"), Ok((vec![named], Some(5432))));
        assert_eq!(dst("db.corp.example:5432"), Ok((vec![named], Some(5432))), "an alias");
    }

    #[test]
    fn regression_the_name_that_tables_show_for_an_interface_selects_it_if_no_other_has_it() {
        let with = |names: &[(&str, &str)]| {
            let names = names.iter().map(|(id, name)| ((*id).into(), (*name).into())).collect();
            Snapshot::build(Generation(1), Parts { name_tags: names, ..parts() })
        };
        let named = with(&[("nat-a", "shop-a"), ("sg-app", "shop-a"), ("sg-db", "db")]);
        assert_eq!(interface("shop-a", &named), Ok("nat-a".to_owned()));
        assert_eq!(subject("shop-a", &named).unwrap().interface.as_deref(), Some("nat-a"));
        assert!(interface("db", &named).is_err(), "a security group is no interface");
        let both = with(&[("nat-a", "shop-a"), (ENI_ID, "shop-a")]);
        assert!(interface("shop-a", &both).is_err());
        let as_service = with(&[("nat-a", "web"), (ENI_ID, "nat-a")]);
        assert_eq!(subject("web", &as_service).unwrap().service.as_deref(), Some("web"));
        assert_eq!(interface("nat-a", &as_service), Ok("nat-a".to_owned()), "ids come first");
    }

    #[test]
    fn words_that_mean_nothing_are_answered_with_those_that_would() {
        let snapshot = snapshot();
        let said = |selection: Selection| selection.filter(&snapshot).unwrap_err().to_string();
        let any = Selection::default;
        let reported = [
            said(Selection { service: Some("wbe".into()), ..any() }),
            said(Selection { service: Some("web/0".into()), ..any() }),
            said(Selection { service: Some("web/9".into()), ..any() }),
            said(Selection { interface: Some("eni-1".into()), ..any() }),
            said(Selection { destination: Some("nowhere".into()), ..any() }),
            said(Selection { destination: Some("10.0.0.1:0".into()), ..any() }),
            said(Selection { only: Some("all".into()), ..any() }),
            subject("nat-b", &snapshot).unwrap_err().to_string(),
            protocol("tpc").unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(reported.join("\n"));
    }

    #[test]
    fn an_interface_may_be_called_by_its_device_and_a_subject_may_be_a_task() {
        let snapshot = snapshot();
        assert_eq!(interface("eni-0a1b2c3d", &snapshot), Ok(ENI_ID.to_owned()));
        assert_eq!(subject("nat-a", &snapshot).unwrap().interface.as_deref(), Some("nat-a"));
        let task = subject("web/1", &snapshot).unwrap();
        assert_eq!((task.service.as_deref(), task.task), (Some("web"), Some(1)));
        assert_eq!(subject("web", &snapshot).unwrap().task, None, "all of its tasks");
    }
}
