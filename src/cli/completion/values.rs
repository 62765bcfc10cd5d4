//! The values that arguments can have: `#[arg(add = ArgValueCompleter::new(values::services))]`.

use super::known::{self, is_lab_file};
use crate::config::LINTS;
use crate::daemon::state::labs;
use crate::pipeline::Reason;
use crate::vpc::{Eni, Service, Snapshot, Task};
use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use std::ffi::OsStr;
use std::path::Path;

/// A value, and what stands beside it where a shell shows that.
type Value = (String, Option<String>);

/// The most tasks that are listed beside the services; of a larger lab, those of a service are once
/// its name and a `/` are there.
const MOST_TASKS: usize = 50;

/// Lists the labs that run.
pub fn labs_that_run(current: &OsStr) -> Vec<CompletionCandidate> {
    fitting(current, labs().into_iter().map(alone))
}

/// Lists the services.
pub fn services(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| lab.parts().services.iter().map(service).collect())
}

/// Lists the tasks.
pub fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, tasks_of)
}

/// Lists the services and their tasks.
pub fn services_and_tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| senders(lab, current))
}

/// Lists what a capture can be of: ENIs, services, tasks and NAT gateways.
pub fn subjects(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| {
        let interfaces = enis(lab).into_iter().chain(nat_gateways_of(lab));
        interfaces.chain(senders(lab, current)).collect()
    })
}

/// Lists ENIs, NAT gateways and App Runner's own egress.
pub fn interfaces(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| {
        let own = alone("app-runner".to_owned());
        enis(lab).into_iter().chain(nat_gateways_of(lab)).chain([own]).collect()
    })
}

/// Lists NAT gateways.
pub fn nat_gateways(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, nat_gateways_of)
}

/// Lists VPCs.
pub fn vpcs(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| lab.parts().vpcs.iter().map(|vpc| alone(vpc.id.clone())).collect())
}

/// Lists gateway endpoints.
pub fn gateway_endpoints(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| {
        let endpoints = lab.parts().gateway_endpoints.iter();
        endpoints.map(|own| beside(&own.id, own.service.clone())).collect()
    })
}

/// Lists resources.
pub fn resources(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| {
        let resources = lab.parts().resources.iter();
        resources.map(|own| beside(&own.name, own.address.to_string())).collect()
    })
}

/// Lists what has a name that packets can be sent to.
pub fn destinations(current: &OsStr) -> Vec<CompletionCandidate> {
    of_lab(current, |lab| {
        let parts = lab.parts();
        let resources = parts.resources.iter().map(|own| alone(own.name.clone()));
        let hosts = parts.internet_hosts.iter();
        let hosts = hosts.map(|own| beside(&own.name, own.address.to_string()));
        resources.chain(hosts).chain([alone("internet".to_owned())]).collect()
    })
}

/// Lists the words that can follow in a list with commas, each with the list before it.
pub fn of_list(current: &OsStr, words: &[String]) -> Vec<CompletionCandidate> {
    let text = current.to_string_lossy();
    let before = text.rfind(',').map_or("", |at| &text[..=at]);
    fitting(current, words.iter().map(|word| alone(format!("{before}{word}"))))
}

/// Lists the reasons of drops.
pub fn reasons(current: &OsStr) -> Vec<CompletionCandidate> {
    let all = Reason::ALL.iter();
    fitting(current, all.map(|reason| beside(reason.name(), reason.sentence().to_owned())))
}

/// Lists the rules of warnings and notes.
pub fn rules(current: &OsStr) -> Vec<CompletionCandidate> {
    fitting(current, LINTS.iter().map(|rule| alone((*rule).to_owned())))
}

/// Lists what `egret trace --only` takes.
pub fn kinds_of_records(current: &OsStr) -> Vec<CompletionCandidate> {
    fitting(current, ["drops", "forwards", "events"].map(|kind| alone(kind.to_owned())))
}

/// Lists lab files, and folders on the way to one.
pub fn lab_files(current: &OsStr) -> Vec<CompletionCandidate> {
    PathCompleter::any().filter(is_lab_file).complete(current)
}

/// Lists what `egret diff` compares: files, folders, and the labs that run as `lab:NAME`.
pub fn configurations(current: &OsStr) -> Vec<CompletionCandidate> {
    let running = fitting(current, labs().into_iter().map(|lab| alone(format!("lab:{lab}"))));
    let is_configuration = |file: &Path| {
        file.extension().is_some_and(|end| {
            ["toml", "json", "yaml", "yml", "template"].iter().any(|known| end == *known)
        })
    };
    let files = PathCompleter::any().filter(is_configuration).complete(current);
    files.into_iter().chain(running).collect()
}

fn of_lab(current: &OsStr, values: impl Fn(&Snapshot) -> Vec<Value>) -> Vec<CompletionCandidate> {
    known::lab().map(|lab| fitting(current, values(&lab))).unwrap_or_default()
}

/// Returns the values that begin with the word at the cursor, sorted.
fn fitting(current: &OsStr, values: impl IntoIterator<Item = Value>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fits = |(value, _): &Value| value.starts_with(&*current);
    let mut values: Vec<Value> = values.into_iter().filter(fits).collect();
    values.sort();
    values.dedup();
    let candidate = |(value, about): Value| {
        CompletionCandidate::new(value).help(about.map(|about| about.into()))
    };
    values.into_iter().map(candidate).collect()
}

fn alone(value: String) -> Value {
    (value, None)
}

fn beside(value: &str, about: String) -> Value {
    (value.to_owned(), Some(about))
}

fn service(service: &Service) -> Value {
    alone(service.name.clone())
}

/// Returns the tasks that run, or those that a lab file asks for.
fn tasks_of(lab: &Snapshot) -> Vec<Value> {
    let parts = lab.parts();
    let name = |number: usize, service: &Service| alone(format!("{}/{number}", service.name));
    if lab.tasks().next().is_none() {
        let numbers = |service: &Service| 1..=usize::from(service.tasks);
        let of = parts.services.iter().flat_map(|own| numbers(own).map(|n| name(n, own)));
        return of.collect();
    }
    let of = |task: &Task| {
        let service = parts.services.get(task.service.get())?;
        Some(name(task.number.into(), service))
    };
    lab.tasks().filter_map(of).collect()
}

fn senders(lab: &Snapshot, current: &OsStr) -> Vec<Value> {
    let tasks = tasks_of(lab);
    let is_shown = tasks.len() <= MOST_TASKS || current.to_string_lossy().contains('/');
    let tasks = if is_shown { tasks } else { Vec::new() };
    lab.parts().services.iter().map(service).chain(tasks).collect()
}

fn enis(lab: &Snapshot) -> Vec<Value> {
    let parts = lab.parts();
    let subnet = |own: &Eni| parts.subnets.get(own.subnet.get()).map(|subnet| subnet.id.clone());
    parts.enis.iter().map(|own| (own.id.clone(), subnet(own))).collect()
}

fn nat_gateways_of(lab: &Snapshot) -> Vec<Value> {
    let parts = lab.parts();
    let gateways = parts.nat_gateways.iter();
    gateways.map(|own| beside(&own.id, "NAT gateway".to_owned())).collect()
}
