//! One agent's log, to its end and beyond.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt};
use kube::Api;
use kube::api::LogParams;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::pod::AgentPod;
use super::position::{Position, split, whole_second};
use super::{Agents, RIGHTS};
use crate::flow_log::reading::lines::{Begun, Line};
use crate::flow_log::reading::record::Record;
use crate::flow_log::reading::source::{Batch, Entry, Message};
use crate::source::explain;

/// A node that does not answer keeps those from being shown that wait for it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait before a log is asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// The same after failures.
const AGAIN_AT_MOST: Duration = Duration::from_secs(10);

pub(super) struct Log {
    pub(super) pod: AgentPod,
    pub(super) api: Api<AgentPod>,
    pub(super) agents: Arc<Agents>,
    pub(super) requests: Arc<Semaphore>,
    pub(super) sender: mpsc::Sender<Message>,
}

/// Why a log is not read any more.
enum Ending {
    /// Nobody listens.
    NotWanted,
    /// The pod is gone.
    Gone,
    Failed(String),
}

impl Log {
    pub(super) async fn read(self) {
        let mut position = Position::default();
        // Whoever asks for some lines only means the last ones.
        if self.pod.has_predecessor() && self.agents.tail.is_none() {
            let params = LogParams {
                previous: true,
                ..self.params(&position)
            };
            // Nodes remove them at any time.
            if let Err(Ending::NotWanted) = self.take(&params, &mut position).await {
                return;
            }
        }
        let params = self.params(&position);
        let first = self.take(&params, &mut position).await;
        let failed = matches!(first, Err(Ending::Failed(_)));
        if self.tell_of(first).await && self.agents.follow && self.tell(Message::CaughtUp).await {
            self.follow(position, failed).await;
        }
    }

    /// Reads what comes, until the pod is gone. That there is trouble is told once, and again when it was over in between.
    async fn follow(&self, mut position: Position, mut failed: bool) {
        let mut pause = AGAIN;
        loop {
            position.begin_again();
            let params = LogParams {
                follow: true,
                ..self.params(&position)
            };
            let begun = Instant::now();
            let outcome = self.take(&params, &mut position).await;
            let fails = matches!(outcome, Err(Ending::Failed(_)));
            let go_on = match outcome {
                Err(Ending::Failed(_)) if failed => true,
                outcome => self.tell_of(outcome).await,
            };
            if !go_on {
                return;
            }
            failed = fails;
            let lasted = begun.elapsed() > AGAIN_AT_MOST;
            pause = if lasted {
                AGAIN
            } else {
                (pause * 2).min(AGAIN_AT_MOST)
            };
            tokio::select! {
                () = self.sender.closed() => return,
                () = sleep(pause) => {}
            }
        }
    }

    fn params(&self, position: &Position) -> LogParams {
        let read_before = position.since();
        LogParams {
            container: self.pod.container().map(str::to_owned),
            timestamps: true,
            tail_lines: self
                .agents
                .tail
                .filter(|_| read_before.is_none())
                .map(i64::from),
            since_time: read_before.or(self.agents.since.map(whole_second)),
            ..LogParams::default()
        }
    }

    /// Asks for the log and hands on what is new of it, until its end.
    async fn take(&self, params: &LogParams, position: &mut Position) -> Result<(), Ending> {
        let opened = {
            let _permit = self.requests.acquire().await;
            timeout(ANSWERS_WITHIN, self.api.log_stream(self.pod.name(), params)).await
        };
        let stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Err(Ending::Gone),
            // It will have a log in a moment.
            Ok(Err(kube::Error::Api(status)))
                if self.agents.follow && status.message.contains("is waiting to start") =>
            {
                return Ok(());
            }
            Ok(Err(error)) => return Err(Ending::Failed(explain(&error, RIGHTS))),
            Err(_) => {
                let seconds = ANSWERS_WITHIN.as_secs();
                return Err(Ending::Failed(format!("no answer within {seconds} s")));
            }
        };
        match hand_on(stream, position, &self.sender).await {
            // A connection that breaks off while it is followed is made anew, and nothing is missing.
            Err(Ending::Failed(_)) if params.follow => Ok(()),
            ending => ending,
        }
    }

    /// Whether to go on after this.
    async fn tell_of(&self, outcome: Result<(), Ending>) -> bool {
        match outcome {
            Ok(()) => true,
            Err(Ending::NotWanted | Ending::Gone) => false,
            Err(Ending::Failed(problem)) => {
                let pod = self.pod.display_name();
                let text = format!("the log of agent {pod} cannot be read: {problem}");
                self.tell(Message::Trouble(text)).await
            }
        }
    }

    async fn tell(&self, message: Message) -> bool {
        self.sender.send(message).await.is_ok()
    }
}

