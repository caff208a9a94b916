//! How pods start.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From what a commit takes to the time that a runtime waits, and beyond it.
const GAP_SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// How pods start now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Addresses of pods are closed until their rules are in the kernel.
    pub is_closed: bool,
    /// The container runtime waits for the rules.
    pub has_gate: bool,
    /// What people should know, although the agent does its work.
    pub remark: Option<String>,
    /// Why it is not what was asked for: the agent is not ready.
    pub hindrance: Option<String>,
}

impl Standing {
    /// What is not as it might be.
    pub fn trouble(&self) -> Option<&str> {
        let trouble = self.hindrance.as_ref().or(self.remark.as_ref());
        trouble.map(String::as_str)
    }
}

#[derive(Debug)]
pub(super) struct PodStarts {
    gate: Gauge,
    closed: Gauge,
    starts: Family<[(&'static str, &'static str); 1], Counter>,
    gap: Histogram,
}

impl Default for PodStarts {
    fn default() -> Self {
        Self {
            gate: Gauge::default(),
            closed: Gauge::default(),
            starts: Family::default(),
            gap: Histogram::new(GAP_SECONDS),
        }
    }
}

impl PodStarts {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "pod_start_gate",
            "Whether the container runtime waits for the rules of pods that start (1), or cannot be reached or is not asked (0)",
            self.gate.clone(),
        );
        registry.register(
            "pod_start_closed",
            "Whether pods are closed until their rules are in the kernel (1), or open (0)",
            self.closed.clone(),
        );
        registry.register(
            "pod_starts",
            "Pods that the container runtime waited with: until their rules were in the kernel, or not long enough",
            self.starts.clone(),
        );
        registry.register_with_unit(
            "pod_start_gap",
            "How long it took from the moment a pod had its network until its rules were in the kernel",
            Unit::Seconds,
            self.gap.clone(),
        );
        for result in ["programmed", "late"] {
            drop(self.starts.get_or_create(&[("result", result)]));
        }
    }

    pub(super) fn set(&self, standing: &Standing) {
        self.gate.set(i64::from(standing.has_gate));
        self.closed.set(i64::from(standing.is_closed));
    }

    pub(super) fn programmed(&self, took: Duration) {
        self.gap.observe(took.as_secs_f64());
    }

    pub(super) fn started(&self, in_time: bool) {
        let result = if in_time { "programmed" } else { "late" };
        self.starts.get_or_create(&[("result", result)]).inc();
    }
}
