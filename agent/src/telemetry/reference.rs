//! The part of docs/metrics.md that tells of each metric.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use policy_compiler::decode::Kind;
use policy_compiler::model::Direction;

use super::Telemetry;
use super::{Counts, Elements, Outcome, Queues, TableSize};
use crate::dataplane::Part;
use crate::documents::{cell, hold, read};
use crate::revoke::Tally;

/// A metric as it is scraped.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    unit: String,
    help: String,
    /// The values of each label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

#[test]
fn the_document_has_each_metric() {
    // Of these all values are known, since they are there from the start.
    let known = scraped(&Telemetry::default());
    let metrics = scraped(&busy());
    let mut text =
        "| metric | type | unit | labels | is |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for (name, metric) in &metrics {
        let known = known.get(name).map(|known| &known.labels);
        let labels = metric.labels.keys().map(|label| {
            let values = known
                .and_then(|known| known.get(label))
                .into_iter()
                .flatten();
            let values: Vec<&str> = values.map(String::as_str).collect();
            // What is scraped of the build changes with it.
            match &values[..] {
                [_, _, ..] => format!("`{label}`: {}", values.join(", ")),
                _ => format!("`{label}`"),
            }
        });
        let labels: Vec<String> = labels.collect();
        let name = format!("`{name}`");
        let row = [
            &name,
            &metric.kind,
            &metric.unit,
            &labels.join("; "),
            &metric.help,
        ];
        let row = row.map(|text| cell(text)).join(" | ");
        text += &["| ", &row, " |\n"].concat();
    }
    hold("metrics.md", &text);
}

#[test]
fn no_metric_is_forgotten() {
    let telemetry = busy();
    let scrape = telemetry.render();
    // Families without a series are not scraped, but those who registered them are known.
    let registered = format!("{:?}", telemetry.shared.metrics);
    let names: Vec<&str> = registered
        .split("Descriptor { name: \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let line = format!("# HELP netpol_{name}");
        assert!(scrape.contains(&line), "{line}: give it a value in busy()");
    }
}

/// Alerts that name what is not there never fire.
#[test]
fn whatever_the_document_names_is_there() {
    let metrics = scraped(&busy());
    let text = read("metrics.md");
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for word in words.filter(|word| word.starts_with("netpol_")) {
        let parts = ["_bucket", "_count", "_sum"];
        let of_histogram = parts.iter().find_map(|part| word.strip_suffix(part));
        let found = metrics.contains_key(word)
            || of_histogram.is_some_and(|name| metrics.contains_key(name));
        assert!(found, "{word}");
    }
}

/// One that has had something of everything.
fn busy() -> Telemetry {
    let telemetry = Telemetry::default();
    telemetry.set_counts(Counts::default());
    telemetry.source_failed("pods");
    telemetry.set_invalid(Kind::Pod, 1);
    telemetry.committed(Duration::ZERO, Elements::default());
    telemetry.commit_failed(Duration::ZERO);
    telemetry.in_force(TableSize::default());
    telemetry.programmed(Duration::ZERO);
    telemetry.repaired(Part::Chain);
    telemetry.set_faulty_manifests(1);
    telemetry.dropped("shop", "Deployment/web", Direction::Ingress, 1);
    telemetry.accounted(Outcome::Logged, 1);
    telemetry.set_lines(1, 1, 1);
    telemetry.set_queues(Queues::default());
    telemetry.mismatch();
    telemetry.revoked(Tally::default(), Duration::ZERO);
    telemetry.revocation_failed();
    telemetry.set_flow_log_up(true);
    telemetry.pod_programmed(Duration::ZERO);
    telemetry
}

fn scraped(telemetry: &Telemetry) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let text = telemetry.render();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some("#"), Some(what), Some(name), Some(rest)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let metric = metrics.entry(name.to_owned()).or_default();
        match what {
            "TYPE" => metric.kind = rest.to_owned(),
            "UNIT" => metric.unit = rest.to_owned(),
            _ => metric.help = rest.trim_end_matches('.').to_owned(),
        }
    }
    let suffixed = metrics.into_iter().map(|(name, metric)| {
        let suffix = match metric.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        (name + suffix, metric)
    });
    let mut metrics: BTreeMap<String, Metric> = suffixed.collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = line.split_once('{') else {
            continue;
        };
        let (Some(metric), Some((labels, _))) = (metrics.get_mut(name), labels.rsplit_once('}'))
        else {
            continue;
        };
        for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
            let value = value.trim_matches('"').to_owned();
            metric
                .labels
                .entry(label.to_owned())
                .or_default()
                .insert(value);
        }
    }
    metrics
}
