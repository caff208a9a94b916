//! The log as a whole, with real pipes, files and sockets.

mod streams;

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn lost_line(missing: u64) -> String {
    format!("lost {missing}")
}

pub(super) fn open(destination: &str, rotation: Rotation) -> Result<Output, OutputError> {
    let destination = destination.parse().expect("a destination");
    Output::open(&destination, rotation, lost_line)
}

/// Opens a file or a socket in a folder.
pub(super) fn open_in(folder: &Path, kind: &str, rotation: Rotation) -> Output {
    let path = folder.join("flows");
    open(&format!("{kind}:{}", path.display()), rotation).expect("opened")
}

/// Waits for something to be so.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(super) fn until_written(output: &Output) {
    until("everything written or lost", || output.totals().queued == 0);
}

/// Walks through `line 0`, `line 1`… with `lost N` where N are missing. How many lines there are, and how many are missing.
pub(super) fn walk<'a>(lines: impl IntoIterator<Item = &'a str>) -> (u64, u64) {
    let (mut present, mut missing) = (0, 0);
    for line in lines {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["lost", count] => missing += count.parse::<u64>().expect("a number"),
            ["line", number, ..] => {
                let number: u64 = number.parse().expect("a number");
                assert_eq!(number, present + missing, "{line}");
                present += 1;
            }
            _ => panic!("not a line: {line:?}"),
        }
    }
    (present, missing)
}

#[test]
fn off_is_nothing() {
    let output = open("off", Rotation::default()).expect("opened");
    output.write("a".to_owned());
    output.reopen();
    assert_eq!(output.totals(), Totals::default());
    assert_eq!(output.close(PATIENCE), Closed { unwritten: 0 });
}

#[test]
fn a_line_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = open_in(folder.path(), "file", Rotation::default());
    output.write("a\nb".to_owned());
    output.write(String::new());
    output.write("c".to_owned());
    assert_eq!(output.close(PATIENCE).unwritten, 0);
    let text = std::fs::read_to_string(folder.path().join("flows")).expect("read");
    assert_eq!(text, "a b\n\nc\n");
}

#[test]
fn dropped_without_close_the_thread_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = open_in(folder.path(), "unix", Rotation::default());
    let queue = Arc::downgrade(&output.running.as_ref().expect("running").queue);
    drop(output);
    until("the thread has ended", || queue.upgrade().is_none());
    assert!(!folder.path().join("flows").exists());
}

#[test]
fn messages_name_the_path_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(there("text"), "").expect("written");
    std::os::unix::fs::symlink(there("text"), there("link")).expect("linked");
    nix::unistd::mkfifo(
        there("fifo").as_str(),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .expect("made");
    let long = there(&"x".repeat(108));
    for (destination, says) in [
        (
            format!("file:{}", there("no/flows")),
            &["no/flows", "create it"] as &[_],
        ),
        (
            format!("unix:{}", there("no/flows")),
            &["no/flows", "create it"],
        ),
        (format!("file:{}", there("text/flows")), &["no folder"]),
        (format!("file:{}", there("")), &["a folder", "name a file"]),
        (format!("file:{}", there("link")), &["link", "symbolic"]),
        (
            format!("file:{}", there("fifo")),
            &["fifo", "a named pipe", "name a file"],
        ),
        (
            format!("unix:{}", there("text")),
            &["text", "a file", "remove it"],
        ),
        (
            format!("unix:{}", there("link")),
            &["a symbolic link", "left alone"],
        ),
        (
            format!("unix:{}", there("")),
            &["a folder", "choose another"],
        ),
        (format!("unix:{long}"), &["too long", "107", "shorter"]),
    ] {
        let error = open(&destination, Rotation::default())
            .expect_err(&destination)
            .to_string();
        for word in says {
            assert!(error.contains(word), "{destination}: {error}");
        }
    }
    let denied = io::ErrorKind::PermissionDenied.into();
    let error = OutputError::at(Path::new("/var/log/flows"), "write", denied).to_string();
    assert!(
        error.contains("not allowed to write /var/log/flows"),
        "{error}"
    );
}
