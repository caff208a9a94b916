//! Pods whose rules come after the runtime has given up waiting.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_was_not_waited_for_is_counted_and_measured() {
    run(async {
        let starts = Starts::ready(Mode::Auto).await;
        let answer = starts.start("db", "10.244.1.3");
        pass(1_000).await;
        drop(answer);
        pass(10_000).await;
        assert_eq!(starts.counts(), ["0", "1", "0"]);
        starts.object("db", None);
        pass(60).await;
        assert_eq!(starts.counts(), ["0", "1", "1"]);
        let sum: f64 = starts
            .metric("netpol_pod_start_gap_seconds_sum")
            .parse()
            .expect("a number");
        assert!((11.0..12.0).contains(&sum), "{sum}");
    })
    .await;
}

/// A second too late is the usual way to be late.
#[tokio::test(start_paused = true)]
async fn who_is_late_by_little_is_counted_too() {
    run(async {
        let starts = Starts::ready(Mode::Auto).await;
        let answer = starts.start("db", "10.244.1.3");
        pass(1_000).await;
        drop(answer);
        starts.object("db", None);
        pass(60).await;
        assert_eq!(starts.counts(), ["0", "1", "1"]);
        // The runtime is started again while a pod waits, and tells of it once more.
        let answer = starts.start("web2", "10.244.1.4");
        pass(10).await;
        drop(answer);
        starts.tell(GateEvent::Lost {
            why: "connection reset".to_owned(),
        });
        starts.connect();
        drop(starts.start("web2", "10.244.1.4"));
        pass(60).await;
        assert_eq!(starts.counts()[..2], ["0", "2"]);
    })
    .await;
}
