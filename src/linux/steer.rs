//! Loads the tc programs of `src/steer` and fills their maps.
//!
//! There is one program object, attached to many links. On Linux 6.6 and later the attachments are
//! links of the process: they vanish with it, and then nothing is forwarded, since the router
//! namespace has no routes. On older kernels the filters stay, but the TUNs that they redirect to
//! end with the process, so nothing is forwarded either. If established flows are to outlive the
//! process ([`Steer::load_to_stay`]), so do the links and the maps of the flow cache, for a time
//! that the programs check.
//!
//! The maps are bounded (see `steer.bpf.c`): 16,384 tasks, 16,384 links of VPCs, endpoints and the
//! internet; 65,536 addresses of ENIs and gateways; 1,048,576 prefixes of all TUNs together; 65,536
//! counters. An insertion beyond is an error here, never a silent eviction.

use super::attach::Attachments;
use super::flow_cache::{self, FlowCache};
use super::link::Delivery;
use super::link_tables::LinkTables;
use super::programs::{self, CACHING, PLAIN, SPACE, TASK, TUN, since};
use super::shared::{Address, DropCounterKey, LinkEntry, Origin, Owned, Prefix, Task};
use super::steer_error::{SteerError, ignore_missing, trouble};
use super::steer_reason::{SteerReason, number};
use super::sys::Plain;
use super::{Link, Netns, Pins};
use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap as BpfHash, LpmTrie, MapData};
use aya::{Ebpf, EbpfLoader};
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// The programs, loaded, for the links of one router namespace. Dropping it detaches all except
/// those that are pinned.
#[derive(Debug)]
pub struct Steer {
    netns: Netns,
    bpf: Ebpf,
    attachments: Attachments,
    /// The entries of the prefix map, by TUN.
    deliveries: HashMap<u32, BTreeMap<Ipv4Network, LinkEntry>>,
    /// A mirror of the maps, for the flow cache.
    tables: Arc<RwLock<LinkTables>>,
}

impl Steer {
    /// Loads the programs for a router namespace; nothing is attached yet.
    ///
    /// # Errors
    ///
    /// The caller is not root, or the kernel is too old.
    pub fn load(router: &Netns) -> Result<Self, SteerError> {
        Self::load_object(&mut EbpfLoader::new(), router, PLAIN, None)
    }

    /// Loads the programs with a flow cache, which uses no entry yet.
    ///
    /// # Errors
    ///
    /// The caller is not root, or the kernel is older than 6.6: there the filters stay on their
    /// links, and a cache would forward without a process.
    pub fn load_with_cache(router: &Netns) -> Result<(Self, FlowCache), SteerError> {
        if !since(6, 6) {
            return Err(SteerError::NoCache);
        }
        Self::load_caching(&mut EbpfLoader::new(), router)
    }

    /// Loads the programs as [`Steer::load_with_cache`] does, for test runs, whose packets come
    /// from no IP socket.
    #[cfg(test)]
    pub(super) fn load_for_test_runs(router: &Netns) -> Result<(Self, FlowCache), SteerError> {
        let mut loader = EbpfLoader::new();
        loader.override_global("takes_any_sender", &1_u8, true);
        Self::load_caching(&mut loader, router)
    }

    fn load_caching(
        loader: &mut EbpfLoader<'_>,
        router: &Netns,
    ) -> Result<(Self, FlowCache), SteerError> {
        let mut steer = Self::load_object(loader, router, CACHING, None)?;
        let cache = FlowCache::take(&mut steer.bpf, Arc::clone(&steer.tables), false)?;
        Ok((steer, cache))
    }

    /// Loads the programs with a flow cache, where links and cache outlive the process: those of
    /// the earlier process are taken over. Links that it attached keep its programs until
    /// [`Steer::take_over`], so that the maps of the new ones can be filled first.
    ///
    /// # Errors
    ///
    /// The caller is not root, the kernel is older than 6.6, or it refuses.
    pub fn load_to_stay(router: &Netns, pins: Pins) -> Result<(Self, FlowCache), SteerError> {
        if !since(6, 6) {
            return Err(SteerError::NoGrace);
        }
        let mut loader = EbpfLoader::new();
        for map in flow_cache::MAPS {
            loader.map_pin_path(map, pins.map(map));
        }
        let mut steer = Self::load_object(&mut loader, router, CACHING, Some(pins))?;
        let cache = FlowCache::take(&mut steer.bpf, Arc::clone(&steer.tables), true)?;
        Ok((steer, cache))
    }

