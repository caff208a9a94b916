use super::*;
use crate::dataplane::Process;

fn foreign(part: Part, is_gone: bool) -> Disturbance {
    Disturbance::Foreign(Foreign::of(part, is_gone))
}

#[test]
fn a_repair_is_due_at_once_and_counted_when_done() {
    let (start, took) = (Instant::now(), Duration::from_millis(3));
    let mut repairs = Repairs::default();
    assert_eq!(repairs.due(), None);
    assert!(!repairs.start(start, false));
    repairs.disturbed(foreign(Part::Element, false), start);
    repairs.disturbed(foreign(Part::Chain, false), start + took);
    assert_eq!(repairs.due(), Some(start));
    assert!(repairs.start(start, false));
    // What comes after the write was begun is not put right by it.
    repairs.disturbed(foreign(Part::Rule, false), start + took);
    assert_eq!(repairs.succeeded(start + took, took), Some(Part::Chain));
    assert_eq!(repairs.due(), Some(start + took));
    assert!(repairs.start(start + took, false));
    assert_eq!(repairs.succeeded(start + took, took), Some(Part::Rule));
    assert_eq!(
        (repairs.due(), repairs.succeeded(start, took)),
        (None, None)
    );
}

#[test]
fn in_a_quarrel_repairs_take_their_time_unless_the_table_is_gone() {
    let start = Instant::now();
    let took = Duration::from_millis(2);
    let rows = [(false, 0, 0), (true, 0, 0), (false, 1, 1000), (true, 1, 18)];
    for (is_gone, more, expected) in rows {
        let mut repairs = Repairs::default();
        for _ in 0..OFTEN + more - 1 {
            repairs.disturbed(foreign(Part::Rule, is_gone), start);
            repairs.start(start, false);
            repairs.succeeded(start, took);
        }
        repairs.disturbed(foreign(Part::Rule, is_gone), start);
        let due = repairs.due().map(|due| (due - start).as_millis());
        assert_eq!(due, Some(expected), "{is_gone} {more}");
        // A minute later it is forgotten.
        repairs.start(start, false);
        repairs.disturbed(foreign(Part::Rule, is_gone), start + A_WHILE);
        assert_eq!(repairs.due(), Some(start + A_WHILE));
    }
}

#[test]
fn another_agent_is_not_quarrelled_with() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let by_agent = |is_gone| {
        let mut foreign = Foreign::of(Part::Table, is_gone);
        let name = Process::AGENT.to_owned();
        foreign.process = Some(Process { pid: 7, name });
        Disturbance::Foreign(foreign)
    };
    let mut repairs = Repairs::default();
    repairs.disturbed(by_agent(false), start);
    assert_eq!(repairs.due(), Some(start));
    assert!(repairs.start(start, false));
    repairs.succeeded(at(10), Duration::from_millis(10));
    repairs.disturbed(by_agent(false), at(20));
    assert_eq!(repairs.due(), Some(at(5010)));
    repairs.disturbed(by_agent(true), at(30));
    assert_eq!(repairs.due(), Some(at(20)));
}

#[test]
fn what_is_not_known_is_looked_at_once_and_written_now_and_then() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut repairs = Repairs::default();
    let overrun = |repairs: &mut Repairs, may_have_changed, now| {
        repairs.disturbed(Disturbance::Overrun, now);
        assert!(repairs.must_look());
        assert_eq!(repairs.due(), None);
        repairs.look();
        assert!(!repairs.must_look());
        repairs.seen(may_have_changed, now);
    };
    overrun(&mut repairs, false, start);
    assert_eq!(repairs.due(), None);
    // Whoever looks for another reason has not been told of anything.
    repairs.seen(true, start);
    assert_eq!(repairs.due(), None);
    overrun(&mut repairs, true, start);
    assert_eq!(repairs.due(), Some(start));
    assert!(repairs.start(start, false));
    assert_eq!(repairs.succeeded(start, Duration::ZERO), None);
    overrun(&mut repairs, true, at(1));
    assert_eq!(repairs.due(), Some(at(10)));
    // A change is no reason to compare all of it sooner, but what is written whole is known.
    assert!(!repairs.start(at(2), false));
    assert_eq!(repairs.due(), Some(at(10)));
    assert!(repairs.start(at(2), true));
    assert_eq!(repairs.due(), None);
    overrun(&mut repairs, true, at(3));
    assert_eq!(repairs.due(), Some(at(12)));
    assert!(repairs.start(at(12), false));
    assert_eq!(repairs.succeeded(at(12), Duration::ZERO), None);
    overrun(&mut repairs, true, at(1));
    repairs.unknown = Some(start);
    for (took, expected) in [(50, 10), (300, 29), (1000, 60), (3000, 60)] {
        repairs.succeeded(start, Duration::from_millis(took));
        let due = repairs.due().map(|due| (due - start).as_secs());
        assert_eq!(due, Some(expected), "{took}");
    }
    repairs.succeeded(start, Duration::from_secs(1));
    // What is known does not wait for it.
    repairs.disturbed(foreign(Part::Table, true), at(2));
    assert_eq!(repairs.due(), Some(at(1)));
    assert!(repairs.start(at(2), false));
    assert_eq!(repairs.succeeded(at(2), Duration::ZERO), Some(Part::Table));
}
