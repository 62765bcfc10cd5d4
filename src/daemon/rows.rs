//! The rows that the commands list, read from the engine and the tc counters of a running lab.

use super::aside::aside;
use super::attachment::Attachment;
use super::flow_row::offloaded;
use super::flows::FlowQuery;
use super::needs::NamespaceId;
use super::running::Running;
use crate::explain::{
    EniRow, FlowRow, HolderRow, Offloaded, PsRow, ResourceRow, security_group_id, service_name,
    subnet_id,
};
use crate::flow::Instant;
use crate::linux::clock;
use crate::packet::Protocol;
use crate::pipeline::{Device, DeviceId, NatPair, Reason};
use crate::vpc::{Egress, EniIx, NatGatewayIx, Resource, ServiceKind, Snapshot, SubnetIx};
use std::collections::BTreeMap;
use std::time::Duration;

impl Running {
    /// Lists every flow that has not expired, by task and destination, for `egret flows`.
    pub fn flow_rows(&self) -> Vec<FlowRow> {
        let everything = FlowQuery::default();
        let history = self.history.load();
        let now = Instant(clock::now());
        let rows = aside(|| everything.rows(&self.engine, now, &self.snapshot(), &history));
        // The query names nothing that a lab could lack.
        rows.unwrap_or_default()
    }

    /// Lists every TUN device with its traffic, for `egret enis`.
    pub async fn eni_rows(&mut self) -> Vec<EniRow> {
        self.count_drops(Instant(clock::now())).await;
        let snapshot = self.snapshot();
        let traffic = aside(|| self.traffic());
        let mut drops: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let mut port_errors: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for (id, reason, packets) in self.drops_by_device() {
            // A packet that a NAT gateway has no port for was read from an ENI: the gateway counts
            // it itself.
            let own = id == DeviceId::AppRunner && reason == Reason::NatPortsExhausted;
            if own || reason == Reason::EniPortsExhausted {
                *port_errors.entry(id.clone()).or_default() += packets;
            }
            *drops.entry(id).or_default() += packets;
        }
        let metrics = aside(|| self.engine.nat_metrics(Instant(clock::now()), &snapshot));
        Device::all(&snapshot)
            .filter_map(|device| {
                let id = DeviceId::of(&snapshot, device);
                Some((device, self.workers.get(&id)?, id))
            })
            .map(|(device, worker, id)| {
                let mut row = eni_row(&snapshot, device);
                row.queues = worker.queues();
                let carried = traffic.get(&device).copied().unwrap_or_default();
                if self.startup.of(Instant(clock::now()), &row.id) > Duration::ZERO {
                    row.state = Some("pending".to_owned());
                }
                row.dead_workers = self.dead_workers(&id);
                if row.dead_workers > 0 {
                    row.state = Some("dead".to_owned());
                }
                row.tasks = count(
                    snapshot
                        .tasks()
                        .filter(|t| t.eni.map_or(Device::AppRunner, Device::Eni) == device),
                );
                row.flows = carried.flows;
                row.packets_out = carried.packets_out;
                row.bytes_out = carried.bytes_out;
                row.packets_in = carried.packets_in;
                row.bytes_in = carried.bytes_in;
                row.offloaded = carried.offloaded;
                row.port_errors = port_errors.get(&id).copied().unwrap_or(0);
                if let Device::NatGateway(ix) = device {
                    row.metrics = metrics.get(ix.get()).copied();
                    row.port_errors = row.metrics.map_or(0, |m| m.error_port_allocation);
                }
                row.drops = drops.get(&id).copied().unwrap_or(0);
                row
            })
            .collect()
    }

    /// Lists the fullest ENIs and destinations of NAT gateways, with the tasks that hold the most
    /// ports there, for `egret enis --holders`.
    pub fn holder_rows(&self) -> Vec<HolderRow> {
        let snapshot = self.snapshot();
        let mut rows = Vec::new();
        for pool in aside(|| self.engine.port_holders(&snapshot)) {
            let id = eni_row(&snapshot, pool.pool.device).id;
            let destination = pool.pool.protocol().zip(pool.pool.destination).map(
                |(protocol, (_, address, port))| match protocol {
                    Protocol::Tcp | Protocol::Udp => format!("{address}:{port}/{protocol}"),
                    Protocol::Icmp | Protocol::Other(_) => format!("{address}/{protocol}"),
                },
            );
            rows.extend(pool.holders.iter().filter_map(|&(task, ports)| {
                let task = snapshot.task(task)?;
                Some(HolderRow {
                    id: id.clone(),
                    destination: destination.clone(),
                    taken: pool.taken,
                    limit: pool.limit,
                    service: service_name(&snapshot, task.service).to_owned(),
                    task: task.number,
                    ports,
                })
            }));
        }
        rows
    }

