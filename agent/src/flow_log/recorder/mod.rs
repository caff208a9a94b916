//! The flow log as the agent's event loop has it: it says what changes, and takes what was dropped.

mod cuts;
mod teller;

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, SystemTime};

use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::Name;
use policy_compiler::ruleset::DropLog;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{error, info};

use super::event::LostAt;
use super::format::Format;
use super::kernel::nflog::{NflogSettings, RECEIVE_BUFFER};
use super::kernel::reader::{Reader, ReaderSettings};
use super::kernel::{Message, NflogError};
use super::output::{Destination, Output, OutputError, Rotation};
use super::pod_events::PodEvents;
use super::revoked::Cut;
use crate::telemetry::Telemetry;
use teller::{Teller, lost_line};

/// Messages taken at a time.
const BATCH: usize = 64;

/// How long they may be worked on at a time; one may take longer, where policies have very many rules.
const TURN: Duration = Duration::from_millis(5);

/// Explaining may take this part of the loop's time; a pod that is flooded must not keep the node's rules from being
/// brought up to date.
const SHARE: u32 = 5;

/// At the end, how long what was dropped before is waited for.
const LAST_SIGHTINGS: Duration = Duration::from_secs(3);

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
    /// The reader has broken down.
    ReaderEnded,
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
    drop_log: DropLog,
    reader: Reader,
    messages: mpsc::Receiver<Message>,
    /// Those that have been received and not taken yet.
    waiting: VecDeque<Message>,
    has_ended: bool,
    teller: Teller,
    hang_up: Signal,
    /// Until the rules are in the kernel what is dropped was dropped by an earlier agent's, and nothing is known yet.
    is_ready: bool,
    /// No messages are taken before this.
    resume: Instant,
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
            drop_log,
            window,
        } = settings;
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
                drop_log,
                reader,
                messages,
                waiting: VecDeque::new(),
                has_ended: false,
                teller: Teller::new(node.clone(), format, output, pod_events, telemetry.clone()),
                hang_up,
                is_ready: false,
                resume: Instant::now(),
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
            let moved = running.teller.attribution.before(event, compiler, now);
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

    /// It is in the kernel, in a table that was made anew or in the one that was there.
    pub fn committed(&mut self, is_table_new: bool) {
        if let Some(running) = &mut self.running {
            if is_table_new {
                running.teller.table_is_new();
            }
            running.is_ready = true;
            running.reader.rules_are_ours();
            if let Some(known) = running.committing.take() {
                let attribution = &mut running.teller.attribution;
                attribution.in_force(known, SystemTime::now());
            }
        }
    }

    /// A connection was cut.
    pub fn cut(&mut self, cut: &Cut<'_>, compiler: &Compiler) {
        if let Some(running) = &mut self.running {
            running.teller.tell_cut(cut, compiler);
        }
    }

    /// For the time being these were all.
    pub fn all_cut(&mut self) {
        if let Some(running) = &mut self.running {
            running.teller.all_cut();
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
            Occurrence::Reopen => running.teller.reopen(),
            Occurrence::ReaderEnded => running.teller.reader_ended(),
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

fn hang_up() -> Result<Signal, NflogError> {
    signal(SignalKind::hangup()).map_err(|source| NflogError::Io {
        doing: "listening for SIGHUP",
        source,
    })
}

impl Running {
    async fn next(&mut self) -> Occurrence {
        let mut messages = Vec::new();
        let receive = async {
            if !self.is_ready || self.has_ended {
                pending::<()>().await;
            }
            sleep_until(self.resume).await;
            if self.waiting.is_empty() {
                self.messages.recv_many(&mut messages, BATCH).await;
            }
        };
        tokio::select! {
            _ = self.hang_up.recv() => return Occurrence::Reopen,
            () = receive => self.waiting.extend(messages),
        }
        if self.waiting.is_empty() {
            self.has_ended = true;
            return Occurrence::ReaderEnded;
        }
        Occurrence::Messages
    }

    fn take_turn(&mut self, compiler: &Compiler) {
        let start = Instant::now();
        while start.elapsed() < TURN
            && let Some(message) = self.waiting.pop_front()
        {
            self.teller.take(message, compiler);
        }
        self.teller
            .set_waiting(self.messages.len() + self.waiting.len());
        self.resume = start + start.elapsed() * SHARE;
    }

    async fn close(mut self, compiler: &Compiler) {
        self.reader.stop();
        let deadline = Instant::now() + LAST_SIGHTINGS;
        // What it has to say is small beside what is waited for, and is told whatever share of time it takes.
        loop {
            let message = match self.waiting.pop_front() {
                Some(message) => message,
                None => match timeout_at(deadline, self.messages.recv()).await {
                    Ok(Some(message)) => message,
                    Ok(None) | Err(_) => break,
                },
            };
            if self.is_ready {
                self.teller.take(message, compiler);
            } else {
                self.teller.pass_over(&message);
            }
        }
        self.teller.close().await;
    }
}
