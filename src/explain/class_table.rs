//! Writes classes of packets as a table, with those columns that tell the classes apart.

use super::columns::{self, cut};
use super::coverage::{addresses, joined, port_numbers, protocols};
use super::explained::subnet_of;
use super::names;
use super::shown_ids::{Ids, ShownIds};
use super::tables;
use super::text::short;
use super::width::{columns_of, width};
use crate::pipeline::reach::{Class, GatewayAddress, Ports, Ranges};
use crate::vpc::Snapshot;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// The most rows of a table.
pub(super) const MOST_ROWS: usize = 20;

/// The column that is left out first.
const RULE: &str = "DECIDED BY";

/// The part of a table that is drawn.
struct Form {
    /// Set if the deciding rules are drawn.
    rules: bool,
    /// The number of items of a list.
    items: usize,
    /// Set if names or short ids take the place of ids.
    shown_ids: bool,
    /// The widest cell; wider ones are cut.
    cell: Option<usize>,
}

/// From whole to narrow.
const FORMS: [Form; 12] = [
    Form { rules: true, items: 8, shown_ids: false, cell: None },
    Form { rules: true, items: 8, shown_ids: true, cell: None },
    Form { rules: true, items: 4, shown_ids: true, cell: None },
    Form { rules: true, items: 3, shown_ids: true, cell: None },
    Form { rules: true, items: 2, shown_ids: true, cell: None },
    Form { rules: false, items: 3, shown_ids: true, cell: None },
    Form { rules: false, items: 2, shown_ids: true, cell: None },
    Form { rules: false, items: 1, shown_ids: true, cell: None },
    Form { rules: false, items: 1, shown_ids: true, cell: Some(26) },
    Form { rules: false, items: 1, shown_ids: true, cell: Some(22) },
    Form { rules: false, items: 1, shown_ids: true, cell: Some(18) },
    NARROWEST,
];

/// The narrowest form with all columns.
const NARROWEST: Form = Form { rules: false, items: 1, shown_ids: true, cell: Some(14) };

/// One class: each column's list.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    counts: bool,
    verdict: String,
    reason: String,
    decided_by: String,
    /// The rule with its text.
    rule: String,
    share: String,
    subnets: Vec<String>,
    eni_addresses: Vec<String>,
    tasks: Vec<String>,
    source_ports: Vec<String>,
    gateway_addresses: Vec<String>,
    gateway_ports: Vec<String>,
    destinations: Vec<String>,
    ports: Vec<String>,
}

struct Column {
    heading: &'static str,
    cells: Vec<Vec<String>>,
}

impl Column {
    fn with_shown_ids(&self, ids: &ShownIds) -> Self {
        let kind = match self.heading {
            "SUBNETS" => Ids::All,
            RULE | "GATEWAY ADDRESS" => Ids::OfRule,
            _ => Ids::None,
        };
        let cell = |cell: &Vec<String>| cell.iter().map(|item| ids.show(item, kind)).collect();
        Self { heading: self.heading, cells: self.cells.iter().map(cell).collect() }
    }
}

/// Makes the row of a class.
pub(super) fn listing(class: &Class, tasks: Option<Vec<String>>, snapshot: &Snapshot) -> Listing {
    let rule = class.denial.map(|denial| denial.decided_by).or(class.admitted_by);
    let rule = rule.map(|rule| names::decided_by(rule, snapshot).to_string());
    let eni = class.eni_addresses.iter().flat_map(|(_, ranges)| ranges.iter());
    let gateway = |address: &GatewayAddress| gateway_address(address, snapshot);
    Listing {
        counts: class.counts,
        verdict: if class.passes() { "forward" } else { "drop" }.to_owned(),
        reason: class.denial.map_or_else(|| "-".to_owned(), |d| d.reason.name().to_owned()),
        decided_by: rule.as_deref().map_or("-", short).to_owned(),
        rule: rule.unwrap_or_else(|| "-".to_owned()),
        share: if class.counts { percent(class.share.ratio()) } else { "not counted".to_owned() },
        subnets: subnets(class, snapshot),
        eni_addresses: addresses(&Ranges::new(eni)),
        tasks: tasks.as_deref().map(self::tasks).unwrap_or_default(),
        source_ports: class.source_ports.as_ref().map(port_numbers).unwrap_or_default(),
        gateway_addresses: class.gateway_addresses.iter().map(gateway).collect(),
        gateway_ports: class.gateway_ports.as_ref().map(port_numbers).unwrap_or_default(),
        destinations: addresses(&class.destinations),
        ports: ports(&class.ports),
    }
}

