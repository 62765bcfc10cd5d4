//! From what is on the box to what a configuration needs there, in an order that never lets a packet around a verdict:
//!
//! 1. [`Running::grow`] makes what is new: namespaces, links, addresses, listeners, TUN devices and their workers, which
//!    drop everything until the configuration has them.
//! 2. [`Running::switch`] closes every delivery that will be another one, and those of prefixes that are new, whose
//!    addresses a shorter one has until then. It puts the configuration in force, waits until no worker is in a batch under
//!    the old one, and only then opens the new deliveries. What tasks see of it in their own namespaces comes last.
//! 3. [`Running::shrink`] removes what nothing needs any more.
//!
//! Whatever is the same before and after is not touched. A delivery that is the same stays open throughout: a packet
//! judged before the change may leave by it after, from an address that is still the lab's (`refusal` in `steer.bpf.c`).

use crate::config::{DeviceKind, Lab};
use crate::daemon::judge::EngineJudge;
use crate::daemon::needs::{Needs, SiteId, SiteNeeds};
use crate::daemon::running::{LabError, Running};
use crate::linux::link::{Link, LinkError, Links, link_space, readdress};
use crate::linux::listen::{EchoHandle, Endpoint, spawn_echo};
use crate::linux::netns::Netns;
use crate::linux::tun;
use crate::linux::worker::Worker;
use crate::pipeline::DeviceId;
use crate::vpc::{Snapshot, Space};
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A namespace with its veth, as it stands on the box.
pub(in crate::daemon) struct Site {
    pub(in crate::daemon) netns: Netns,
    pub(in crate::daemon) near: String,
    pub(in crate::daemon) far: &'static str,
    pub(in crate::daemon) link: Link,
    pub(in crate::daemon) space: Space,
    pub(in crate::daemon) mtu: u16,
    pub(in crate::daemon) addresses: Vec<Ipv4Addr>,
    pub(in crate::daemon) listeners: BTreeMap<Endpoint, EchoHandle>,
}

/// Address spaces have 16 bits; what is numbered from here on is none.
const BEYOND_SPACES: u32 = 1 << 16;

impl Running {
    /// Makes what is not there yet. Nothing leads to it, so no packet notices.
    pub(super) async fn grow(
        &mut self,
        lab: &Lab,
        next: &Snapshot,
        needs: &Needs,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), LabError> {
        for (id, site) in &needs.sites {
            if self.sites.contains_key(id) {
                self.extend_site(id, site).await?;
            } else {
                self.make_site(id, site).await?;
                match id {
                    SiteId::Internet | SiteId::Services => {}
                    SiteId::Vpc(vpc) => say(&format!("VPC {vpc} in namespace {}", site.namespace)),
                    SiteId::GatewayEndpoint(endpoint) => {
                        say(&format!("VPC endpoint {endpoint} in namespace {}", site.namespace));
                    }
                }
            }
        }
        self.services.follow(next).await?;
        let mut new = 0;
        for (id, device) in &needs.devices {
            match self.workers.get(id) {
                Some(_) => self.widen(id, device.mtu).await?,
                None => {
                    self.make_device(lab, id, &device.name, device.mtu)?;
                    new += 1;
                }
            }
        }
        if new > 0 {
            say(&format!("{new} TUN devices, {} each", workers(lab.spec.queues)));
        }
        Ok(())
    }

    /// Puts a configuration in force. `snapshot` has all tasks that it has a place for.
    pub(super) async fn switch(
        &mut self,
        lab: Lab,
        snapshot: Snapshot,
        needs: &Needs,
    ) -> Result<(), LabError> {
        self.withdraw(needs)?;
        self.put_in_force(lab, snapshot, needs)?;
        self.attach_tasks_anew()?;
        self.quiesce().await;
        self.open(needs)?;
        // What is closed in between is as little as can be: nothing waits for this.
        self.refit_tasks().await
    }

    /// Removes what is not needed. Every step is taken, whatever became of those before; the first failure is returned.
    pub(super) async fn shrink(&mut self, needs: &Needs) -> Result<(), LabError> {
        let gone: Vec<DeviceId> =
            self.workers.keys().filter(|id| !needs.devices.contains_key(*id)).cloned().collect();
        let mut first = Ok(());
        for id in gone {
            first = first.and(self.remove_device(&id));
        }
        for (id, device) in &needs.devices {
            first = first.and(self.narrow(id, device.mtu).await);
        }
        let sites: Vec<SiteId> = self.sites.keys().cloned().collect();
        for id in sites {
            first = first.and(match needs.sites.get(&id) {
                None => self.remove_site(&id).await,
                Some(site) => self.trim_site(&id, site).await,
            });
        }
        first
    }

