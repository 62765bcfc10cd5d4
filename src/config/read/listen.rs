//! Reads `listen`: the ports at which egret answers for a destination, and how.

use crate::config::diagnostic::At;
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When, words};
use crate::config::reader::{Section, Value};
use crate::config::text;
use crate::vpc::{Listen, ListenMode};
use std::time::Duration;

/// A listener that does not just answer.
static LISTENER: Table = Table::new(
    "a listener",
    &[
        Key::required("port", Type::Text(form::LISTEN), "The port, such as 443/https."),
        Key::required(
            "mode",
            Type::Words(&words(&MODES)),
            "refuse: as if nothing listened; blackhole: packets arrive and nothing answers; delay: \
             it accepts, and answers late.",
        ),
        Key::optional(
            "delay",
            Type::Text(form::TIMEOUT),
            "The time after which it answers, from 1ms to 10m.",
        ),
    ],
)
.with(&[
    Condition::when(When::Is("mode", &["delay"])).needs(&["delay"]),
    Condition::when(When::Is("mode", &["refuse", "blackhole"])).refuses(&["delay"]),
]);

/// The type of `listen`.
pub(super) const LISTEN: Type = Type::distinct(&PORT_OR_LISTENER);

static PORT_OR_LISTENER: Type = Type::TextOrTable(form::LISTEN, &LISTENER);

const MODES: [(&str, Mode); 3] =
    [("refuse", Mode::Refuse), ("blackhole", Mode::Blackhole), ("delay", Mode::Delay)];

#[derive(Clone, Copy)]
enum Mode {
    Refuse,
    Blackhole,
    Delay,
}

pub(super) fn listen(section: &Section<'_>) -> Vec<Listen> {
    let given: Vec<At<Listen>> = section.list("listen", listener);
    let place = |listen: &Listen| (listen.protocol(), listen.port);
    for (position, listen) in given.iter().enumerate() {
        let earlier = given.iter().take(position).find(|at| place(&at.value) == place(listen));
        if let Some(earlier) = earlier {
            section.reader.report.error(
                listen.span,
                "repeated",
                format!("this port is in the list already, as {}", earlier.value),
                "name it once",
            );
        }
    }
    given.into_iter().map(|at| at.value).collect()
}

fn listener(value: &Value<'_>) -> Option<At<Listen>> {
    if !value.is_table() {
        return value.parse(text::listen);
    }
    let section = value.table()?;
    let port = section.required("port").and_then(|v| v.parse(text::listen));
    let mode = section.required("mode").and_then(|v| v.one_of(&MODES));
    let delay = section.get("delay").and_then(|v| v.parse(text::delay));
    let mode = in_mode(&section, mode?.value, delay)?;
    Some(At { value: Listen { mode, ..port?.value }, span: section.span })
}

fn in_mode(section: &Section<'_>, mode: Mode, delay: Option<At<Duration>>) -> Option<ListenMode> {
    let mode = match mode {
        Mode::Refuse => ListenMode::Refuse,
        Mode::Blackhole => ListenMode::Blackhole,
        Mode::Delay => {
            // A delay that is no duration was reported.
            section.required("delay")?;
            return Some(ListenMode::Delay(delay?.value));
        }
    };
    if let Some(delay) = delay {
        section.reader.report.error(
            delay.span,
            "delay-without-answer",
            "a listener that never answers has no delay",
            "remove `delay`, or write mode = \"delay\"",
        );
    }
    Some(mode)
}
