use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

struct Bench {
    folder: TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("flows");
        Self { folder, path }
    }

    fn open(&self, max_size: u64, max_files: usize) -> LogFile {
        let rotation = Rotation {
            max_size,
            max_files,
        };
        LogFile::open(self.path.clone(), rotation).expect("opened")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect(name)
    }

    /// All files by name, each with its text, newlines as `;`.
    fn all(&self) -> String {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_str().expect("text").to_owned())
            .collect();
        names.sort_unstable();
        let texts = names
            .iter()
            .map(|name| format!("{name}={}", self.text(name).replace('\n', ";")));
        texts.collect::<Vec<_>>().join(" ")
    }
}

fn write(file: &mut LogFile, text: &str) {
    file.write(text.replace(';', "\n").as_bytes())
        .expect("written");
}

#[test]
fn goes_on_where_a_file_ends() {
    for (before, after) in [
        ("", "a;"),
        ("x\n", "x;a;"),
        ("x\ny", "x;y;a;"),
        ("\n", ";a;"),
    ] {
        let bench = Bench::new();
        fs::write(&bench.path, before).expect("written");
        write(&mut bench.open(0, 5), "a;");
        assert_eq!(bench.all(), format!("flows={after}"), "{before:?}");
    }
    let bench = Bench::new();
    write(&mut bench.open(0, 5), "a;");
    let mode = fs::metadata(&bench.path)
        .expect("made")
        .permissions()
        .mode();
    // The umask may take away more.
    assert_eq!(mode & 0o7137, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
}

#[test]
fn sizes_and_numbers_of_files() {
    for (max_size, max_files, writes, files) in [
        (0, 2, "aa; bb; cc; dd;", "flows=aa;bb;cc;dd;"),
        (
            6,
            2,
            "aa; bb; cc; dd; ee;",
            "flows=ee; flows.1=cc;dd; flows.2=aa;bb;",
        ),
        (
            6,
            2,
            "aa;bb;cc;dd;ee;ff;gg;",
            "flows=gg; flows.1=ee;ff; flows.2=cc;dd;",
        ),
        (5, 9, "aa; bb;cc;", "flows=cc; flows.1=bb; flows.2=aa;"),
        (6, 0, "aa; bb; cc;", "flows=cc;"),
        (6, 1, "aa;bb; cc;dd; ee;", "flows=ee; flows.1=cc;dd;"),
        // Longer than any file may be: alone in its own.
        (
            4,
            9,
            "a; long-line; b;",
            "flows=b; flows.1=long-line; flows.2=a;",
        ),
        (1, 9, "aaaa;bbbb;", "flows=bbbb; flows.1=aaaa;"),
    ] {
        let bench = Bench::new();
        let mut file = bench.open(max_size, max_files);
        for text in writes.split(' ') {
            write(&mut file, text);
        }
        assert_eq!(bench.all(), files, "{max_size} {max_files} {writes}");
    }
}

#[test]
fn the_size_counts_what_was_there_before() {
    let bench = Bench::new();
    fs::write(&bench.path, "12345678\n").expect("written");
    let mut file = bench.open(12, 5);
    write(&mut file, "ab;");
    write(&mut file, "c;");
    assert_eq!(bench.all(), "flows=c; flows.1=12345678;ab;");
}

#[test]
fn every_line_once_over_many_files() {
    let bench = Bench::new();
    let mut file = bench.open(10_000, 5);
    let mut number = 0_u32;
    // Of all sizes, alone and in chunks.
    while !bench.folder.path().join("flows.5").exists() {
        assert!(number < 10_000, "the fifth file does not come");
        let mut chunk = String::new();
        for _ in 0..=number % 7 {
            let filler = "z".repeat(usize::try_from(number * 31 % 211).expect("small"));
            chunk.push_str(&[&number.to_string(), " ", &filler, "\n"].concat());
            number += 1;
        }
        write(&mut file, &chunk);
    }
    let names = [
        "flows.5", "flows.4", "flows.3", "flows.2", "flows.1", "flows",
    ];
    let mut seen = 0;
    for name in names {
        let text = bench.text(name);
        assert!(text.len() <= 10_000 && text.ends_with('\n'), "{name}");
        for line in text.lines() {
            assert!(line.starts_with(&format!("{seen} ")), "{name}: {line}");
            seen += 1;
        }
    }
    assert_eq!(seen, number);
}

#[test]
fn a_rename_that_fails_loses_nothing() {
    let bench = Bench::new();
    // What cannot be replaced by a file is in the place of the oldest.
    let obstacle = bench.folder.path().join("flows.2");
    fs::create_dir(&obstacle).expect("made");
    fs::write(bench.folder.path().join("flows.1"), "old\n").expect("written");
    let mut file = bench.open(80, 2);
    let lines = "123456789\n".repeat(8);
    write(&mut file, &lines);
    write(&mut file, "a;b;");
    write(&mut file, "c;");
    assert_eq!(bench.text("flows"), format!("{lines}a\nb\nc\n"));
    assert_eq!(bench.text("flows.1"), "old\n");
    fs::remove_dir(&obstacle).expect("removed");
    // It is not tried again for every line, but soon.
    write(&mut file, &"123456789\n".repeat(2));
    write(&mut file, "d;");
    assert_eq!(bench.text("flows.2"), "old\n");
    assert!(
        bench
            .text("flows.1")
            .starts_with(&format!("{lines}a\nb\nc\n"))
    );
    assert!(bench.text("flows").ends_with("d\n"));
    let all = ["flows.1", "flows"].map(|name| bench.text(name)).concat();
    assert_eq!(all.lines().count(), 8 + 3 + 2 + 1);
}

#[test]
fn failed_attempts_keep_the_old_files() {
    let bench = Bench::new();
    for (name, text) in [("flows.1", "1"), ("flows.2", "2"), ("flows.3", "3")] {
        fs::write(bench.folder.path().join(name), text).expect("written");
    }
    // The file itself is missing: the old ones have moved, it has not.
    for _ in 0..3 {
        let error = rotation::put_aside(&bench.path, 5).expect_err("nothing to put aside");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(bench.all(), "flows.2=1 flows.3=2 flows.4=3");
    }
    fs::write(&bench.path, "0").expect("written");
    rotation::put_aside(&bench.path, 5).expect("put aside");
    assert_eq!(bench.all(), "flows.1=0 flows.2=1 flows.3=2 flows.4=3");
}

#[test]
fn moved_away_and_opened_anew() {
    let bench = Bench::new();
    let mut file = bench.open(0, 5);
    let moved = bench.folder.path().join("moved");
    write(&mut file, "a;");
    fs::rename(&bench.path, &moved).expect("renamed");
    write(&mut file, "b;");
    file.reopen();
    write(&mut file, "c;");
    assert_eq!(bench.all(), "flows=c; moved=a;b;");

    // What cannot be opened is tried again with each line.
    fs::remove_file(&bench.path).expect("removed");
    fs::rename(&moved, &bench.path).expect("renamed");
    file.reopen();
    fs::rename(&bench.path, &moved).expect("renamed");
    fs::create_dir(&bench.path).expect("made");
    file.reopen();
    write(&mut file, "d;");
    fs::remove_dir(&bench.path).expect("removed");
    write(&mut file, "e;");
    assert_eq!(bench.all(), "flows=e; moved=a;b;d;");
}

#[test]
fn others_empty_or_move_the_file_without_a_word() {
    let bench = Bench::new();
    let mut file = bench.open(8, 1);
    write(&mut file, "aaa;bbb;");
    fs::write(&bench.path, "").expect("emptied");
    write(&mut file, "ccc;");
    write(&mut file, "ddd;");
    assert_eq!(bench.all(), "flows=ccc;ddd;");
    // Another file has the name: it is not ours to put aside.
    let moved = bench.folder.path().join("moved");
    fs::rename(&bench.path, &moved).expect("renamed");
    fs::write(&bench.path, "x\n").expect("written");
    write(&mut file, "eee;");
    assert_eq!(bench.all(), "flows=x;eee; moved=ccc;ddd;");
    fs::remove_file(&bench.path).expect("removed");
    write(&mut file, "fff;");
    assert_eq!(bench.all(), "flows=fff; moved=ccc;ddd;");
}

#[test]
fn a_line_that_did_not_arrive_whole_is_taken_away() {
    let bench = Bench::new();
    let mut file = bench.open(0, 5);
    write(&mut file, "a;bcd");
    assert_eq!(bench.all(), "flows=a;", "as if it had been cut off");
    write(&mut file, "e;");
    assert_eq!(bench.all(), "flows=a;e;");
    // Somebody else has written since: what is there stays.
    fs::write(&bench.path, "a\ne\nother\n").expect("written");
    write(&mut file, "fg");
    assert_eq!(bench.all(), "flows=a;e;other;fg");
    write(&mut file, "h;");
    assert_eq!(bench.all(), "flows=a;e;other;fg;h;");
}