    async fn make_site(&mut self, id: &SiteId, needs: &SiteNeeds) -> Result<(), LabError> {
        let Some(far) = far_of(id) else { return Ok(()) };
        let (near, number) = match id {
            SiteId::Internet | SiteId::Services => {
                ("internet".to_owned(), u32::from(needs.space.0))
            }
            SiteId::Vpc(_) => {
                let number = u32::from(needs.space.0);
                (format!("vpc-{}", number.saturating_sub(FIRST_VPC)), number)
            }
            SiteId::GatewayEndpoint(_) => {
                let number = self.sites_made;
                self.sites_made += 1;
                (format!("vpce-{number}"), BEYOND_SPACES + number)
            }
        };
        let netns = self.state.make_namespace(&needs.namespace)?;
        let made =
            link_space(&self.router, &near, &netns, far, number, &needs.addresses, needs.mtu).await;
        let link = match made {
            Ok(link) => link,
            Err(error) => {
                // What failed first is what the caller wants to hear. The namespace takes the link along.
                let _ = self.state.remove_namespace(&needs.namespace);
                return Err(error.into());
            }
        };
        let (addresses, space, mtu) = (needs.addresses.clone(), needs.space, needs.mtu);
        let listeners = BTreeMap::new();
        let site = Site { netns, near, far, link, space, mtu, addresses, listeners };
        self.steer.attach_space(&site.near, u32::from(space.0))?;
        self.sites.insert(id.clone(), site);
        self.listen(id, &needs.listens)
    }

    async fn extend_site(&mut self, id: &SiteId, needs: &SiteNeeds) -> Result<(), LabError> {
        let Some(site) = self.sites.get_mut(id) else { return Ok(()) };
        let have = |address: &&Ipv4Addr| !site.addresses.contains(address);
        let more: Vec<Ipv4Addr> = needs.addresses.iter().filter(have).copied().collect();
        if !more.is_empty() {
            let far_links = Links::open(&site.netns)?;
            readdress(&far_links, site.far, site.link, &more, &[]).await?;
            site.addresses.extend(more);
        }
        if needs.mtu > site.mtu {
            set_mtu(&self.router, site, needs.mtu).await?;
        }
        self.listen(id, &needs.listens)
    }

    async fn trim_site(&mut self, id: &SiteId, needs: &SiteNeeds) -> Result<(), LabError> {
        let Some(site) = self.sites.get_mut(id) else { return Ok(()) };
        site.listeners.retain(|endpoint, _| needs.listens.contains(endpoint));
        let unneeded = |address: &&Ipv4Addr| !needs.addresses.contains(address);
        let less: Vec<Ipv4Addr> = site.addresses.iter().filter(unneeded).copied().collect();
        if !less.is_empty() {
            let far_links = Links::open(&site.netns)?;
            readdress(&far_links, site.far, site.link, &[], &less).await?;
            site.addresses.retain(|address| !less.contains(address));
        }
        if needs.mtu < site.mtu {
            set_mtu(&self.router, site, needs.mtu).await?;
        }
        Ok(())
    }

    async fn remove_site(&mut self, id: &SiteId) -> Result<(), LabError> {
        let Some(site) = self.sites.remove(id) else { return Ok(()) };
        self.steer_drops.forget(site.link.ifindex);
        let detached = self.steer.detach_space(site.link.ifindex);
        let unlinked = match self.router.delete(&site.near).await {
            Err(LinkError::Missing { .. }) => Ok(()),
            deleted => deleted,
        };
        self.state.remove_namespace(site.netns.name())?;
        detached?;
        Ok(unlinked?)
    }

    /// Starts the listeners that do not run; those that do are left alone, with their connections.
    fn listen(&mut self, id: &SiteId, listens: &BTreeSet<Endpoint>) -> Result<(), LabError> {
        let Some(site) = self.sites.get_mut(id) else { return Ok(()) };
        for endpoint in listens {
            if !site.listeners.contains_key(endpoint) {
                let listener = spawn_echo(&site.netns, &[*endpoint])?;
                site.listeners.insert(*endpoint, listener);
            }
        }
        Ok(())
    }

    fn make_device(
        &mut self,
        lab: &Lab,
        id: &DeviceId,
        name: &str,
        mtu: u16,
    ) -> Result<(), LabError> {
        let kind = kind(lab.device);
        let queues =
            tun::Device::open_queues(&self.router_netns, name, kind, mtu, lab.spec.queues)?;
        self.steer.attach_tun(name)?;
        let judge = || {
            EngineJudge::new(
                Arc::clone(&self.engine),
                Arc::clone(&self.current),
                self.cache.clone(),
                id.clone(),
            )
        };
        let worker = Worker::spawn(name, queues, judge)
            .map_err(|source| LabError::Worker { device: name.to_owned(), source })?;
        self.workers.insert(id.clone(), worker);
        self.device_mtu.insert(id.clone(), mtu);
        Ok(())
    }

    fn remove_device(&mut self, id: &DeviceId) -> Result<(), LabError> {
        let Some(worker) = self.workers.remove(id) else { return Ok(()) };
        let ifindex = worker.device().ifindex();
        worker.stop();
        self.device_mtu.remove(id);
        self.losses.forget(id);
        self.steer_drops.forget(ifindex);
        Ok(self.steer.detach_tun(ifindex)?)
    }

