//! The table that is in the kernel already, and what other programs do to it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_table_that_was_deleted_comes_back() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        // Half-way between two inspections.
        pass(62_500).await;
        assert_eq!(bench.attempts(), 1);
        bench.dataplane.lose_table();
        bench.dataplane.fail_next("no");
        pass(3_000).await;
        assert_eq!(bench.attempts(), 2);
        let reason = bench.telemetry.readiness().map_err(|r| r.to_string());
        assert!(
            reason
                .expect_err("open")
                .contains("another program has deleted"),
        );
        pass(2_000).await;
        assert!(bench.telemetry.readiness().is_ok());
        assert!(
            bench
                .telemetry
                .render()
                .contains("netpol_repairs_total{kind=\"table\"} 1\n")
        );
        let whole = bench.dataplane.committed()[1].clone();
        assert!(
            whole.contains("delete table inet netpol\n") && whole.contains("10.244.1.2"),
            "{whole}"
        );
        pass(60_000).await;
        assert_eq!(bench.attempts(), 3);
    })
    .await;
}

/// What an earlier agent has left is taken over as far as it is right.
#[tokio::test(start_paused = true)]
async fn a_table_that_is_there_is_taken_over() {
    run(async {
        let bench = Bench::start();
        bench.dataplane.leave_table();
        bench.dataplane.find_next(Found::Same);
        bench.add_all();
        pass(60).await;
        assert_eq!(bench.attempts(), 0, "nothing to write");
        assert!(bench.telemetry.readiness().is_ok());
        bench.add_pod("db", "10.244.1.3");
        pass(10).await;
        let change = bench.dataplane.committed()[0].clone();
        assert!(
            change.contains("10.244.1.3") && !change.contains("delete table"),
            "{change}"
        );
        // What cannot be mended is replaced, and packets meet the old rules until then.
        bench.find_differing(vec![Operation::AddTable], "a rule");
        bench.dataplane.set_changeable(true);
        bench.dataplane.fail_next("no");
        let sent = bench.disturbances.unbounded_send(Disturbance::Overrun);
        sent.expect("the loop listens");
        pass(10).await;
        let whole = bench.dataplane.committed()[1].clone();
        assert!(whole.contains("delete table inet netpol\n"), "{whole}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_put_right_at_once() {
    run(async {
        let bench = Bench::start();
        let disturb = |disturbance| {
            let sent = bench.disturbances.unbounded_send(disturbance);
            sent.expect("the loop listens");
        };
        let changed = || Disturbance::Foreign(Foreign::of(Part::Rule, false));
        // Before anything is written there is nothing to put right.
        disturb(changed());
        bench.add_policy();
        bench.add_pod("web", "10.244.1.2");
        pass(10).await;
        disturb(Disturbance::Foreign(Foreign::of(Part::Table, true)));
        bench.say(Update::Synced);
        pass(60).await;
        assert_eq!(bench.attempts(), 1);
        assert!(bench.telemetry.readiness().is_ok());
        disturb(changed());
        pass(1).await;
        assert_eq!(bench.attempts(), 2);
        let whole = bench.dataplane.committed()[1].clone();
        assert!(whole.contains("delete table inet netpol\n"), "{whole}");
        // One that fails is tried again like any other.
        bench.dataplane.fail_next("no");
        disturb(changed());
        pass(500).await;
        assert_eq!(bench.attempts(), 3);
        pass(600).await;
        assert_eq!(bench.attempts(), 4);
        let metrics = bench.telemetry.render();
        let line = "netpol_repairs_total{kind=\"rule\"} 2\n";
        assert!(metrics.contains(line), "{metrics}");
        // What may be is looked at, and written unless it cannot be, but no repair.
        bench.dataplane.set_changeable(false);
        disturb(Disturbance::Overrun);
        pass(1).await;
        assert_eq!(bench.attempts(), 4);
        bench.dataplane.set_changeable(true);
        disturb(Disturbance::Overrun);
        pass(1).await;
        assert_eq!(bench.attempts(), 5);
        assert!(bench.telemetry.render().contains(line));
        bench.dataplane.set_changeable(false);
        // A change that waits goes with it.
        bench.add_pod("db", "10.244.1.3");
        pass(1).await;
        disturb(changed());
        pass(1).await;
        assert_eq!(bench.attempts(), 6);
        assert!(bench.dataplane.committed()[4].contains("10.244.1.3"));
        pass(60_000).await;
        assert_eq!(bench.attempts(), 6);
    })
    .await;
}
