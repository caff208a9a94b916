use super::*;
use crate::telemetry::{Elements, TableSize};

#[test]
fn the_scrape_holds_every_metric() {
    let metrics = Metrics::default();
    metrics.set_counts(Counts {
        namespaces: 1,
        pods: 20,
        policies: 3,
        isolated_pods: 4,
    });
    metrics.committed(Duration::from_millis(30));
    metrics.in_force();
    metrics.programmed(Duration::from_millis(32));
    metrics.commit_failed(Duration::from_millis(3));
    metrics.source_failed("pods");
    metrics.set_invalid(Kind::NetworkPolicy, 2);
    metrics.set_faulty_manifests(1);
    metrics.repaired(Part::Chain);
    metrics.table.set_size(TableSize {
        elements: 331_000,
        ..TableSize::default()
    });
    for (added, deleted) in [(5, 2), (0, 1)] {
        metrics.table.moved(Elements { added, deleted });
    }
    metrics.node.set(2, 1);
    for total in [100, 250] {
        metrics.table.set_sent(total);
    }
    let text = metrics.render();
    for line in [
        "netpol_objects{kind=\"pods\"} 20",
        "netpol_isolated_pods 4",
        "netpol_invalid_objects{kind=\"networkpolicies\"} 2",
        "netpol_commits_total{result=\"ok\"} 1",
        "netpol_commits_total{result=\"failed\"} 1",
        "netpol_commit_duration_seconds_count 2",
        "netpol_programming_seconds_count 1",
        "netpol_faulty_manifests 1",
        "netpol_repairs_total{kind=\"chain\"} 1",
        "netpol_repairs_total{kind=\"table\"} 0",
        "netpol_table_objects{kind=\"elements\"} 331000",
        "netpol_table_objects{kind=\"chains\"} 0",
        "netpol_elements_added_total 5",
        "netpol_elements_deleted_total 3",
        "netpol_sent_bytes_total 250",
        "netpol_node_findings{level=\"warning\"} 2",
        "netpol_node_findings{level=\"error\"} 1",
        "netpol_source_failures_total{kind=\"pods\"} 1",
        concat!(
            "netpol_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in:\n{text}"
        );
    }
    assert!(text.contains("netpol_last_commit_timestamp_seconds "));
}
