//! The program under test, and whether it is what the sources say.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::LabError;

/// The `netpol` binary under test: `$NETPOL_BINARY`, else the one beside the running test, `target/<profile>/netpol`,
/// which cargo does not build for the tests of another package: it must be there and newer than its sources.
pub fn netpol_binary() -> Result<PathBuf, LabError> {
    if let Some(chosen) = std::env::var_os("NETPOL_BINARY") {
        let chosen = PathBuf::from(chosen);
        return chosen
            .canonicalize()
            .map_err(LabError::io(format!("$NETPOL_BINARY={}", chosen.display())));
    }
    let executable = std::env::current_exe().map_err(LabError::io("path of this program"))?;
    let beside: Vec<PathBuf> = executable
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("netpol"))
        .collect();
    let Some(binary) = beside.iter().find(|path| path.is_file()) else {
        return Err(LabError::NoBinary(
            beside.last().cloned().unwrap_or_default(),
        ));
    };
    match sources_newer_than(binary) {
        Some(newer) => Err(LabError::StaleBinary {
            binary: binary.clone(),
            newer,
        }),
        None => Ok(binary.clone()),
    }
}

/// A source file of the agent's that changed after something was built from it.
pub fn sources_newer_than(built: &Path) -> Option<PathBuf> {
    let built = modified(built);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sources = ["agent/src", "policy-compiler/src"].map(|folder| workspace.join(folder));
    sources.iter().find_map(|folder| newer_than(built, folder))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// A source file below `folder` that changed after `built`.
fn newer_than(built: Option<SystemTime>, folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find_map(|path| {
            if path.is_dir() {
                newer_than(built, &path)
            } else {
                (path.extension().is_some_and(|e| e == "rs") && modified(&path) > built)
                    .then_some(path)
            }
        })
}
