//! Pipes, and files that several threads write to.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::OwnedFd;

use super::*;

fn piped() -> (BufReader<PipeReader>, Output) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let out = File::from(OwnedFd::from(writer));
    let output = Output::to_stream(out, "pipe".to_owned(), LIMITS, lost_line).expect("opened");
    (BufReader::new(reader), output)
}

fn line(number: u64) -> String {
    format!("line {number} {}", "x".repeat(40))
}

#[test]
fn a_reader_that_stands_still_holds_nobody_up() {
    const BEFORE: u64 = 20_000;
    const AFTER: u64 = 10_000;
    let (mut reader, output) = piped();
    let start = Instant::now();
    (0..BEFORE).for_each(|number| output.write(line(number)));
    assert!(start.elapsed() < PATIENCE / 10);
    let stuck = output.totals();
    assert!(
        stuck.lost > 10_000 && stuck.queued >= 4_096,
        "the pipe and the queue hold only so much: {stuck:?}"
    );
    assert_eq!(stuck.written + stuck.lost + stuck.queued, BEFORE);

    // Read on; now and then the writer is faster.
    let reading = thread::spawn(move || {
        let mut lines = Vec::new();
        let mut text = String::new();
        while reader.read_line(&mut text).expect("text") > 0 {
            lines.push(text.trim_end().to_owned());
            text.clear();
        }
        lines
    });
    until("a line gets through", || output.totals().queued < 2_000);
    for number in BEFORE..BEFORE + AFTER {
        output.write(line(number));
    }
    until_written(&output);
    let totals = output.totals();
    assert_eq!(output.close(PATIENCE).unwritten, 0);
    let lines = reading.join().expect("read");
    let (present, missing) = walk(lines.iter().map(String::as_str));
    assert_eq!(present + missing, BEFORE + AFTER);
    assert_eq!((present, missing), (totals.written, totals.lost));
    let gaps = lines.iter().filter(|line| line.starts_with("lost")).count();
    assert!(gaps < 10, "few gaps: {gaps}");
}

#[test]
fn closing_waits_only_so_long() {
    let (mut reader, output) = piped();
    (0..4_000).for_each(|number| output.write(line(number)));
    let mut text = String::new();
    reader.read_line(&mut text).expect("text");
    let start = Instant::now();
    let closed = output.close(Duration::from_millis(50));
    assert!(start.elapsed() < PATIENCE / 10);
    assert!(closed.unwritten > 0);
    // What was on its way may come yet; nothing else does, and the pipe ends.
    io::Read::read_to_string(&mut reader, &mut text).expect("text");
    let (present, missing) = walk(text.lines());
    assert!(text.ends_with('\n') && present >= 4_000 - closed.unwritten);
    assert!(
        present < 4_000 && missing == 0,
        "{present} {missing} {closed:?}"
    );
}

#[test]
fn nobody_reads_any_more() {
    let (reader, output) = piped();
    output.write(line(0));
    until_written(&output);
    drop(reader);
    (1..=100).for_each(|number| output.write(line(number)));
    until_written(&output);
    let totals = output.totals();
    assert_eq!((totals.written, totals.lost), (1, 100));
    assert_eq!(output.close(PATIENCE).unwritten, 0);
}

#[test]
fn a_full_disk() {
    let output = open("file:/dev/full", Rotation::default()).expect("opened");
    for number in 0..500 {
        output.write(line(number));
        if number % 100 == 0 {
            until_written(&output);
        }
    }
    until_written(&output);
    let totals = output.totals();
    assert_eq!((totals.written, totals.lost), (0, 500));
    assert_eq!(output.close(PATIENCE).unwritten, 0);
}

#[test]
fn many_write_at_once() {
    const WRITERS: usize = 4;
    const LINES: u64 = 5_000;
    let folder = tempfile::tempdir().expect("a folder");
    let output = open_in(folder.path(), "file", Rotation::default());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let output = &output;
            scope.spawn(move || {
                for number in 0..LINES {
                    let filler = "y".repeat(usize::try_from(number % 97).expect("small"));
                    output.write(format!("{writer} {number} {filler}"));
                }
            });
        }
    });
    until_written(&output);
    let totals = output.totals();
    assert_eq!(output.close(PATIENCE).unwritten, 0);
    let text = std::fs::read_to_string(folder.path().join("flows")).expect("read");
    let (mut next, mut lost) = ([0; WRITERS], 0);
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        if words[0] == "lost" {
            lost += number(1);
            continue;
        }
        let writer = usize::try_from(number(0)).expect("small");
        assert!(number(1) >= next[writer], "out of order: {line}");
        next[writer] = number(1) + 1;
        assert_eq!(words[2].len() as u64, number(1) % 97, "not whole: {line}");
    }
    assert_eq!(lost, totals.lost);
    assert_eq!(totals.written + totals.lost, WRITERS as u64 * LINES);
    let gaps = text.lines().filter(|line| line.starts_with("lost"));
    assert_eq!(
        text.lines().count() as u64 - gaps.count() as u64,
        totals.written
    );
}
