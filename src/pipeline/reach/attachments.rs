//! Where the tasks of a service may be attached, whether or not any runs there now.

use crate::vpc::path::Attachment;
use crate::vpc::{
    ConnectorIx, Egress, Eni, EniIx, ServiceIx, ServiceKind, Snapshot, SubnetIx, TaskEni,
};
use std::net::Ipv4Addr;

/// Lists every attachment that a service's tasks may get, one for each subnet, and returns the configuration to ask: this
/// one, with an ENI more in each subnet where only a further Fargate task would have one.
///
/// Such an ENI has an address that nothing is ever sent to or from (RFC 1122, 3.2.1.3), and is judged with those that its
/// subnet has free.
pub fn attachments(snapshot: &Snapshot, service: ServiceIx) -> (Snapshot, Vec<Attachment>) {
    let Egress::Vpc(ix) = snapshot.service(service).egress else {
        return (snapshot.clone(), vec![Attachment::AppRunner]);
    };
    let connector = snapshot.connector(ix);
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for &subnet in &connector.subnets {
        let there = match connector.kind {
            ServiceKind::AppRunner | ServiceKind::Lambda => {
                snapshot.hyperplane_eni(connector.kind, subnet, &connector.security_groups)
            }
            ServiceKind::Fargate => of_a_task(snapshot, ix, subnet),
        };
        match (there, connector.kind) {
            (Some(eni), _) => found.push(Attachment::Eni(eni)),
            (None, ServiceKind::Fargate) => missing.push(subnet),
            (None, ServiceKind::AppRunner | ServiceKind::Lambda) => {}
        }
    }
    if missing.is_empty() {
        return (snapshot.clone(), found);
    }
    let (completed, more) = complete(snapshot, ix, &missing);
    found.extend(more);
    (completed, found)
}

fn of_a_task(snapshot: &Snapshot, connector: ConnectorIx, subnet: SubnetIx) -> Option<EniIx> {
    let is_one = |eni: &Eni| {
        eni.subnet == subnet && eni.task.as_ref().is_some_and(|task| task.connector == connector)
    };
    snapshot.parts().enis.iter().position(is_one).map(EniIx::from)
}

/// Adds an ENI in each of these subnets. Public addresses are for all tasks of a service or for none.
fn complete(
    snapshot: &Snapshot,
    connector: ConnectorIx,
    subnets: &[SubnetIx],
) -> (Snapshot, Vec<Attachment>) {
    let mut parts = snapshot.parts().clone();
    let own = |eni: &Eni| eni.task.filter(|task| task.connector == connector);
    let is_public = parts.enis.iter().filter_map(own).any(|task| task.public_address.is_some());
    let mut added = Vec::new();
    for (number, &subnet) in (1u32..).zip(subnets) {
        let nowhere = Ipv4Addr::from(number);
        let id = format!("eni-{}-{number}", snapshot.connector(connector).name);
        let groups = snapshot.connector(connector).security_groups.clone();
        let task = TaskEni { connector, number: 0, public_address: is_public.then_some(nowhere) };
        let eni = Eni::new(id, String::new(), subnet, groups, nowhere);
        added.push(Attachment::Eni(EniIx::from(parts.enis.len())));
        parts.enis.push(eni.of(ServiceKind::Fargate, Some(task)));
    }
    let tasks: Vec<_> = snapshot.tasks().copied().collect();
    (Snapshot::build(snapshot.generation, parts).with_tasks(tasks), added)
}
