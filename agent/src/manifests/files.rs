//! Which files a path stands for, and their text.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::ManifestError;

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// A file's text and the name errors call it by.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads what `path` stands for, as `kubectl apply -f` would: a file, standard input for `-`, or the `*.yaml`, `*.yml`
/// and `*.json` files of a folder, not of the folders in it.
pub(super) fn read_path(path: &Path) -> Vec<Result<Text, ManifestError>> {
    if path == Path::new("-") {
        return vec![read_stdin()];
    }
    if is_url(path) {
        let problem = "netpol does not fetch manifests: download it and pass it on standard input with `-f -`";
        return vec![Err(ManifestError::new(format!(
            "{}: {problem}",
            path.display()
        )))];
    }
    if !path.is_dir() {
        return vec![read_file(path)];
    }
    match files_of(path) {
        Ok(files) if files.is_empty() => {
            let problem = "the folder holds no *.yaml, *.yml or *.json files (folders in it are not searched)";
            vec![Err(ManifestError::new(format!(
                "{}: {problem}",
                path.display()
            )))]
        }
        Ok(files) => files.iter().map(|file| read_file(file)).collect(),
        Err(error) => vec![Err(cannot_read(path, &error))],
    }
}

/// The manifest files directly in a folder, by name.
pub(crate) fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let wanted = path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|e| EXTENSIONS.contains(&e));
        if wanted && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The text of one file.
pub(super) fn read_file(path: &Path) -> Result<Text, ManifestError> {
    let bytes = fs::read(path).map_err(|error| cannot_read(path, &error))?;
    text(path.display().to_string(), bytes)
}

fn read_stdin() -> Result<Text, ManifestError> {
    let name = "<stdin>";
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| cannot_read(Path::new(name), &error))?;
    text(name.to_owned(), bytes)
}

fn text(name: String, bytes: Vec<u8>) -> Result<Text, ManifestError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Text { name, text }),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.split(|byte| *byte == b'\n').count();
            Err(ManifestError::new(format!(
                "{name}:{line}: not a text file in UTF-8"
            )))
        }
    }
}

pub(super) fn cannot_read(path: &Path, error: impl Display) -> ManifestError {
    ManifestError::new(format!("{}: cannot be read: {error}", path.display()))
}

fn is_url(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|p| p.starts_with("http://") || p.starts_with("https://"))
}
