//! One file of a watched folder: whether it is at rest, and what it said when it was last in order.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing::{error, info};

use crate::manifests::{File, Found, load_file};
use crate::telemetry::Telemetry;

/// What is known of one file.
#[derive(Default)]
pub(super) struct Tracked {
    /// The file as the last look found it; `None` if it was not there.
    seen: Option<Stamp>,
    /// The file as it was when it was last read.
    read: Option<Stamp>,
    /// What the file said when it was last in order.
    pub(super) accepted: Option<Vec<Found>>,
}

/// Differs whenever a file may have another content.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        Ok(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

impl Tracked {
    /// Looks at one file; reads it if it is new and at rest. Says whether it is at rest.
    pub(super) fn look(&mut self, path: &Path, listed: bool, telemetry: &Telemetry) -> bool {
        let now = if listed { Stamp::of(path).ok() } else { None };
        let at_rest = self.seen == now;
        self.seen = now;
        if !at_rest || self.read == now {
            return at_rest;
        }
        self.read = now;
        if now.is_none() {
            info!(file = %path.display(), "manifest file has gone");
            self.accepted = None;
            return true;
        }
        let file = load_file(path);
        for problem in &file.errors {
            telemetry.source_failed("manifests");
            error!("{problem}\n= {}", self.consequence(&file));
        }
        if file.errors.is_empty() {
            info!(file = %path.display(), objects = file.objects.len(), "manifest file read");
        }
        if file.errors.is_empty() || (self.accepted.is_none() && file.complete) {
            self.accepted = Some(file.objects);
        }
        true
    }

    /// It is not there and no longer counts.
    pub(super) fn is_gone(&self) -> bool {
        self.seen.is_none() && self.accepted.is_none()
    }

    /// It was read, and never yet said anything usable.
    pub(super) fn is_refused(&self) -> bool {
        self.accepted.is_none() && self.read.is_some()
    }

    fn consequence(&self, file: &File) -> &'static str {
        match (&self.accepted, file.complete) {
            (Some(_), _) => "what the file said before stays in force",
            (None, true) => "what is wrong in it allows nothing",
            (None, false) => "the objects of the file are not known until it is mended",
        }
    }
}
