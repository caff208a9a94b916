//! Connections that last: somebody in the network of a pod asks over one of them all the time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::numbered::Worker;
use super::request::{Transport, datagrams};
use crate::lab::uninterrupted;

/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(5);
/// After so long without an answer a conversation has ended. Answers take a thousandth of that.
const SILENT: Duration = Duration::from_secs(3);

/// One connection to `agnhost netexec`, over which questions are asked until nobody answers.
pub struct Conversation {
    _worker: Worker,
    state: Arc<Mutex<State>>,
}

struct State {
    answers: usize,
    last: Instant,
    /// Why there was an end.
    end: Option<String>,
}

impl Conversation {
    /// Connects from a network.
    pub fn start(from: &File, to: SocketAddr, transport: Transport) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State {
            answers: 0,
            last: Instant::now(),
            end: None,
        }));
        let shared = Arc::clone(&state);
        let worker = Worker::start(
            from,
            move || Line::open(to, transport),
            move |line| {
                let answered = line.ask();
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match answered {
                    Ok(()) if state.end.is_none() => {
                        state.answers += 1;
                        state.last = Instant::now();
                    }
                    Ok(()) => state.end = Some("answered again after its end".to_owned()),
                    Err(error) if state.end.is_none() => state.end = Some(error.to_string()),
                    Err(_) => {}
                }
                drop(state);
                std::thread::sleep(PAUSE);
            },
        )?;
        Ok(Self {
            _worker: worker,
            state,
        })
    }

    /// Whether there were answers, and no end.
    pub fn goes_on(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.end {
            Some(end) => Err(format!("ended after {} answers: {end}", state.answers)),
            None if state.answers == 0 => Err("no answer yet".to_owned()),
            None => Ok(()),
        }
    }

    /// When there was the last answer, if there are no more.
    pub fn ended(&self) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.end.is_some().then_some(state.last)
    }
}

enum Line {
    Stream(TcpStream),
    Datagrams(std::net::UdpSocket),
}

impl Line {
    fn open(to: SocketAddr, transport: Transport) -> io::Result<Self> {
        Ok(match transport {
            Transport::Tcp => {
                let stream = TcpStream::connect_timeout(&to, SILENT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENT))?;
                Self::Stream(stream)
            }
            Transport::Udp => {
                let socket = datagrams(to)?;
                socket.set_read_timeout(Some(SILENT))?;
                Self::Datagrams(socket)
            }
        })
    }

    /// Asks and waits for the whole answer.
    fn ask(&mut self) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => {
                socket.send(b"hostname")?;
                uninterrupted(|| socket.recv(&mut [0; 512])).map(drop)
            }
            Self::Stream(stream) => {
                stream.write_all(b"GET /hostname HTTP/1.1\r\nHost: pod\r\n\r\n")?;
                let mut answer = Vec::new();
                while !is_whole(&answer) {
                    let mut some = [0; 1024];
                    match uninterrupted(|| stream.read(&mut some))? {
                        0 => return Err(io::Error::other("the server closed the connection")),
                        length => answer.extend_from_slice(&some[..length]),
                    }
                }
                Ok(())
            }
        }
    }
}

/// Whether a response is there with as much of a body as it says.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}
