//! Metrics of dropped packets and of the log that tells of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use policy_compiler::model::Direction;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::gauge::gauge;

/// Whose drops are told apart at most; more workloads than these share one series, `namespace="(other)"`.
const SERIES: usize = 2000;

/// The same for one namespace, whose further workloads share `workload="(other)"`: who makes pods of ever new names must not
/// take all series from others.
const SERIES_OF_ONE: usize = 200;

/// The most characters of a workload: who makes a pod writes what it likes into its `ownerReferences`.
const WORKLOAD: usize = 320;

type DropLabels = [(&'static str, String); 3];
type Labels = [(&'static str, &'static str); 1];

/// What became of a packet that was dropped, as far as the log is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has a line of its own.
    Logged,
    /// It is counted in a line about several.
    Folded,
    /// The kernel did not hand it on: too many of its pod's were dropped before it.
    Suppressed,
    /// It got lost on the way.
    Lost,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Logged, Self::Folded, Self::Suppressed, Self::Lost];

    fn label(self) -> Labels {
        let outcome = match self {
            Self::Logged => "logged",
            Self::Folded => "folded",
            Self::Suppressed => "suppressed",
            Self::Lost => "lost",
        };
        [("outcome", outcome)]
    }
}

/// What waits to be worked off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Dropped flows that wait to be explained.
    pub sightings: usize,
    /// Lines that wait to be written.
    pub lines: usize,
}

/// The series of dropped packets.
#[derive(Debug, Default)]
struct Series {
    known: HashSet<DropLabels>,
    by_namespace: HashMap<String, usize>,
}

impl Series {
    /// The labels under which these are counted.
    fn admit(&mut self, labels: DropLabels) -> DropLabels {
        if self.known.contains(&labels) {
            return labels;
        }
        let [namespace, _, direction] = labels.clone();
        if self.known.len() >= SERIES {
            return [
                ("namespace", "(other)".to_owned()),
                ("workload", String::new()),
                direction,
            ];
        }
        let of_namespace = self.by_namespace.entry(namespace.1.clone()).or_default();
        if *of_namespace >= SERIES_OF_ONE {
            return [namespace, ("workload", "(other)".to_owned()), direction];
        }
        *of_namespace += 1;
        self.known.insert(labels.clone());
        labels
    }
}

#[derive(Debug, Default)]
pub(super) struct Drops {
    packets: Family<DropLabels, Counter>,
    series: Mutex<Series>,
    outcomes: Family<Labels, Counter>,
    lines_written: Counter,
    lines_lost: Counter,
    queues: Family<Labels, Gauge>,
    readers: Gauge,
    mismatches: Counter,
    is_up: Gauge,
}

impl Drops {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "dropped_packets",
            "Packets that the table dropped, by the pod whose policies dropped them",
            self.packets.clone(),
        );
        registry.register(
            "flow_log_packets",
            "Dropped packets by what the flow log made of them",
            self.outcomes.clone(),
        );
        registry.register(
            "flow_log_lines_written",
            "Lines of the flow log that were written",
            self.lines_written.clone(),
        );
        registry.register(
            "flow_log_lines_lost",
            "Lines of the flow log that could not be written",
            self.lines_lost.clone(),
        );
        registry.register(
            "flow_log_queue_length",
            "Dropped flows that wait to be explained (sightings), lines that wait to be written (lines)",
            self.queues.clone(),
        );
        registry.register(
            "flow_log_readers",
            "Programs that read the flow log's socket",
            self.readers.clone(),
        );
        registry.register(
            "flow_log_mismatches",
            "Dropped packets that no policy forbids: a fault of netpol's, or another program has edited the table",
            self.mismatches.clone(),
        );
        registry.register(
            "flow_log_up",
            "Whether dropped packets are received from the kernel",
            self.is_up.clone(),
        );
        // A rate over a counter needs the zero before the first packet.
        for outcome in Outcome::ALL {
            drop(self.outcomes.get_or_create(&outcome.label()));
        }
    }

    pub(super) fn dropped(
        &self,
        namespace: &str,
        workload: &str,
        direction: Direction,
        count: u64,
    ) {
        let labels = [
            ("namespace", namespace.to_owned()),
            ("workload", workload.chars().take(WORKLOAD).collect()),
            ("direction", direction.to_string()),
        ];
        let labels = self
            .series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(labels);
        self.packets.get_or_create(&labels).inc_by(count);
    }

    pub(super) fn outcome(&self, outcome: Outcome, packets: u64) {
        self.outcomes
            .get_or_create(&outcome.label())
            .inc_by(packets);
    }

    /// `written` and `lost` are cumulative.
    pub(super) fn set_lines(&self, written: u64, lost: u64, readers: usize) {
        for (counter, total) in [(&self.lines_written, written), (&self.lines_lost, lost)] {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        self.readers.set(gauge(readers));
    }

    pub(super) fn set_queues(&self, queues: Queues) {
        for (queue, length) in [("sightings", queues.sightings), ("lines", queues.lines)] {
            self.queues
                .get_or_create(&[("queue", queue)])
                .set(gauge(length));
        }
    }

    pub(super) fn mismatch(&self) {
        self.mismatches.inc();
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.set(i64::from(is_up));
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn series_are_bounded() {
        let (drops, mut registry) = (Drops::default(), Registry::default());
        drops.register(&mut registry);
        for i in 0..SERIES * 2 {
            let namespace = format!("shop-{}", i % 20);
            drops.dropped(&namespace, &format!("Job/{i}"), Direction::Ingress, 3);
        }
        drops.dropped("shop-0", "Job/0", Direction::Ingress, 4);
        for line in [
            series("shop-0", "Job/0", 7),
            series("(other)", "", SERIES * 3),
        ] {
            assert_eq!(lines(&registry, &line), 1, "{line}");
        }
        assert_eq!(lines(&registry, "dropped_packets_total{"), SERIES + 1);
    }

    #[test]
    fn a_namespace_takes_no_series_from_others() {
        let (drops, mut registry) = (Drops::default(), Registry::default());
        drops.register(&mut registry);
        for i in 0..SERIES {
            drops.dropped("evil", &format!("Job/{i}"), Direction::Ingress, 1);
        }
        drops.dropped("shop", &"x".repeat(1 << 20), Direction::Ingress, 2);
        for line in [
            series("evil", "(other)", SERIES - SERIES_OF_ONE),
            series("shop", &"x".repeat(WORKLOAD), 2),
        ] {
            assert_eq!(lines(&registry, &line), 1, "{line}");
        }
    }

    fn series(namespace: &str, workload: &str, packets: usize) -> String {
        format!(
            "dropped_packets_total{{namespace=\"{namespace}\",workload=\"{workload}\",direction=\"ingress\"}} {packets}"
        )
    }

    fn lines(registry: &Registry, start: &str) -> usize {
        let mut text = String::new();
        encode(&mut text, registry).expect("text");
        text.lines().filter(|line| line.starts_with(start)).count()
    }
}
