//! Draws the timeline as SVG without a script: builds as bars in lanes, and below them the job slots in use.

use super::run::{Item, Kind, Outcome, Run, Step};
use super::text::{id, seconds};
use dkms_pages::{Attribute, Html};

/// The width of the drawing, of its left margin, and of the time axis.
const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 34.0;
const AXIS: f64 = WIDTH - MARGIN - 6.0;
/// The height of the diagram of job slots.
const SLOTS: f64 = 56.0;
/// The number of columns of that diagram.
const COLUMNS: usize = 480;
/// The average width of a character.
const CHARACTER: f64 = 6.4;

/// Draws the timeline of a command.
pub(super) fn draw(html: &mut Html, run: &Run) {
    let chart = Chart::new(run);
    let height = chart.bottom + 22.0;
    let view = format!("0 0 {WIDTH} {height:.0}");
    let about = format!(
        "Timeline: {} builds in {} lanes, {} in total. The list of builds below has the same data.",
        run.builds.iter().filter(|step| step.from.is_some()).count(),
        run.lanes,
        seconds(run.facts.total)
    );
    html.region("div", "Timeline", |html| {
        let attributes = [
            ("viewBox", view.as_str()),
            ("class", "timeline"),
            ("role", "img"),
            ("aria-label", about.as_str()),
        ];
        html.within("svg", &attributes, |html| {
            chart.axis(html);
            chart.builds(html);
            chart.spans(html);
            if run.slots > 0 {
                chart.slots(html);
            }
        });
    });
}

struct Chart<'a> {
    run: &'a Run,
    /// Units per second.
    scale: f64,
    lane: f64,
    spans_top: f64,
    slots_top: f64,
    bottom: f64,
}

impl<'a> Chart<'a> {
    fn new(run: &'a Run) -> Self {
        let lane = if run.lanes > 24 { 12.0 } else { 22.0 };
        let spans_top = 4.0 + run.lanes as f64 * lane;
        let slots_top = spans_top + if run.spans.is_empty() { 6.0 } else { 28.0 };
        let bottom = slots_top + if run.slots > 0 { SLOTS } else { 0.0 };
        Self { run, scale: AXIS / run.facts.total.max(0.001), lane, spans_top, slots_top, bottom }
    }

    fn x(&self, at: f64) -> f64 {
        MARGIN + at.clamp(0.0, self.run.facts.total) * self.scale
    }