/// Lists the subnets of a class, each once.
pub(super) fn subnets(class: &Class, snapshot: &Snapshot) -> Vec<String> {
    let subnets = class.attachments.iter().filter_map(|at| subnet_of(*at, snapshot));
    subnets.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Lists the tasks that are in a class; a word for none if there are none.
pub(super) fn tasks(tasks: &[String]) -> Vec<String> {
    if tasks.is_empty() { vec!["no task now".to_owned()] } else { tasks.to_vec() }
}

/// Writes the table: as much of it as fits beside an indent, and the number of classes beyond
/// these.
pub(super) fn write(
    w: &mut dyn Write,
    listings: &[Listing],
    indent: usize,
    beyond: usize,
) -> io::Result<()> {
    let columns = columns(listings);
    let items = columns.iter().flat_map(|column| column.cells.iter().flatten());
    let ids = ShownIds::of(items.map(String::as_str));
    let short: Vec<Column> = columns.iter().map(|own| own.with_shown_ids(&ids)).collect();
    let columns = |form: &Form| if form.shown_ids { &short } else { &columns };
    let fits = |lines: &Vec<String>| lines.iter().all(|line| columns_of(line) + indent <= width());
    let mut drawn = FORMS.iter().map(|form| draw(columns(form), listings.len(), form));
    let fewer = || with_fewer_columns(&short, listings.len(), width().saturating_sub(indent));
    let lines = drawn.find(fits).unwrap_or_else(fewer);
    lines.iter().try_for_each(|line| writeln!(w, "{line}"))?;
    match beyond {
        0 => Ok(()),
        1 => writeln!(w, "and 1 more class: -o wide lists all"),
        more => writeln!(w, "and {more} more classes: -o wide lists all"),
    }
}

/// Draws as many columns as a narrow terminal has room for.
fn with_fewer_columns(columns: &[Column], rows: usize, width: usize) -> Vec<String> {
    let shown: Vec<&Column> = columns.iter().filter(|column| column.heading != RULE).collect();
    let ranked: Vec<columns::Column> = shown
        .iter()
        .zip(0..)
        .map(|(c, rank)| columns::Column::first(c.heading, rank).text(8))
        .collect();
    let row = |at: usize| shown.iter().map(|column| NARROWEST.cell(&column.cells[at])).collect();
    let cells: Vec<Vec<String>> = (0..rows).map(row).collect();
    let fitted = columns::fitted(&ranked, &cells, width);
    let headings: Vec<&str> = fitted.columns.iter().map(|at| ranked[*at].heading).collect();
    tables::lines(&headings, fitted.rows.into_iter())
}

/// Writes the table with every column that is not empty, nothing cut.
pub(super) fn write_wide(w: &mut dyn Write, listings: &[Listing]) -> io::Result<()> {
    let whole = Form { rules: true, items: usize::MAX, shown_ids: false, cell: None };
    let lines = draw(&all_columns(listings), listings.len(), &whole);
    lines.iter().try_for_each(|line| writeln!(w, "{line}"))
}

fn draw(columns: &[Column], rows: usize, form: &Form) -> Vec<String> {
    let shown = columns.iter().filter(|column| form.rules || column.heading != RULE);
    let shown: Vec<&Column> = shown.collect();
    let headings: Vec<&str> = shown.iter().map(|column| column.heading).collect();
    let row = |at: usize| shown.iter().map(|column| form.cell(&column.cells[at])).collect();
    tables::lines(&headings, (0..rows).map(row))
}

/// Lists verdict and share, and the columns in which classes differ.
fn columns(listings: &[Listing]) -> Vec<Column> {
    let reason = column(listings, "REASON", |l| vec![l.reason.clone()]);
    let is_given = is_given(&reason);
    let rule = column(listings, RULE, |l| vec![l.decided_by.clone()]);
    let mut columns = vec![column(listings, "VERDICT", |l| vec![l.verdict.clone()])];
    columns.extend(is_given.then_some(reason));
    columns.extend(differs(&rule).then_some(rule));
    columns.push(column(listings, "SHARE", |l| vec![l.share.clone()]));
    let subnets_tell = differs_by_subnet(listings);
    let is_wanted =
        |column: &Column| differs(column) && !(column.heading == "ENI ADDRESSES" && subnets_tell);
    columns.extend(lists(listings).into_iter().filter(is_wanted));
    columns
}

/// Lists the columns that are not empty.
fn all_columns(listings: &[Listing]) -> Vec<Column> {
    let columns = [
        column(listings, "VERDICT", |l| vec![l.verdict.clone()]),
        column(listings, "REASON", |l| vec![l.reason.clone()]),
        column(listings, RULE, |l| vec![l.rule.clone()]),
        column(listings, "SHARE", |l| vec![l.share.clone()]),
    ];
    columns.into_iter().chain(lists(listings)).filter(is_given).collect()
}

/// Makes the columns of a class's properties.
fn lists(listings: &[Listing]) -> [Column; 8] {
    [
        column(listings, "SUBNETS", |l| l.subnets.clone()),
        column(listings, "ENI ADDRESSES", |l| l.eni_addresses.clone()),
        column(listings, "TASKS", |l| l.tasks.clone()),
        column(listings, "SOURCE PORTS", |l| l.source_ports.clone()),
        column(listings, "GATEWAY ADDRESS", |l| l.gateway_addresses.clone()),
        column(listings, gateway_ports(listings), |l| l.gateway_ports.clone()),
        column(listings, "DESTINATIONS", |l| l.destinations.clone()),
        column(listings, "PORTS", |l| l.ports.clone()),
    ]
}

/// Returns the heading for the ports of NAT gateways, or of App Runner's own NAT, which is not a
/// NAT gateway.
fn gateway_ports(listings: &[Listing]) -> &'static str {
    let is_own = listings.iter().all(|listing| listing.subnets.is_empty());
    if is_own { "NAT PORTS" } else { "GATEWAY PORTS" }
}

