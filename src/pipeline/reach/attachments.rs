//! Lists the present and possible attachments of a service's tasks.

use crate::vpc::path::Attachment;
use crate::vpc::{
    ConnectorIx, Egress, Eni, EniIx, ServiceIx, ServiceKind, Snapshot, SubnetIx, Task, TaskEni,
};
use std::net::Ipv4Addr;

/// The source of packets if no task runs; the first address of the task pool, which no task has.
const NO_TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// The tasks of a service that a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// All that the configuration allows, whether or not they run now.
    Possible,
    /// Those that run now.
    Running,
    /// One task.
    One(Task),
}

/// The private addresses that a question considers for an ENI or a NAT gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// All that the configuration leaves open: without a running lab, any of them may become the
    /// real one.
    Open,
    /// Those that it has in the running lab.
    Real,
}

/// An attachment of a question.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The attachment.
    pub attachment: Attachment,
    /// The addresses that are considered for its ENI.
    pub addresses: Addresses,
    /// A task that is attached there now; otherwise a possible task, with an address that no task
    /// has.
    pub task: Task,
}

/// Lists the attachments of a service's tasks, and returns the configuration to ask: this one, or
/// one with one more ENI in each subnet in which only a further Fargate task would have one.
///
/// Pass [`Addresses::Real`] for a running lab. Then each Fargate task that runs is considered with
/// its real address, and in each subnet a further task with the free ones. Otherwise one attachment
/// stands for each subnet. If only running tasks are asked for and none runs, no attachment is
/// listed.
///
/// The ENI of a further task has an address to or from which no packet is ever sent (RFC 1122,
/// 3.2.1.3), and is judged with the free addresses of its subnet.
pub fn attachments(
    snapshot: &Snapshot,
    service: ServiceIx,
    tasks: Tasks,
    addresses: Addresses,
) -> (Snapshot, Vec<Asked>) {
    let asking = Asking { snapshot, service, addresses };
    match tasks {
        Tasks::Possible => asking.possible(),
        Tasks::Running => (snapshot.clone(), asking.running()),
        Tasks::One(task) => {
            let attachment = snapshot.attachment(&task);
            let asked = attachment.map(|attachment| Asked { attachment, addresses, task });
            (snapshot.clone(), asked.into_iter().collect())
        }
    }
}

/// Lists the tasks of a service that are attached somewhere now, by their numbers.
pub fn tasks_at(snapshot: &Snapshot, service: ServiceIx, attachment: Attachment) -> Vec<Task> {
    let is_there =
        |task: &&Task| task.service == service && snapshot.attachment(task) == Some(attachment);
    let mut there: Vec<Task> = snapshot.tasks().filter(is_there).copied().collect();
    there.sort_unstable_by_key(|task| task.number);
    there
}

/// Decides whether an address stands for one that AWS has not chosen yet, as that of a further
/// task: no interface has an address in 0.0.0.0/8.
pub fn is_not_chosen(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
}

struct Asking<'a> {
    snapshot: &'a Snapshot,
    service: ServiceIx,
    addresses: Addresses,
}

impl Asking<'_> {
    fn possible(&self) -> (Snapshot, Vec<Asked>) {
        let Egress::Vpc(ix) = self.snapshot.service(self.service).egress else {
            return (self.snapshot.clone(), vec![self.at(Attachment::AppRunner)]);
        };
        let connector = self.snapshot.connector(ix);
        match connector.kind {
            ServiceKind::AppRunner | ServiceKind::Lambda => {
                let groups = &connector.security_groups;
                let of = |subnet: &SubnetIx| {
                    self.snapshot.hyperplane_eni(connector.kind, *subnet, groups)
                };
                let enis = connector.subnets.iter().filter_map(of);
                (self.snapshot.clone(), enis.map(|eni| self.at(Attachment::Eni(eni))).collect())
            }
            ServiceKind::Fargate => self.possible_fargate(ix),
        }
    }

    fn possible_fargate(&self, ix: ConnectorIx) -> (Snapshot, Vec<Asked>) {
        let (mut found, mut further) = (Vec::new(), Vec::new());
        if self.addresses == Addresses::Real {
            found = self.running();
        }
        for &subnet in &self.snapshot.connector(ix).subnets {
            let planned = eni_of_a_task(self.snapshot, ix, subnet);
            match (planned, self.addresses) {
                (Some(eni), Addresses::Open) => found.push(self.at(Attachment::Eni(eni))),
                (None, _) | (_, Addresses::Real) => further.push(subnet),
            }
        }
        if further.is_empty() {
            return (self.snapshot.clone(), found);
        }
        let (completed, enis) = complete(self.snapshot, ix, &further);
        let addresses = Addresses::Open;
        found.extend(enis.map(|eni| Asked { addresses, ..self.at(Attachment::Eni(eni)) }));
        (completed, found)
    }

    /// Lists the attachments that have a task now.
    fn running(&self) -> Vec<Asked> {
        let own = self.snapshot.tasks().filter(|task| task.service == self.service);
        let mut own: Vec<Task> = own.copied().collect();
        own.sort_unstable_by_key(|task| task.number);
        let mut found: Vec<Asked> = Vec::new();
        for task in own {
            let Some(attachment) = self.snapshot.attachment(&task) else { continue };
            if found.iter().all(|known| known.attachment != attachment) {
                found.push(Asked { attachment, addresses: self.addresses, task });
            }
        }
        found
    }

    fn at(&self, attachment: Attachment) -> Asked {
        let eni = match attachment {
            Attachment::Eni(ix) => Some(ix),
            Attachment::AppRunner => None,
        };
        let none = Task { service: self.service, number: 0, address: NO_TASK, eni };
        let there = tasks_at(self.snapshot, self.service, attachment);
        let task = there.first().copied().unwrap_or(none);
        Asked { attachment, addresses: self.addresses, task }
    }
}

fn eni_of_a_task(snapshot: &Snapshot, connector: ConnectorIx, subnet: SubnetIx) -> Option<EniIx> {
    let is_one = |eni: &Eni| {
        eni.subnet == subnet && eni.task.as_ref().is_some_and(|task| task.connector == connector)
    };
    snapshot.parts().enis.iter().position(is_one).map(EniIx::from)
}

/// Adds the ENI of a further task in each of these subnets, and returns their positions.
fn complete(
    snapshot: &Snapshot,
    ix: ConnectorIx,
    subnets: &[SubnetIx],
) -> (Snapshot, impl Iterator<Item = EniIx>) {
    let mut parts = snapshot.parts().clone();
    let first = parts.enis.len();
    let connector = snapshot.connector(ix);
    for (number, &subnet) in (1u32..).zip(subnets) {
        let nowhere = Ipv4Addr::from(number);
        let id = format!("eni-{}-{number}", connector.name);
        let public_address = connector.assign_public_ip.then_some(nowhere);
        let task = TaskEni { connector: ix, number: 0, public_address };
        let groups = connector.security_groups.clone();
        let eni = Eni::new(id, String::new(), subnet, groups, nowhere);
        parts.enis.push(eni.of(ServiceKind::Fargate, Some(task)));
    }
    let added = (first..parts.enis.len()).map(EniIx::from);
    let tasks: Vec<Task> = snapshot.tasks().copied().collect();
    (Snapshot::build(snapshot.generation, parts).with_tasks(tasks), added)
}
