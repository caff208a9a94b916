//! A folder of manifests as a source: files may be added, edited, replaced and removed while it is watched.
//!
//! The folder is looked at several times a second instead of through inotify: that costs a `stat` for each file, needs
//! no further crate, and sees every kind of change alike, on a network file system and through the symbolic link that
//! the kubelet swaps under a mounted `ConfigMap` too. A change counts once it has been the same for two looks in a row,
//! so a file that an editor has just emptied to write it anew is not taken for an empty one.

mod tracked;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use policy_compiler::index::Event;
use policy_compiler::model::{Labels, Name, Namespace};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::Update;
use crate::manifests::{Identity, Object, Places, files_of};
use crate::telemetry::Telemetry;
use tracked::Tracked;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Watches a folder of manifests (`*.yaml`, `*.yml`, `*.json`). A file with errors is reported and what it said before
/// stays in force, until it is mended.
pub fn watch_folder(folder: PathBuf, telemetry: Telemetry) -> impl Stream<Item = Update> {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = (FolderSource::new(folder, telemetry), ticks);
    stream::unfold(start, |(mut source, mut ticks)| async move {
        ticks.tick().await;
        let look = move || {
            let updates = source.look();
            (source, updates)
        };
        // Disks may hang. A panic in there ends the stream, and the agent with it.
        let (source, updates) = tokio::task::spawn_blocking(look).await.ok()?;
        Some((stream::iter(updates), (source, ticks)))
    })
    .flatten()
}

/// What is known of a folder and its files.
struct FolderSource {
    folder: PathBuf,
    telemetry: Telemetry,
    files: BTreeMap<PathBuf, Tracked>,
    /// What was given on, and the file it came from.
    given: BTreeMap<Identity, (PathBuf, Object)>,
    /// Complaints about the files together, each made once.
    told: BTreeSet<String>,
    synced: bool,
}

impl FolderSource {
    fn new(folder: PathBuf, telemetry: Telemetry) -> Self {
        telemetry.waiting_for("manifests", None);
        Self {
            folder,
            telemetry,
            files: BTreeMap::new(),
            given: BTreeMap::new(),
            told: BTreeSet::new(),
            synced: false,
        }
    }

    /// Looks at the folder once and says what changed.
    fn look(&mut self) -> Vec<Update> {
        let mut complaints = BTreeSet::new();
        let listed = match files_of(&self.folder) {
            Ok(listed) => listed,
            // A folder that is not there says nothing about the objects: they stay.
            Err(problem) => {
                let complaint = format!("{}: cannot be read: {problem}", self.folder.display());
                self.await_or_tell(BTreeSet::from([complaint]), &[]);
                return Vec::new();
            }
        };
        let mut settled = true;
        for path in &listed {
            self.files.entry(path.clone()).or_default();
        }
        for (path, tracked) in &mut self.files {
            settled &= tracked.look(path, listed.contains(path), &self.telemetry);
        }
        self.files.retain(|_, tracked| !tracked.is_gone());

        let desired = self.desired(&mut complaints);
        let mut updates = self.difference(desired);
        let refused: Vec<String> = self
            .files
            .iter()
            .filter(|(_, tracked)| tracked.is_refused())
            .map(|(path, _)| format!("{} cannot be understood", path.display()))
            .collect();
        let faulty = self.files.values().filter(|tracked| tracked.is_faulty());
        self.telemetry.set_faulty_manifests(faulty.count());
        let complete = settled
            && self
                .files
                .values()
                .all(|tracked| tracked.accepted.is_some());
        self.await_or_tell(complaints, &refused);
        if complete && !self.synced {
            self.synced = true;
            self.telemetry.has_arrived("manifests");
            info!(folder = ?self.folder, files = self.files.len(), "read");
            updates.push(Update::Synced);
        }
        updates
    }

    /// All objects of all files. Of an object that two files define, the one already in force stays.
    fn desired(&self, complaints: &mut BTreeSet<String>) -> BTreeMap<Identity, (PathBuf, Object)> {
        let mut places = Places::default();
        let mut desired: BTreeMap<Identity, (PathBuf, Object)> = BTreeMap::new();
        for (path, found) in self.files.iter().flat_map(|(path, tracked)| {
            tracked
                .accepted
                .iter()
                .flatten()
                .map(move |found| (path, found))
        }) {
            let Some(identity) = found.object.identity() else {
                continue;
            };
            complaints.extend(places.add(found).map(|twice| twice.to_string()));
            let in_force = self
                .given
                .get(&identity)
                .is_some_and(|(owner, _)| owner == path);
            if desired
                .get(&identity)
                .is_none_or(|(owner, _)| in_force && owner != path)
            {
                desired.insert(identity, (path.clone(), found.object.clone()));
            }
        }
        let mentioned: BTreeSet<Name> = desired
            .keys()
            .filter_map(Identity::namespace)
            .cloned()
            .collect();
        for name in mentioned {
            let object = Object::Namespace(Namespace::new(name.clone(), &Labels::default()));
            desired
                .entry(Identity::Namespace(name))
                .or_insert((PathBuf::new(), object));
        }
        desired
    }

    fn difference(&mut self, desired: BTreeMap<Identity, (PathBuf, Object)>) -> Vec<Update> {
        let gone = self
            .given
            .keys()
            .filter(|identity| !desired.contains_key(identity));
        let gone = gone.cloned().map(|identity| match identity {
            Identity::Namespace(name) => Event::NamespaceDeleted(name),
            Identity::Pod(key) => Event::PodDeleted(key),
            Identity::Policy(key) => Event::PolicyDeleted(key),
        });
        let changed = desired
            .iter()
            .filter(|(identity, (_, object))| {
                self.given
                    .get(identity)
                    .is_none_or(|(_, given)| given != object)
            })
            .filter_map(|(_, (_, object))| match object.clone() {
                Object::Namespace(namespace) => Some(Event::Namespace(namespace)),
                Object::Pod(pod) => Some(Event::Pod(pod)),
                Object::Policy(policy) => Some(Event::Policy(policy)),
                Object::Other(_) => None,
            });
        let updates = gone.chain(changed).map(Update::Change).collect();
        self.given = desired;
        updates
    }

    /// Tells of each complaint once. Before the first sync they, and the `refused` files, are what that waits for.
    fn await_or_tell(&mut self, complaints: BTreeSet<String>, refused: &[String]) {
        for complaint in complaints.difference(&self.told) {
            error!("{complaint}");
            self.telemetry.source_failed("manifests");
        }
        if !self.synced {
            let complaints = complaints
                .iter()
                .filter_map(|complaint| complaint.lines().next());
            let trouble: Vec<&str> = complaints
                .chain(refused.iter().map(String::as_str))
                .collect();
            self.telemetry.waiting_for(
                "manifests",
                Some(trouble.join("; ")).filter(|text| !text.is_empty()),
            );
        }
        self.told = complaints;
    }
}

#[cfg(test)]
mod tests;