    async fn widen(&mut self, id: &DeviceId, mtu: u16) -> Result<(), LabError> {
        if self.device_mtu.get(id).is_some_and(|now| mtu > *now) {
            self.set_device_mtu(id, mtu).await?;
        }
        Ok(())
    }

    async fn narrow(&mut self, id: &DeviceId, mtu: u16) -> Result<(), LabError> {
        if self.device_mtu.get(id).is_some_and(|now| mtu < *now) {
            self.set_device_mtu(id, mtu).await?;
        }
        Ok(())
    }

    async fn set_device_mtu(&mut self, id: &DeviceId, mtu: u16) -> Result<(), LabError> {
        if let Some(worker) = self.workers.get(id) {
            self.router.set_mtu(worker.device().name(), mtu).await?;
            self.device_mtu.insert(id.clone(), mtu);
        }
        Ok(())
    }

    /// From here on nothing goes by a way that will be another one, and nothing comes in for an address that will be
    /// somebody else's.
    fn withdraw(&mut self, needs: &Needs) -> Result<(), LabError> {
        let next = needs.owners();
        let less: Vec<_> = self
            .owned
            .iter()
            .filter(|(place, id)| next.get(place) != Some(id))
            .map(|(place, _)| *place)
            .collect();
        for place in less {
            self.steer.disown(u32::from(place.0.0), place.1)?;
            self.owned.remove(&place);
        }
        let tuns: Vec<(DeviceId, u32)> =
            self.workers.iter().map(|(id, w)| (id.clone(), w.device().ifindex())).collect();
        for (id, tun) in tuns {
            let deliveries = self.deliveries(needs, &id);
            self.steer.close_deliveries(tun, &deliveries)?;
        }
        Ok(())
    }

    fn open(&mut self, needs: &Needs) -> Result<(), LabError> {
        for (id, site) in &needs.sites {
            if let Some(built) = self.sites.get_mut(id)
                && built.space != site.space
            {
                self.steer.attach_space(&built.near, u32::from(site.space.0))?;
                built.space = site.space;
            }
        }
        for (id, device) in &needs.devices {
            let Some(worker) = self.workers.get(id) else { continue };
            let tun = worker.device().ifindex();
            for &place in &device.owned {
                if self.owned.get(&place) != Some(id) {
                    self.steer.own(u32::from(place.0.0), place.1, tun)?;
                    self.owned.insert(place, id.clone());
                }
            }
        }
        // Nothing leaves from an address that is not owned yet.
        for id in needs.devices.keys() {
            let Some(worker) = self.workers.get(id) else { continue };
            let tun = worker.device().ifindex();
            let deliveries = self.deliveries(needs, id);
            self.steer.set_deliveries(tun, &deliveries)?;
        }
        Ok(())
    }

    /// What tc must know of a device.
    fn deliveries(&self, needs: &Needs, id: &DeviceId) -> Vec<(Ipv4Network, Link)> {
        let Some(device) = needs.devices.get(id) else { return Vec::new() };
        let by = |(prefix, site): (&Ipv4Network, &SiteId)| {
            let link = match site {
                SiteId::Services => self.services.link(),
                SiteId::Internet | SiteId::Vpc(_) | SiteId::GatewayEndpoint(_) => {
                    self.sites.get(site)?.link
                }
            };
            Some((*prefix, link))
        };
        device.deliveries.iter().filter_map(by).collect()
    }

    /// Waits until no worker is in a batch that began before now, and no packet on its way by an entry of the flow cache
    /// that was used before. A batch is at most 64 packets, none of which is waited for.
    pub(in crate::daemon) async fn quiesce(&self) {
        if let Some(cache) = &self.cache {
            cache.quiesce();
        }
        let busy: Vec<_> = self
            .workers
            .values()
            .map(|worker| worker.stats())
            .map(|stats| (stats.epoch(), stats))
            .collect();
        while !busy.iter().all(|(then, stats)| stats.grace_period_is_over(then)) {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }
}

/// What the link of a place is called there; the services see to theirs themselves.
pub(in crate::daemon) fn far_of(id: &SiteId) -> Option<&'static str> {
    match id {
        SiteId::Internet => Some("net0"),
        SiteId::Vpc(_) => Some("vpc0"),
        SiteId::GatewayEndpoint(_) => Some("vpce0"),
        SiteId::Services => None,
    }
}

/// The first number of a VPC's space.
const FIRST_VPC: u32 = Space::nth_vpc(0).0 as u32;

async fn set_mtu(router: &Links, site: &mut Site, mtu: u16) -> Result<(), LabError> {
    router.set_mtu(&site.near, mtu).await?;
    Links::open(&site.netns)?.set_mtu(site.far, mtu).await?;
    site.mtu = mtu;
    Ok(())
}

fn workers(queues: u16) -> String {
    if queues == 1 { "one worker".to_owned() } else { format!("{queues} workers") }
}

fn kind(kind: DeviceKind) -> tun::DeviceKind {
    match kind {
        DeviceKind::Auto => tun::DeviceKind::Auto,
        DeviceKind::Vnet => tun::DeviceKind::Vnet,
        DeviceKind::Plain => tun::DeviceKind::Plain,
    }
}
