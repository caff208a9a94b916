//! A file that grows, is renamed and made anew, or emptied.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::lines::{Line, Lines};

/// Reads a file by its name, across rotation.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    lines: Lines<File>,
    /// At the last look, the name stood for another file.
    replaced: bool,
}

impl Tail {
    /// Opens the file that has this name now.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            lines: Lines::new(File::open(path)?),
            replaced: false,
        })
    }

    /// The lines of the file it is at.
    pub(super) fn lines(&mut self) -> &mut Lines<File> {
        &mut self.lines
    }

    /// To be called after a while at the end of [`Self::lines`]. Goes to the file that has the name now, or to the
    /// start if the file has shrunk. Returns the last line of what was left behind, if its end is missing.
    ///
    /// Whoever rotates by rename may write to the old file for a moment more; therefore it is left only when a second
    /// look finds nothing new in it.
    pub(super) fn look(&mut self) -> io::Result<Option<Line>> {
        let here = self.lines.get_ref().metadata()?;
        let there = match fs::metadata(&self.path) {
            Ok(there) => there,
            // Between the renaming and the new file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if (there.dev(), there.ino()) != (here.dev(), here.ino()) {
            let read = !here.is_file() || here.len() <= self.lines.position();
            let seen = std::mem::replace(&mut self.replaced, true);
            return if seen && read { self.go_on() } else { Ok(None) };
        }
        self.replaced = false;
        if here.is_file() && here.len() < self.lines.position() {
            return self.go_on();
        }
        Ok(None)
    }

    /// From the start of the file that has the name now.
    fn go_on(&mut self) -> io::Result<Option<Line>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        self.replaced = false;
        let rest = self.lines.rest();
        self.lines = Lines::new(file);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    /// All there is now, after as many looks as a rotation takes.
    fn all(tail: &mut Tail) -> Vec<String> {
        let mut found = Vec::new();
        let mut push = |line| match line {
            Line::Whole(bytes) => found.push(String::from_utf8(bytes).expect("text")),
            Line::TooLong => panic!("too long"),
        };
        for _ in 0..3 {
            while let Some(line) = tail.lines().next().expect("read") {
                push(line);
            }
            if let Some(line) = tail.look().expect("looked") {
                push(line);
            }
        }
        found
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_and_then_the_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        append(&path, "a\n");
        let mut tail = Tail::open(&path).expect("opened");
        assert_eq!(all(&mut tail), ["a"]);
        append(&path, "b\n");
        fs::rename(&path, &old).expect("renamed");
        assert_eq!(all(&mut tail), ["b"]);
        // The new file is there, and the old one is still being written.
        append(&path, "d\n");
        assert_eq!(tail.look().expect("looked"), None);
        append(&old, "c\nhalf");
        assert_eq!(tail.look().expect("looked"), None);
        assert_eq!(all(&mut tail), ["c", "half", "d"]);
        append(&path, "e\n");
        assert_eq!(all(&mut tail), ["e"]);
    }

    #[test]
    fn an_emptied_file_is_read_from_its_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        append(&path, "first\nsecond\nhal");
        let mut tail = Tail::open(&path).expect("opened");
        assert_eq!(all(&mut tail), ["first", "second"]);
        fs::write(&path, "third\n").expect("written");
        assert_eq!(all(&mut tail), ["hal", "third"]);
    }
}