    /// Lists every task, by service and number, for `egret ps`. [`Running::look_at_links`] adds
    /// which are broken.
    pub fn ps_rows(&self) -> Vec<PsRow> {
        let snapshot = self.snapshot();
        let mut rows: Vec<_> =
            self.tasks.values().map(|task| self.ps_row(&snapshot, task)).collect();
        rows.sort_by(|a, b| (&a.service, a.task).cmp(&(&b.service, b.task)));
        rows
    }

    fn ps_row(&self, snapshot: &Snapshot, attachment: &Attachment) -> PsRow {
        let Attachment { service, number, address, namespace, device, .. } = attachment;
        // The configuration may have no place for a task that could not be removed.
        let eni = snapshot.task(*address).and_then(|task| task.eni);
        let subnet = eni.map(|eni| snapshot.eni(eni).subnet);
        let is_app_runners = *device == Some(DeviceId::AppRunner);
        PsRow {
            service: service.clone(),
            task: *number,
            namespace: namespace.clone(),
            address: *address,
            eni: eni.map(|eni| snapshot.eni(eni).id.clone()),
            subnet: subnet.map(|s| subnet_id(snapshot, s).to_owned()),
            availability_zone: subnet.map(|s| snapshot.subnet(s).availability_zone.clone()),
            egress: if is_app_runners { "default" } else { "vpc" }.to_owned(),
            origin: attachment.origin.as_str().to_owned(),
            container: attachment.container.clone(),
            state: "ok".to_owned(),
            faults: Vec::new(),
            way_out: None,
            generation: snapshot.generation.0,
            time_scale: self.lab.time_scale,
        }
    }

    /// Lists the resources in the lab file's order, for `egret resource list`.
    pub fn resource_rows(&self) -> Vec<ResourceRow> {
        let snapshot = self.snapshot();
        let resources = snapshot.parts().resources.iter();
        resources.map(|resource| self.resource_row(&snapshot, resource)).collect()
    }

    fn resource_row(&self, snapshot: &Snapshot, resource: &Resource) -> ResourceRow {
        let attached = self.namespaces.get(&NamespaceId::Resource(resource.name.clone()));
        let groups = resource.security_groups.iter();
        let listens = resource.listen.iter().map(ToString::to_string);
        ResourceRow {
            resource: resource.name.clone(),
            address: resource.address,
            subnet: subnet_id(snapshot, resource.subnet).to_owned(),
            security_groups: groups.map(|ix| security_group_id(snapshot, *ix).to_owned()).collect(),
            listens: if attached.is_some() { Vec::new() } else { listens.collect() },
            namespace: attached.map(|namespace| namespace.netns.name().to_owned()),
            interface: attached.map(|namespace| namespace.far.clone()),
            container: attached.and_then(|namespace| namespace.container.clone()),
        }
    }

    /// Returns the traffic of each device: an ENI has that of all its paths, a NAT gateway that of
    /// the paths that lead through it.
    fn traffic(&self) -> BTreeMap<Device, Traffic> {
        let mut traffic: BTreeMap<Device, Traffic> = BTreeMap::new();
        let snapshot = self.snapshot();
        for (path, tally) in self.engine.tallies(&snapshot) {
            for device in devices(path) {
                let sum = traffic.entry(device).or_default();
                sum.packets_out += tally.sent.segments();
                sum.bytes_out += tally.sent.bytes();
                sum.packets_in += tally.received.segments();
                sum.bytes_in += tally.received.bytes();
                let more = offloaded(&tally.sent, &tally.received);
                sum.offloaded.packets_out += more.packets_out;
                sum.offloaded.bytes_out += more.bytes_out;
                sum.offloaded.packets_in += more.packets_in;
                sum.offloaded.bytes_in += more.bytes_in;
            }
        }
        self.engine.flows().for_each(|entry| {
            for device in NatPair::of(&snapshot, &entry.flow).into_iter().flat_map(devices) {
                traffic.entry(device).or_default().flows += 1;
            }
        });
        traffic
    }
}

/// The tag that App Runner's role must put on the interfaces that it makes; its value is free (spec
/// 1.8).
const APP_RUNNER_TAG: &str = "AWSAppRunnerManaged";

#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    flows: u64,
    packets_out: u64,
    bytes_out: u64,
    packets_in: u64,
    bytes_in: u64,
    offloaded: Offloaded,
}

pub(super) fn devices(path: NatPair) -> impl Iterator<Item = Device> {
    let first = path.eni.map_or(Device::AppRunner, Device::Eni);
    std::iter::once(first).chain(path.nat_gateway.map(Device::NatGateway))
}

