//! A container runtime's side of NRI, as far as the tests need one.

use std::path::PathBuf;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::nri::wire::messages::{PLUGIN_SERVICE, RUNTIME_SERVICE};
use crate::nri::wire::multiplex::{self, Demultiplexer, PLUGIN, RUNTIME};
use crate::nri::wire::protobuf::{self, Value, Writer};
use crate::nri::wire::ttrpc::{self, Message, Messages, Request};
use crate::nri::{GateEvent, GateSettings, gate};

/// Longer than anything here takes.
pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) struct Runtime {
    folder: TempDir,
    listener: Option<UnixListener>,
}

impl Runtime {
    pub(super) fn stopped() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            folder,
            listener: None,
        }
    }

    pub(super) fn started() -> Self {
        let mut runtime = Self::stopped();
        runtime.start();
        runtime
    }

    pub(super) fn start(&mut self) {
        self.listener = Some(UnixListener::bind(self.socket()).expect("a socket"));
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("nri.sock")
    }

    pub(super) fn gate(&self) -> impl Stream<Item = GateEvent> + Unpin + use<> {
        gate(GateSettings {
            socket: self.socket(),
        })
    }

    pub(super) async fn accept(&self) -> Plugin {
        let listener = self.listener.as_ref().expect("started");
        let accepted = timeout(SOON, listener.accept()).await;
        let (stream, _) = accepted.expect("it connects").expect("a connection");
        Plugin {
            stream,
            demultiplexer: Demultiplexer::default(),
            messages: [Messages::default(), Messages::default()],
            heard: Vec::new(),
            asked: 1,
        }
    }

    /// Accepts a plugin and brings it to where it hears of these sandboxes.
    pub(super) async fn welcome(&self, pods: &[Vec<u8>]) -> Plugin {
        let mut plugin = self.accept().await;
        plugin.register().await;
        plugin.configure(2000).await;
        plugin.synchronize(pods, false).await;
        plugin
    }
}

/// A plugin, as the runtime sees it.
pub(super) struct Plugin {
    stream: UnixStream,
    demultiplexer: Demultiplexer,
    messages: [Messages; 2],
    heard: Vec<(u32, Message)>,
    asked: u32,
}

impl Plugin {
    /// Hears the registration and agrees.
    pub(super) async fn register(&mut self) -> Vec<u8> {
        let (connection, message) = self.hear().await;
        assert_eq!(connection, RUNTIME);
        let request = Request::read(&message.body).expect("a request");
        assert_eq!(request.service, RUNTIME_SERVICE);
        assert_eq!(request.method, "RegisterPlugin");
        let answer = ttrpc::answer(message.stream, &[]);
        self.raw(&multiplex::frame(RUNTIME, &answer)).await;
        request.payload.to_vec()
    }

    pub(super) async fn configure(&mut self, timeout: u64) -> Vec<u8> {
        let introduction = Writer::default()
            .text(2, "fake")
            .text(3, "v1.2.3")
            .number(5, timeout);
        self.ask("Configure", &introduction.finish()).await
    }

    pub(super) async fn synchronize(&mut self, pods: &[Vec<u8>], more: bool) -> Vec<u8> {
        let all = pods
            .iter()
            .fold(Writer::default(), |all, pod| all.bytes(1, pod));
        let all = all.number(3, more.into());
        self.ask("Synchronize", &all.finish()).await
    }

    /// Asks, and returns the answer; nothing else may be asked meanwhile.
    pub(super) async fn ask(&mut self, method: &str, payload: &[u8]) -> Vec<u8> {
        let stream = self.begin(method, payload).await;
        let (answered, body) = self.answer().await;
        assert_eq!(answered, stream);
        body.expect("no refusal")
    }

    /// Asks, and returns the number of the question.
    pub(super) async fn begin(&mut self, method: &str, payload: &[u8]) -> u32 {
        let request = Request {
            service: PLUGIN_SERVICE,
            method,
            payload,
            timeout: 0,
        };
        self.question(&request).await
    }

    pub(super) async fn question(&mut self, request: &Request<'_>) -> u32 {
        let stream = self.asked;
        self.asked += 2;
        self.raw(&multiplex::frame(PLUGIN, &request.message(stream)))
            .await;
        stream
    }

    /// The next answer: to which question, and what it says, or the number of the refusal.
    pub(super) async fn answer(&mut self) -> (u32, Result<Vec<u8>, i64>) {
        let (connection, message) = self.hear().await;
        assert_eq!(connection, PLUGIN);
        let mut answer = Ok(Vec::new());
        for field in protobuf::fields(&message.body) {
            match field.expect("an answer") {
                (1, Value::Bytes(status)) => {
                    let code = protobuf::fields(status).next().expect("a code");
                    let Ok((1, Value::Number(code))) = code else {
                        panic!("{code:?}");
                    };
                    answer = Err(code.cast_signed());
                }
                (2, Value::Bytes(payload)) => answer = Ok(payload.to_vec()),
                other => panic!("{other:?}"),
            }
        }
        (message.stream, answer)
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it takes bytes");
    }

    /// Whether the plugin closes the connection, whatever it says before.
    pub(super) async fn closes(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let end = async { while !matches!(self.stream.read(&mut buffer).await, Ok(0) | Err(_)) {} };
        timeout(SOON, end).await.is_ok()
    }

    async fn hear(&mut self) -> (u32, Message) {
        let mut buffer = [0; 4096];
        while self.heard.is_empty() {
            let read = timeout(SOON, self.stream.read(&mut buffer)).await;
            let length = read.expect("it says something").expect("a connection");
            assert!(length > 0, "the plugin closed the connection");
            let mut bytes = &buffer[..length];
            while let Some((connection, mut piece)) =
                self.demultiplexer.next(&mut bytes).expect("frames")
            {
                let messages = match connection {
                    PLUGIN => &mut self.messages[0],
                    RUNTIME => &mut self.messages[1],
                    other => panic!("connection {other}"),
                };
                while let Some(message) = messages.next(&mut piece).expect("messages") {
                    self.heard.push((connection, message));
                }
            }
        }
        self.heard.remove(0)
    }
}

/// A sandbox in namespace `shop` with these addresses.
pub(super) fn pod(name: &str, addresses: &[&str]) -> Vec<u8> {
    let pod = Writer::default()
        .text(1, &format!("sandbox-{name}"))
        .text(2, name)
        .text(3, &format!("uid-{name}"))
        .text(4, "shop");
    let pod = addresses
        .iter()
        .fold(pod, |pod, address| pod.text(10, address));
    pod.finish()
}

/// The same, when the runtime tells that these are its namespaces.
pub(super) fn with_namespaces(pod: &[u8], namespaces: &[&str]) -> Vec<u8> {
    let linux = namespaces.iter().fold(Writer::default(), |linux, kind| {
        linux.bytes(5, &Writer::default().text(1, kind).finish())
    });
    let mut pod = pod.to_vec();
    pod.extend(Writer::default().bytes(8, &linux.finish()).finish());
    pod
}

/// The request of all methods about a sandbox.
pub(super) fn about(pod: &[u8]) -> Vec<u8> {
    Writer::default().bytes(1, pod).finish()
}

pub(super) async fn next(gate: &mut (impl Stream<Item = GateEvent> + Unpin)) -> GateEvent {
    let next = timeout(SOON, gate.next()).await;
    next.expect("something happens").expect("a gate has no end")
}
