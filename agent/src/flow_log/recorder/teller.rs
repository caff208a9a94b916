//! What of the reader's messages becomes a line, a metric, or an entry in the books.

use std::time::{Duration, SystemTime};

use policy_compiler::index::Compiler;
use policy_compiler::model::Name;
use policy_compiler::ruleset::DropPoint;
use tokio::time::Instant;
use tracing::{error, warn};

use super::cuts::Cuts;
use crate::flow_log::accounts;
use crate::flow_log::attribution::Attribution;
use crate::flow_log::books::{Account, Books};
use crate::flow_log::event::{Line, LostAt, LostEvent, Reason};
use crate::flow_log::format::Format;
use crate::flow_log::kernel::Message;
use crate::flow_log::output::Output;
use crate::flow_log::pod_events::PodEvents;
use crate::flow_log::revoked::Cut;
use crate::flow_log::sighting::{Extent, Sighting};
use crate::telemetry::{Outcome, Queues, Telemetry};

/// What was suppressed and is in no line about its pod gets a line after this.
const REST: Duration = Duration::from_secs(60);

/// A drop that no policy asks for is warned of again after this.
const REMINDER: Duration = Duration::from_secs(60);

/// At the end, how long lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Tells of drops.
#[derive(Debug)]
pub(super) struct Teller {
    node: Name,
    format: Format,
    pub(super) attribution: Attribution,
    books: Books,
    output: Output,
    pod_events: Option<PodEvents>,
    telemetry: Telemetry,
    rest_due: Instant,
    mismatch_told: Option<Instant>,
    cuts: Cuts,
    /// The table has been made anew since the last reading of its counters.
    is_table_new: bool,
}

pub(super) fn lost_line(format: Format, node: &Name, count: u64, at: LostAt) -> String {
    let lost = LostEvent {
        time: SystemTime::now(),
        node: node.clone(),
        count,
        at,
    };
    format.write(&Line::Lost(lost))
}

