//! Old files: `flows.log.1` is the youngest.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// When a file is put aside, and how many are kept. Together they take `max_size × (max_files + 1)` bytes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The file is put aside before a line that would make it larger than this many bytes; 0 means never.
    pub max_size: u64,
    /// How many old files are kept.
    pub max_files: usize,
}

impl Default for Rotation {
    /// 100 MiB and 5 old files.
    fn default() -> Self {
        Self {
            max_size: 100 << 20,
            max_files: 5,
        }
    }
}

/// Renames `PATH` to `PATH.1`, what was there to `PATH.2`, and so on; the oldest is removed.
///
/// Files move up only as far as the first number that is free. So an attempt that failed half way can be repeated, any
/// number of times, without an old file being lost.
pub(super) fn put_aside(path: &Path, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    let free = (1..keep)
        .find(|number| fs::symlink_metadata(old(path, *number)).is_err())
        .unwrap_or(keep);
    for number in (1..free).rev() {
        fs::rename(old(path, number), old(path, number + 1))?;
    }
    fs::rename(path, old(path, 1))
}

/// The name of an old file.
fn old(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}
