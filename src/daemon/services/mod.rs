//! The services at the exempt addresses (spec 4.3): resolver, time sync, task metadata, in a
//! namespace of their own.
//!
//! `bounded.rs` limits their TCP connections.
//!
//! Tasks reach the namespace from every ENI, untranslated, so that each service knows by the source
//! address which task asks. VPCs may overlap: their resolvers then have one address, and the task
//! decides which VPC's names it sees.

mod bounded;
mod resolver;
mod task_metadata;
mod threads;
mod time_sync;

use super::error::LabError;
use crate::linux::link::{Far, Link, LinkError, Links, find_space, link_space};
use crate::linux::listen::{tcp_listener, udp_socket};
use crate::linux::netns::Netns;
use crate::vpc::exempt::{LINK_LOCAL, RESOLVER, TASK_METADATA, TIME_SYNC};
use crate::vpc::{Snapshot, Space};
use arc_swap::ArcSwap;
use bounded::Bounded;
use hickory_server::Server;
use resolver::Resolver;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use threads::Threads;
use tokio::runtime::EnterGuard;
use tokio::task::JoinSet;

/// The interface in the services' namespace.
const INTERFACE: &str = "svc0";

/// The running services; dropping it ends them.
pub(super) struct Services {
    netns: Netns,
    links: Links,
    ifindex: u32,
    link: Link,
    mtu: u16,
    resolver: Server<Resolver>,
    current: Arc<ArcSwap<Snapshot>>,
    /// The addresses where the resolver listens.
    resolvers: BTreeSet<Ipv4Addr>,
    /// The other services, and the resolver's over TCP.
    others: JoinSet<()>,
    /// The threads that all of these run on, dropped last.
    threads: Threads,
}

impl Services {
    /// Makes the link, unless the earlier process has left it, and starts the services. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) async fn start(
        netns: Netns,
        router: &Links,
        current: &Arc<ArcSwap<Snapshot>>,
        is_linked: bool,
    ) -> Result<Self, LabError> {
        let current = Arc::clone(current);
        let snapshot = current.load_full();
        let (space, mtu) = (u32::from(Space::SERVICES.0), snapshot.parts().mtu.task);
        let addresses = LINK_LOCAL;
        let link = match is_linked {
            true => find_space(router, Self::NEAR, space).await?,
            false => {
                let far = Far { netns: &netns, interface: INTERFACE };
                link_space(router, Self::NEAR, far, space, &addresses, mtu).await?
            }
        };
        let links = Links::open(&netns)?;
        let ifindex = links.ifindex(INTERFACE).await?;
        let threads = Threads::start().map_err(LabError::Threads)?;
        let others = others(&netns, &threads, &current)?;
        let resolver = Server::new(Resolver::new(Arc::clone(&current)));
        let resolvers = BTreeSet::new();
        let mut services = Self {
            netns,
            links,
            ifindex,
            link,
            mtu,
            resolver,
            resolvers,
            current,
            others,
            threads,
        };
        services.listen(RESOLVER)?;
        services.follow(&snapshot).await?;
        Ok(services)
    }

    /// The name of the router's end of their link.
    pub(super) const NEAR: &str = "services";

    /// Makes the resolver answer at the address of each VPC. Must be called when VPCs have been
    /// added; calling it more often does no harm. The address of a removed VPC stays: no task
    /// reaches it.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) async fn follow(&mut self, snapshot: &Snapshot) -> Result<(), LabError> {
        for address in snapshot.parts().vpcs.iter().filter_map(|vpc| vpc.resolver()) {
            if !self.resolvers.contains(&address) {
                self.add_address(address).await?;
                self.listen(address)?;
            }
        }
        Ok(())
    }

    /// Sets the MTU of their link, which is that of the tasks' links.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn set_mtu(&mut self, router: &Links, mtu: u16) -> Result<(), LabError> {
        if self.mtu != mtu {
            router.set_mtu(Self::NEAR, mtu).await?;
            self.links.set_mtu(INTERFACE, mtu).await?;
            self.mtu = mtu;
        }
        Ok(())
    }

    async fn add_address(&self, address: Ipv4Addr) -> Result<(), LinkError> {
        self.links.add_address(self.ifindex, address).await
    }

    /// Enters the runtime of the threads for what tasks can reach: sockets that are made meanwhile,
    /// and futures that are spawned, belong to it.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.threads.enter()
    }

    fn listen(&mut self, address: Ipv4Addr) -> Result<(), LabError> {
        let _threads = self.threads.enter();
        let udp = udp_socket(&self.netns, address, resolver::PORT)?;
        let tcp = tcp_listener(&self.netns, address, resolver::PORT)?;
        self.resolver.register_socket(udp);
        let resolver = Resolver::new(Arc::clone(&self.current));
        let resolver = resolver::serve_tcp(Bounded::new(tcp), Arc::new(resolver));
        self.others.spawn_on(resolver, &self.threads.handle());
        self.resolvers.insert(address);
        Ok(())
    }

    /// Returns the link that leads to the services.
    pub(super) fn link(&self) -> Link {
        self.link
    }
}

/// Starts the services except the resolver.
fn others(
    netns: &Netns,
    threads: &Threads,
    current: &Arc<ArcSwap<Snapshot>>,
) -> Result<JoinSet<()>, LabError> {
    let (_threads, on) = (threads.enter(), threads.handle());
    let mut others = JoinSet::new();
    let time = udp_socket(netns, TIME_SYNC, time_sync::PORT)?;
    let metadata = tcp_listener(netns, TASK_METADATA, task_metadata::PORT)?;
    others.spawn_on(time_sync::serve(time), &on);
    others.spawn_on(task_metadata::serve(Bounded::new(metadata), Arc::clone(current)), &on);
    Ok(others)
}
