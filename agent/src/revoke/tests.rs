//! The loop's side, with a thread that the test plays.

mod bench;

use std::time::Duration;

use tokio::time::{Instant, interval, sleep, timeout};

use super::worker::Told;
use super::*;
use crate::conntrack::{Connection, ConntrackError, Order, Which};
use bench::{Bench, DB, FAR, NODE, WEB, addresses, cut, flow, ip, no_policy, pod, policy};

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_cut_and_what_is_not_goes_on() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["web"])]);
    bench.due().await;
    let look = bench.look().expect("db is concerned");
    assert_eq!(look.which, Which::Of(addresses(&[DB])));
    // A Service leads there.
    let by_service = flow(FAR, "10.96.0.1").redirected(ip(DB), 80);
    let closed = Connection {
        is_over: true,
        ..flow("192.0.2.1", DB)
    };
    let found = vec![
        flow(WEB, DB),
        flow(FAR, DB),
        closed,
        by_service,
        flow(NODE, DB),
        flow(DB, FAR),
        flow(DB, DB),
    ];
    let orders = bench.pass(found).await;
    let expected = [flow(FAR, DB), closed, by_service].map(|flow| (Order::Cut, flow));
    assert_eq!(orders, expected);
    bench.has("netpol_connections_cut_total 2");
    bench.has("netpol_connections_examined_total 7");
    assert!(!bench.turn().await, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn who_is_allowed_again_goes_on() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["web"])]);
    bench.due().await;
    drop(bench.look());
    bench.pass(vec![flow(FAR, DB)]).await;
    bench.commit([policy(&["web", "far"])]);
    bench.due().await;
    assert!(bench.look().is_some());
    let found = vec![cut(flow(FAR, DB)), flow(WEB, DB)];
    let orders = bench.pass(found).await;
    assert_eq!(orders, [(Order::Restore, cut(flow(FAR, DB)))]);
    bench.has("netpol_connections_restored_total 1");
}

