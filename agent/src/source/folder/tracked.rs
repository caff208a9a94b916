//! One file of a watched folder: whether it is at rest, and what it said when it was last in order.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing::{error, info};

use crate::manifests::{File, Found, load_file, unreadable_file};
use crate::telemetry::Telemetry;

/// Bytes of the largest file that is read. Parsed, it takes many times its size of memory.
const LARGEST: u64 = 32 << 20;

/// What is known of one file.
#[derive(Default)]
pub(super) struct Tracked {
    /// The file as the last look found it.
    seen: Sight,
    /// The file as it was when it was last read.
    read: Sight,
    /// What the file said when it was last in order.
    pub(super) accepted: Option<Vec<Found>>,
    /// Whether there were errors when it was last read.
    faulty: bool,
}

/// What a look at a file finds.
#[derive(Clone, Default, PartialEq, Eq)]
enum Sight {
    /// It is not in the folder.
    #[default]
    Gone,
    /// It is in the folder, but a link that leads nowhere, or a pipe, or out of reach: that takes nothing away.
    Unreadable(String),
    There(Stamp),
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

impl Sight {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            // Reading a pipe or a device might never end.
            Ok(data) if !data.is_file() => Self::Unreadable("it is not a regular file".to_owned()),
            Ok(data) if data.len() > LARGEST => {
                Self::Unreadable(format!("it has more than {LARGEST} bytes; split it"))
            }
            Ok(data) => Self::There(Stamp {
                device: data.dev(),
                inode: data.ino(),
                size: data.size(),
                modified: (data.mtime(), data.mtime_nsec()),
                changed: (data.ctime(), data.ctime_nsec()),
            }),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

impl Tracked {
    /// Looks at one file; reads it if it is new and at rest. Says whether it is at rest.
    pub(super) fn look(&mut self, path: &Path, listed: bool, telemetry: &Telemetry) -> bool {
        let now = if listed { Sight::of(path) } else { Sight::Gone };
        let at_rest = self.seen == now;
        self.seen = now.clone();
        if !at_rest || self.read == now {
            return at_rest;
        }
        self.read = now.clone();
        let file = match now {
            Sight::Gone => {
                info!(file = ?path, "manifest file has gone");
                (self.accepted, self.faulty) = (None, false);
                return true;
            }
            Sight::Unreadable(problem) => unreadable_file(path, &problem),
            Sight::There(_) => load_file(path),
        };
        for problem in &file.errors {
            telemetry.source_failed("manifests");
            error!("{problem}\n= {}", self.consequence(&file));
        }
        self.faulty = !file.errors.is_empty();
        if !self.faulty {
            info!(file = ?path, objects = file.objects.len(), "manifest file read");
        }
        if !self.faulty || (self.accepted.is_none() && file.complete) {
            self.accepted = Some(file.objects);
        }
        true
    }

    /// It is not there and no longer counts.
    pub(super) fn is_gone(&self) -> bool {
        self.seen == Sight::Gone && self.accepted.is_none()
    }

    /// It was read, and never yet said anything usable.
    pub(super) fn is_refused(&self) -> bool {
        self.accepted.is_none() && self.read != Sight::Gone
    }

    /// It had errors when it was last read.
    pub(super) fn is_faulty(&self) -> bool {
        self.faulty
    }

    fn consequence(&self, file: &File) -> &'static str {
        match (&self.accepted, file.complete) {
            (Some(_), _) => "what the file said before stays in force",
            (None, true) => "what is wrong in it counts as missing, and in policies allows nothing",
            (None, false) => "the objects of the file are not known until it is mended",
        }
    }
}
