//! The socket readers connect to.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use super::super::error::{LONGEST_SOCKET_PATH, OutputError, kind_of};

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// Connections that wait to be accepted; further ones are refused or wait, as they like.
const BACKLOG: i32 = 64;

/// A socket in the file system, which is removed on drop.
#[derive(Debug)]
pub(in super::super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what others put at the path later is not ours to remove.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // If it stays, the next to listen here removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a path. A socket that nobody listens on any more is replaced.
pub(super) fn listen_at(path: &Path) -> Result<(UnixListener, SocketFile), OutputError> {
    let length = path.as_os_str().as_bytes().len();
    if length > LONGEST_SOCKET_PATH {
        let path = path.to_owned();
        return Err(OutputError::TooLong { path, length });
    }
    make_way(path)?;
    let cannot = |error: io::Error| OutputError::at(path, "listen on", error);
    let (socket, address) = (new_socket().map_err(cannot)?, UnixAddr::new(path));
    let address = address.map_err(|error| cannot(error.into()))?;
    match bind(socket.as_raw_fd(), &address) {
        Ok(()) => {}
        Err(Errno::EADDRINUSE) => return Err(OutputError::InUse { path: path.into() }),
        Err(error) => return Err(cannot(error.into())),
    }
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path).map_err(cannot)?,
    };
    // Nobody can connect before `listen`, so there is no moment with a wider mode.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(cannot)?;
    let backlog = Backlog::new(BACKLOG).map_err(|error| cannot(error.into()))?;
    listen(&socket, backlog).map_err(|error| cannot(error.into()))?;
    Ok((UnixListener::from(socket), file))
}

/// Removes a socket that nobody listens on; anything else is left alone.
fn make_way(path: &Path) -> Result<(), OutputError> {
    let cannot = |error: io::Error| OutputError::at(path, "listen on", error);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot(error)),
    };
    let path_ = path.to_owned();
    if !found.is_socket() {
        let what = kind_of(found);
        return Err(OutputError::NotASocket { path: path_, what });
    }
    let (probe, address) = (new_socket().map_err(cannot)?, UnixAddr::new(path));
    let address = address.map_err(|error| cannot(error.into()))?;
    match connect(probe.as_raw_fd(), &address) {
        Err(Errno::ECONNREFUSED) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OutputError::at(path, "replace", error))
            }
            _ => Ok(()),
        },
        Err(Errno::ENOENT) => Ok(()),
        // Its queue is full, or it is a socket of another type: somebody is there.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Err(OutputError::InUse { path: path_ }),
        Err(error) => Err(cannot(error.into())),
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
