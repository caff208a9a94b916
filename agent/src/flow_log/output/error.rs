//! Why the log cannot be opened.

use std::io;
use std::path::{Path, PathBuf};

/// The log cannot be written to where it was asked to go.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The folder is missing, or is none.
    #[error(
        "the flow log cannot go to {}: there is no folder {}; create it, or mount it into the agent's container",
        path.display(), folder.display()
    )]
    NoFolder {
        /// The path asked for.
        path: PathBuf,
        /// The folder it should be in.
        folder: PathBuf,
    },
    /// A folder or something else that is not a file.
    #[error("the flow log cannot go to file:{}: that is {what}; name a file", path.display())]
    NotAFile {
        /// The path asked for.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A symbolic link, which could lead anywhere.
    #[error(
        "the flow log cannot go to file:{}: that is a symbolic link, which the agent does not follow; name the file it \
         leads to", path.display()
    )]
    Link {
        /// The path asked for.
        path: PathBuf,
    },
    /// This process may not.
    #[error(
        "not allowed to {action} {}: let the agent's user write there (user and group, mode, read-only mounts)",
        path.display()
    )]
    NotPermitted {
        /// The path asked for.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
    },
    /// The kernel has no room for the path in a socket's address.
    #[error(
        "the path of the flow log's socket is too long: {} has {length} bytes, at most {LONGEST_SOCKET_PATH} are possible; \
         choose a shorter one", path.display()
    )]
    TooLong {
        /// The path asked for.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// A process listens there.
    #[error(
        "another process listens on unix:{}, perhaps another agent: end it, or choose another path", path.display()
    )]
    InUse {
        /// The path asked for.
        path: PathBuf,
    },
    /// There is something that is not a socket.
    #[error(
        "the flow log cannot listen on unix:{}: there is {what}, which is left alone; remove it, or choose another path",
        path.display()
    )]
    NotASocket {
        /// The path asked for.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Anything else.
    #[error("the flow log: cannot {action} {what}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Bytes of the longest path a unix socket can have: 108 with the zero at its end.
pub(super) const LONGEST_SOCKET_PATH: usize = 107;

impl OutputError {
    /// What `source` means for somebody who wanted to do `action` at `path`.
    pub(super) fn at(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                let folder = match path.parent() {
                    Some(folder) if folder != Path::new("") => folder.to_owned(),
                    _ => PathBuf::from("."),
                };
                Self::NoFolder { path, folder }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotPermitted { path, action }
            }
            _ => Self::Io {
                action,
                what: path.display().to_string(),
                source,
            },
        }
    }

    /// What has no path.
    pub(super) fn io(action: &'static str, what: &str, source: io::Error) -> Self {
        Self::Io {
            action,
            what: what.to_owned(),
            source,
        }
    }
}

/// What a thing in a folder is, in words.
pub(super) fn kind_of(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        k if k.is_dir() => "a folder",
        k if k.is_symlink() => "a symbolic link",
        k if k.is_fifo() => "a named pipe",
        k if k.is_socket() => "a socket",
        k if k.is_block_device() => "a block device",
        k if k.is_char_device() => "a device",
        _ => "a file",
    }
}
