//! What the kernel can refuse, and what must hold whatever it is.

use std::io;

use nix::libc;

use super::*;

/// What is refused, and words that people must be told.
type Row = (fn() -> NetlinkError, &'static [&'static str]);

fn rows() -> [Row; 6] {
    [
        (
            || NetlinkError::OutOfMemory { bytes: 4321 },
            &["no memory", "4321 bytes", "memory limit"],
        ),
        (
            || {
                let is_unchanged = false;
                NetlinkError::NoAnswer { is_unchanged }
            },
            &["answer to a change was lost"],
        ),
        (
            || NetlinkError::Refused {
                command: "delete set inet netpol peers-1-4".to_owned(),
                reason: "Device or resource busy; it is still referred to".to_owned(),
                errno: libc::EBUSY,
                others: 2,
            },
            &[
                "`delete set inet netpol peers-1-4`",
                "busy",
                "2 commands more",
            ],
        ),
        (
            || NetlinkError::BatchRefused {
                commands: 7,
                source: io::Error::from_raw_os_error(libc::ELOOP),
            },
            &["all 7 commands"],
        ),
        (
            || NetlinkError::TooLarge {
                bytes: 4321,
                limit: 1234,
            },
            &["4321 bytes", "takes 1234", "NET_ADMIN"],
        ),
        (
            || NetlinkError::Restless { attempts: 20 },
            &["table inet netpol", "20 times"],
        ),
    ]
}

fn commits(telemetry: &Telemetry, result: &str) -> String {
    let metrics = telemetry.render();
    let label = format!("netpol_commits_total{{result=\"{result}\"}} ");
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(&label));
    line.expect("a metric").to_owned()
}

/// The old rules stay, people are told, and what changes meanwhile is there in the end.
async fn is_survived((error, words): Row, start: usize) {
    let bench = Bench::start();
    bench.add_all();
    pass(60).await;
    // The change, then the table as a whole, and perhaps again and again.
    let failures = 2 + start;
    for _ in 0..failures {
        bench.dataplane.fail_next_with(error);
    }
    bench.add_pod("db", "10.244.1.3");
    pass(60).await;
    assert_eq!(bench.dataplane.committed().len(), 1, "{words:?}");
    let reason = bench.telemetry.readiness().expect_err("not up to date");
    let reason = reason.to_string();
    for word in words.iter().chain(&["stay in force"]) {
        assert!(reason.contains(word), "{word} is not in {reason}");
    }
    assert_eq!(commits(&bench.telemetry, "failed"), "2");
    bench.add_pod("api", "10.244.1.4");
    bench.delete_pod("shop/web");
    pass(120_000).await;
    assert_eq!(
        commits(&bench.telemetry, "failed"),
        failures.to_string(),
        "{words:?}"
    );
    assert!(bench.telemetry.readiness().is_ok(), "{words:?}");
    let committed = bench.dataplane.committed();
    let [_, whole] = &committed[..] else {
        panic!("{words:?}: {committed:?}");
    };
    assert!(
        whole.contains("10.244.1.3") && whole.contains("10.244.1.4"),
        "{whole}"
    );
    assert!(!whole.contains("10.244.1.2"), "{whole}");
    bench.add_pod("late", "10.244.1.5");
    pass(60).await;
    let change = bench.dataplane.committed()[2].clone();
    assert!(
        change.contains("10.244.1.5") && !change.contains("delete table"),
        "{change}"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_is_refused_is_told_and_put_right() {
    for row in rows() {
        for more in [0, 4] {
            run(is_survived(row, more)).await;
        }
    }
}

/// Then the node is open: people are told so, and it is tried again before its time.
#[tokio::test(start_paused = true)]
async fn a_table_that_goes_while_nothing_can_be_written() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        // The change, then the table as a whole: at once, and after 1, 3, 7 and 15 s. The next time would be after 31.
        for _ in 0..6 {
            bench.dataplane.fail_next("no");
        }
        bench.add_pod("db", "10.244.1.3");
        pass(16_000).await;
        assert_eq!(bench.attempts(), 1 + 6);
        let reason = || bench.telemetry.readiness().map_err(|r| r.to_string());
        let reason_before = reason().expect_err("not up to date");
        assert!(reason_before.contains("stay in force"), "{reason_before}");
        bench.dataplane.lose_table();
        let gone = Disturbance::Foreign(Foreign::of(Part::Table, true));
        let sent = bench.disturbances.unbounded_send(gone);
        sent.expect("the loop listens");
        pass(10).await;
        let reason_behind = reason().expect_err("open");
        assert!(
            reason_behind.contains("has deleted the rules"),
            "{reason_behind}"
        );
        pass(4_000).await;
        assert_eq!(bench.attempts(), 1 + 6 + 1);
        assert_eq!(reason(), Ok(()));
    })
    .await;
}

/// What cannot be read is replaced: only then is it known.
#[tokio::test(start_paused = true)]
async fn a_change_that_failed_on_a_table_that_cannot_be_read() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        bench.dataplane.fail_next("no");
        bench.dataplane.fail_reading("no either");
        bench.add_pod("db", "10.244.1.3");
        pass(60).await;
        let whole = bench.dataplane.committed()[1].clone();
        assert!(
            whole.contains("delete table") && whole.contains("10.244.1.3"),
            "{whole}"
        );
        assert!(bench.telemetry.readiness().is_ok());
    })
    .await;
}
