//! The two text formats of metrics: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! Written by hand, because a scrape of ten thousand agents is a million short strings, and
//! what a registry of counters would keep is kept by the watching thread already.

use std::fmt::Write;

use crate::histogram::Histogram;

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

    /// What whoever asks would rather have, by its Accept header.
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

/// Families, one after the other.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Makes room, once it is known for how much.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// A counter; its samples are called by its name and `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        let suffix = "_total";
        let shown = if self.format == Format::Prometheus { suffix } else { "" };
        self.head(name, shown, "counter", help);
        Family { text: &mut self.text, name, suffix }
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.head(name, "", "gauge", help);
        Family { text: &mut self.text, name, suffix: "" }
    }

    /// Times in seconds.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        bounds: [u64; N],
    ) -> Buckets<'_, N> {
        self.head(name, "", "histogram", help);
        let bounds = bounds.map(|bound| {
            let mut label = "le=\"".to_owned();
            push_seconds(&mut label, bound);
            if self.format == Format::OpenMetrics && bound % 1_000_000_000 == 0 {
                label.push_str(".0");
            }
            label.push('"');
            label
        });
        Buckets { text: &mut self.text, name, bounds }
    }

    fn head(&mut self, name: &str, suffix: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}");
    }
}

/// A family that is given its samples. Labels are as [`label`] makes them, divided by commas.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    suffix: &'static str,
}

impl Family<'_> {
    pub(super) fn put(&mut self, labels: &str, value: u64) {
        self.name(labels);
        push_number(self.text, value);
    }

    pub(super) fn put_seconds(&mut self, labels: &str, ns: u64) {
        self.name(labels);
        push_seconds(self.text, ns);
        self.text.push('\n');
    }

    fn name(&mut self, labels: &str) {
        for part in [self.name, self.suffix] {
            self.text.push_str(part);
        }
        if !labels.is_empty() {
            for part in ["{", labels, "}"] {
                self.text.push_str(part);
            }
        }
        self.text.push(' ');
    }
}

#[derive(Debug)]
pub(super) struct Buckets<'a, const N: usize> {
    text: &'a mut String,
    name: &'static str,
    bounds: [String; N],
}

impl<const N: usize> Buckets<'_, N> {
    pub(super) fn put(&mut self, labels: &str, times: &Histogram<N>) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in self.bounds.iter().zip(times.cumulative()) {
            for part in [self.name, "_bucket{", labels, comma, bound, "} "] {
                self.text.push_str(part);
            }
            push_number(self.text, count);
        }
        for part in [self.name, "_bucket{", labels, comma, "le=\"+Inf\"} "] {
            self.text.push_str(part);
        }
        push_number(self.text, times.count());
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        for part in [self.name, "_sum", open, labels, close, " "] {
            self.text.push_str(part);
        }
        push_seconds(self.text, times.sum_ns());
        for part in ["\n", self.name, "_count", open, labels, close, " "] {
            self.text.push_str(part);
        }
        push_number(self.text, times.count());
    }
}

/// `name="value"`, with what would end the value escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    let mut label = format!("{name}=\"");
    for character in value.chars() {
        match character {
            '\\' => label.push_str("\\\\"),
            '"' => label.push_str("\\\""),
            '\n' => label.push_str("\\n"),
            other => label.push(other),
        }
    }
    label.push('"');
    label
}

fn push_number(text: &mut String, number: u64) {
    text.push_str(itoa::Buffer::new().format(number));
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
    use crate::histogram::{LATENCIES, Latencies};

    #[test]
    fn a_counter_is_named_as_its_format_wants_it() {
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
    fn nanoseconds_are_seconds_exactly() {
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
    fn a_histogram_counts_upwards_and_names_its_bounds() {
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
    fn what_would_end_a_label_is_escaped() {
        assert_eq!(label("program", "a\"b\\c\nd"), r#"program="a\"b\\c\nd""#);
    }

    #[test]
    fn open_metrics_is_given_to_who_asks_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::accepted(other), Format::Prometheus, "{other}");
        }
    }
}
