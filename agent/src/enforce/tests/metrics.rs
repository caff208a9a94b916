//! What `/metrics` says of the table and of the way there.

use super::*;

impl Bench {
    /// The value of a series.
    fn metric(&self, series: &str) -> u64 {
        let text = self.telemetry.render();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {series} in:\n{text}"));
        value.parse().expect("a number")
    }

    /// Chains, rules, sets, maps, elements and counters.
    fn table(&self) -> [u64; 6] {
        ["chains", "rules", "sets", "maps", "elements", "counters"]
            .map(|kind| self.metric(&format!("netpol_table_objects{{kind=\"{kind}\"}}")))
    }

    /// Elements added, deleted; transactions taken, refused.
    fn traffic(&self) -> [u64; 4] {
        [
            "netpol_elements_added_total",
            "netpol_elements_deleted_total",
            "netpol_commits_total{result=\"ok\"}",
            "netpol_commits_total{result=\"failed\"}",
        ]
        .map(|series| self.metric(series))
    }

    /// All that was handed on is counted, whatever became of it.
    fn check_bytes(&self) {
        let scripts = self.dataplane.attempts();
        let bytes: usize = scripts.iter().map(String::len).sum();
        assert_eq!(self.metric("netpol_sent_bytes_total"), bytes as u64);
    }
}

/// One pod of one address that a policy closes for ingress: five base chains, those for link-local addresses and of the
/// pod, which both count what they drop, and the policy's, which is empty; four maps.
const ONE: [u64; 6] = [8, 29, 0, 4, 1, 2];
/// With one more comes its chain of four rules, its entry and its counter.
const TWO: [u64; 6] = [9, 33, 0, 4, 2, 3];

#[tokio::test(start_paused = true)]
async fn the_table_is_as_large_as_it_was_last_written() {
    run(async {
        let bench = Bench::start();
        assert_eq!(bench.table(), [0; 6]);
        bench.add_all();
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (ONE, [1, 0, 1, 0]));
        bench.add_pod("db", "10.244.1.3");
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (TWO, [2, 0, 2, 0]));
        bench.add_pod("db", "10.244.1.4");
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (TWO, [3, 1, 3, 0]));
        bench.delete_pod("shop/db");
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (ONE, [3, 2, 4, 0]));
        bench.check_bytes();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_in_the_table() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        bench.dataplane.fail_next("no such chain");
        bench.dataplane.fail_next("still no such chain");
        bench.add_pod("db", "10.244.1.3");
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (ONE, [1, 0, 1, 2]));
        bench.check_bytes();
        // Written whole in the end: both elements once more.
        pass(1_000).await;
        assert_eq!((bench.table(), bench.traffic()), (TWO, [3, 0, 2, 2]));
        bench.check_bytes();
        // A change after it counts from there.
        bench.add_pod("api", "10.244.1.4");
        pass(60).await;
        assert_eq!(bench.table(), [10, 37, 0, 4, 3, 4]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_gone_holds_nothing_until_it_is_back() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        bench.dataplane.lose_table();
        bench.dataplane.fail_next("no");
        let gone = Disturbance::Foreign(Foreign::of(Part::Table, true));
        bench
            .disturbances
            .unbounded_send(gone)
            .expect("the loop listens");
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), ([0; 6], [1, 0, 1, 1]));
        pass(1_000).await;
        assert_eq!((bench.table(), bench.traffic()), (ONE, [2, 0, 2, 1]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn mending_counts_by_what_it_sends() {
    run(async {
        let bench = Bench::start();
        bench.dataplane.leave_table();
        bench.dataplane.find_next(Found::Same);
        bench.add_all();
        pass(60).await;
        // Nothing was sent, and yet the table is known.
        assert_eq!((bench.table(), bench.traffic()), (ONE, [0; 4]));
        assert!(bench.metric("netpol_commit_duration_seconds_count") == 0);
        // Mended by one element; then beyond mending, and replaced.
        let map = policy_compiler::ruleset::Ident::fixed("ingress4");
        let address = "10.244.1.2".parse().expect("an address");
        let entry = vec![(address, policy_compiler::ruleset::Ident::fixed("chain"))];
        let repair = Transaction::new(vec![policy_compiler::ruleset::Operation::AddMapElements(
            map, entry,
        )]);
        let found = || Found::Differs {
            repair: repair.clone(),
            differences: vec!["an element".to_owned()],
        };
        let changed = || {
            let changed = Disturbance::Foreign(Foreign::of(Part::Element, false));
            let sent = bench.disturbances.unbounded_send(changed);
            sent.expect("the loop listens");
        };
        bench.dataplane.find_next(found());
        changed();
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (ONE, [1, 0, 1, 0]));
        bench.dataplane.find_next(found());
        bench.dataplane.fail_next("no");
        changed();
        pass(60).await;
        assert_eq!((bench.table(), bench.traffic()), (ONE, [2, 0, 2, 1]));
        assert_eq!(bench.metric("netpol_repairs_total{kind=\"element\"}"), 2);
        bench.check_bytes();
    })
    .await;
}
