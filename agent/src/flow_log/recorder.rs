//! The flow log as the agent's event loop has it: it says what changes, and takes what was dropped.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, SystemTime};

use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::Name;
use policy_compiler::ruleset::{DropLog, DropPoint};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{error, info, warn};

use super::accounts;
use super::attribution::Attribution;
use super::books::Books;
use super::event::{Line, LostAt, LostEvent, Reason};
use super::format::Format;
use super::kernel::nflog::{NflogSettings, RECEIVE_BUFFER};
use super::kernel::reader::{Reader, ReaderSettings};
use super::kernel::{Message, NflogError};
use super::output::{Destination, Output, OutputError, Rotation};
use super::pod_events::PodEvents;
use super::sighting::{Extent, Sighting};
use crate::telemetry::{Outcome, Queues, Telemetry};

/// Messages taken at a time.
const BATCH: usize = 64;

/// How long they may be worked on at a time; one may take longer, where policies have very many rules.
const TURN: Duration = Duration::from_millis(5);

/// Explaining may take this part of the loop's time; a pod that is flooded must not keep the node's rules from being
/// brought up to date.
const SHARE: u32 = 5;

/// What was suppressed and is in no line about its pod gets a line after this.
const REST: Duration = Duration::from_secs(60);

/// A drop that no policy asks for is warned of again after this.
const REMINDER: Duration = Duration::from_secs(60);

/// At the end, how long what was dropped before is waited for, and how long lines may take to be written.
const LAST_SIGHTINGS: Duration = Duration::from_secs(3);
const LAST_LINES: Duration = Duration::from_secs(2);

/// How drops are logged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where lines go.
    pub destination: Destination,
    /// When a file is begun anew.
    pub rotation: Rotation,
    /// How lines look.
    pub format: Format,
    /// What the kernel hands on.
    pub drop_log: DropLog,
    /// Repeats of a flow are told once in this.
    pub window: Duration,
}

/// Something to do, for [`FlowLog::take`].
#[derive(Clone, Copy, Debug)]
pub enum Occurrence {
    /// The reader has told something.
    Messages,
    /// The log's file is to be opened anew.
    Reopen,
}

/// The flow log, or none.
#[derive(Debug, Default)]
pub struct FlowLog {
    running: Option<Box<Running>>,
}

#[derive(Debug)]
struct Running {
    node: Name,
    drop_log: DropLog,
    format: Format,
    attribution: Attribution,
    books: Books,
    reader: Reader,
    messages: mpsc::Receiver<Message>,
    /// Those that have been received and not taken yet.
    waiting: VecDeque<Message>,
    output: Output,
    pod_events: Option<PodEvents>,
    hang_up: Signal,
    telemetry: Telemetry,
    /// Until the rules are in the kernel what is dropped was dropped by an earlier agent's, and nothing is known yet.
    is_ready: bool,
    /// No messages are taken before this.
    resume: Instant,
    rest_due: Instant,
    mismatch_told: Option<Instant>,
    /// What was known when the commit under way was started.
    committing: Option<SystemTime>,
}

impl FlowLog {
    /// No log.
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the log. Where the kernel cannot hand on packets the agent goes on without: enforcing is worth more.
    pub fn start(
        settings: Settings,
        node: &Name,
        pod_events: Option<PodEvents>,
        telemetry: &Telemetry,
    ) -> Result<Self, OutputError> {
        if settings.destination == Destination::Off {
            return Ok(Self::off());
        }
        let Settings {
            destination,
            rotation,
            format,
            mut drop_log,
            window,
        } = settings;
        let run = *drop_log.run.get_or_insert_with(this_run);
        let lost_line = {
            let node = node.clone();
            move |count| lost_line(format, &node, count, LostAt::Output)
        };
        let output = Output::open(&destination, rotation, lost_line)?;
        let started = hang_up().and_then(|hang_up| {
            let reader = Reader::start(ReaderSettings {
                nflog: NflogSettings {
                    group: drop_log.group,
                    snaplen: drop_log.snaplen,
                    receive_buffer: RECEIVE_BUFFER,
                    run: Some(run),
                },
                window,
            })?;
            Ok((hang_up, reader))
        });
        let (hang_up, (reader, messages)) = match started {
            Ok(started) => started,
            Err(error) => {
                error!(%error, "drops cannot be logged; policies are enforced without");
                return Ok(Self::off());
            }
        };
        info!(%destination, ?format, group = drop_log.group, "drops are logged");
        Ok(Self {
            running: Some(Box::new(Running {
                node: node.clone(),
                drop_log,
                format,
                attribution: Attribution::new(node.clone()),
                books: Books::default(),
                reader,
                messages,
                waiting: VecDeque::new(),
                output,
                pod_events,
                hang_up,
                telemetry: telemetry.clone(),
                is_ready: false,
                resume: Instant::now(),
                rest_due: Instant::now() + REST,
                mismatch_told: None,
                committing: None,
            })),
        })
    }

    /// What the rules have to say about logging.
    pub fn drop_log(&self) -> Option<DropLog> {
        self.running.as_ref().map(|running| running.drop_log)
    }

