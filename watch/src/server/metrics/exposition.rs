//! The two text formats of metrics: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! Written without a library, because a scrape of ten thousand agents has a million short
//! strings, and the event loop already has the values that a registry would store.

use std::fmt::{self, Display, Write};
use std::time::UNIX_EPOCH;

use crate::state::histogram::Histogram;
use crate::state::programs::Example;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that an Accept header prefers.
    pub(crate) fn accepted(accept: &str) -> Self {
        let wanted = accept.split(',').any(|offer| {
            let mut words = offer.split(';').map(str::trim);
            let open = words.next() == Some("application/openmetrics-text");
            open && !words.any(|word| {
                word.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0)
                    || word.strip_prefix("version=").is_some_and(|it| !it.starts_with("1."))
            })
        });
        if wanted { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// The text of consecutive families.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
    /// The only families to write, by their names without `_total`. None writes all.
    wanted: Option<&'static [&'static str]>,
    /// The text of a family that is not wanted.
    left_out: String,
}

impl Exposition {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, text: String::new(), wanted: None, left_out: String::new() }
    }

    /// With space for this many bytes.
    pub(super) fn with_capacity(format: Format, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ..Self::new(format) }
    }

    /// Writes only the families with these names, from here on; without names, all.
    pub(super) const fn only(&mut self, wanted: Option<&'static [&'static str]>) {
        self.wanted = wanted;
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Ends the exposition.
    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// Begins a counter. The names of its samples end with `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        let samples = format!("{name}_total");
        let shown = if self.format == Format::Prometheus { &samples } else { name };
        let has_examples = self.format == Format::OpenMetrics;
        let text = self.head(name, shown, "counter", help);
        Family { text, name: Name::new(samples), has_examples }
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        let text = self.head(name, name, "gauge", help);
        Family { text, name: Name::new(name.to_owned()), has_examples: false }
    }

    /// Begins a histogram of durations in seconds.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        bounds: [u64; N],
    ) -> Buckets<'_, N> {
        let with_point = self.format == Format::OpenMetrics;
        let bounds = bounds.map(|bound| {
            let mut label = "le=\"".to_owned();
            push_seconds(&mut label, bound);
            if with_point && bound % 1_000_000_000 == 0 {
                label.push_str(".0");
            }
            label.push_str("\"} ");
            label
        });
        let [bucket, sum, count] =
            ["bucket", "sum", "count"].map(|what| Name::new(format!("{name}_{what}")));
        let text = self.head(name, name, "histogram", help);
        Buckets { text, bucket, bounds, sum, count }
    }

    /// Begins a family, and returns where it has to be written.
    fn head(&mut self, name: &str, shown: &str, kind: &str, help: &str) -> &mut String {
        let text = match self.wanted.is_none_or(|wanted| wanted.contains(&name)) {
            true => &mut self.text,
            false => {
                self.left_out.clear();
                &mut self.left_out
            }
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {shown} {help}");
        let _ = writeln!(text, "# TYPE {shown} {kind}");
        text
    }
}

/// The name of a family's samples, in a form that is fast to write, because a scrape has a
/// hundred thousand samples.
#[derive(Debug)]
struct Name {
    bare: String,
    /// The name with an opening brace, for labels.
    open: String,
}

impl Name {
    fn new(bare: String) -> Self {
        let open = format!("{bare}{{");
        Self { bare, open }
    }

    fn push(&self, labels: &str, to: &mut String) {
        if labels.is_empty() {
            to.push_str(&self.bare);
            to.push(' ');
        } else {
            for part in [&self.open, labels, "} "] {
                to.push_str(part);
            }
        }
    }
}

/// Writes the samples of a family. Labels are those of [`label`], separated by commas.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: Name,
    /// Whether its format has exemplars.
    has_examples: bool,
}

impl Family<'_> {
    pub(super) fn put(&mut self, labels: &str, value: u64) {
        self.name.push(labels, self.text);
        push_number(self.text, value);
    }

    /// Like [`put`](Self::put), with the agent that was counted last as an exemplar.
    pub(super) fn put_with_example(
        &mut self,
        labels: &str,
        value: u64,
        example: Option<&Example>,
    ) {
        self.put(labels, value);
        if let Some(example) = example.filter(|_| self.has_examples) {
            // It belongs to the same line.
            self.text.truncate(self.text.len() - 1);
            push_example(self.text, example);
        }
    }

    pub(super) fn put_seconds(&mut self, labels: &str, ns: u64) {
        self.name.push(labels, self.text);
        push_seconds(self.text, ns);
        self.text.push('\n');
    }
}

#[derive(Debug)]
pub(super) struct Buckets<'a, const N: usize> {
    text: &'a mut String,
    bucket: Name,
    /// The label of each bound, with the closing brace.
    bounds: [String; N],
    sum: Name,
    count: Name,
}

impl<const N: usize> Buckets<'_, N> {
    pub(super) fn put(&mut self, labels: &str, times: &Histogram<N>) {
        let comma = if labels.is_empty() { "" } else { "," };
        let counts = times.cumulative().chain([times.count()]);
        let bounds = self.bounds.iter().map(String::as_str).chain(["le=\"+Inf\"} "]);
        for (bound, count) in bounds.zip(counts) {
            for part in [&self.bucket.open, labels, comma, bound] {
                self.text.push_str(part);
            }
            push_number(self.text, count);
        }
        self.sum.push(labels, self.text);
        push_seconds(self.text, times.sum_ns());
        self.text.push('\n');
        self.count.push(labels, self.text);
        push_number(self.text, times.count());
    }
}

