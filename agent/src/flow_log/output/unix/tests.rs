//! Readers of all kinds on one socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::{fs, thread};

use tempfile::TempDir;

use super::super::tests::{PATIENCE, lost_line, open, until, until_written, walk};
use super::super::{Destination, Output, Rotation};
use super::*;

struct Bench {
    _folder: TempDir,
    path: PathBuf,
    output: Output,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("flows");
        let output = Output::open(
            &Destination::Unix(path.clone()),
            Rotation::default(),
            lost_line,
        );
        Self {
            _folder: folder,
            path,
            output: output.expect("opened"),
        }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    }

    fn readers(&self, count: u64) {
        until("readers", || self.output.totals().readers == count);
    }

    /// Writes lines while a reader takes them, so that it always keeps up.
    fn write(&self, numbers: std::ops::Range<u64>, fast: &mut BufReader<UnixStream>) {
        for start in numbers.clone().step_by(100) {
            let end = (start + 100).min(numbers.end);
            (start..end).for_each(|number| self.output.write(line(number)));
            for number in start..end {
                let mut text = String::new();
                fast.read_line(&mut text).expect("a line");
                assert_eq!(text.trim_end(), line(number));
            }
        }
    }
}

fn line(number: u64) -> String {
    format!("line {number} {}", "x".repeat(300))
}

fn rest(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text to the end");
    text
}

#[test]
fn each_gets_what_comes_after_it_has_connected() {
    let bench = Bench::new();
    let mode = fs::metadata(&bench.path).expect("there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o660);
    let mut readers = Vec::new();
    // Nobody waits for a reader to be let in.
    for number in 0..50 {
        bench.output.write(line(number));
        readers.push(bench.connect());
    }
    bench.output.write(line(50));
    until_written(&bench.output);
    assert_eq!(bench.output.totals().written, 51);
    assert_eq!(bench.output.close(PATIENCE).unwritten, 0);
    assert!(!bench.path.exists());
    for (first, reader) in (1_u64..).zip(readers) {
        let text = rest(reader);
        let mut lines = text.lines();
        let all: Vec<_> = (first..=50).map(line).collect();
        // Lines from before may still come.
        let skipped = lines.clone().count() - all.len();
        assert!(lines.by_ref().skip(skipped).eq(all), "reader {first}");
    }
}

#[test]
fn who_is_too_slow_is_told_and_dropped_and_others_get_all() {
    let bench = Bench::new();
    let mut fast = BufReader::new(bench.connect());
    let (slow, mut trickle) = (bench.connect(), bench.connect());
    let mut rude = bench.connect();
    bench.readers(4);
    // One writes to us until nothing more goes in; we never take it.
    rude.set_nonblocking(true).expect("set");
    while rude.write(&[b'x'; 4096]).is_ok() {}
    rude.set_nonblocking(false).expect("set");
    let mut written = 0;
    while bench.output.totals().dropped_readers < 3 {
        assert!(written < 50_000, "nobody is dropped");
        bench.write(written..written + 100, &mut fast);
        written += 100;
        // One takes a byte now and then.
        if written % 1_000 == 0 {
            trickle.read_exact(&mut [0]).expect("a byte");
        }
    }
    for mut late in [slow, rude] {
        let mut bytes = Vec::new();
        // What the rude one had written gets it a reset instead of an end.
        let _ = late.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).expect("text");
        let (present, missing) = walk(text.lines());
        assert!(text.lines().last().is_some_and(|l| l.starts_with("lost")));
        assert!(present > 100 && missing > 4_096, "{present} {missing}");
        assert!(present + missing <= written, "{present} {missing}");
    }
    // The third does not read on, and is not waited for.
    bench.readers(1);
    let text = rest(trickle);
    assert!(!text.is_empty() && text.len() < 1 << 20 && !text.contains("lost"));
    let totals = bench.output.totals();
    assert_eq!((totals.written, totals.lost), (written, 0));
    bench.write(written..written + 10, &mut fast);
    drop(fast);
    bench.readers(0);
}

#[test]
fn lines_longer_than_the_kernel_takes_at_once() {
    let bench = Bench::new();
    let long = |number: u64| format!("line {number} {}", "x".repeat(300_000));
    let mut reader = BufReader::new(bench.connect());
    (0..8).for_each(|number| bench.output.write(long(number)));
    for number in 0..8 {
        let mut text = String::new();
        reader.read_line(&mut text).expect("a line");
        assert!(
            text.trim_end() == long(number),
            "line {number} is not whole"
        );
    }
    // Dropped within a line, it gets the rest of that first.
    (8..30).for_each(|number| bench.output.write(long(number)));
    until_written(&bench.output);
    let text = rest(reader);
    let lines = text.lines().map(str::to_owned).zip(8..);
    let whole = lines
        .take_while(|(line, number)| *line == long(*number))
        .count();
    let missing = 22 - whole;
    assert!((1..10).contains(&whole), "{whole}");
    assert_eq!(
        text.lines().skip(whole).collect::<Vec<_>>(),
        [lost_line(missing as u64)]
    );
}