    /// An event is about to be applied.
    pub fn before(&mut self, event: &Event, compiler: &Compiler) {
        if let Some(running) = &mut self.running {
            let now = SystemTime::now();
            let moved = running.attribution.before(event, compiler, now);
            if running.is_ready && !moved.is_empty() {
                running.reader.forget(&moved);
            }
        }
    }

    /// All that is known now is about to be written.
    pub fn committing(&mut self) {
        if let Some(running) = &mut self.running {
            running.committing = Some(SystemTime::now());
        }
    }

    /// It is in the kernel.
    pub fn committed(&mut self) {
        if let Some(running) = &mut self.running {
            running.is_ready = true;
            running.reader.rules_are_ours();
            if let Some(known) = running.committing.take() {
                running.attribution.in_force(known, SystemTime::now());
            }
        }
    }

    /// Waits for something to do. Loses nothing when dropped.
    pub async fn next(&mut self) -> Occurrence {
        match &mut self.running {
            None => pending().await,
            Some(running) => running.next().await,
        }
    }

    /// Does it.
    pub fn take(&mut self, occurrence: Occurrence, compiler: &Compiler) {
        let Some(running) = &mut self.running else {
            return;
        };
        match occurrence {
            Occurrence::Reopen => running.output.reopen(),
            Occurrence::Messages => running.take_turn(compiler),
        }
    }

    /// Tells everything that was dropped until now, and ends. Takes some seconds at most.
    pub async fn close(self, compiler: &Compiler) {
        if let Some(running) = self.running {
            running.close(compiler).await;
        }
    }
}

/// A number that no agent of this node has had lately.
fn this_run() -> u32 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // Tenths of a second go round in 13 years.
    u32::try_from((since.as_millis() / 100) % (1 << 32)).unwrap_or_default()
}

fn hang_up() -> Result<Signal, NflogError> {
    signal(SignalKind::hangup()).map_err(|source| NflogError::Io {
        doing: "listening for SIGHUP",
        source,
    })
}

fn lost_line(format: Format, node: &Name, count: u64, at: LostAt) -> String {
    let lost = LostEvent {
        time: SystemTime::now(),
        node: node.clone(),
        count,
        at,
    };
    format.write(&Line::Lost(lost))
}

impl Running {
    async fn next(&mut self) -> Occurrence {
        let mut messages = Vec::new();
        let receive = async {
            if !self.is_ready {
                pending::<()>().await;
            }
            sleep_until(self.resume).await;
            if self.waiting.is_empty() && self.messages.recv_many(&mut messages, BATCH).await == 0 {
                // The reader has ended.
                pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.hang_up.recv() => Occurrence::Reopen,
            () = receive => {
                self.waiting.extend(messages);
                Occurrence::Messages
            }
        }
    }

    fn take_turn(&mut self, compiler: &Compiler) {
        let start = Instant::now();
        while start.elapsed() < TURN
            && let Some(message) = self.waiting.pop_front()
        {
            self.take_one(message, compiler);
        }
        self.resume = start + start.elapsed() * SHARE;
    }

    fn take_one(&mut self, message: Message, compiler: &Compiler) {
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
                // The table that is there first is an earlier agent's.
                let counters = if is_ours { counters } else { Vec::new() };
                self.books.set_gap(is_gap_open);
                self.read(&counters, &received, is_settled, compiler);
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
        match event.extent {
            Extent::First => self.telemetry.accounted(Outcome::Logged, 1),
            Extent::Repeats { count, .. } | Extent::Others { count, .. } => {
                self.telemetry.accounted(Outcome::Folded, count);
            }
        }
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

    fn read(
        &mut self,
        counters: &[(String, u64)],
        received: &[(DropPoint, u64)],
        is_settled: bool,
        compiler: &Compiler,
    ) {
        let snapshot = compiler.snapshot();
        let counters: Vec<_> = counters
            .iter()
            .filter_map(|(name, value)| {
                let account = accounts::of_counter(name, self.attribution.pods_here())?;
                Some((name.clone(), account, *value))
            })
            .collect();
        let received: Vec<_> = received
            .iter()
            .map(|(point, count)| {
                (
                    accounts::of_drop(*point, &self.attribution, snapshot),
                    *count,
                )
            })
            .collect();
        for (account, count) in self.books.read(&counters, &received, is_settled) {
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
        let lines = self.output.totals();
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        self.telemetry
            .set_lines(lines.written, lines.lost, count(lines.readers));
        self.telemetry.set_queues(Queues {
            sightings: self.messages.len() + self.waiting.len(),
            lines: count(lines.queued),
        });
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

    async fn close(mut self, compiler: &Compiler) {
        self.reader.stop();
        let deadline = Instant::now() + LAST_SIGHTINGS;
        // What it has to say is small beside what is waited for, and is told whatever share of time it takes.
        for message in std::mem::take(&mut self.waiting) {
            self.take_one(message, compiler);
        }
        while let Ok(Some(message)) = timeout_at(deadline, self.messages.recv()).await {
            self.take_one(message, compiler);
        }
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