/// Returns `name="value"`, with special characters escaped.
pub(super) fn label(name: &str, value: impl Display) -> String {
    let mut label = String::with_capacity(48);
    push_label(&mut label, name, value);
    label
}

/// Like [`label`], but appends to other labels. The caller adds the comma.
pub(super) fn push_label(labels: &mut String, name: &str, value: impl Display) {
    labels.push_str(name);
    labels.push_str("=\"");
    // Writing to a string does not fail.
    let _ = write!(Escaped(labels), "{value}");
    labels.push('"');
}

/// Like [`push_label`], for a number.
pub(super) fn push_numbered(labels: &mut String, name: &str, number: u64) {
    for part in [name, "=\"", itoa::Buffer::new().format(number), "\""] {
        labels.push_str(part);
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

fn push_example(text: &mut String, example: &Example) {
    let Example { agent, pid, cause, at } = *example;
    let mut labels = String::with_capacity(64);
    push_numbered(&mut labels, "agent", agent);
    labels.push(',');
    push_numbered(&mut labels, "pid", pid.into());
    if let Some(cause) = cause {
        labels.push(',');
        push_label(&mut labels, "cause", cause);
    }
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Writing to a string does not fail.
    let _ = writeln!(text, " # {{{labels}}} 1 {}.{:03}", at.as_secs(), at.subsec_millis());
}

fn push_number(text: &mut String, number: u64) {
    match u8::try_from(number) {
        // Most numbers are small.
        Ok(digit @ 0..=9) => text.push(char::from(b'0' + digit)),
        _ => text.push_str(itoa::Buffer::new().format(number)),
    }
    text.push('\n');
}

/// Nanoseconds as seconds, exactly.
fn push_seconds(text: &mut String, ns: u64) {
    text.push_str(itoa::Buffer::new().format(ns / 1_000_000_000));
    let rest = ns % 1_000_000_000;
    if rest == 0 {
        return;
    }
    text.push('.');
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(rest);
    for _ in digits.len()..9 {
        text.push('0');
    }
    text.push_str(digits.trim_end_matches('0'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::histogram::{LATENCIES, Latencies};

    #[test]
    fn a_counter_is_named_as_its_format_requires() {
        let text = |format| {
            let mut exposition = Exposition::new(format);
            exposition.counter("a_b", "What it is.").put("", 7);
            exposition.end()
        };
        assert_eq!(
            text(Format::Prometheus),
            "# HELP a_b_total What it is.\n# TYPE a_b_total counter\na_b_total 7\n"
        );
        assert_eq!(
            text(Format::OpenMetrics),
            "# HELP a_b What it is.\n# TYPE a_b counter\na_b_total 7\n# EOF\n"
        );
    }

    #[test]
    fn only_open_metrics_has_exemplars() {
        let at = UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_007);
        let example =
            Example { agent: 7, pid: 77, cause: Some(varta_observer::Cause::Lock), at };
        let text = |format| {
            let mut exposition = Exposition::new(format);
            let mut family = exposition.counter("a", "A.");
            family.put_with_example("x=\"1\"", 5, Some(&example));
            family.put_with_example("x=\"2\"", 0, None);
            exposition.into_text()
        };
        let open = text(Format::OpenMetrics);
        let exemplar =
            "a_total{x=\"1\"} 5 # {agent=\"7\",pid=\"77\",cause=\"lock\"} 1 1700000000.007";
        assert!(open.contains(&format!("{exemplar}\na_total{{x=\"2\"}} 0\n")), "{open}");
        let plain = text(Format::Prometheus);
        assert!(plain.ends_with("a_total{x=\"1\"} 5\na_total{x=\"2\"} 0\n"), "{plain}");
    }

    #[test]
    fn only_the_wanted_families_are_written() {
        let mut exposition = Exposition::new(Format::Prometheus);
        exposition.only(Some(&["a", "c"]));
        for name in ["a", "b", "c"] {
            exposition.counter(name, "Count.").put("", 1);
        }
        let text = exposition.into_text();
        assert!(text.contains("\na_total 1\n") && text.ends_with("\nc_total 1\n"), "{text}");
        assert!(!text.contains('b'), "{text}");
    }

    #[test]
    fn nanoseconds_are_converted_to_seconds_exactly() {
        for (ns, seconds) in [
            (0, "0"),
            (1, "0.000000001"),
            (50_000_000, "0.05"),
            (1_000_000_000, "1"),
            (12_345_678_900, "12.3456789"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            let mut text = String::new();
            push_seconds(&mut text, ns);
            assert_eq!(text, seconds);
        }
    }

    #[test]
    fn a_histogram_is_cumulative_and_names_its_bounds() {
        let mut times = Latencies::EMPTY;
        for ns in [1_000_000, 2_000_000, 3_000_000_000] {
            times.note(&LATENCIES, ns);
        }
        let mut exposition = Exposition::new(Format::Prometheus);
        exposition.histogram("t", "T.", LATENCIES).put("x=\"y\"", &times);
        let text = exposition.end();
        assert!(text.contains("t_bucket{x=\"y\",le=\"0.001\"} 1\n"), "{text}");
        assert!(text.contains("t_bucket{x=\"y\",le=\"1\"} 2\n"), "{text}");
        assert!(text.contains("t_bucket{x=\"y\",le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("t_sum{x=\"y\"} 3.003\nt_count{x=\"y\"} 3\n"), "{text}");
    }

    #[test]
    fn special_characters_in_a_label_are_escaped() {
        assert_eq!(label("program", "a\"b\\c\nd"), r#"program="a\"b\\c\nd""#);
    }

    #[test]
    fn open_metrics_is_used_if_the_accept_header_prefers_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::accepted(other), Format::Prometheus, "{other}");
        }
    }
}
