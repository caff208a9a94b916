use super::*;

fn queue(lines: usize, bytes: usize) -> Queue {
    Queue::new("test".to_owned(), Limits { lines, bytes }).expect("an eventfd")
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// What the thread would be given now, up to `Idle` or `End`.
fn drain(queue: &Queue) -> String {
    let mut seen = Vec::new();
    loop {
        match queue.next() {
            Next::Line(line) => seen.push(line),
            Next::Gap(missing) => seen.push(format!("-{missing}")),
            Next::Reopen => seen.push("reopen".to_owned()),
            Next::Idle => return seen.join(" "),
            Next::End => {
                seen.push("end".to_owned());
                return seen.join(" ");
            }
        }
    }
}

fn put_all(queue: &Queue, names: &str) {
    names
        .split_whitespace()
        .for_each(|name| queue.put(name.to_owned()));
}

#[test]
fn gaps_stand_where_lines_are_missing() {
    let queue = queue(4, 1000);
    put_all(&queue, "a b c d e f");
    assert_eq!(queue.next(), Next::Line("a".to_owned()));
    put_all(&queue, "g");
    assert_eq!(queue.next(), Next::Line("b".to_owned()));
    put_all(&queue, "h");
    assert_eq!(queue.next(), Next::Line("c".to_owned()));
    // Half empty: one line waits.
    put_all(&queue, "i j k");
    assert_eq!(drain(&queue), "d -4 i j k");
    put_all(&queue, "l");
    assert_eq!(drain(&queue), "l");
    assert_eq!(
        (
            count(&queue.counters.accepted),
            count(&queue.counters.refused)
        ),
        (8, 4)
    );
}

#[test]
fn a_gap_at_the_end_is_told_without_a_further_line() {
    let queue = queue(2, 1000);
    put_all(&queue, "a b c d e");
    assert_eq!(drain(&queue), "a b -3");
    assert_eq!(drain(&queue), "");
    put_all(&queue, "f");
    assert_eq!(drain(&queue), "f");
}

#[test]
fn bytes_are_limited_too() {
    let queue = queue(100, 10);
    put_all(&queue, "aaaa bbbb cccc dd");
    assert_eq!(drain(&queue), "aaaa bbbb -2");
    put_all(&queue, "longerthanall e");
    assert_eq!(drain(&queue), "-1 e");
}

#[test]
fn opening_anew_comes_before_the_lines_and_closing_after() {
    let queue = queue(10, 100);
    put_all(&queue, "a");
    queue.reopen();
    queue.reopen();
    queue.close(Instant::now());
    put_all(&queue, "late");
    assert_eq!(drain(&queue), "reopen a end");
    assert_eq!(count(&queue.counters.refused), 1);
}

#[test]
fn abandoned_means_nothing_more() {
    let queue = queue(10, 100);
    put_all(&queue, "a b");
    assert!(queue.deadline().is_none());
    let deadline = Instant::now();
    queue.close(deadline);
    assert_eq!(queue.deadline(), Some(deadline));
    queue.abandon();
    assert_eq!(queue.deadline(), None);
    assert_eq!(drain(&queue), "end");
}

#[test]
fn the_bell_rings_only_for_who_sleeps() {
    let rings = |queue: &Queue| {
        let mut bell = [PollFd::new(queue.bell(), PollFlags::POLLIN)];
        poll(&mut bell, PollTimeout::ZERO).expect("polled") == 1
    };
    let queue = queue(10, 100);
    put_all(&queue, "a");
    assert!(!rings(&queue), "nobody has slept yet");
    assert_eq!(drain(&queue), "a");
    put_all(&queue, "b c");
    assert!(rings(&queue));
    queue.wait();
    assert!(!rings(&queue));
    assert_eq!(drain(&queue), "b c");
    let acts: [fn(&Queue); 3] = [
        Queue::reopen,
        |queue| queue.close(Instant::now()),
        Queue::abandon,
    ];
    for act in acts {
        let queue = self::queue(10, 100);
        assert_eq!(drain(&queue), "");
        act(&queue);
        assert!(rings(&queue));
    }
}