impl Teller {
    pub(super) fn new(
        node: Name,
        format: Format,
        output: Output,
        pod_events: Option<PodEvents>,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            attribution: Attribution::new(node.clone()),
            node,
            format,
            books: Books::default(),
            output,
            pod_events,
            telemetry,
            rest_due: Instant::now() + REST,
            mismatch_told: None,
            cuts: Cuts::default(),
            is_table_new: false,
        }
    }

    pub(super) fn reopen(&self) {
        self.output.reopen();
    }

    /// The table has been made anew.
    pub(super) fn table_is_new(&mut self) {
        self.is_table_new = true;
    }

    pub(super) fn reader_ended(&self) {
        self.telemetry.set_flow_log_up(false);
        error!(
            "the flow log's reader broke down: drops are not logged until the agent is restarted"
        );
    }

    /// How many messages wait.
    pub(super) fn set_waiting(&self, sightings: usize) {
        let lines = self.output.totals();
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        self.telemetry
            .set_lines(lines.written, lines.lost, count(lines.readers));
        self.telemetry.set_queues(Queues {
            sightings,
            lines: count(lines.queued),
        });
    }

    /// Counts what cannot be explained, since not everything is known yet.
    pub(super) fn pass_over(&self, message: &Message) {
        if let Message::Sighting(sighting) = message {
            self.tell_packets_lost(packets(sighting.extent), LostAt::AgentQueue);
        }
    }

    pub(super) fn take(&mut self, message: Message, compiler: &Compiler) {
        match message {
            Message::Sighting(sighting) => self.tell(&sighting, compiler),
            // What of it has not been told as suppressed is known later.
            Message::Lost {
                count,
                at: LostAt::KernelBuffer,
            } => self.books.lost(count),
            Message::Lost { count, at } => self.tell_packets_lost(count, at),
            Message::Reading {
                counters,
                received,
                is_settled,
                is_ours,
                is_gap_open,
            } => {
                self.books.set_gap(is_gap_open);
                let counters = self.with_accounts(&counters);
                if is_ours {
                    if std::mem::take(&mut self.is_table_new) {
                        self.books.counters_begin_anew();
                    }
                    self.read(&counters, &received, is_settled, compiler);
                } else {
                    // What an earlier agent's rules dropped is not this one's to account for.
                    self.books.begin_at(&counters);
                }
            }
            Message::Up => self.telemetry.set_flow_log_up(true),
            Message::Down(error) => {
                self.telemetry.set_flow_log_up(false);
                warn!(%error, "drops are not logged for now; trying again");
            }
        }
    }

    fn tell(&mut self, sighting: &Sighting, compiler: &Compiler) {
        let mut event = self.attribution.explain(sighting, compiler);
        let outcome = match event.extent {
            Extent::First | Extent::Connection => Outcome::Logged,
            Extent::Repeats { .. } | Extent::Others { .. } => Outcome::Folded,
        };
        self.telemetry.accounted(outcome, packets(event.extent));
        let account = accounts::of_drop(sighting.point, &self.attribution, compiler.snapshot());
        event.suppressed = self.books.take_suppressed(&account);
        self.telemetry
            .accounted(Outcome::Suppressed, event.suppressed);
        if let Reason::Mismatch { verdict } = &event.reason {
            self.mismatch(verdict);
        }
        // One that goes on is told of again, or its event would be forgotten while it still does.
        if !matches!(event.extent, Extent::Others { .. })
            && let Some(pod_events) = &mut self.pod_events
        {
            pod_events.tell(&event);
        }
        self.output
            .write(self.format.write(&Line::Flow(Box::new(event))));
    }

    /// A connection was cut.
    pub(super) fn tell_cut(&mut self, cut: &Cut<'_>, compiler: &Compiler) {
        if self.cuts.is_told(Instant::now()) {
            let event = self.attribution.revoked(cut, compiler, SystemTime::now());
            let line = Line::Flow(Box::new(event));
            self.output.write(self.format.write(&line));
        }
    }

    /// For the time being these were all.
    pub(super) fn all_cut(&mut self) {
        match self.cuts.take_untold() {
            0 => {}
            untold => self.tell_lost(untold, LostAt::CutLimit),
        }
    }

    fn mismatch(&mut self, verdict: &str) {
        self.telemetry.mismatch();
        if self
            .mismatch_told
            .is_none_or(|told| told.elapsed() >= REMINDER)
        {
            self.mismatch_told = Some(Instant::now());
            warn!(
                verdict,
                "the kernel dropped a packet that no policy forbids: has another program edited table inet netpol? If not, \
                 this is a fault of netpol's; please report it with the objects concerned"
            );
        }
    }

    fn tell_packets_lost(&self, count: u64, at: LostAt) {
        if count > 0 {
            self.telemetry.accounted(Outcome::Lost, count);
            self.tell_lost(count, at);
        }
    }

    fn tell_lost(&self, count: u64, at: LostAt) {
        self.output
            .write(lost_line(self.format, &self.node, count, at));
    }

    fn with_accounts(&self, counters: &[(String, u64)]) -> Vec<(String, Account, u64)> {
        counters
            .iter()
            .filter_map(|(name, value)| {
                let account = accounts::of_counter(name, self.attribution.pods_here())?;
                Some((name.clone(), account, *value))
            })
            .collect()
    }

    fn read(
        &mut self,
        counters: &[(String, Account, u64)],
        received: &[(DropPoint, u64)],
        is_settled: bool,
        compiler: &Compiler,
    ) {
        let snapshot = compiler.snapshot();
        let received: Vec<_> = received
            .iter()
            .map(|(point, count)| {
                (
                    accounts::of_drop(*point, &self.attribution, snapshot),
                    *count,
                )
            })
            .collect();
        for (account, count) in self.books.read(counters, &received, is_settled) {
            let (namespace, workload) = accounts::labels(&account, snapshot);
            self.telemetry
                .dropped(&namespace, &workload, account.direction, count);
        }
        let lost = self.books.take_lost();
        self.tell_packets_lost(lost, LostAt::KernelBuffer);
        if Instant::now() >= self.rest_due {
            self.rest_due = Instant::now() + REST;
            self.tell_rest();
        }
    }

    /// What is missing and is in no line about its pod.
    fn tell_rest(&mut self) {
        let rest = self.books.take_all_suppressed();
        if self.books.has_gap() {
            // Suppressed or lost: the greater part will be what overflowed.
            self.tell_packets_lost(rest, LostAt::KernelBuffer);
        } else if rest > 0 {
            self.telemetry.accounted(Outcome::Suppressed, rest);
            self.tell_lost(rest, LostAt::RateLimit);
        }
    }

    pub(super) async fn close(mut self) {
        self.books.settle();
        let lost = self.books.take_lost();
        self.tell_packets_lost(lost, LostAt::KernelBuffer);
        self.tell_rest();
        let output = self.output;
        let closed = tokio::task::spawn_blocking(move || output.close(LAST_LINES)).await;
        if let Ok(closed) = closed
            && closed.unwritten > 0
        {
            warn!(
                lines = closed.unwritten,
                "lines of the flow log could not be written"
            );
        }
    }
}

fn packets(extent: Extent) -> u64 {
    match extent {
        Extent::First => 1,
        Extent::Connection => 0,
        Extent::Repeats { count, .. } | Extent::Others { count, .. } => count,
    }
}
