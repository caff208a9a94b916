//! The table compared without need, and repaired as it is by then.

use policy_compiler::ruleset::Ident;

use super::*;

fn repairs_of(telemetry: &Telemetry, kind: &str) -> String {
    let metrics = telemetry.render();
    let label = format!("netpol_repairs_total{{kind=\"{kind}\"}} ");
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(&label));
    line.expect("a metric").to_owned()
}

/// A loop that has written its table, which is right and may be changed at any time.
async fn written() -> Bench {
    let bench = Bench::start();
    bench.dataplane.find_right();
    bench.dataplane.set_changeable(true);
    bench.add_all();
    pass(60).await;
    bench
}

/// What nobody told of, because it got lost.
#[tokio::test(start_paused = true)]
async fn what_is_not_told_is_found_by_comparing() {
    run(async {
        let bench = written().await;
        let (attempts, readings) = (bench.attempts(), bench.dataplane.readings());
        assert_eq!((attempts, readings), (1, 1));
        let commits = "netpol_commits_total{result=\"ok\"} 1\n";
        pass(5_000).await;
        assert_eq!((bench.attempts(), bench.dataplane.readings()), (1, 2));
        assert!(bench.telemetry.render().contains(commits));
        // Where nobody has written there is nothing to compare.
        bench.dataplane.set_changeable(false);
        pass(20_000).await;
        assert_eq!(bench.dataplane.readings(), 2);
        bench.dataplane.set_changeable(true);
        // What differs is mended, and counted as what it is.
        let chain = Ident::fixed("pod/shop/web/ingress");
        for (kind, repair) in [
            ("rule", Operation::FlushChain(chain.clone())),
            ("chain", Operation::DeleteChain(chain.clone())),
            ("set", Operation::DeleteSet(chain.clone())),
            ("element", Operation::FlushSet(chain.clone())),
            ("other", Operation::DeleteCounter(chain.clone())),
            ("table", Operation::AddTable),
        ] {
            let (attempts, readings) = (bench.attempts(), bench.dataplane.readings());
            assert_eq!(repairs_of(&bench.telemetry, kind), "0");
            bench.find_differing(vec![Operation::AddTable, repair], kind);
            pass(5_000).await;
            assert_eq!(repairs_of(&bench.telemetry, kind), "1");
            assert_eq!(bench.attempts(), attempts + 1, "{kind}");
            assert_eq!(bench.dataplane.readings(), readings + 1, "{kind}");
        }
        assert!(bench.telemetry.readiness().is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn comparing_does_not_stand_in_the_way() {
    run(async {
        let bench = written().await;
        // What cannot be read is left alone.
        bench.dataplane.fail_reading("no");
        bench.dataplane.fail_reading("no again");
        pass(5_000).await;
        assert_eq!(bench.attempts(), 1);
        assert!(bench.telemetry.readiness().is_ok());
        // A change that comes with it is written by itself, and what is compared has it.
        pass(4_939).await;
        bench.add_pod("db", "10.244.1.3");
        pass(10).await;
        assert_eq!(bench.attempts(), 2);
        let change = bench.dataplane.committed()[1].clone();
        assert!(
            change.contains("10.244.1.3") && !change.contains("delete table"),
            "{change}"
        );
        // A repair that is refused is followed by the whole table.
        bench.find_differing(vec![Operation::AddTable], "a rule");
        bench.dataplane.fail_next("no");
        pass(5_000).await;
        assert_eq!(bench.attempts(), 4);
        let whole = bench.dataplane.committed()[2].clone();
        assert!(
            whole.contains("delete table") && whole.contains("10.244.1.3"),
            "{whole}"
        );
        assert!(bench.telemetry.readiness().is_ok());
    })
    .await;
}

/// Neither is put off by the other.
#[tokio::test(start_paused = true)]
async fn changes_without_end_and_comparing() {
    run(async {
        let bench = written().await;
        let change = async |times: u32, between: u64| {
            for i in 0..times {
                bench.add_pod("web", &format!("10.244.1.{}", i % 250 + 1));
                pass(between).await;
            }
        };
        // One change always waits for the next.
        change(4_000, 3).await;
        assert_eq!(bench.dataplane.readings(), 1 + 2);
        let commits = bench.attempts();
        assert!((200..300).contains(&commits), "{commits}");
        // For want of knowledge it is compared once, not with each change.
        pass(5_000).await;
        let (commits, readings) = (bench.attempts(), bench.dataplane.readings());
        for _ in 0..100 {
            let sent = bench.disturbances.unbounded_send(Disturbance::Overrun);
            sent.expect("the loop listens");
            pass(1).await;
            change(2, 10).await;
        }
        assert_eq!(bench.dataplane.readings(), readings + 1);
        assert_eq!(bench.attempts(), commits + 200);
        pass(10_000).await;
        assert!(bench.dataplane.readings() > readings + 1);
        assert!(bench.telemetry.readiness().is_ok());
    })
    .await;
}

/// Whoever changes the table each time that it has been read keeps it from being mended, but not from being right.
#[tokio::test(start_paused = true)]
async fn a_repair_that_is_overtaken_is_made_from_what_is_there_then() {
    run(async {
        let bench = Bench::start();
        bench.dataplane.leave_table();
        bench.dataplane.overtake_next(3);
        let repair = |name: &str| Found::Differs {
            repair: Transaction::new(vec![
                Operation::AddTable,
                Operation::DeleteChain(Ident::fixed(name)),
            ]),
            differences: vec![name.to_owned()],
        };
        for name in ["a", "b", "c", "d"] {
            bench.dataplane.find_next(repair(name));
        }
        bench.add_all();
        pass(60).await;
        let committed = bench.dataplane.committed();
        assert_eq!(
            committed,
            ["add table inet netpol\ndelete chain inet netpol d\n"]
        );
        assert!(bench.telemetry.readiness().is_ok());
        bench.dataplane.overtake_next(100);
        (0..100).for_each(|_| bench.dataplane.find_next(repair("again")));
        bench.dataplane.set_changeable(true);
        let sent = bench.disturbances.unbounded_send(Disturbance::Overrun);
        sent.expect("the loop listens");
        pass(60).await;
        let whole = bench.dataplane.committed()[1].clone();
        assert!(whole.contains("delete table inet netpol\n"), "{whole}");
        assert!(bench.telemetry.readiness().is_ok());
    })
    .await;
}
