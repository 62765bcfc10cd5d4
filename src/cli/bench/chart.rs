//! The figures as SVG: a small panel for each metric, with a bar for each path, and one for each
//! curve.

use super::document::{Curve, Document, Metric, Unit};
use super::table::short;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Panels side by side, and their sizes in pixels.
const COLUMNS: usize = 3;
const WIDTH: f64 = 310.0;
const GAP: f64 = 20.0;
const HEAD: f64 = 40.0;
const BAR: f64 = 18.0;
/// Left of the bars, for the paths' names; right of them, for the figures.
const NAMES: f64 = 84.0;
const FIGURES: f64 = 74.0;
/// The title's lines above all panels.
const TOP: f64 = 56.0;
const INK: &str = "#1f2328";
const PALE: &str = "#6e7781";
/// Colours of the paths in their order, and of those beyond.
const COLOURS: [&str; 7] =
    ["#afb8c1", "#57606a", "#1a7f37", "#4ac26b", "#aceebb", "#bf8700", "#d4a72c"];
const ANOTHER: &str = "#8250df";

/// Writes the drawing.
pub(super) fn draw(w: &mut dyn Write, document: &Document) -> io::Result<()> {
    let shown: Vec<&Metric> = document.metrics.iter().filter(|metric| is_shown(metric)).collect();
    let height = panel_height(document);
    let panels = shown.iter().map(|metric| bars(document, metric));
    let panels: Vec<String> =
        panels.chain(document.curves.iter().map(|c| line(c, height))).collect();
    let rows = panels.len().div_ceil(COLUMNS);
    let (wide, high) =
        (COLUMNS as f64 * (WIDTH + GAP) + GAP, TOP + rows as f64 * (height + GAP) + GAP);
    writeln!(
        w,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(w, r##"<rect width="{wide}" height="{high}" fill="#ffffff"/>"##)?;
    title(w, document)?;
    for (n, panel) in panels.iter().enumerate() {
        let x = GAP + (n % COLUMNS) as f64 * (WIDTH + GAP);
        let y = TOP + (n / COLUMNS) as f64 * (height + GAP);
        write!(w, "<g transform=\"translate({x} {y})\">\n{panel}</g>\n")?;
    }
    writeln!(w, "</svg>")
}

/// Returns whether a metric is drawn. Losses and failures are in the table: side by side they say
/// nothing about size.
fn is_shown(metric: &Metric) -> bool {
    metric.unit != Unit::Percent && !metric.paths.is_empty()
}

/// Returns the height that the most bars need, and a curve.
fn panel_height(document: &Document) -> f64 {
    HEAD + BAR * (document.measured().count().max(5)) as f64
}

fn title(w: &mut dyn Write, document: &Document) -> io::Result<()> {
    let machine = &document.machine;
    let first = format!(
        "{}, {} CPUs, kernel {}, {}, {}",
        machine.cpu, machine.cpus, machine.kernel, machine.build, machine.date
    );
    let congestion = document.congestion.as_deref().unwrap_or("the machine's own");
    let second = format!(
        "medians of {} rounds; TCP {} s each, congestion control {congestion}; green is egret",
        document.rounds, document.seconds
    );
    write!(w, "{}", text(GAP, 22.0, INK, "start", &first))?;
    write!(w, "{}", text(GAP, 40.0, PALE, "start", &second))
}

fn bars(document: &Document, metric: &Metric) -> String {
    let better = if metric.less_is_better { ", less is better" } else { "" };
    let mut panel = head(&metric.title, &format!("{}{better}", metric.unit.name()));
    let most = metric.paths.values().map(|summary| summary.median).fold(0.0, f64::max);
    for (row, path) in document.measured().enumerate() {
        let middle = HEAD + BAR * row as f64 + BAR / 2.0;
        panel += &text(NAMES - 6.0, middle + 4.0, INK, "end", &path.key);
        let Some(summary) = metric.paths.get(&path.key) else {
            panel += &text(NAMES, middle + 4.0, PALE, "start", "-");
            continue;
        };
        let room = WIDTH - NAMES - FIGURES;
        let wide = if most > 0.0 { room * summary.median / most } else { 0.0 };
        let place = document.paths.iter().position(|known| known.key == path.key);
        let colour = place.and_then(|n| COLOURS.get(n)).unwrap_or(&ANOTHER);
        let (top, high) = (middle - BAR / 2.0 + 2.0, BAR - 4.0);
        let _ = writeln!(
            panel,
            r#"<rect x="{NAMES}" y="{top:.1}" width="{wide:.1}" height="{high:.1}" fill="{colour}"/>"#
        );
        let figure = metric.unit.figure(summary.median);
        panel += &text(NAMES + wide + 5.0, middle + 4.0, INK, "start", &figure);
    }
    panel
}

/// Draws a curve: amounts on a logarithmic scale, costs on a linear one from 0.
fn line(curve: &Curve, height: f64) -> String {
    let mut panel = head(&curve.title, &format!("{} by {}", curve.unit, curve.of));
    let (left, right, top, bottom) = (28.0, WIDTH - 28.0, HEAD + 22.0, height - 18.0);
    let log = |x: f64| x.max(1.0).log10();
    let last = curve.points.iter().map(|(x, _)| log(*x)).fold(f64::MIN_POSITIVE, f64::max);
    let first = curve.points.iter().map(|(x, _)| log(*x)).fold(last, f64::min);
    let most = curve.points.iter().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    let span = (last - first).max(f64::MIN_POSITIVE);
    let place = |(x, y): &(f64, f64)| {
        (left + (right - left) * (log(*x) - first) / span, bottom - (bottom - top) * y / most)
    };
    let _ = writeln!(
        panel,
        r#"<line x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="{PALE}"/>"#
    );
    let points: Vec<String> =
        curve.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let colour = COLOURS[2];
    let _ = writeln!(
        panel,
        r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
        points.join(" ")
    );
    for point in &curve.points {
        let (x, y) = place(point);
        let _ = writeln!(panel, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
        panel += &text(x, y - 7.0, INK, "middle", &short(point.1));
        panel += &text(x, bottom + 14.0, PALE, "middle", &short(point.0));
    }
    panel
}

fn head(title: &str, unit: &str) -> String {
    let title = text(0.0, 14.0, INK, "start", title);
    let title = title.replacen("<text", "<text font-weight=\"bold\"", 1);
    title + &text(0.0, 30.0, PALE, "start", unit)
}

fn text(x: f64, y: f64, colour: &str, anchor: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\" text-anchor=\"{anchor}\">{words}</text>\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::sample::document;
    use super::*;

    fn drawn(document: &Document) -> String {
        let mut svg = Vec::new();
        draw(&mut svg, document).unwrap();
        String::from_utf8(svg).unwrap()
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let svg = drawn(&document());
        let widths: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("<rect x=\"84\""))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        // veth 30, nft 12, offload 15 Gbit/s; nft 10, offload 20 µs. Losses and tools that are not
        // installed are not drawn.
        let room = WIDTH - NAMES - FIGURES;
        let expected =
            [1.0, 0.4, 0.5, 0.5, 1.0].map(|part: f64| (part * room * 10.0).round() / 10.0);
        assert_eq!(widths, expected);
        assert!(!svg.contains("pasta") && !svg.contains("lost"), "{svg}");
    }

    #[test]
    fn words_are_escaped_and_every_element_is_closed() {
        let svg = drawn(&document());
        assert!(svg.contains("A &lt;Processor&gt; &amp; Co"), "{svg}");
        let count = |pattern: &str| svg.matches(pattern).count();
        assert_eq!(count("<text"), count("</text>"));
        assert_eq!(count("<g "), count("</g>"));
        assert_eq!(count("<svg"), count("</svg>"));
    }

    #[test]
    fn a_curve_has_a_point_for_each_amount_and_a_lonely_one_stays_in_the_panel() {
        let mut document = document();
        assert_eq!(drawn(&document).matches("<circle").count(), 3);
        document.curves[0].points.truncate(1);
        let svg = drawn(&document);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
