use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::flow_log::reading::record::Record;
use crate::flow_log::reading::source::Batch;

/// Lines of one node, at these seconds of an hour.
fn batch(node: &str, seconds: &[u32]) -> Message {
    let entry = |second: &u32| {
        let time = format!("2026-11-21T10:{:02}:{:02}Z", second / 60, second % 60);
        let json = format!(r#"{{"node_name":"{node}","time":"{time}","flow":{{}}}}"#);
        let record = Record::parse(json.as_bytes()).expect("a flow");
        Entry {
            json: json.into_bytes(),
            record,
        }
    };
    Message::Batch(Batch {
        entries: seconds.iter().map(entry).collect(),
        others: 0,
    })
}

type Sender = mpsc::Sender<Message>;

fn agents<const N: usize>() -> ([Sender; N], Vec<mpsc::Receiver<Message>>) {
    let mut logs = Vec::new();
    let senders = std::array::from_fn(|_| {
        let (sender, log) = mpsc::channel(8);
        logs.push(log);
        sender
    });
    (senders, logs)
}

/// What comes next, in short; `…` if something has to come first.
async fn next(merge: &mut Merge) -> String {
    let Ok(item) = timeout(Duration::from_millis(1), merge.next()).await else {
        return "…".to_owned();
    };
    match item.expect("no failure") {
        None => "the end".to_owned(),
        Some(Item::CaughtUp) => "caught up".to_owned(),
        Some(Item::Note(text) | Item::Trouble(text)) => text,
        Some(Item::Entry(entry)) => {
            let time = entry.record.time().expect("a time").to_string();
            format!("{} {}", entry.record.node(), &time[14..19])
        }
    }
}

async fn all(merge: &mut Merge, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(next(merge).await);
    }
    found
}

async fn send(sender: &Sender, message: Message) {
    sender.send(message).await.expect("room");
}

#[tokio::test(start_paused = true)]
async fn logs_of_several_agents_come_by_time() {
    let ([a, b, c], logs) = agents();
    let mut merge = Merge::of(logs, None);
    send(&a, batch("a", &[1, 64])).await;
    send(&b, batch("b", &[2, 3, 66])).await;
    // The third may have older ones.
    assert_eq!(next(&mut merge).await, "…");
    send(&c, Message::Trouble("c cannot be read".to_owned())).await;
    drop(c);
    let expected = ["c cannot be read", "a 00:01", "b 00:02", "b 00:03"];
    assert_eq!(all(&mut merge, 4).await, expected);
    // It is not known yet what else the first has.
    assert_eq!(next(&mut merge).await, "…");
    send(&a, batch("a", &[65])).await;
    drop((a, b));
    let expected = ["a 01:04", "a 01:05", "b 01:06", "caught up", "the end"];
    assert_eq!(all(&mut merge, 5).await, expected);
    assert_eq!((merge.entries(), merge.troubles()), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn agents_come_and_go_while_they_are_followed() {
    let ([a, b], logs) = agents();
    let (introduce, newcomers) = mpsc::channel(1);
    let mut merge = Merge::of(logs, Some(newcomers));
    send(&a, batch("a", &[7])).await;
    send(&a, Message::CaughtUp).await;
    send(&b, batch("b", &[5])).await;
    send(&b, Message::CaughtUp).await;
    let expected = ["b 00:05", "a 00:07", "caught up", "…"];
    assert_eq!(all(&mut merge, 4).await, expected);
    // From here on nobody waits for anybody.
    send(&b, batch("b", &[6])).await;
    assert_eq!(next(&mut merge).await, "b 00:06");
    drop((a, b));
    assert_eq!(next(&mut merge).await, "…");
    let ([c], logs) = agents();
    for log in logs {
        introduce.send(log).await.expect("room");
    }
    send(&c, batch("c", &[1])).await;
    assert_eq!(next(&mut merge).await, "c 00:01");
    drop(c);
    assert_eq!(next(&mut merge).await, "…");
    drop(introduce);
    assert_eq!(next(&mut merge).await, "the end");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_not_waited_for() {
    let ([a, late], mut logs) = agents();
    let (introduce, newcomers) = mpsc::channel(1);
    introduce.send(logs.remove(1)).await.expect("room");
    let mut merge = Merge::of(logs, Some(newcomers));
    send(&a, batch("a", &[1])).await;
    send(&a, Message::CaughtUp).await;
    let expected = ["a 00:01", "caught up", "…"];
    assert_eq!(all(&mut merge, 3).await, expected);
    send(&late, batch("late", &[0])).await;
    assert_eq!(next(&mut merge).await, "late 00:00");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_late_comes_by_its_time() {
    let ([a, b], logs) = agents();
    let mut merge = Merge::of(logs, None);
    // What is counted is told at the end of its window.
    send(&a, batch("a", &[2, 12, 5, 13])).await;
    send(&b, batch("b", &[3, 10])).await;
    send(&b, Message::CaughtUp).await;
    drop(a);
    let expected = [
        "a 00:02",
        "b 00:03",
        "a 00:05",
        "b 00:10",
        "a 00:12",
        "a 00:13",
        "caught up",
    ];
    assert_eq!(all(&mut merge, 7).await, expected);
    // From here on it is told as it comes.
    send(&b, batch("b", &[16, 15])).await;
    assert_eq!(all(&mut merge, 3).await, ["b 00:16", "b 00:15", "…"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_is_bounded() {
    let ([a], logs) = agents();
    let mut merge = Merge::of(logs, None);
    let seconds = vec![1; 30_000];
    send(&a, batch("a", &seconds)).await;
    let mut told = 0;
    while next(&mut merge).await == "a 00:01" {
        told += 1;
    }
    assert_eq!(told, seconds.len() - (16 << 10));
    drop(a);
    while next(&mut merge).await == "a 00:01" {
        told += 1;
    }
    assert_eq!(told, seconds.len());
}