    /// Draws lines at round times, with their labels.
    fn axis(&self, html: &mut Html) {
        let total = self.run.facts.total;
        let steps =
            [0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
        let step =
            steps.into_iter().find(|step| total / step <= 10.0).unwrap_or(3600.0 * (total / 36000.0).ceil());
        let mut at = 0.0;
        while at <= total && at / step < 12.0 {
            let x = number(self.x(at));
            let line = [
                ("x1", x.as_str()),
                ("x2", &x),
                ("y1", "0"),
                ("y2", &number(self.bottom)),
                ("class", "grid"),
            ];
            html.element("line", &line, "");
            let label = if at == 0.0 { "0".to_owned() } else { seconds(at) };
            // Do not centre a label at the right end, where it would be cut off.
            let half = label.chars().count() as f64 * CHARACTER / 2.0;
            let class = if self.x(at) + half > WIDTH { "tick last" } else { "tick" };
            text(html, &x, self.bottom + 15.0, class, &label);
            at += step;
        }
    }

    fn builds(&self, html: &mut Html) {
        for (index, step) in self.run.builds.iter().enumerate() {
            let Some(from) = step.from else { continue };
            let to = step.to.unwrap_or(self.run.facts.total);
            let y = 2.0 + step.lane as f64 * self.lane;
            let target = format!("#{}", id(index));
            html.within("a", &[("href", target.as_str()), ("tabindex", "-1")], |html| {
                html.element("title", &[], &title(step));
                self.bar(html, class(step), (from, to), y, self.lane - 4.0);
                if let Some(make) = step.make().filter(|_| matches!(step.outcome, Outcome::Built)) {
                    self.bar(html, "make", (make.from, make.to), y, self.lane - 4.0);
                }
                if self.run.path.iter().any(|part| part.item == Item::Build(index)) {
                    self.bar(html, "critical", (from, to), y + self.lane - 6.0, 3.0);
                }
                self.label(html, &self.names(step), from, to, y + self.lane - 9.0);
            });
        }
    }

    /// The labels for a bar, from the longest to the shortest: the package, and the kernel if there are
    /// several kernels.
    fn names(&self, step: &Step) -> Vec<String> {
        let (package, kernel) = (&step.build.package, &step.build.kernel);
        let several = self.run.builds.iter().any(|other| other.build.kernel != *kernel);
        let release = if several { format!(" {}", kernel.release) } else { String::new() };
        // The release without its flavour: 6.1.0-56 for 6.1.0-56-amd64.
        let brief = release.rsplit_once('-').map_or(release.as_str(), |(brief, _)| brief);
        vec![
            format!("{package}{release}"),
            format!("{}{release}", package.name),
            format!("{}{brief}", package.name),
            package.name.clone(),
        ]
    }

    fn spans(&self, html: &mut Html) {
        for (index, span) in self.run.spans.iter().enumerate() {
            let class = match span.kind {
                Kind::Install => "install",
                Kind::Depmod => "depmod",
                Kind::Command => "command",
                Kind::Lock => "lock",
            };
            html.within("g", &[], |html| {
                html.element("title", &[], &format!("{}: {}", span.name, seconds(span.to - span.from)));
                self.bar(html, class, (span.from, span.to), self.spans_top, 18.0);
                if self.run.path.iter().any(|part| part.item == Item::Span(index)) {
                    self.bar(html, "critical", (span.from, span.to), self.spans_top + 16.0, 3.0);
                }
                self.label(html, std::slice::from_ref(&span.name), span.from, span.to, self.spans_top + 13.0);
            });
        }
    }

    fn bar(&self, html: &mut Html, class: &str, (from, to): (f64, f64), y: f64, height: f64) {
        let x = self.x(from);
        let width = (self.x(to) - x).max(0.8);
        let attributes = [
            ("class", class),
            ("x", &number(x)),
            ("y", &number(y)),
            ("width", &number(width)),
            ("height", &number(height)),
        ];
        html.element("rect", &attributes, "");
    }

    /// Writes the first label that fits into a bar, or the beginning of the last label.
    fn label(&self, html: &mut Html, labels: &[String], from: f64, to: f64, y: f64) {
        let room = ((self.x(to) - self.x(from) - 6.0) / CHARACTER) as usize;
        let fits = |label: &&String| dkms_pages::visible(label).chars().count() <= room;
        let Some(label) = labels.iter().find(fits).or(labels.last()) else { return };
        if room < 3 || self.lane < 20.0 {
            return;
        }
        let label = dkms_pages::visible(label);
        let shown: String = match label.chars().count() > room {
            true => label.chars().take(room - 1).chain(['…']).collect(),
            false => label.into_owned(),
        };
        text(html, &number(self.x(from) + 3.0), y, "label", &shown);
    }

    /// Draws the job slots in use: in each column, the highest number.
    fn slots(&self, html: &mut Html) {
        let (total, slots) = (self.run.facts.total.max(0.001), self.run.slots.max(1));
        let mut columns = vec![0u32; COLUMNS];
        let ends = self.run.in_use.iter().skip(1).map(|(at, _)| *at).chain([total]);
        for ((from, used), to) in self.run.in_use.iter().zip(ends) {
            let column = |at: f64| ((at / total * COLUMNS as f64) as usize).min(COLUMNS - 1);
            let (first, last) = (column(*from), column(to));
            for column in columns.get_mut(first..=last.max(first)).into_iter().flatten() {
                *column = (*column).max(*used);
            }
        }
        let base = self.bottom;
        let mut path = format!("M{MARGIN} {base:.0}");
        for (column, used) in columns.iter().enumerate() {
            let x = MARGIN + AXIS * column as f64 / COLUMNS as f64;
            let y = base - (SLOTS - 8.0) * f64::from(*used) / f64::from(slots);
            path.push_str(&format!("L{x:.1} {y:.1}H{:.1}", x + AXIS / COLUMNS as f64));
        }
        path.push_str(&format!("V{base:.0}Z"));
        html.within("g", &[], |html| {
            html.element("title", &[], "Job slots in use: compilers and builds that run");
            html.element("path", &[("class", "slots"), ("d", &path)], "");
        });
        let top = number(self.slots_top + 8.0);
        let line = [("x1", "34"), ("x2", "994"), ("y1", top.as_str()), ("y2", &top), ("class", "limit")];
        html.element("line", &line, "");
        text(html, "2", self.slots_top + 12.0, "tick first", &format!("-j{slots}"));
    }
}

fn class(step: &Step) -> &'static str {
    match step.outcome {
        Outcome::Failed(..) => "failed",
        Outcome::Unfinished | Outcome::Skipped(_) | Outcome::Deferred(_) => "unfinished",
        Outcome::Built if step.is_compiled() => "built",
        Outcome::Built => "reused",
    }
}

fn title(step: &Step) -> String {
    format!("{}: {}, {}", step.build, step.state(), seconds(step.duration()))
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

fn text(html: &mut Html, x: &str, y: f64, class: &str, text: &str) {
    let attributes: [Attribute<'_>; 3] = [("x", x), ("y", &number(y)), ("class", class)];
    html.element("text", &attributes, text);
}
