//! From the logs to a view, until they end or someone says stop.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::super::{Failure, remark};
use crate::flow_log::reading::filter::Filter;
use crate::flow_log::reading::record::Record;
use crate::flow_log::reading::{Entry, Item, Merge};

/// How long a line of a log that is being written may be held back, so that its neighbours can be aligned with it.
const LINGER: Duration = Duration::from_millis(100);

/// A way to show lines.
pub(super) trait View {
    /// Takes a line. It may be held back.
    fn take(&mut self, entry: Entry, out: &mut dyn Write) -> io::Result<()>;
    /// Writes what is held back so that a person sees it.
    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// Writes what is due at the end.
    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// What is wanted of the logs.
pub(super) struct Show {
    pub(super) filter: Filter,
    /// Of what is there already only so many lines.
    pub(super) last: Option<usize>,
    /// No remarks.
    pub(super) quiet: bool,
    /// The log is being written while it is read.
    pub(super) live: bool,
    /// The logs are those of the agents' pods.
    pub(super) of_agents: bool,
}

/// Why nothing more is shown.
enum End {
    Output(io::Error),
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Show {
    /// Shows until the logs end, or until SIGINT or SIGTERM.
    pub(super) async fn run(
        self,
        mut logs: Merge,
        view: &mut dyn View,
        out: impl Write,
    ) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(64 << 10, out);
        let mut flows = 0;
        match self.feed(&mut logs, view, &mut out, &mut flows).await {
            Ok(()) => {}
            // `netpol flows | head` has seen enough. What is in the buffer must not be tried again.
            Err(End::Output(error)) => {
                let _ = out.into_parts();
                return match error.kind() {
                    io::ErrorKind::BrokenPipe => Ok(()),
                    _ => Err(Failure::because(format!(
                        "cannot write the output: {error}"
                    ))),
                };
            }
            Err(End::Failed(failure)) => return Err(failure),
        }
        if logs.entries() == 0 && logs.troubles() > 0 {
            return Err(Failure::because("no agent's log could be read"));
        }
        if !self.quiet {
            match logs.other_lines() {
                0 => {}
                1 => remark("note: 1 line that is not of a flow log was passed over"),
                many => remark(&format!(
                    "note: {many} lines that are not of a flow log were passed over"
                )),
            }
            if flows == 0 {
                remark("no flow matched");
            }
            if self.of_agents && logs.entries() == 0 && self.filter.since.is_none() {
                remark(
                    "note: the agents' logs hold no flow at all: nothing was dropped, or they are told elsewhere \
                     (--flow-log) or in another format (--flow-log-format)",
                );
            }
        }
        Ok(())
    }

    async fn feed(
        &self,
        logs: &mut Merge,
        view: &mut dyn View,
        out: &mut dyn Write,
        flows: &mut u64,
    ) -> Result<(), End> {
        let mut stop = Stop::new()?;
        let mut held = self.last.map(|_| VecDeque::new());
        let mut live = self.live;
        let mut flush_at: Option<Instant> = None;
        let result = loop {
            let item = tokio::select! {
                biased;
                () = stop.wait() => break Ok(()),
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if live && flush_at.is_some() => {
                    view.flush(out)?;
                    out.flush()?;
                    flush_at = None;
                    continue;
                }
                item = logs.next() => item,
            };
            match item {
                Ok(Some(Item::Entry(entry))) => {
                    if !self.filter.matches(&entry.record) {
                        continue;
                    }
                    *flows += u64::from(matches!(entry.record, Record::Flow(_)));
                    if let Some(held) = &mut held {
                        held.push_back(entry);
                        if held.len() > self.last.unwrap_or(0) {
                            held.pop_front();
                        }
                    } else {
                        view.take(entry, out)?;
                        flush_at.get_or_insert_with(|| Instant::now() + LINGER);
                    }
                }
                Ok(Some(Item::CaughtUp)) => {
                    live = true;
                    for entry in held.take().into_iter().flatten() {
                        view.take(entry, out)?;
                    }
                    flush_at = Some(Instant::now());
                }
                Ok(Some(Item::Note(text))) => {
                    if !self.quiet {
                        remark(&text);
                    }
                }
                Ok(Some(Item::Trouble(text))) => remark(&format!("warning: {text}")),
                Ok(None) => break Ok(()),
                Err(error) => break Err(End::Failed(error.into())),
            }
        };
        for entry in held.into_iter().flatten() {
            view.take(entry, out)?;
        }
        view.finish(out)?;
        out.flush()?;
        result
    }
}

/// Ctrl-C, or a polite request to end.
struct Stop(Signal, Signal);

impl Stop {
    fn new() -> Result<Self, End> {
        let of = |kind| {
            signal(kind).map_err(|error| {
                End::Failed(Failure::because(format!(
                    "cannot wait for signals: {error}"
                )))
            })
        };
        Ok(Self(
            of(SignalKind::interrupt())?,
            of(SignalKind::terminate())?,
        ))
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
