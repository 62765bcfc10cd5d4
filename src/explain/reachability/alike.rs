//! Groups services with equal attachments: all of them reach the same destinations.

use crate::pipeline::reach::Addresses;
use crate::vpc::{
    ConnectorIx, Egress, SecurityGroupIx, ServiceIx, ServiceKind, Snapshot, SubnetIx,
};

/// Services with equal attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::explain) struct Alike {
    /// One that stands for all.
    pub(in crate::explain) first: ServiceIx,
    pub(in crate::explain) names: Vec<String>,
}

/// The properties that services with equal attachments share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attached<'a> {
    AppRunner,
    Hyperplane(ServiceKind, &'a [SubnetIx], &'a [SecurityGroupIx]),
    Tasks(ConnectorIx),
}

/// Groups services by their attachments, in the order of their first ones.
pub(in crate::explain) fn alike(
    services: &[ServiceIx],
    snapshot: &Snapshot,
    addresses: Addresses,
) -> Vec<Alike> {
    let mut found: Vec<(Attached<'_>, Alike)> = Vec::new();
    for &service in services {
        let attached = attached(service, snapshot);
        let name = snapshot.service(service).name.clone();
        // The tasks of a running Fargate service have addresses of their own.
        let is_alone = matches!(attached, Attached::Tasks(_)) && addresses == Addresses::Real;
        let is_known = |(known, _): &&mut (Attached<'_>, Alike)| *known == attached && !is_alone;
        match found.iter_mut().find(is_known) {
            Some((_, alike)) if alike.names.contains(&name) => {}
            Some((_, alike)) => alike.names.push(name),
            None => found.push((attached, Alike { first: service, names: vec![name] })),
        }
    }
    found.into_iter().map(|(_, alike)| alike).collect()
}

fn attached(service: ServiceIx, snapshot: &Snapshot) -> Attached<'_> {
    let Egress::Vpc(ix) = snapshot.service(service).egress else { return Attached::AppRunner };
    let connector = snapshot.connector(ix);
    match connector.kind {
        ServiceKind::Fargate => Attached::Tasks(ix),
        kind @ (ServiceKind::AppRunner | ServiceKind::Lambda) => {
            Attached::Hyperplane(kind, &connector.subnets, &connector.security_groups)
        }
    }
}
