//! Closed and open.

use super::*;

/// Rules of an earlier run that close pods are not opened for the time it takes to ask where pods are.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_it_is_known_where_pods_are() {
    run(async {
        for mode in [Mode::Auto, Mode::Closed] {
            let starts = Starts::new(mode);
            starts.bench.add_all();
            pass(60).await;
            assert_eq!(starts.bench.attempts(), 0);
            let reason = starts.bench.telemetry.readiness().expect_err("not yet");
            assert!(reason.to_string().contains("pod ranges"), "{reason}");
            starts.say_where(known());
            pass(60).await;
            assert!(starts.last().contains("10.244.1.0/24"), "{}", starts.last());
            assert!(starts.bench.telemetry.readiness().is_ok());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_opens_without_a_runtime_and_stays_closed_when_that_is_lost() {
    run(async {
        let lost = |why: &str| GateEvent::Lost {
            why: why.to_owned(),
        };
        let starts = Starts::new(Mode::Auto);
        starts.tell(lost("no such file"));
        starts.say_where(known());
        starts.bench.add_all();
        pass(60).await;
        assert!(
            !starts.last().contains("10.244.1.0/24"),
            "{}",
            starts.last()
        );
        let remark = || starts.bench.telemetry.remark();
        assert!(remark().is_some_and(|remark| remark.contains("are open")));
        starts.connect();
        pass(60).await;
        assert!(starts.last().contains("10.244.1.0/24"), "{}", starts.last());
        assert_eq!(starts.metric("netpol_pod_start_gate"), "1");
        assert_eq!(remark(), None);
        // The API object has no address yet: without the runtime nobody knows it.
        starts.object("db", None);
        let mut answer = starts.start("db", "10.244.1.3");
        pass(60).await;
        assert_eq!(seen(&mut answer), Seen::Started);
        starts.tell(lost("connection reset"));
        pass(60).await;
        let last = starts.last();
        assert!(
            last.contains("delete element inet netpol programmed4"),
            "{last}"
        );
        assert!(!last.contains("forwarded-egress"), "still closed: {last}");
        assert_eq!(starts.metric("netpol_pod_start_gate"), "0");
        assert_eq!(starts.metric("netpol_pod_start_closed"), "1");
        assert!(remark().is_some_and(|remark| remark.contains("connection reset")));
        assert!(starts.bench.telemetry.readiness().is_ok());
        starts.object("db", Some("10.244.1.3"));
        pass(60).await;
        assert!(starts.last().contains("10.244.1.3"), "{}", starts.last());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closed_without_places_is_not_ready() {
    run(async {
        let starts = Starts::new(Mode::Closed);
        starts.connect();
        starts.say_where(Ranges::Unknown("no spec.podCIDRs".to_owned()));
        starts.bench.add_all();
        pass(60).await;
        assert_eq!(starts.bench.attempts(), 1, "policies are enforced");
        let reason = starts.bench.telemetry.readiness().expect_err("open");
        assert!(reason.to_string().contains("no spec.podCIDRs"), "{reason}");
        starts.say_where(known());
        pass(60).await;
        assert!(starts.bench.telemetry.readiness().is_ok());
        assert!(starts.last().contains("10.244.1.0/24"), "{}", starts.last());
    })
    .await;
}
