//! The real agent, one process per node, in the node's network namespace.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::LabError;
use super::binary::netpol_binary;
use super::netns::Netns;

/// Where an agent serves `/readyz`, `/healthz` and `/metrics`: every node is its own network, so all have the same.
pub const AGENT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 19_469);

const READY_WITHIN: Duration = Duration::from_secs(90);
const LOGGED_WITHIN: Duration = Duration::from_secs(60);
const EXIT_WITHIN: Duration = Duration::from_secs(30);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A running agent. Killed when dropped; its rules stay, as they must.
#[derive(Debug)]
pub struct Agent {
    node: String,
    listen: SocketAddr,
    child: Child,
    log: PathBuf,
    /// The file of its flow log, unless its arguments say something else.
    flows: PathBuf,
}

impl Agent {
    /// Starts `netpol agent` with `arguments` in the node's namespace; what it prints goes to `log`.
    pub fn start(
        node: &str,
        netns: &Netns,
        listen: SocketAddr,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self, LabError> {
        let flows = log.with_extension("flows");
        let flow_log = format!("--flow-log=file:{}", flows.display());
        let is_given = arguments
            .iter()
            .any(|a| a.split('=').next() == Some("--flow-log"));
        let binary = netpol_binary()?;
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(LabError::io(format!("open {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(LabError::io("log of the agent"))?;
        // The agent must not outlive the tests, however they end: it ends with the thread that started it.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary)
            .args([
                "agent",
                "--node-name",
                node,
                "--listen",
                &listen.to_string(),
            ])
            .args(arguments)
            .args(Some(flow_log).filter(|_| !is_given))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let child = netns
            .call(move || command.spawn())?
            .map_err(LabError::io("start setpriv"))?;
        Ok(Self {
            node: node.to_owned(),
            listen,
            child,
            log,
            flows,
        })
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The file of its flow log.
    pub fn flow_file(&self) -> &Path {
        &self.flows
    }

    /// What it has told of drops so far, one line each.
    pub fn flow_lines(&self) -> String {
        std::fs::read_to_string(&self.flows).unwrap_or_default()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has written `words`.
    pub fn await_log(&self, words: &str) -> Result<(), LabError> {
        let deadline = Instant::now() + LOGGED_WITHIN;
        while !self.log().contains(words) {
            if Instant::now() > deadline {
                return Err(self.failure(format!("says nothing of {words}")));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until `/readyz` says 200. `netns` is its node's.
    pub fn wait_ready(&mut self, netns: &Netns) -> Result<(), LabError> {
        let (listen, deadline) = (self.listen, Instant::now() + READY_WITHIN);
        while Instant::now() < deadline {
            if let Ok((200, _)) = netns.call(move || http_get(listen, "/readyz"))? {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failure(format!("ended before it was ready: {status}")));
            }
            std::thread::sleep(POLL);
        }
        Err(self.failure(format!("not ready after {} s", READY_WITHIN.as_secs())))
    }

    /// Sends a signal.
    pub fn send(&self, signal: Signal) -> Result<(), LabError> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        kill(pid, signal).map_err(|error| self.failure(format!("cannot send {signal}: {error}")))
    }

    /// `GET path` from it: status and body. `netns` is its node's.
    pub fn get(&self, netns: &Netns, path: &str) -> Result<(u16, String), LabError> {
        let (listen, path) = (self.listen, path.to_owned());
        netns
            .call(move || http_get(listen, &path))?
            .map_err(LabError::io("ask the agent"))
    }

    /// Sends a signal and waits for the end.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus, LabError> {
        self.send(signal)?;
        self.wait_end(EXIT_WITHIN)
    }

    /// Waits until it has ended.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus, LabError> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self
                .child
                .try_wait()
                .map_err(LabError::io("wait for the agent"))?
            {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        Err(self.failure(format!("still there after {} s", within.as_secs())))
    }

    fn failure(&self, problem: String) -> LabError {
        LabError::Agent {
            node: self.node.clone(),
            problem,
            log: self.log(),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `GET path` from the agent that listens there in the namespace the calling thread is in: status and body.
pub fn http_get(listen: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&listen, ANSWERS_WITHIN)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    Ok((status, body.to_owned()))
}

/// The arguments that make an agent read a folder of manifests.
pub fn manifests(folder: &Path) -> Vec<String> {
    vec!["--manifests".to_owned(), folder.display().to_string()]
}
