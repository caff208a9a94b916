//! One log and the thread that reads it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ReadingError;
use super::lines::{Line, Lines};
use super::record::Record;
use super::tail::Tail;

/// How often the end of a followed file is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long to wait before a socket is tried again.
const RECONNECT: Duration = Duration::from_secs(1);
/// The most lines and bytes that are handed on at once.
const BATCH_LINES: usize = 64;
const BATCH_BYTES: usize = 256 << 10;

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// A file, by its name.
    File(PathBuf),
    /// `unix:PATH`: a socket that writes the log to whoever connects.
    Socket(PathBuf),
}

impl Input {
    /// Reads `-`, `unix:PATH`, `file:PATH` as the agent takes it, or a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (is_socket, path) = match text.split_once(':') {
            Some(("unix", path)) => (true, path),
            Some(("file", path)) => (false, path),
            _ => (false, text),
        };
        match path {
            "" => Err("the path is empty".to_owned()),
            path if is_socket => Ok(Self::Socket(path.into())),
            _ if text == "-" => Ok(Self::Stdin),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A line that tells of flows, and what it says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The JSON object as it was read. What stood before it, as `kubectl logs --prefix` writes, is not part of it.
    pub json: Vec<u8>,
    /// What it says.
    pub record: Record,
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Message {
    Batch(Batch),
    /// The end is reached for the first time; from here on things are new.
    CaughtUp,
    /// Something worth telling the user that is no end.
    Note(String),
    /// This log, or a part of it, cannot be read; what can be of all logs is.
    Trouble(String),
    Failed(ReadingError),
}

/// Lines that were read together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// Lines that are not of a flow log.
    pub(super) others: u64,
}

enum Opened {
    Stream(Box<dyn Read + Send>),
    File(Tail),
    Socket(UnixStream),
}

/// Opens the log and starts a thread that reads it. Sockets are always followed.
pub(super) fn start(input: Input, follow: bool) -> Result<mpsc::Receiver<Message>, ReadingError> {
    let opened = match &input {
        Input::Stdin => Ok(Opened::Stream(Box::new(io::stdin()))),
        Input::File(path) if follow => Tail::open(path).map(Opened::File),
        Input::File(path) => File::open(path).map(|file| Opened::Stream(Box::new(file))),
        Input::Socket(path) => match UnixStream::connect(path) {
            Ok(stream) => Ok(Opened::Socket(stream)),
            Err(source) => return Err(ReadingError::Connect { input, source }),
        },
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(source) => return Err(ReadingError::Read { input, source }),
    };
    // The thread stays only a little ahead of who shows the lines.
    let (sender, receiver) = mpsc::channel(2);
    let name = input.clone();
    let body = move || {
        let result = match opened {
            Opened::Stream(stream) => read_all(stream, &sender),
            Opened::File(tail) => follow_file(tail, &sender),
            Opened::Socket(stream) => follow_socket(stream, &input, &sender),
        };
        if let Err(Ending::Failed(source)) = result {
            let error = ReadingError::Read { input, source };
            let _ = sender.blocking_send(Message::Failed(error));
        }
    };
    match thread::Builder::new().name("flows".to_owned()).spawn(body) {
        Ok(_) => Ok(receiver),
        Err(source) => Err(ReadingError::Thread {
            input: name,
            source,
        }),
    }
}

type Sender = mpsc::Sender<Message>;

/// Why a thread ends early.
enum Ending {
    /// Nobody listens any more.
    NotWanted,
    Failed(io::Error),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn tell(sender: &Sender, message: Message) -> Result<(), Ending> {
    sender.blocking_send(message).map_err(|_| Ending::NotWanted)
}

fn read_all(stream: impl Read, sender: &Sender) -> Result<(), Ending> {
    let mut lines = Lines::new(stream);
    read_to_end(&mut lines, sender)?;
    hand_on_rest(lines.rest(), sender)
}

fn follow_file(mut tail: Tail, sender: &Sender) -> Result<(), Ending> {
    read_to_end(tail.lines(), sender)?;
    tell(sender, Message::CaughtUp)?;
    while !sender.is_closed() {
        thread::sleep(LOOK);
        read_to_end(tail.lines(), sender)?;
        hand_on_rest(tail.look()?, sender)?;
    }
    Ok(())
}

/// Reads until the other side ends, and connects anew: an agent may be restarted.
fn follow_socket(mut stream: UnixStream, input: &Input, sender: &Sender) -> Result<(), Ending> {
    let Input::Socket(path) = input else {
        return Ok(());
    };
    tell(sender, Message::CaughtUp)?;
    loop {
        // A connection that breaks is one that has ended.
        match read_all(&stream, sender) {
            Ok(()) | Err(Ending::Failed(_)) => {}
            Err(ending) => return Err(ending),
        }
        tell(
            sender,
            Message::Note(format!(
                "flow log {input}: the connection has ended; waiting for a new one"
            )),
        )?;
        stream = loop {
            thread::sleep(RECONNECT);
            if sender.is_closed() {
                return Ok(());
            }
            if let Ok(stream) = UnixStream::connect(path) {
                break stream;
            }
        };
        tell(
            sender,
            Message::Note(format!("flow log {input}: connected again")),
        )?;
    }
}

/// Hands on all lines up to where nothing more can be read for now. What is there already goes in one batch.
fn read_to_end<R: Read>(lines: &mut Lines<R>, sender: &Sender) -> Result<(), Ending> {
    let mut batch = Batch::default();
    let mut bytes = 0;
    while let Some(line) = lines.next()? {
        bytes += batch.add(line);
        if !lines.has_another() || batch.entries.len() == BATCH_LINES || bytes >= BATCH_BYTES {
            tell(sender, Message::Batch(std::mem::take(&mut batch)))?;
            bytes = 0;
        }
    }
    Ok(())
}

fn hand_on_rest(rest: Option<Line>, sender: &Sender) -> Result<(), Ending> {
    let Some(line) = rest else { return Ok(()) };
    let mut batch = Batch::default();
    batch.add(line);
    tell(sender, Message::Batch(batch))
}

impl Batch {
    /// Adds a line and returns how much memory it takes.
    fn add(&mut self, line: Line) -> usize {
        let Line::Whole(mut line) = line else {
            self.others += 1;
            return 0;
        };
        // `kubectl logs --prefix` and `--timestamps` write before the line.
        let start = line.iter().position(|byte| *byte == b'{');
        let record = start.and_then(|start| Record::parse(&line[start..]));
        if let (Some(start), Some(record)) = (start, record) {
            line.drain(..start);
            let length = line.len();
            self.entries.push(Entry { json: line, record });
            return length;
        }
        if !line.trim_ascii().is_empty() {
            self.others += 1;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs() {
        let file = |path: &str| Some(Input::File(path.into()));
        let rows = [
            ("-", Some(Input::Stdin)),
            ("flows.log", file("flows.log")),
            ("./-", file("./-")),
            ("file:/a:b", file("/a:b")),
            ("file:-", file("-")),
            ("a:b", file("a:b")),
            ("unix:/run/s", Some(Input::Socket("/run/s".into()))),
            ("unix:", None),
            ("file:", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Input::parse(text).ok(), expected, "{text}");
        }
    }
}
