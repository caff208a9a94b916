//! Kubernetes manifests: YAML or JSON files, read as `kubectl apply -f` reads them.
//!
//! ```text
//! paths ── files ──→ text ── document ──→ tree (with line and column) ── object ──→ objects + errors ──→ Manifests
//! ```
//!
//! Everything that is wrong in all files is reported at once, each error with the object, the field and the line.

mod document;
mod error;
mod files;
mod kind;
mod object;
mod tree;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use policy_compiler::model::{Labels, Name, Namespace, Snapshot};
use serde_json::Value as Json;

pub(crate) use error::printable;
pub use error::{ManifestError, ManifestErrors};
pub(crate) use object::{File, Found, Identity, Object};

/// The objects of a set of manifests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifests {
    /// The pods, namespaces and policies.
    pub snapshot: Snapshot,
    /// Namespaces that objects are in but that no manifest defines. In the snapshot they have just the label every
    /// Namespace has, its name (semantics rules A14, C6).
    pub implicit_namespaces: BTreeSet<Name>,
    /// Objects of kinds netpol does not use, a Service for example.
    pub others: Vec<Json>,
}

/// Reads files, folders (`*.yaml`, `*.yml` and `*.json` in them, not in folders below) and, for `-`, standard input.
pub fn load(paths: &[PathBuf]) -> Result<Manifests, ManifestErrors> {
    let mut errors = Vec::new();
    let mut manifests = Manifests::default();
    let mut places = Places::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        // The same file given twice defines nothing twice.
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            continue;
        }
        for text in files::read_path(path) {
            let file = match text {
                Ok(text) => File::parse(&text.name, &text.text),
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            errors.extend(file.errors);
            for found in file.objects {
                errors.extend(places.add(&found));
                manifests.add(found.object);
            }
        }
    }
    ManifestErrors::none_of(errors)?;
    manifests.define_namespaces();
    Ok(manifests)
}

/// Reads one file.
pub(crate) fn load_file(path: &Path) -> File {
    match files::read_file(path) {
        Ok(text) => File::parse(&text.name, &text.text),
        Err(error) => File::unreadable(error),
    }
}

/// A file that is not to be read.
pub(crate) fn unreadable_file(path: &Path, problem: &str) -> File {
    File::unreadable(files::cannot_read(path, problem))
}

pub(crate) use files::files_of;

/// Where objects were defined, to tell of those that are defined twice.
#[derive(Default)]
pub(crate) struct Places(BTreeMap<Identity, error::Excerpt>);

impl Places {
    /// Notes an object; complains if it was there before.
    pub(crate) fn add(&mut self, found: &Found) -> Option<ManifestError> {
        let identity = found.object.identity()?;
        let message =
            format!("{identity}: defined twice; give one of the two another name or take it out");
        match self.0.entry(identity) {
            Entry::Vacant(vacant) => {
                vacant.insert(found.place.clone());
                None
            }
            Entry::Occupied(first) => {
                let error = ManifestError::new(message).at(found.place.clone());
                Some(error.note("first defined here", first.get().clone()))
            }
        }
    }
}

impl Manifests {
    fn add(&mut self, object: Object) {
        match object {
            Object::Namespace(namespace) => self.snapshot.add_namespace(namespace),
            Object::Pod(pod) => self.snapshot.add_pod(pod),
            Object::Policy(policy) => self.snapshot.add_policy(policy),
            Object::Other(json) => self.others.push(json),
        }
    }

    /// Adds the namespaces that are mentioned but not defined.
    fn define_namespaces(&mut self) {
        let Snapshot {
            namespaces,
            pods,
            policies,
        } = &mut self.snapshot;
        for name in pods.keys().chain(policies.keys()).map(|key| &key.namespace) {
            if !namespaces.contains_key(name) {
                namespaces.insert(
                    name.clone(),
                    Namespace::new(name.clone(), &Labels::default()),
                );
                self.implicit_namespaces.insert(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