fn column(
    listings: &[Listing],
    heading: &'static str,
    cells: fn(&Listing) -> Vec<String>,
) -> Column {
    Column { heading, cells: listings.iter().map(cells).collect() }
}

/// Decides whether a column has a cell that is not empty.
fn is_given(column: &Column) -> bool {
    column.cells.iter().flatten().any(|item| item != "-")
}

/// Decides whether a column has two different cells; an empty one, of packets that do not get so
/// far, does not count as different.
fn differs(column: &Column) -> bool {
    let mut cells = column.cells.iter().filter(|cell| !cell.is_empty());
    let first = cells.next();
    cells.any(|cell| Some(cell) != first)
}

/// Decides whether the addresses of ENIs differ only if the subnets do.
fn differs_by_subnet(listings: &[Listing]) -> bool {
    pairs(listings).all(|(a, b)| a.subnets != b.subnets || a.eni_addresses == b.eni_addresses)
}

fn pairs(listings: &[Listing]) -> impl Iterator<Item = (&Listing, &Listing)> {
    let counted = || listings.iter().filter(|listing| listing.counts);
    counted().enumerate().flat_map(move |(at, a)| counted().skip(at + 1).map(move |b| (a, b)))
}

pub(super) fn gateway_address(address: &GatewayAddress, snapshot: &Snapshot) -> String {
    let gateway = &snapshot.nat_gateway(address.gateway).id;
    match addresses(&address.private).as_slice() {
        [one] => format!("{one} of {gateway}"),
        _ => format!("any of {gateway}"),
    }
}

fn ports(ports: &Ports) -> Vec<String> {
    if *ports == Ports::all() { vec!["all".to_owned()] } else { protocols(ports) }
}

/// Formats a share: `43.8%`, `<0.1%`.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if ratio >= 1.0 {
        "100%".to_owned()
    } else if percent > 99.9 {
        ">99.9%".to_owned()
    } else if percent < 0.1 {
        "<0.1%".to_owned()
    } else {
        format!("{percent:.1}%")
    }
}

impl Form {
    fn cell(&self, items: &[String]) -> String {
        let Some(widest) = self.cell else {
            return if items.is_empty() { "-".to_owned() } else { joined(items, self.items) };
        };
        match items {
            [] => "-".to_owned(),
            [one] => cut(one, widest),
            [first, others @ ..] => {
                let more = format!(" +{}", others.len());
                format!("{}{more}", cut(first, widest.saturating_sub(more.len())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_whole_only_if_it_is() {
        let shown = [1.0, 0.99999, 0.437_624, 0.000_1, 0.0].map(percent);
        assert_eq!(shown, ["100%", ">99.9%", "43.8%", "<0.1%", "<0.1%"]);
    }

    #[test]
    fn a_cell_is_shortened_from_its_end() {
        let items = ["1024-32767", "61000-65535"].map(str::to_owned);
        let cell = |items_shown, cell| {
            Form { rules: true, items: items_shown, shown_ids: false, cell }.cell(&items)
        };
        assert_eq!(cell(2, None), "1024-32767, 61000-65535");
        assert_eq!(cell(1, None), "1024-32767, … and 1 more");
        assert_eq!(cell(1, Some(26)), "1024-32767 +1");
        assert_eq!(cell(1, Some(9)), "1024-… +1");
    }
}
