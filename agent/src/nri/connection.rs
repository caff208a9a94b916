//! One connection, from the registration to its end.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::error::Broken;
use super::known::Known;
use super::report::Report;
use super::service::{Reply, Service};
use super::wire::messages::{RUNTIME_SERVICE, registration};
use super::wire::multiplex::{self, Demultiplexer, PLUGIN, RUNTIME};
use super::wire::ttrpc::{self, Kind, Message, Messages, Request};

/// The name in the runtime's log, and when this plugin is asked among others. Which of them is first does not matter here.
const NAME: &str = "netpol";
const INDEX: &str = "10";

/// The runtime may be busy with another plugin. After this time it is told that there is no connection; if there is one
/// after all, that is told too.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(10);

/// A runtime that takes nothing for so long is not waiting for an answer any more.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// The number of the only question that is asked from here.
const REGISTRATION: u32 = 1;

/// Registers, and answers until the connection breaks.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    known: &mut Known,
    report: &mut Report,
) -> Broken {
    match Connection::new(stream, known, report).run().await {
        Ok(never) => match never {},
        Err(broken) => broken,
    }
}

enum Never {}

/// A pod whose start waits.
struct Waiting {
    stream: u32,
    answered: oneshot::Receiver<()>,
    patience: Duration,
}

struct Connection<'a, S> {
    reader: tokio::io::ReadHalf<S>,
    writer: tokio::io::WriteHalf<S>,
    service: Service<'a>,
    report: &'a mut Report,
    demultiplexer: Demultiplexer,
    questions: Messages,
    answers: Messages,
}

impl<'a, S: AsyncRead + AsyncWrite> Connection<'a, S> {
    fn new(stream: S, known: &'a mut Known, report: &'a mut Report) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            service: Service::new(known),
            report,
            demultiplexer: Demultiplexer::default(),
            questions: Messages::default(),
            answers: Messages::default(),
        }
    }

    async fn run(mut self) -> Result<Never, Broken> {
        let registration = registration(NAME, INDEX);
        let question = Request {
            service: RUNTIME_SERVICE,
            method: "RegisterPlugin",
            payload: &registration,
            timeout: 0,
        };
        self.send(RUNTIME, &question.message(REGISTRATION)).await?;
        let mut buffer = vec![0; 64 << 10];
        let mut waiting = FuturesUnordered::new();
        let mut introduction = pin!(sleep(INTRODUCED_WITHIN));
        let mut introduced = false;
        loop {
            tokio::select! {
                read = self.reader.read(&mut buffer) => {
                    let length = read?;
                    if length == 0 {
                        return Err(Broken::Closed);
                    }
                    let asked = self.take(&buffer[..length], waiting.len()).await?;
                    waiting.extend(asked.into_iter().map(|pod| async move {
                        (pod.stream, timeout(pod.patience, pod.answered).await.is_ok())
                    }));
                }
                Some((stream, answered)) = waiting.next() => {
                    self.service.patience.learn(answered);
                    self.send(PLUGIN, &ttrpc::answer(stream, &[])).await?;
                }
                () = &mut introduction, if !introduced => {
                    introduced = true;
                    if !self.service.is_synchronized() {
                        self.report.lost(&Broken::Silent).await?;
                    }
                }
            }
        }
    }

    /// Answers what is in these bytes, and returns whose answers must be waited for.
    async fn take(&mut self, mut bytes: &[u8], waiting: usize) -> Result<Vec<Waiting>, Broken> {
        let mut asked = Vec::new();
        while let Some((connection, mut piece)) = self.demultiplexer.next(&mut bytes)? {
            match connection {
                PLUGIN => {
                    while let Some(message) = self.questions.next(&mut piece)? {
                        asked.extend(self.answer(&message, waiting + asked.len()).await?);
                    }
                }
                RUNTIME => {
                    while let Some(message) = self.answers.next(&mut piece)? {
                        if message.kind == Kind::Response
                            && let Some(why) = ttrpc::objection(&message.body)?
                        {
                            return Err(Broken::Refused(why));
                        }
                    }
                }
                // Of later versions.
                _ => {}
            }
        }
        Ok(asked)
    }

    async fn answer(
        &mut self,
        message: &Message,
        waiting: usize,
    ) -> Result<Option<Waiting>, Broken> {
        if message.kind != Kind::Request {
            return Ok(None);
        }
        let request = Request::read(&message.body)?;
        let stream = message.stream;
        let mut events = Vec::new();
        let reply = self
            .service
            .answer(stream, &request, waiting, &mut events)?;
        for event in events {
            self.report.tell(event)?;
        }
        match reply {
            Reply::Now(message) => self.send(PLUGIN, &message).await.map(|()| None),
            Reply::Once(answered, patience) => Ok(Some(Waiting {
                stream,
                answered,
                patience,
            })),
        }
    }

    async fn send(&mut self, connection: u32, message: &[u8]) -> Result<(), Broken> {
        let frame = multiplex::frame(connection, message);
        match timeout(TAKEN_WITHIN, self.writer.write_all(&frame)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Broken::Silent),
        }
    }
}