/// Hands on the flows of a stream that are new.
async fn hand_on(
    stream: impl AsyncBufRead,
    position: &mut Position,
    sender: &mpsc::Sender<Message>,
) -> Result<(), Ending> {
    let mut stream = pin!(stream);
    let mut begun = Begun::default();
    loop {
        let read = tokio::select! {
            () = sender.closed() => return Err(Ending::NotWanted),
            read = stream.fill_buf() => read,
        };
        let mut bytes = read.map_err(|error| Ending::Failed(error.to_string()))?;
        let length = bytes.len();
        let mut batch = Batch::default();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            begun.add(&bytes[..end]);
            bytes = &bytes[end + 1..];
            batch.entries.extend(entry(begun.end(), position));
        }
        begun.add(bytes);
        stream.as_mut().consume(length);
        if length == 0 {
            batch.entries.extend(entry(begun.end(), position));
        }
        if !batch.entries.is_empty() {
            let sent = sender.send(Message::Batch(batch)).await;
            sent.map_err(|_| Ending::NotWanted)?;
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// The flow of a line; the agent's own words are none.
fn entry(line: Line, position: &mut Position) -> Option<Entry> {
    let Line::Whole(line) = line else { return None };
    let (time, json) = split(&line)?;
    let record = position.advance(time).then(|| Record::parse(json))??;
    Some(Entry {
        json: json.to_vec(),
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn handed_on(text: &[u8], position: &mut Position) -> Vec<String> {
        let (sender, mut messages) = mpsc::channel(100);
        let outcome = hand_on(futures::io::Cursor::new(text), position, &sender).await;
        assert!(outcome.is_ok());
        drop(sender);
        let mut lines = Vec::new();
        while let Some(Message::Batch(batch)) = messages.recv().await {
            assert_eq!(batch.others, 0);
            let texts = batch.entries.into_iter().map(|entry| entry.json);
            lines.extend(texts.map(|json| String::from_utf8(json).expect("text")));
        }
        lines
    }

    #[tokio::test]
    async fn flows_are_told_from_the_agents_own_words() {
        let log = br#"2026-11-21T10:00:00.1Z 2026-11-21T10:00:00.1Z  INFO netpol agent starts
2026-11-21T10:00:00.2Z {"flow":{"uuid":"1"}}
2026-11-21T10:00:00.3Z {"timestamp":"2026-11-21T10:00:00.3Z","level":"WARN","message":"x"}
2026-11-21T10:00:00.4Z  WARN namespace shop: {"flow":{"uuid":"forged"}}
unable to retrieve container logs
2026-11-21T10:00:00.5Z {"flow":{"uuid":"2"}}"#;
        let mut position = Position::default();
        let expected = [r#"{"flow":{"uuid":"1"}}"#, r#"{"flow":{"uuid":"2"}}"#];
        assert_eq!(handed_on(log, &mut position).await, expected);
        position.begin_again();
        let more = br#"2026-11-21T10:00:00.2Z {"flow":{"uuid":"1"}}
2026-11-21T10:00:00.5Z {"flow":{"uuid":"2"}}
2026-11-21T10:00:00.6Z {"flow":{"uuid":"3"}}
"#;
        assert_eq!(
            handed_on(more, &mut position).await,
            [r#"{"flow":{"uuid":"3"}}"#]
        );
    }
}
