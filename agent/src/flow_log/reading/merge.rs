//! Several logs in the order of time.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::ReadingError;
use super::order::Order;
use super::source::{self, Entry, Input, Message};

/// All logs as one. Each is taken to be nearly in the order of time, as it was written; in memory is only what comes next.
#[derive(Debug)]
pub struct Merge {
    sources: Vec<Source>,
    /// What was there when reading began, by time. `None` if that cannot be told from what is new, and must not wait.
    past: Option<Order>,
    /// Logs that begin while the others are read.
    newcomers: Option<mpsc::Receiver<mpsc::Receiver<Message>>>,
    /// The end of what was there when reading began has been told.
    caught_up: bool,
    others: u64,
    entries: u64,
    troubles: usize,
}

#[derive(Debug)]
struct Source {
    /// `None` once it has ended.
    messages: Option<mpsc::Receiver<Message>>,
    /// Others have to wait for it: what it gives next may be older than what they have.
    behind: bool,
    entries: VecDeque<Entry>,
}

/// What comes next.
#[derive(Debug)]
pub enum Item {
    /// A line.
    Entry(Entry),
    /// All that was there when reading began has been told. Comes once; what comes later is in the order of arrival.
    CaughtUp,
    /// Words for the user.
    Note(String),
    /// Why something is missing.
    Trouble(String),
}

impl Merge {
    /// Opens all logs; when one cannot be, none is read. With `follow` the ends of files are waited at for more.
    pub fn open(inputs: &[Input], follow: bool) -> Result<Self, ReadingError> {
        let mut sources = Vec::new();
        let are_files = inputs.iter().all(|input| matches!(input, Input::File(_)));
        for input in inputs {
            // The old part of a log that is a stream cannot be told from the new, and others do not wait for it.
            let live = matches!(input, Input::Socket(_)) || (follow && *input == Input::Stdin);
            sources.push(Source::new(source::start(input.clone(), follow)?, !live));
        }
        Ok(Self::new(sources, None, are_files))
    }

    /// What other tasks read. Those that come later are in the order of arrival.
    pub(super) fn of(
        logs: Vec<mpsc::Receiver<Message>>,
        newcomers: Option<mpsc::Receiver<mpsc::Receiver<Message>>>,
    ) -> Self {
        let sources = logs.into_iter().map(|log| Source::new(log, true));
        Self::new(sources.collect(), newcomers, true)
    }

    fn new(
        sources: Vec<Source>,
        newcomers: Option<mpsc::Receiver<mpsc::Receiver<Message>>>,
        has_past: bool,
    ) -> Self {
        Self {
            sources,
            past: has_past.then(Order::default),
            newcomers,
            caught_up: false,
            others: 0,
            entries: 0,
            troubles: 0,
        }
    }

    /// Lines so far that are not of a flow log.
    pub fn other_lines(&self) -> u64 {
        self.others
    }

    /// Lines so far that are of one.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How often something was missing.
    pub fn troubles(&self) -> usize {
        self.troubles
    }

    /// The next item; `None` when all logs have ended. May be dropped while it waits; nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Item>, ReadingError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Item>, ReadingError>> {
        loop {
            if let Some(item) = self.poll_sources(context)? {
                return Poll::Ready(Ok(Some(item)));
            }
            let is_over = !self.sources.iter().any(|source| source.behind);
            if let Some(past) = &mut self.past {
                let entry = if is_over { past.rest() } else { past.next() };
                match entry {
                    Some(entry) => return Poll::Ready(Ok(Some(Item::Entry(entry)))),
                    None if is_over => self.past = None,
                    None => {}
                }
            }
            let has_to_be_awaited = |source: &Source| source.behind && source.entries.is_empty();
            if self.sources.iter().any(has_to_be_awaited) {
                return Poll::Pending;
            }
            let Some(entry) = self.earliest() else {
                break;
            };
            match &mut self.past {
                Some(past) => past.take(entry),
                None => return Poll::Ready(Ok(Some(Item::Entry(entry)))),
            }
        }
        if !std::mem::replace(&mut self.caught_up, true) {
            return Poll::Ready(Ok(Some(Item::CaughtUp)));
        }
        let has_ended = |source: &Source| source.messages.is_none();
        if self.newcomers.is_none() && self.sources.iter().all(has_ended) {
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }

    /// Takes what has come from sources without lines. Returns what is to be told before any line.
    fn poll_sources(&mut self, context: &mut Context<'_>) -> Result<Option<Item>, ReadingError> {
        while let Some(newcomers) = &mut self.newcomers
            && let Poll::Ready(newcomer) = newcomers.poll_recv(context)
        {
            match newcomer {
                Some(messages) => self.sources.push(Source::new(messages, false)),
                None => self.newcomers = None,
            }
        }
        self.sources
            .retain(|source| source.messages.is_some() || !source.entries.is_empty());
        for source in &mut self.sources {
            while source.entries.is_empty()
                && let Some(messages) = &mut source.messages
                && let Poll::Ready(message) = messages.poll_recv(context)
            {
                match message {
                    None => {
                        source.messages = None;
                        source.behind = false;
                    }
                    Some(Message::Batch(batch)) => {
                        self.others += batch.others;
                        self.entries += batch.entries.len() as u64;
                        source.entries.extend(batch.entries);
                    }
                    Some(Message::CaughtUp) => source.behind = false,
                    Some(Message::Note(note)) => return Ok(Some(Item::Note(note))),
                    Some(Message::Trouble(text)) => {
                        self.troubles += 1;
                        return Ok(Some(Item::Trouble(text)));
                    }
                    Some(Message::Failed(error)) => return Err(error),
                }
            }
        }
        Ok(None)
    }

    /// The earliest of what comes next; of equal times the first log's.
    fn earliest(&mut self) -> Option<Entry> {
        let with_entries = self
            .sources
            .iter_mut()
            .filter(|source| !source.entries.is_empty());
        with_entries
            .min_by_key(|source| source.entries.front().map(|entry| entry.record.time()))?
            .entries
            .pop_front()
    }
}

impl Source {
    fn new(messages: mpsc::Receiver<Message>, behind: bool) -> Self {
        Self {
            messages: Some(messages),
            behind,
            entries: VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests;
