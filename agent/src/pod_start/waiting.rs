//! The pods that wait for their rules.

use tokio::time::Instant;

use crate::nri::{Answer, Sandbox};

/// More pods than a node starts at a time.
const MOST: usize = 1024;

/// Counts what the compiler has taken in.
pub(crate) type Revision = u64;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    sandbox: Sandbox,
    /// `None` once it was told that the pod did not wait for its rules.
    answer: Option<Answer>,
    since: Instant,
    /// The first revision that has the pod. `None` while its object is not known.
    from: Option<Revision>,
}

/// A pod whose rules are in the kernel.
#[derive(Debug)]
pub(crate) struct Programmed {
    pub(crate) sandbox: Sandbox,
    /// When it was first told of.
    pub(crate) since: Instant,
    answer: Option<Answer>,
}

impl Programmed {
    /// Lets the pod start. Returns whether it has waited until now; nothing if it was told before that it has not.
    pub(super) fn answer(self) -> Option<bool> {
        let answer = self.answer?;
        let has_waited = answer.is_awaited();
        answer.go();
        Some(has_waited)
    }
}

impl Waiting {
    /// Adds one, and returns who cannot wait any longer for the room it takes.
    pub(super) fn add(
        &mut self,
        sandbox: Sandbox,
        answer: Answer,
        now: Instant,
    ) -> impl Iterator<Item = Sandbox> + use<> {
        self.waiters
            .retain(|waiter| waiter.sandbox.id != sandbox.id);
        let crowded = self.waiters.len() >= MOST;
        let oldest = crowded.then(|| self.waiters.remove(0));
        // One that ran already has nothing to wait for, and is of no interest as a start.
        if answer.is_awaited() {
            self.waiters.push(Waiter {
                sandbox,
                answer: Some(answer),
                since: now,
                from: None,
            });
        }
        let untold = oldest.filter(|waiter| waiter.answer.is_some());
        untold.map(|waiter| waiter.sandbox).into_iter()
    }

    pub(super) fn stopped(&mut self, id: &str) {
        self.waiters.retain(|waiter| waiter.sandbox.id != id);
    }

    /// All that was told so far is part of this revision. `is_known` tells whether that has a pod's object.
    pub(super) fn applied(&mut self, revision: Revision, is_known: impl Fn(&Sandbox) -> bool) {
        for waiter in &mut self.waiters {
            if is_known(&waiter.sandbox) {
                waiter.from.get_or_insert(revision);
            } else {
                waiter.from = None;
            }
        }
    }

    /// Takes those out that are part of what the kernel has.
    pub(super) fn committed(&mut self, revision: Revision) -> Vec<Programmed> {
        let is_part = |waiter: &mut Waiter| waiter.from.is_some_and(|from| from <= revision);
        let done = self.waiters.extract_if(.., is_part);
        done.map(|waiter| Programmed {
            sandbox: waiter.sandbox,
            since: waiter.since,
            answer: waiter.answer,
        })
        .collect()
    }

    /// Those whom nobody waits for any longer, once each. They stay until their rules are there.
    pub(super) fn expire(&mut self) -> Vec<Sandbox> {
        let mut late = Vec::new();
        for waiter in &mut self.waiters {
            if waiter
                .answer
                .take_if(|answer| !answer.is_awaited())
                .is_some()
            {
                late.push(waiter.sandbox.clone());
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::Receiver;

    use super::*;

    fn sandbox(id: &str) -> Sandbox {
        Sandbox {
            id: id.to_owned(),
            uid: format!("uid-{id}"),
            namespace: "shop".to_owned(),
            name: id.to_owned(),
            addresses: Vec::new(),
        }
    }

    fn add(waiting: &mut Waiting, id: &str) -> (Vec<Sandbox>, Receiver<()>) {
        let (answer, receiver) = Answer::awaited();
        let late = waiting.add(sandbox(id), answer, Instant::now());
        (late.collect(), receiver)
    }

    fn ids(programmed: &[Programmed]) -> Vec<&str> {
        programmed.iter().map(|p| p.sandbox.id.as_str()).collect()
    }

    #[tokio::test]
    async fn who_is_part_of_what_the_kernel_has_goes() {
        let mut waiting = Waiting::default();
        let (_, mut a) = add(&mut waiting, "a");
        waiting.applied(3, |_| false);
        assert_eq!(ids(&waiting.committed(9)), [""; 0], "without its object");
        waiting.applied(4, |_| true);
        let (_, _b) = add(&mut waiting, "b");
        waiting.applied(5, |_| true);
        assert_eq!(ids(&waiting.committed(3)), [""; 0]);
        let programmed = waiting.committed(4);
        assert_eq!(ids(&programmed), ["a"], "4 was the first that had it");
        assert!(a.try_recv().is_err(), "not before it is told");
        let has_waited = programmed.into_iter().map(Programmed::answer);
        assert_eq!(has_waited.collect::<Vec<_>>(), [Some(true)]);
        assert!(a.try_recv().is_ok());
        // An object that goes and comes is part of a later one.
        waiting.applied(6, |_| false);
        waiting.applied(7, |_| true);
        assert_eq!(ids(&waiting.committed(6)), [""; 0]);
        assert_eq!(ids(&waiting.committed(7)), ["b"]);
    }

    #[tokio::test]
    async fn who_is_waited_for_no_longer_is_told_once() {
        let mut waiting = Waiting::default();
        let (_, receiver) = add(&mut waiting, "a");
        assert!(waiting.expire().is_empty());
        drop(receiver);
        assert_eq!(waiting.expire(), [sandbox("a")]);
        assert!(waiting.expire().is_empty());
        waiting.applied(1, |_| true);
        let programmed = waiting.committed(1);
        assert_eq!(ids(&programmed), ["a"]);
        let has_waited = programmed.into_iter().map(Programmed::answer);
        assert_eq!(has_waited.collect::<Vec<_>>(), [None], "it was told");
    }

    #[tokio::test]
    async fn who_was_not_waited_for_is_told_with_its_rules_at_the_latest() {
        let mut waiting = Waiting::default();
        let (_, receiver) = add(&mut waiting, "a");
        waiting.applied(1, |_| true);
        drop(receiver);
        let programmed = waiting.committed(1);
        let has_waited = programmed.into_iter().map(Programmed::answer);
        assert_eq!(has_waited.collect::<Vec<_>>(), [Some(false)]);
    }

    #[tokio::test]
    async fn there_are_never_too_many() {
        let mut waiting = Waiting::default();
        let receivers: Vec<_> = (0..MOST)
            .map(|n| add(&mut waiting, &n.to_string()).1)
            .collect();
        // Told of once more, one takes its own place.
        let (late, again) = add(&mut waiting, "7");
        assert!(late.is_empty());
        let (late, last) = add(&mut waiting, "last");
        assert_eq!(late, [sandbox("0")]);
        assert_eq!(waiting.waiters.len(), MOST);
        waiting.stopped("last");
        assert_eq!(waiting.waiters.len(), MOST - 1);
        drop((receivers, again, last));
    }

    #[tokio::test]
    async fn who_runs_already_does_not_wait() {
        let mut waiting = Waiting::default();
        let (answer, receiver) = Answer::awaited();
        drop(receiver);
        assert_eq!(waiting.add(sandbox("a"), answer, Instant::now()).count(), 0);
        assert!(waiting.waiters.is_empty());
    }
}
