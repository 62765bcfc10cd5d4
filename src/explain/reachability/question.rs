//! Makes the question about everything that a service may reach.

use super::super::asking::vpc_of;
use super::super::resolution::beyond_internet_gateways;
use crate::pipeline::reach::{
    self, Addresses, Answer, Interrupted, Ports, Question, Ranges, Tasks,
};
use crate::vpc::exempt::{self, Service};
use crate::vpc::{ServiceIx, Snapshot, VpcIx};

/// An answer, with its configuration.
pub(in crate::explain) struct Asked {
    /// The configuration, with an ENI for each attachment.
    pub(in crate::explain) snapshot: Snapshot,
    pub(in crate::explain) answer: Answer,
}

/// Returns the verdicts on all packets that a service may send to these destinations and ports.
pub(in crate::explain) fn asked(
    snapshot: &Snapshot,
    service: ServiceIx,
    addresses: Addresses,
    (destinations, ports): (Ranges, Ports),
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<Asked, Interrupted> {
    let (completed, attachments) =
        reach::attachments(snapshot, service, Tasks::Possible, addresses);
    let question = Question {
        service,
        attachments,
        gateway_addresses: addresses,
        destinations,
        ports,
        source_port: None,
    };
    let name = &snapshot.service(service).name;
    let answer = reach::ask(&completed, &question, &mut || goes_on(name))?;
    Ok(Asked { snapshot: completed, answer })
}

/// Returns the interfaces of the service's VPC and of those that are peered with it, the public
/// addresses of resources, and the internet. ENIs and NAT gateways take no requests, and are not
/// among them. For App Runner's own egress, the interfaces of all VPCs.
pub(in crate::explain) fn destinations(service: ServiceIx, snapshot: &Snapshot) -> Ranges {
    let near = vpcs(service, snapshot);
    let own = interfaces(&near, snapshot).map(|(address, _)| (address, address));
    Ranges::new(own).union(&beyond_internet_gateways(snapshot))
}

/// Lists the VPCs whose interfaces a service may reach, its own first.
pub(in crate::explain) fn vpcs(service: ServiceIx, snapshot: &Snapshot) -> Vec<VpcIx> {
    match vpc_of(service, snapshot) {
        Some(own) => {
            let mut all = vec![own];
            all.extend(snapshot.peers_of(own).map(|(_, peer)| peer));
            all
        }
        None => (0..snapshot.parts().vpcs.len()).map(VpcIx::from).collect(),
    }
}

/// Lists the addresses at which AWS serves a service's tasks itself, with their names: the VPC's
/// resolver, then those that every task has.
pub(in crate::explain) fn exempt_addresses(
    service: ServiceIx,
    snapshot: &Snapshot,
) -> impl Iterator<Item = (u32, &'static str)> {
    let own = vpc_of(service, snapshot).and_then(|vpc| snapshot.vpc(vpc).resolver());
    let own = own.map(|address| (address, Service::Resolver));
    let link_local = exempt::LINK_LOCAL.into_iter();
    let all = own.into_iter().chain(link_local.filter_map(|at| Some((at, Service::at(at)?))));
    all.map(|(address, service)| (address.to_bits(), word(service)))
}

const fn word(service: Service) -> &'static str {
    match service {
        Service::Resolver => "resolver",
        Service::TimeSync => "time sync",
        Service::TaskMetadata => "task metadata",
    }
}

/// Lists the addresses of resources in these VPCs, with their names. If two VPCs have an address,
/// the first one's resource counts.
pub(in crate::explain) fn interfaces<'s>(
    vpcs: &'s [VpcIx],
    snapshot: &'s Snapshot,
) -> impl Iterator<Item = (u32, &'s str)> {
    vpcs.iter().flat_map(move |vpc| {
        let all = snapshot.parts().resources.iter();
        let own = all.filter(|resource| snapshot.subnet(resource.subnet).vpc == *vpc);
        own.map(|resource| (resource.address.to_bits(), resource.name.as_str()))
    })
}
