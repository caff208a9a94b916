//! What the kernel does not remove by itself: control groups and temporary folders. They bear the number of the process
//! that made them, so that the next cluster finds those of processes that are gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ClusterError;
use super::command::POLL;

const FOLDERS: &str = "netpol-cluster-";
const CGROUPS: &str = "netpol-node-";
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
const EMPTY_WITHIN: Duration = Duration::from_secs(60);

/// The name of the control group of a node of this process.
pub(super) fn cgroup(node: &str) -> String {
    format!("{CGROUPS}{}-{node}", std::process::id())
}

/// A folder for a cluster's files.
pub(super) fn folder() -> Result<TempDir, ClusterError> {
    tempfile::Builder::new()
        .prefix(&format!("{FOLDERS}{}-", std::process::id()))
        .tempdir()
        .map_err(ClusterError::io("folder for the cluster's files"))
}

/// Removes what processes left that are gone.
pub fn sweep() {
    for folder in entries(&std::env::temp_dir()) {
        if is_orphan(&folder, FOLDERS) {
            // Somebody else may be doing the same.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
    for cgroup in cgroups().filter(|cgroup| is_orphan(cgroup, CGROUPS)) {
        remove_below(&cgroup);
    }
}

/// What is left, of this process or of others: temporary folders and control groups.
pub fn all() -> Vec<PathBuf> {
    let folders = entries(&std::env::temp_dir()).filter(|path| number(path, FOLDERS).is_some());
    folders.chain(cgroups()).collect()
}

/// Removes the control groups of this name, in every hierarchy.
pub(super) fn remove_cgroup(name: &str) {
    for cgroup in cgroups().filter(|path| path.file_name().is_some_and(|found| found == name)) {
        remove_below(&cgroup);
    }
}

/// All control groups of nodes: in the one hierarchy of version 2, and in those of version 1 below the same mount point.
fn cgroups() -> impl Iterator<Item = PathBuf> {
    let root = PathBuf::from(CGROUP_ROOT);
    let hierarchies = entries(&root).filter(|path| path.is_dir());
    std::iter::once(root.clone())
        .chain(hierarchies)
        .flat_map(|hierarchy| entries(&hierarchy))
        .filter(|path| number(path, CGROUPS).is_some())
}

/// A control group can be removed when it has no children, and its processes have been reaped.
fn remove_below(cgroup: &Path) {
    for child in entries(cgroup).filter(|path| path.is_dir()) {
        remove_below(&child);
    }
    let deadline = Instant::now() + EMPTY_WITHIN;
    while std::fs::remove_dir(cgroup).is_err() && cgroup.exists() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
}

fn is_orphan(path: &Path, prefix: &str) -> bool {
    number(path, prefix).is_some_and(has_ended)
}

/// Whether a process has ended, though its parent may not have taken notice.
pub fn has_ended(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = state.rsplit(") ").next().unwrap_or_default();
    after_name.is_empty() || after_name.starts_with(['Z', 'X'])
}

/// The number of the process in a name that begins so.
fn number(path: &Path, prefix: &str) -> Option<u32> {
    let rest = path.file_name()?.to_str()?.strip_prefix(prefix)?;
    rest.split('-').next()?.parse().ok()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}
