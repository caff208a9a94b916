//! Prometheus metrics.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Counts;
use super::connections::Connections;
use super::drops::Drops;
use super::gauge::gauge;
use super::node::Node;
use super::pod_start::PodStarts;
use super::ports::Ports;
use super::table::Table;
use crate::dataplane::Part;
use policy_compiler::decode::Kind;

type Labels = [(&'static str, String); 1];

/// From a small change on a small node to a full load of a big one.
const COMMIT_SECONDS: [f64; 12] = [
    0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// From one change on a quiet node to many at once, or a kernel that refuses.
const PROGRAMMING_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    objects: Family<Labels, Gauge>,
    invalid: Family<Labels, Gauge>,
    isolated_pods: Gauge,
    commits: Family<Labels, Counter>,
    commit_seconds: Histogram,
    programming_seconds: Histogram,
    last_commit: Gauge<f64, AtomicU64>,
    repairs: Family<Labels, Counter>,
    source_failures: Family<Labels, Counter>,
    faulty_manifests: Gauge,
    pub(super) node: Node,
    pub(super) ports: Ports,
    pub(super) pod_starts: PodStarts,
    pub(super) table: Table,
    pub(super) drops: Drops,
    pub(super) connections: Connections,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("netpol"),
            objects: Family::default(),
            invalid: Family::default(),
            isolated_pods: Gauge::default(),
            commits: Family::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            programming_seconds: Histogram::new(PROGRAMMING_SECONDS),
            last_commit: Gauge::default(),
            repairs: Family::default(),
            source_failures: Family::default(),
            faulty_manifests: Gauge::default(),
            node: Node::default(),
            ports: Ports::default(),
            pod_starts: PodStarts::default(),
            table: Table::default(),
            drops: Drops::default(),
            connections: Connections::default(),
        };
        metrics.register()
    }
}

impl Metrics {
    fn register(mut self) -> Self {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION").to_owned())]);
        let registry = &mut self.registry;
        registry.register("build", "What is running", build);
        registry.register(
            "objects",
            "Objects known, of all nodes",
            self.objects.clone(),
        );
        registry.register(
            "invalid_objects",
            "Objects that are not valid and fail closed",
            self.invalid.clone(),
        );
        registry.register(
            "isolated_pods",
            "Pods of this node that a policy isolates",
            self.isolated_pods.clone(),
        );
        registry.register(
            "commits",
            "Transactions sent to nftables, by result",
            self.commits.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "How long nftables took for a transaction",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register_with_unit(
            "programming",
            "How long it took from an event of the source until the kernel had what follows from it",
            Unit::Seconds,
            self.programming_seconds.clone(),
        );
        registry.register_with_unit(
            "last_commit_timestamp",
            "When the kernel last took the rules, or was found to hold them, in seconds since 1970",
            Unit::Seconds,
            self.last_commit.clone(),
        );
        registry.register(
            "repairs",
            "Times that table inet netpol was put right, by what another program had changed of it",
            self.repairs.clone(),
        );
        registry.register(
            "faulty_manifests",
            "Manifest files with errors, whose last good objects, if any, are in force",
            self.faulty_manifests.clone(),
        );
        registry.register(
            "source_failures",
            "Failed requests to the API server, or refused manifest files",
            self.source_failures.clone(),
        );
        self.node.register(registry);
        self.ports.register(registry);
        self.pod_starts.register(registry);
        self.table.register(registry);
        self.drops.register(registry);
        self.connections.register(registry);
        // A rate over a counter needs the zero before the first failure.
        for result in ["ok", "failed"] {
            drop(self.commits.get_or_create(&result_label(result)));
        }
        for part in Part::ALL {
            drop(self.repairs.get_or_create(&part_label(part)));
        }
        for kind in Kind::ALL {
            self.set_invalid(kind, 0);
        }
        self
    }

    pub(super) fn source_failed(&self, what: &str) {
        self.source_failures
            .get_or_create(&[("kind", what.to_owned())])
            .inc();
    }

    pub(super) fn repaired(&self, part: Part) {
        self.repairs.get_or_create(&part_label(part)).inc();
    }

    pub(super) fn set_faulty_manifests(&self, count: usize) {
        self.faulty_manifests.set(gauge(count));
    }

    pub(super) fn set_invalid(&self, kind: Kind, count: usize) {
        self.invalid
            .get_or_create(&kind_label(kind))
            .set(gauge(count));
    }

    pub(super) fn invalid(&self, kind: Kind) -> usize {
        usize::try_from(self.invalid.get_or_create(&kind_label(kind)).get()).unwrap_or_default()
    }

    pub(super) fn set_counts(&self, counts: Counts) {
        let by_kind = [
            (Kind::Namespace, counts.namespaces),
            (Kind::Pod, counts.pods),
            (Kind::NetworkPolicy, counts.policies),
        ];
        for (kind, count) in by_kind {
            self.objects
                .get_or_create(&kind_label(kind))
                .set(gauge(count));
        }
        self.isolated_pods.set(gauge(counts.isolated_pods));
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commits.get_or_create(&result_label("ok")).inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn in_force(&self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.last_commit.set(now.as_secs_f64());
    }

    pub(super) fn programmed(&self, took: Duration) {
        self.programming_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn commit_failed(&self, took: Duration) {
        self.commits.get_or_create(&result_label("failed")).inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string cannot fail; a scrape must not bring the agent down if it did.
            Err(error) => format!("# {error}\n# EOF\n"),
        }
    }
}

fn kind_label(kind: Kind) -> Labels {
    [("kind", kind.plural().to_owned())]
}

fn part_label(part: Part) -> Labels {
    [("kind", part.name().to_owned())]
}

fn result_label(result: &str) -> Labels {
    [("result", result.to_owned())]
}

#[cfg(test)]
mod tests;
