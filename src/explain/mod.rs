//! Layer 5: turns evidence into text and JSON, and rows into tables. Everything writes to a `Write`
//! of the caller.

mod asking;
mod broken;
mod check;
mod class;
mod class_table;
mod columns;
mod comparison;
mod coverage;
mod destination;
mod destination_names;
mod evidence;
mod expect;
mod explained;
mod findings;
mod fix;
pub mod graph;
mod lab_row;
mod layout;
mod names;
mod nearest_miss;
mod packet;
mod paint;
pub mod pcapng;
mod reachability;
mod reload;
mod repair;
mod resolution;
mod resumed;
mod rows;
mod rule_identity;
mod selection;
mod services;
mod set_text;
mod shell;
mod shown_ids;
mod tables;
mod target;
mod text;
mod trace;
mod trace_text;
mod url;
mod width;

#[cfg(test)]
mod comparison_tests;
#[cfg(test)]
mod endpoint_fix_tests;
#[cfg(test)]
mod fix_tests;
#[cfg(test)]
mod middlebox_tests;
#[cfg(test)]
mod public_endpoint_change_tests;
#[cfg(test)]
mod public_endpoint_fix_tests;
#[cfg(test)]
mod public_endpoint_tests;
#[cfg(test)]
mod reachability_tests;
#[cfg(test)]
mod reason_page_tests;
#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod set_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod testing;

pub use asking::{AskError, Asking, ask};
pub use broken::{BrokenTask, print_broken};
pub use check::{Since, check, check_saying, check_since, since};
pub use class::{AttachedAt, ClassExplanation, GatewaySpan};
pub use columns::Column;
pub use comparison::{ChangeRow, Comparison, NameRow, Resolved, SideOfChange, compare};
pub use coverage::{PortSpan, Span};
pub use destination_names::{Meaning, Named, UnknownDestination, Unresolved, read_name};
pub use evidence::{Endpoints, Explanation, NamedStep};
pub use expect::{
    Contradiction, Failure, Leaving, Live, MOST_FIXES, NotTried, Plan, Probe, Sight, Subject,
    TestError, TestReport, Tested, Wire, github, github_errors, junit, live_summary, name_errors,
    plan, propose_fixes, summary, test,
};
pub use explained::{AskedQuestion, Explained, Now, SetExplanation};
pub use findings::{FindingRow, counted_findings, print_findings};
#[cfg(test)]
pub(crate) use fix::first_candidate;
pub use fix::{Fix, Form};
pub use lab_row::LabRow;
pub use layout::paragraph;
pub use names::{
    DecidedBy, Places, component, decided_by, security_group_id, service_name, subnet_id, task,
};
pub use nearest_miss::NearestMiss;
pub use paint::Look;
pub use reachability::{ReachRow, Reachability, ReacherRow, Reaching, Wanted, reach, services};
pub use reload::{
    AffectedFlow, AffectedFlows, FlowChange, Reload, Warning, print_affected_flows, print_reload,
};
pub use repair::{Repair, repair};
pub use resumed::{LostFlow, Resumed};
pub use rows::{
    DropRow, EniRow, FlowRow, HolderRow, Offloaded, ProcessRow, PsRow, ResourceRow, TopRow,
    TopTable, unnamed_drop,
};
pub use rule_identity::{RuleIdentity, RuleIndex};
pub use selection::{Selection, SelectionError, protocol, subject};
pub use services::{ApiService, ServiceEni, ServiceOperation, ServiceRow, print_service};
pub use shell::shell_word;
pub use shown_ids::show_names;
pub use tables::{Row, TableStyle, position_of, print};
pub use target::{TargetError, TaskRef};
pub use trace::{
    LAB_DOWN, TraceRow, decided_under, lab_down_row, left_out_row, queue_full_row, trace_row,
    userspace_row,
};
pub use trace_text::{TraceText, comment};
pub use width::{fitting, set_width, width as output_width};
