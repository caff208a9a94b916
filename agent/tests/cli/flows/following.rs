//! `netpol flows --follow`, sockets and signals.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use similar_asserts::assert_eq;

use super::{SAMPLE, folder};

/// Far more than is ever needed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `netpol flows` that goes on. It is ended with the test.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(folder: &Path, arguments: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("netpol starts");
        let stdout: ChildStdout = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    #[track_caller]
    fn shows(&self, expected: &str) {
        let line = self.lines.recv_timeout(PATIENCE);
        assert_eq!(line.as_deref(), Ok(expected));
    }

    /// Sends a signal and returns the exit code, what is printed until the end, and what was said.
    fn end(mut self, signal: Signal) -> (Option<i32>, Vec<String>, String) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("sent");
        let rest = self.lines.iter().collect();
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("ended").code(), rest, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of the log that `-o json` shows as it is.
fn line(number: usize) -> String {
    format!(r#"{{"flow":{{"uuid":"{number}"}}}}"#)
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("opened");
    file.write_all(text.as_bytes()).expect("written");
}

#[test]
fn a_file_is_followed_through_rotation_and_truncation() {
    let folder = folder();
    let log = folder.path().join("log");
    append(&log, &format!("{}\n{}\n{}\n", line(1), line(2), line(3)));
    let running = Running::start(folder.path(), "flows -f log -o json --last 2");
    running.shows(&line(2));
    running.shows(&line(3));
    // A line that is written in two parts.
    let (first, second) = (line(4), format!("{}\n", line(5)));
    append(&log, &format!("{first}\n{}", &second[..9]));
    running.shows(&first);
    append(&log, &second[9..]);
    running.shows(&line(5));
    // The old file gets one line more after it was renamed.
    let old = folder.path().join("log.1");
    fs::rename(&log, &old).expect("renamed");
    append(&old, &format!("{}\n", line(6)));
    append(&log, &format!("{}\n{}\n", line(7), line(8)));
    running.shows(&line(6));
    running.shows(&line(7));
    running.shows(&line(8));
    // Shorter than it was.
    fs::write(&log, "").expect("emptied");
    append(&log, "no flow\n");
    append(&log, &format!("{}\n", line(9)));
    running.shows(&line(9));
    let (code, rest, said) = running.end(Signal::SIGINT);
    assert_eq!((code, rest), (Some(0), Vec::new()));
    assert_eq!(
        said,
        "note: 1 line that is not of a flow log was passed over\n"
    );
}

#[test]
fn files_are_followed_together() {
    let folder = folder();
    let lines: Vec<&str> = SAMPLE.lines().collect();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    append(&a, &format!("{}\n{}\n", lines[0], lines[2]));
    append(&b, &format!("{}\n", lines[1]));
    let running = Running::start(folder.path(), "flows -f b a -o json");
    for at in [0, 1, 2] {
        running.shows(lines[at]);
    }
    // Nobody waits for what is quiet now.
    append(&a, &format!("{}\n", lines[4]));
    running.shows(lines[4]);
    append(&b, &format!("{}\n", lines[3]));
    running.shows(lines[3]);
    assert_eq!(running.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn the_table_grows_while_it_is_followed() {
    let folder = folder();
    let log = folder.path().join("log");
    let lines: Vec<&str> = SAMPLE.lines().collect();
    append(&log, &format!("{}\n", lines[4]));
    let running = Running::start(folder.path(), "flows -f log");
    running.shows(
        "TIME                      DIRECTION  SOURCE   DESTINATION   PORT        COUNT  POLICIES",
    );
    running.shows("2026-11-21T10:00:12.000Z  ingress    fd00::7  batch/import  icmpv6/128      1  batch/closed");
    running.shows("    the policies that isolate the pod have no ingress rules");
    append(&log, &format!("{}\n", lines[7]));
    running.shows(
        "2026-11-21T10:00:15.000Z  ingress    node node-a (172.30.0.11)  contested 10.244.2.9  tcp/80          1  shop/db",
    );
    running.shows(
        "    the address is claimed by shop/db-0, shop/old, and policies isolate one of them",
    );
    append(&log, &format!("{}\n", lines[5]));
    running
        .shows("2026-11-21T10:00:13.000Z  lost on node-b: 12 events, the kernel's buffer was full");
    let (code, rest, said) = running.end(Signal::SIGINT);
    assert_eq!((code, rest, said.as_str()), (Some(0), Vec::new(), ""));
}

#[test]
fn a_socket_is_followed_through_a_restart() {
    let folder = folder();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let running = Running::start(folder.path(), "flows unix:sock -o json");
    let (mut stream, _) = listener.accept().expect("connected");
    writeln!(stream, "{}", line(1)).expect("written");
    running.shows(&line(1));
    // Half a line, and the agent is gone.
    write!(stream, "{{").expect("written");
    drop((stream, listener));
    fs::remove_file(&path).expect("removed");
    let listener = UnixListener::bind(&path).expect("bound");
    let (mut stream, _) = listener.accept().expect("connected again");
    writeln!(stream, "{}", line(2)).expect("written");
    running.shows(&line(2));
    let (code, _, said) = running.end(Signal::SIGINT);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "flow log unix:sock: the connection has ended; waiting for a new one\n\
             flow log unix:sock: connected again\n\
             note: 1 line that is not of a flow log was passed over\n"
        )
    );
}

#[test]
fn a_summary_is_printed_when_it_is_interrupted() {
    let folder = folder();
    let mut running = Running::start(folder.path(), "flows -f flows.log unix:sock -o summary");
    // There is no socket yet: an error at once.
    assert_eq!(running.child.wait().expect("ended").code(), Some(1));
    let listener = UnixListener::bind(folder.path().join("sock")).expect("bound");
    let running = Running::start(folder.path(), "flows -f flows.log unix:sock -o summary");
    let (mut stream, _) = listener.accept().expect("connected");
    // More than fits into the socket and what is read ahead: when it has been taken, the file's older lines were counted.
    let filler = "{\"flow\":{\"time\":\"2027-01-01T00:00:00Z\"}}\n".repeat(50_000);
    stream.write_all(filler.as_bytes()).expect("written");
    let (code, rest, _) = running.end(Signal::SIGINT);
    assert_eq!(code, Some(0));
    assert!(rest[1].starts_with("   5000   many  "), "{rest:?}");
    assert!(
        rest.iter()
            .any(|line| line.starts_with("5048 packets, more than 7 flows, ")),
        "{rest:?}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = folder();
    let log = folder.path().join("log");
    append(&log, &format!("{}\n", line(1)).repeat(10_000));
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
        .args(["flows", "log"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpol starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("netpol ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""));
}