/// The earlier agent had cut it; policies changed while there was none.
#[tokio::test(start_paused = true)]
async fn what_was_cut_before_the_start_is_looked_at() {
    let mut bench = Bench::new();
    bench.compiler.apply(policy(&["web"]));
    bench.commit_whole();
    bench.due().await;
    drop(bench.look());
    let found = vec![
        cut(flow(WEB, DB)),
        cut(flow(FAR, DB)),
        cut(flow(FAR, "10.0.1.9")),
    ];
    let orders = bench.pass(found).await;
    let expected = [
        (Order::Restore, cut(flow(WEB, DB))),
        (Order::Delete, cut(flow(FAR, "10.0.1.9"))),
    ];
    assert_eq!(orders, expected);
    // It is known that one is cut: to allow it is to look.
    bench.commit([no_policy()]);
    bench.due().await;
    let look = bench.look().expect("one is cut");
    assert_eq!(look.which, Which::Of(addresses(&[DB])));
    assert_eq!(bench.pass(vec![cut(flow(FAR, DB))]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn to_allow_more_costs_nothing_where_nothing_is_cut() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["nobody"])]);
    bench.due().await;
    drop(bench.look());
    bench.pass(vec![flow("192.0.2.1", DB)]).await;
    // Somebody else is allowed now.
    bench.commit([no_policy()]);
    bench.due().await;
    assert!(bench.look().is_some());
    bench.pass(vec![cut(flow("192.0.2.1", DB))]).await;
    bench.commit([policy(&["web"]), no_policy()]);
    assert!(!bench.turn().await);
    bench.commit([policy(&["web"])]);
    bench.due().await;
    drop(bench.look());
    bench.pass(vec![]).await;
    bench.commit([no_policy()]);
    bench.due().await;
    assert_eq!(bench.look(), None, "nothing is cut");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_not_inherited() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([Event::PodDeleted("shop/web".parse().expect("a key"))]);
    bench.due().await;
    let look = bench.look().expect("web is gone");
    assert_eq!(look.which, Which::Of(addresses(&[WEB])));
    let orders = bench.found(vec![flow(WEB, DB), flow(FAR, WEB)]).await;
    let expected = [flow(WEB, DB), flow(FAR, WEB)].map(|flow| (Order::Delete, flow));
    assert_eq!(orders, expected);
    bench.say(Told::Ended(Ok(()))).await;
    bench.has("netpol_connections_forgotten_total 2");
    bench.has("netpol_connections_cut_total 0");
    // Another has the address by the time it is looked at: what it may have, it keeps.
    bench.commit([Event::PodDeleted("shop/db".parse().expect("a key"))]);
    bench.commit([pod("new", "node-a", DB), policy(&["web"])]);
    bench.due().await;
    assert!(bench.look().is_some());
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_look_is_followed_by_another() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["web", "far"])]);
    bench.due().await;
    drop(bench.look());
    assert_eq!(bench.found(vec![flow(FAR, DB)]).await, []);
    bench.commit([policy(&["web"])]);
    assert_eq!(bench.look(), None, "one at a time");
    bench.say(Told::Ended(Ok(()))).await;
    bench.due().await;
    assert!(bench.look().is_some());
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_later_and_later() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["nobody"])]);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let before = Instant::now();
        bench.due().await;
        pauses.push(before.elapsed().as_millis());
        assert!(bench.look().is_some());
        bench
            .say(Told::Ended(Err(ConntrackError::NotPermitted)))
            .await;
    }
    assert!(
        pauses[0] < 20 && (95..120).contains(&pauses[1]),
        "{pauses:?}"
    );
    assert!((195..220).contains(&pauses[2]) && (395..420).contains(&pauses[3]));
    bench.has("netpol_revocation_failures_total 4");
    bench.due().await;
    assert!(bench.look().is_some());
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await.len(), 1);
    assert!(!bench.turn().await);
}

#[tokio::test(start_paused = true)]
async fn a_change_does_not_wait_for_what_failed() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["nobody"])]);
    for _ in 0..8 {
        bench.due().await;
        assert!(bench.look().is_some());
        let refused = ConntrackError::NotPermitted;
        bench.say(Told::Ended(Err(refused))).await;
    }
    let mut waited = Vec::new();
    for is_during in [false, true] {
        if is_during {
            bench.commit([policy(&["nobody"])]);
            let refused = ConntrackError::NotPermitted;
            bench.say(Told::Ended(Err(refused))).await;
        }
        let failed = Instant::now();
        if !is_during {
            bench.commit([policy(&["web"])]);
        }
        bench.due().await;
        waited.push(failed.elapsed().as_millis());
        let look = bench.look().map(|look| look.which);
        assert_eq!(look, Some(Which::Of(addresses(&[DB]))));
    }
    assert!(waited.iter().all(|ms| (95..120).contains(ms)), "{waited:?}");
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await.len(), 1);
    assert!(!bench.turn().await, "what failed was looked at too");
}

/// Looks are few, and none begins where the next change would have to wait for it.
#[tokio::test(start_paused = true)]
async fn changes_without_end() {
    let millis = Duration::from_millis;
    let mut bench = Bench::begun(vec![]).await;
    let mut ticks = interval(millis(9));
    let mut looks = 0;
    for i in 0..1000 {
        let changed = ticks.tick().await;
        bench.commit([policy(&[["web", "nobody"][i % 2]])]);
        let is_due = timeout(millis(8), bench.due()).await.is_ok();
        // What can only allow more is nothing to look at.
        if is_due && bench.look().is_some() {
            assert!(changed.elapsed() <= millis(4), "{i}");
            sleep(millis(4)).await;
            bench.pass(vec![]).await;
            looks += 1;
        }
    }
    assert!((20..30).contains(&looks), "{looks}");
}
