//! Metrics of dropped packets and of the log that tells of them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use policy_compiler::model::Direction;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::gauge::gauge;

/// Whose drops are told apart at most; more workloads than these share one series, `namespace="(other)"`.
const SERIES: usize = 2000;

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

#[derive(Debug, Default)]
pub(super) struct Drops {
    packets: Family<DropLabels, Counter>,
    /// The series of `packets`.
    series: Mutex<HashSet<DropLabels>>,
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
        let labels = |namespace: &str, workload: &str| {
            [
                ("namespace", namespace.to_owned()),
                ("workload", workload.to_owned()),
                ("direction", direction.to_string()),
            ]
        };
        let mut labels_of_packets = labels(namespace, workload);
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if !series.contains(&labels_of_packets) {
            if series.len() < SERIES {
                series.insert(labels_of_packets.clone());
            } else {
                labels_of_packets = labels("(other)", "");
            }
        }
        self.packets.get_or_create(&labels_of_packets).inc_by(count);
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
            drops.dropped("shop", &format!("Job/{i}"), Direction::Ingress, 3);
        }
        drops.dropped("shop", "Job/0", Direction::Ingress, 4);
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(lines("dropped_packets_total{"), SERIES + 1);
        let other = format!(
            "dropped_packets_total{{namespace=\"(other)\",workload=\"\",direction=\"ingress\"}} {}",
            SERIES * 3
        );
        assert_eq!(lines(&other), 1);
        assert_eq!(
            lines(
                "dropped_packets_total{namespace=\"shop\",workload=\"Job/0\",direction=\"ingress\"} 7"
            ),
            1
        );
    }
}