fn eni_row(snapshot: &Snapshot, device: Device) -> EniRow {
    let mut row = EniRow {
        id: String::new(),
        device: String::new(),
        queues: 0,
        dead_workers: 0,
        kind: String::new(),
        subnet: None,
        availability_zone: None,
        security_groups: Vec::new(),
        address: None,
        public_address: None,
        secondary_addresses: Vec::new(),
        secondary_public_addresses: Vec::new(),
        state: None,
        services: Vec::new(),
        connectors: Vec::new(),
        interface_type: None,
        requester_managed: false,
        tags: BTreeMap::new(),
        tasks: 0,
        flows: 0,
        packets_out: 0,
        bytes_out: 0,
        packets_in: 0,
        bytes_in: 0,
        offloaded: Offloaded::default(),
        drops: 0,
        port_errors: 0,
        metrics: None,
    };
    match device {
        Device::Eni(ix) => hyperplane(snapshot, ix, &mut row),
        Device::NatGateway(ix) => nat_gateway(snapshot, ix, &mut row),
        Device::AppRunner => app_runner(snapshot, &mut row),
    }
    row
}

fn hyperplane(snapshot: &Snapshot, ix: EniIx, row: &mut EniRow) {
    let eni = snapshot.eni(ix);
    row.id.clone_from(&eni.id);
    row.device.clone_from(&eni.device);
    row.address = Some(eni.address);
    row.public_address = eni.public_address();
    row.requester_managed = true;
    let (kind, interface_type) = match eni.kind {
        ServiceKind::AppRunner => ("hyperplane", "interface"),
        ServiceKind::Lambda => ("hyperplane", "lambda"),
        ServiceKind::Fargate => ("task", "interface"),
    };
    kind.clone_into(&mut row.kind);
    row.interface_type = Some(interface_type.to_owned());
    if eni.kind == ServiceKind::AppRunner {
        row.tags = BTreeMap::from([(APP_RUNNER_TAG.to_owned(), "true".to_owned())]);
    }
    row.security_groups =
        eni.security_groups.iter().map(|g| security_group_id(snapshot, *g).to_owned()).collect();
    place(snapshot, eni.subnet, row);
    let parts = snapshot.parts();
    let own = eni.task.map(|task| snapshot.connector(task.connector));
    let shares = |c: &crate::vpc::Connector| match own {
        Some(own) => c.name == own.name,
        None => {
            let same = c.kind == eni.kind && c.security_groups == eni.security_groups;
            same && c.subnets.contains(&eni.subnet)
        }
    };
    let declared = parts.connectors.iter().filter(|c| c.kind == ServiceKind::AppRunner);
    row.connectors = declared.filter(|c| shares(c)).map(|c| c.name.clone()).collect();
    row.services = parts
        .services
        .iter()
        .filter(
            |s| matches!(s.egress, Egress::Vpc(connector) if shares(snapshot.connector(connector))),
        )
        .map(|s| s.name.clone())
        .collect();
}

fn nat_gateway(snapshot: &Snapshot, ix: NatGatewayIx, row: &mut EniRow) {
    let nat = snapshot.nat_gateway(ix);
    row.id.clone_from(&nat.id);
    row.device.clone_from(&nat.device);
    "nat-gateway".clone_into(&mut row.kind);
    row.interface_type = Some("natGateway".to_owned());
    row.requester_managed = true;
    row.address = Some(nat.private_address());
    row.public_address = nat.public_address();
    let secondary = nat.addresses.get(1..).unwrap_or_default();
    row.secondary_addresses = secondary.iter().map(|own| own.private).collect();
    row.secondary_public_addresses = secondary.iter().filter_map(|own| own.public).collect();
    row.state = Some(nat.state.as_str().to_owned());
    place(snapshot, nat.subnet, row);
}

fn app_runner(snapshot: &Snapshot, row: &mut EniRow) {
    let parts = snapshot.parts();
    "app-runner".clone_into(&mut row.id);
    "app-runner".clone_into(&mut row.device);
    "app-runner".clone_into(&mut row.kind);
    row.public_address = parts.apprunner_address;
    row.services = parts
        .services
        .iter()
        .filter(|s| s.egress == Egress::Default)
        .map(|s| s.name.clone())
        .collect();
}

fn place(snapshot: &Snapshot, subnet: SubnetIx, row: &mut EniRow) {
    row.subnet = Some(subnet_id(snapshot, subnet).to_owned());
    row.availability_zone = Some(snapshot.subnet(subnet).availability_zone.clone());
}

fn count(tasks: impl Iterator) -> u64 {
    u64::try_from(tasks.count()).unwrap_or(u64::MAX)
}
