//! The log in a file.

mod rotation;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tracing::{info, warn};

pub use rotation::Rotation;

use super::error::{OutputError, kind_of};
use super::trouble::Trouble;
use super::writer::{Broken, Sink, write_through};

/// Owner may write, group may read.
const MODE: u32 = 0o640;

/// A file that is appended to and, when it is large, put aside.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    open: Open,
    /// The size at which it is put aside; larger than wanted after that has failed.
    rotate_at: u64,
    /// It should be opened by name before the next line.
    stale: bool,
    reopening: Trouble,
    rotating: Trouble,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    /// It ends within a line.
    torn: bool,
    /// Not a device.
    regular: bool,
}

impl LogFile {
    /// Opens or makes the file.
    pub(super) fn open(path: PathBuf, rotation: Rotation) -> Result<Self, OutputError> {
        let open = open(&path)?;
        Ok(Self {
            path,
            rotation,
            open,
            rotate_at: rotation.max_size,
            stale: false,
            reopening: Trouble::default(),
            rotating: Trouble::default(),
        })
    }

    /// Opens the file that has the name now. If that fails the open one is kept, and the next line tries again.
    fn refresh(&mut self) {
        match open(&self.path) {
            Ok(open) => {
                self.open = open;
                self.stale = false;
                self.rotate_at = self.rotation.max_size;
                if self.reopening.over().is_some() {
                    info!(path = %self.path.display(), "the flow log's file is open again");
                }
            }
            Err(error) => {
                self.stale = true;
                if self.reopening.met(0, Instant::now()) {
                    warn!(%error, "the flow log's file cannot be opened anew; the one that is open is written on");
                }
            }
        }
    }

    /// How many bytes of whole lines may be written before the file is put aside. 0: that should be done first.
    fn room_for(&self, lines: &[u8]) -> usize {
        if self.rotation.max_size == 0 || !self.open.regular {
            return lines.len();
        }
        let left = self.rotate_at.saturating_sub(self.open.size);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if lines.len() <= left {
            return lines.len();
        }
        match lines[..left].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // A line that no file could hold gets one for itself.
            None if self.open.size == 0 => first_line(lines),
            None => 0,
        }
    }

    /// Puts the file aside and starts a new one. If that fails the file grows on, since a line is worth more than the limit,
    /// and it is tried again some lines later.
    fn rotate(&mut self, next_line: usize) {
        match self.is_as_we_know_it() {
            // Somebody has emptied it, or has moved it away already.
            Ok(Known::Smaller(size)) => self.open.size = size,
            Ok(Known::Elsewhere) => self.refresh(),
            Ok(Known::Yes) => match rotation::put_aside(&self.path, self.rotation.max_files) {
                Ok(()) => {
                    if self.rotating.over().is_some() {
                        info!(path = %self.path.display(), "the flow log's file can be put aside again");
                    }
                    self.refresh();
                }
                Err(error) => self.cannot_rotate(&error),
            },
            Err(error) => self.cannot_rotate(&error),
        }
        let next_line = u64::try_from(next_line).unwrap_or(u64::MAX);
        if self.open.size > 0 && self.open.size.saturating_add(next_line) > self.rotate_at {
            let more = next_line.saturating_add(self.rotation.max_size / 8);
            self.rotate_at = self.open.size.saturating_add(more);
        }
    }

    fn cannot_rotate(&mut self, error: &io::Error) {
        if self.rotating.met(0, Instant::now()) {
            warn!(
                path = %self.path.display(), %error,
                "the flow log's file cannot be put aside (PATH to PATH.1 and so on); it grows beyond its limit"
            );
        }
    }

    fn is_as_we_know_it(&self) -> io::Result<Known> {
        let ours = self.open.file.metadata()?;
        if ours.len() < self.open.size {
            return Ok(Known::Smaller(ours.len()));
        }
        match fs::symlink_metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => Ok(Known::Yes),
            Ok(_) => Ok(Known::Elsewhere),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::Elsewhere),
            Err(error) => Err(error),
        }
    }
}

enum Known {
    Yes,
    Smaller(u64),
    Elsewhere,
}

impl Sink for LogFile {
    fn write(&mut self, lines: &[u8]) -> Result<(), Broken> {
        if self.stale {
            self.refresh();
        }
        let mut arrived = 0;
        while arrived < lines.len() {
            let rest = &lines[arrived..];
            let mut room = self.room_for(rest);
            if room == 0 {
                self.rotate(first_line(rest));
                room = self.room_for(rest).max(first_line(rest));
            }
            self.open.append(&rest[..room]).map_err(|broken| Broken {
                arrived: arrived + broken.arrived,
                error: broken.error,
            })?;
            arrived += room;
        }
        Ok(())
    }

    fn reopen(&mut self) {
        self.refresh();
    }
}

impl Open {
    fn append(&mut self, lines: &[u8]) -> Result<(), Broken> {
        if self.torn {
            write_through(&self.file, b"\n")
                .map_err(|Broken { error, .. }| Broken { arrived: 0, error })?;
            self.torn = false;
            self.size += 1;
        }
        let result = write_through(&self.file, lines);
        let arrived = result
            .as_ref()
            .map_or_else(|broken| broken.arrived, |()| lines.len());
        self.size += arrived as u64;
        let whole = lines[..arrived].iter().rposition(|byte| *byte == b'\n');
        self.cut((arrived - whole.map_or(0, |end| end + 1)) as u64);
        result
    }

    /// Takes away so many bytes of a line that is not whole.
    fn cut(&mut self, torn: u64) {
        if torn == 0 {
            return;
        }
        // If somebody else writes here too, the end is not ours to cut.
        let ours = self.regular && self.file.metadata().is_ok_and(|now| now.len() == self.size);
        if ours && self.file.set_len(self.size - torn).is_ok() {
            self.size -= torn;
        } else {
            self.torn = true;
        }
    }
}

fn first_line(lines: &[u8]) -> usize {
    let end = lines.iter().position(|byte| *byte == b'\n');
    end.map_or(lines.len(), |end| end + 1)
}

fn open(path: &Path) -> Result<Open, OutputError> {
    let wrong = |kind: fs::FileType| {
        let (path, what) = (path.to_owned(), kind_of(kind));
        if kind.is_symlink() {
            Some(OutputError::Link { path })
        } else {
            (!kind.is_file() && !kind.is_char_device())
                .then_some(OutputError::NotAFile { path, what })
        }
    };
    if let Some(error) = fs::symlink_metadata(path)
        .ok()
        .and_then(|found| wrong(found.file_type()))
    {
        return Err(error);
    }
    // Without O_NONBLOCK, a named pipe that takes the file's place just now would hold us up until somebody reads it.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let cannot = |error: io::Error| match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => OutputError::Link {
            path: path.to_owned(),
        },
        _ => OutputError::at(path, "write", error),
    };
    let file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    if let Some(error) = wrong(found.file_type()) {
        return Err(error);
    }
    let (size, regular) = (found.len(), found.is_file());
    let mut last = *b"\n";
    if regular && size > 0 {
        file.read_exact_at(&mut last, size - 1).map_err(cannot)?;
    }
    Ok(Open {
        file,
        size,
        torn: last != *b"\n",
        regular,
    })
}

#[cfg(test)]
mod tests;