    fn load_object(
        loader: &mut EbpfLoader<'_>,
        router: &Netns,
        object: &[u8],
        pins: Option<Pins>,
    ) -> Result<Self, SteerError> {
        Ok(Self {
            netns: router.clone(),
            bpf: programs::load(loader, object)?,
            attachments: Attachments::new(router, pins),
            deliveries: HashMap::new(),
            tables: Arc::default(),
        })
    }

    /// Gives the links that the earlier process attached the programs of this one, each in one
    /// step. Links that are not attached again by then keep the old program. A process without an
    /// earlier one must call it, too, when the lab is up.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn take_over(&mut self) -> Result<(), SteerError> {
        self.attachments.take_over(&mut self.bpf)
    }

    /// Leads the task's packets on `link` to the TUN, if they come from the task's own address.
    /// Attaching again changes address and TUN in one step. Returns the link's interface index.
    ///
    /// # Errors
    ///
    /// No such link exists, or 16,384 tasks are attached.
    pub fn attach_task(
        &mut self,
        link: &str,
        address: Ipv4Addr,
        tun: u32,
    ) -> Result<u32, SteerError> {
        let ifindex = self.ifindex(link)?;
        let task = Plain(Task { address: address.octets(), tun });
        self.hash::<u32, _>("tasks")?.insert(ifindex, task, 0).map_err(trouble("tasks"))?;
        let before = self.attachments.attach(&mut self.bpf, link, ifindex, TASK, Some(address))?;
        if let Some(before) = before {
            self.withdraw_task(before)?;
        }
        Ok(ifindex)
    }

    /// Removes a task: its link, the delivery to it, its counters. A task that is not attached is
    /// no error. Returns all that was dropped there.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn detach_task(&mut self, ifindex: u32) -> Result<Vec<(SteerReason, u64)>, SteerError> {
        let task = self.attachments.task(ifindex);
        self.attachments.detach(&mut self.bpf, ifindex)?;
        ignore_missing("tasks", self.hash::<u32, Plain<Task>>("tasks")?.remove(&ifindex))?;
        if let Some(address) = task {
            self.withdraw_task(address)?;
        }
        self.forget_counters(ifindex)
    }

    /// Assigns packets on a VPC's or the internet's `link` to the address space `space`. Returns
    /// the link's interface index.
    ///
    /// # Errors
    ///
    /// No such link exists, or 16,384 links are attached.
    pub fn attach_space(&mut self, link: &str, space: u32) -> Result<u32, SteerError> {
        self.attach_origin(link, Origin { space, source: [0; 4] })
    }

    /// Assigns packets on an attached resource's `link` to the address space, as
    /// [`Steer::attach_space`] does, if they come from its own address. Attaching again changes
    /// space and address in one step.
    ///
    /// # Errors
    ///
    /// As [`Steer::attach_space`].
    pub fn attach_resource(
        &mut self,
        link: &str,
        space: u32,
        address: Ipv4Addr,
    ) -> Result<u32, SteerError> {
        self.attach_origin(link, Origin { space, source: address.octets() })
    }

    fn attach_origin(&mut self, link: &str, origin: Origin) -> Result<u32, SteerError> {
        let (ifindex, space) = (self.ifindex(link)?, origin.space);
        let mut spaces = self.hash::<u32, _>("spaces")?;
        spaces.insert(ifindex, Plain(origin), 0).map_err(trouble("spaces"))?;
        self.tables().spaces.insert(ifindex, space);
        self.attachments.attach(&mut self.bpf, link, ifindex, SPACE, None)?;
        Ok(ifindex)
    }

    /// Removes a link of [`Steer::attach_space`] and its counters; nothing enters by it any more. A
    /// link that is not attached is no error. Returns all that was dropped there.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn detach_space(&mut self, ifindex: u32) -> Result<Vec<(SteerReason, u64)>, SteerError> {
        self.attachments.detach(&mut self.bpf, ifindex)?;
        self.tables().spaces.remove(&ifindex);
        ignore_missing("spaces", self.hash::<u32, Plain<Origin>>("spaces")?.remove(&ifindex))?;
        self.forget_counters(ifindex)
    }

    /// Delivers the packets that the engine writes to the TUN `device`: to tasks, and by
    /// [`Steer::set_deliveries`]. Returns the device's interface index.
    ///
    /// # Errors
    ///
    /// No such device exists.
    pub fn attach_tun(&mut self, device: &str) -> Result<u32, SteerError> {
        let ifindex = self.ifindex(device)?;
        self.attachments.attach(&mut self.bpf, device, ifindex, TUN, None)?;
        Ok(ifindex)
    }

    /// Removes a TUN: its deliveries and its counters. [`Steer::disown`] removes the addresses that
    /// it owns. A TUN that is not attached is no error. Returns all that was dropped there.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn detach_tun(&mut self, ifindex: u32) -> Result<Vec<(SteerReason, u64)>, SteerError> {
        self.attachments.detach(&mut self.bpf, ifindex)?;
        self.set_deliveries(ifindex, &[])?;
        self.deliveries.remove(&ifindex);
        self.tables().deliveries.remove(&ifindex);
        self.forget_counters(ifindex)
    }

    /// Drops all packets that the engine writes to the TUN `device`, and counts them, until
    /// [`Steer::reconnect`].
    ///
    /// # Errors
    ///
    /// No such device exists, or the kernel refuses.
    pub fn cut_off(&mut self, device: &str) -> Result<(), SteerError> {
        let ifindex = self.ifindex(device)?;
        self.attachments.cut_off(&mut self.bpf, device, ifindex)
    }

    /// Undoes [`Steer::cut_off`]. A TUN that is not cut off is no error.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn reconnect(&mut self, ifindex: u32) -> Result<(), SteerError> {
        self.attachments.reconnect(&mut self.bpf, ifindex)
    }

    /// Leads packets for `address` from the address space to the TUN: the address is an ENI's, a
    /// NAT gateway's, or public. Only packets from such an address leave by a link of that space.
    ///
    /// # Errors
    ///
    /// 65,536 addresses are owned.
    pub fn own(&mut self, space: u32, address: Ipv4Addr, tun: u32) -> Result<(), SteerError> {
        let key = Plain(Owned { space, address: address.octets() });
        self.hash::<_, u32>("owners")?.insert(key, tun, 0).map_err(trouble("owners"))?;
        self.tables().owners.insert((space, address), tun);
        Ok(())
    }

    /// Undoes [`Steer::own`]: packets for `address` from the address space are dropped, and so are
    /// packets from it to there. An address that is not owned is no error.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn disown(&mut self, space: u32, address: Ipv4Addr) -> Result<(), SteerError> {
        let key = Plain(Owned { space, address: address.octets() });
        self.tables().owners.remove(&(space, address));
        ignore_missing("owners", self.hash::<_, u32>("owners")?.remove(&key))
    }

    /// Gives packets that leave the address space from the private address of a public endpoint its
    /// public address.
    ///
    /// # Errors
    ///
    /// 65,536 addresses are mapped.
    pub fn map_public(
        &mut self,
        space: u32,
        private: Ipv4Addr,
        public: Ipv4Addr,
    ) -> Result<(), SteerError> {
        let (name, key) = ("public_addresses", Plain(Owned { space, address: private.octets() }));
        self.hash::<_, Address>(name)?.insert(key, public.octets(), 0).map_err(trouble(name))
    }

    /// Undoes [`Steer::map_public`]. An address that is not mapped is no error.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn unmap_public(&mut self, space: u32, private: Ipv4Addr) -> Result<(), SteerError> {
        let (name, key) = ("public_addresses", Plain(Owned { space, address: private.octets() }));
        ignore_missing(name, self.hash::<_, Address>(name)?.remove(&key))
    }

    /// Delivers packets that the engine lets through to a task's address by the task's link,
    /// whatever the TUN.
    ///
    /// # Errors
    ///
    /// 16,384 tasks have a delivery.
    pub fn deliver_task(&mut self, address: Ipv4Addr, link: Link) -> Result<(), SteerError> {
        let mut links = self.hash::<Address, _>("task_links")?;
        let entry = Plain(LinkEntry::from(link));
        links.insert(address.octets(), entry, 0).map_err(trouble("task_links"))?;
        self.tables().tasks.insert(address, link);
        Ok(())
    }

    /// Undoes [`Steer::deliver_task`]. A task without a delivery is no error.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn withdraw_task(&mut self, address: Ipv4Addr) -> Result<(), SteerError> {
        let mut links = self.hash::<Address, Plain<LinkEntry>>("task_links")?;
        ignore_missing("task_links", links.remove(&address.octets()))?;
        self.tables().tasks.remove(&address);
        Ok(())
    }

    /// Delivers packets that the engine lets through by a TUN by these links, the longest prefix
    /// first, and by no others: deliveries that are not in `next` are withdrawn, then new ones are
    /// added. A packet that no prefix matches is dropped.
    ///
    /// In between only a shorter prefix may match a destination. Where that must not happen, as
    /// under traffic, [`Steer::close_deliveries`] comes first.
    ///
    /// # Errors
    ///
    /// There are 1,048,576 prefixes of all TUNs together, or the kernel refuses. The changes made
    /// until then stay.
    pub fn set_deliveries(
        &mut self,
        tun: u32,
        next: &[(Ipv4Network, Delivery)],
    ) -> Result<(), SteerError> {
        let next: BTreeMap<_, _> = next.iter().map(|(p, to)| (*p, LinkEntry::from(*to))).collect();
        let mut now = self.deliveries.remove(&tun).unwrap_or_default();
        let done = self.change_deliveries(tun, &mut now, &next);
        self.deliveries.insert(tun, now);
        done
    }

    /// Drops packets for the deliveries of a TUN that will differ in `next`, until
    /// [`Steer::set_deliveries`]: during a change of the configuration a packet judged under the
    /// old one must not leave by a link of the new, nor one judged under the new by a link of the
    /// old. So the new deliveries of `next` are closed as well: until then a shorter prefix has
    /// their addresses.
    ///
    /// # Errors
    ///
    /// There are 1,048,576 prefixes of all TUNs together, or the kernel refuses. The changes made
    /// until then stay.
    pub fn close_deliveries(
        &mut self,
        tun: u32,
        next: &[(Ipv4Network, Delivery)],
    ) -> Result<(), SteerError> {
        let next: BTreeMap<_, _> = next.iter().map(|(p, to)| (*p, LinkEntry::from(*to))).collect();
        let mut now = self.deliveries.get(&tun).cloned().unwrap_or_default();
        now.retain(|prefix, link| next.get(prefix) != Some(link));
        let open = self.deliveries.get(&tun);
        let is_new = |prefix: &&Ipv4Network| open.is_none_or(|open| !open.contains_key(*prefix));
        let others: Vec<_> = now.into_keys().chain(next.keys().filter(is_new).copied()).collect();
        for prefix in others {
            self.deliver(tun, prefix, LinkEntry::NOWHERE)?;
            self.deliveries.entry(tun).or_default().insert(prefix, LinkEntry::NOWHERE);
        }
        Ok(())
    }

    /// Returns the number of packets dropped on each interface (of the router namespace), by
    /// reason; sorted.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn counters(&self) -> Result<Vec<(u32, SteerReason, u64)>, SteerError> {
        let map = self.bpf.map("drops").ok_or(SteerError::Foreign("drops"))?;
        let drops =
            BpfHash::<_, Plain<DropCounterKey>, u64>::try_from(map).map_err(trouble("drops"))?;
        let mut counters = drops
            .iter()
            .map(|entry| entry.map(|(Plain(of), count)| (of.ifindex, of.reason.into(), count)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(trouble("drops"))?;
        counters.sort_unstable();
        Ok(counters)
    }

    /// Runs a program on a frame, as if on a loopback device. Returns its verdict, and the
    /// resulting frame.
    #[cfg(test)]
    pub(super) fn run(&self, program: &'static str, frame: &[u8], gso_size: u16) -> (u32, Vec<u8>) {
        use aya::programs::{TestRun as _, TestRunOptions};
        // `gso_size` has this offset in `struct __sk_buff`; all other fields are zero.
        let (mut context, mut out) = ([0; 192], [0; 2048]);
        context[176..180].copy_from_slice(&u32::from(gso_size).to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let program: &aya::programs::SchedClassifier =
            self.bpf.program(program).unwrap().try_into().unwrap();
        let done = program.test_run(options).unwrap();
        (done.return_value, out[..done.data_size_out as usize].to_vec())
    }

    fn change_deliveries(
        &mut self,
        tun: u32,
        now: &mut BTreeMap<Ipv4Network, LinkEntry>,
        next: &BTreeMap<Ipv4Network, LinkEntry>,
    ) -> Result<(), SteerError> {
        let gone_now: Vec<_> = now.keys().filter(|p| !next.contains_key(p)).copied().collect();
        for prefix in gone_now {
            let removed = self.prefixes()?.remove(&prefix_key(tun, prefix));
            ignore_missing("prefix_links", removed)?;
            now.remove(&prefix);
            if let Some(links) = self.tables().deliveries.get_mut(&tun) {
                links.remove(&canonical(prefix));
            }
        }
        for (&prefix, &link) in next {
            if now.get(&prefix) != Some(&link) {
                self.deliver(tun, prefix, link)?;
                now.insert(prefix, link);
            }
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        tun: u32,
        prefix: Ipv4Network,
        link: LinkEntry,
    ) -> Result<(), SteerError> {
        let key = prefix_key(tun, prefix);
        self.prefixes()?.insert(&key, Plain(link), 0).map_err(trouble("prefix_links"))?;
        let mut tables = self.tables();
        tables.deliveries.entry(tun).or_default().insert(canonical(prefix), link.delivery());
        Ok(())
    }

    /// Locks the tables. A thread that failed while it held the lock left no value half written.
    fn tables(&self) -> RwLockWriteGuard<'_, LinkTables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_counters(&mut self, ifindex: u32) -> Result<Vec<(SteerReason, u64)>, SteerError> {
        // The kernel reuses interface indexes: the next link must not begin with these counters.
        let counters = self.counters()?.into_iter().filter(|(counted, ..)| *counted == ifindex);
        let counters: Vec<_> = counters.map(|(_, reason, packets)| (reason, packets)).collect();
        for (reason, _) in &counters {
            let key = Plain(DropCounterKey { ifindex, reason: number(*reason) });
            ignore_missing("drops", self.hash::<_, u64>("drops")?.remove(&key))?;
        }
        Ok(counters)
    }

    fn ifindex(&self, link: &str) -> Result<u32, SteerError> {
        let found = self.netns.run(|| nix::net::if_::if_nametoindex(link))?;
        found.map_err(|_| SteerError::Missing {
            link: link.to_owned(),
            netns: self.netns.name().to_owned(),
        })
    }

    fn hash<K: aya::Pod, V: aya::Pod>(
        &mut self,
        name: &'static str,
    ) -> Result<BpfHash<&mut MapData, K, V>, SteerError> {
        let map = self.bpf.map_mut(name).ok_or(SteerError::Foreign(name))?;
        BpfHash::try_from(map).map_err(trouble(name))
    }

    fn prefixes(
        &mut self,
    ) -> Result<LpmTrie<&mut MapData, Plain<Prefix>, Plain<LinkEntry>>, SteerError> {
        let name = "prefix_links";
        let map = self.bpf.map_mut(name).ok_or(SteerError::Foreign(name))?;
        LpmTrie::try_from(map).map_err(trouble(name))
    }
}

fn canonical(prefix: Ipv4Network) -> Ipv4Network {
    Ipv4Network::new_checked(prefix.network(), prefix.prefix()).unwrap_or(prefix)
}

fn prefix_key(tun: u32, prefix: Ipv4Network) -> Key<Plain<Prefix>> {
    let address = prefix.network().octets();
    Key::new(32 + u32::from(prefix.prefix()), Plain(Prefix { tun, address }))
}