#[test]
fn only_so_many_readers() {
    let bench = Bench::new();
    let mut readers: Vec<_> = (0..READERS).map(|_| bench.connect()).collect();
    for _ in 0..3 {
        assert_eq!(rest(bench.connect()), "", "turned away");
    }
    bench.readers(64);
    bench.output.write("a".to_owned());
    for reader in &mut readers {
        let mut text = [0; 2];
        reader.read_exact(&mut text).expect("a line");
        assert_eq!(&text, b"a\n");
    }
    // Who goes makes room, without a line having to be written.
    readers.truncate(60);
    bench.readers(60);
    let mut next = BufReader::new(bench.connect());
    bench.write(0..1, &mut next);
}

#[test]
fn who_has_shut_its_own_side_still_reads() {
    let bench = Bench::new();
    let stream = bench.connect();
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut reader = BufReader::new(stream);
    bench.write(0..3, &mut reader);
    bench.readers(1);
    bench.write(3..6, &mut reader);
}

#[test]
fn closing_gives_readers_the_rest() {
    let bench = Bench::new();
    let (mut reader, idle) = (bench.connect(), bench.connect());
    bench.readers(2);
    // More than the kernel holds for a reader.
    (0..2_000).for_each(|number| bench.output.write(line(number)));
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        text
    });
    // The other one never reads.
    let closed = bench.output.close(Duration::from_secs(1));
    assert_eq!(closed.unwritten, 0);
    assert!(!bench.path.exists());
    let text = reading.join().expect("read");
    assert_eq!(walk(text.lines()), (2_000, 0));
    drop(idle);
}

#[test]
fn what_is_at_the_path() {
    let bench = Bench::new();
    let again = |path: &PathBuf| open(&format!("unix:{}", path.display()), Rotation::default());
    let error = again(&bench.path).expect_err("in use").to_string();
    assert!(error.contains("another process listens"), "{error}");
    assert!(bench.path.exists());

    let folder = bench.path.parent().expect("a folder");
    let stale = folder.join("stale");
    drop(UnixListener::bind(&stale).expect("bound"));
    assert!(stale.exists());
    let output = again(&stale).expect("nobody listened there");
    UnixStream::connect(&stale).expect("connected");
    // Somebody else's socket, put in the place of ours, stays.
    fs::remove_file(&stale).expect("removed");
    let other = UnixListener::bind(&stale).expect("bound");
    assert_eq!(output.close(PATIENCE).unwritten, 0);
    assert!(stale.exists());
    drop(other);

    let datagram = folder.join("datagram");
    let socket = UnixDatagram::bind(&datagram).expect("bound");
    let error = again(&datagram).expect_err("in use").to_string();
    assert!(error.contains("another process listens"), "{error}");
    drop(socket);

    // One that does not accept, and whose queue is full, is alive.
    let busy = folder.join("busy");
    let listener = socket::listen_at(&busy).expect("bound");
    let mut waiting = Vec::new();
    let connect = || {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        use std::os::fd::AsRawFd;
        let kind = (SockType::Stream, SockFlag::SOCK_NONBLOCK);
        let socket = socket(AddressFamily::Unix, kind.0, kind.1, None).expect("a socket");
        let address = UnixAddr::new(&busy).expect("an address");
        connect(socket.as_raw_fd(), &address).ok().map(|()| socket)
    };
    while let Some(socket) = connect() {
        waiting.push(socket);
    }
    assert!(!waiting.is_empty());
    let error = again(&busy).expect_err("in use").to_string();
    assert!(error.contains("another process listens"), "{error}");
    drop(listener);
    assert!(!busy.exists());
}

#[test]
fn relative_paths_and_the_longest() {
    let folder = tempfile::tempdir().expect("a folder");
    let length = folder.path().as_os_str().len() + 1;
    let path = folder.path().join("x".repeat(107 - length));
    let listener = socket::listen_at(&path).expect("107 bytes");
    UnixStream::connect(&path).expect("connected");
    drop(listener);
    let path = folder.path().join("x".repeat(108 - length));
    let error = socket::listen_at(&path).expect_err("108 bytes");
    assert!(matches!(error, OutputError::TooLong { length: 108, .. }));
}
