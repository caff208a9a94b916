//! A folder of manifests as a source: files may be added, edited, replaced and removed while it is watched.
//!
//! The folder is looked at several times a second instead of through inotify: that costs a `stat` for each file, needs
//! no further crate, and sees every kind of change alike, on a network file system and through the symbolic link that
//! the kubelet swaps under a mounted `ConfigMap` too. A change counts once it has been the same for two looks in a row,
//! so a file that an editor has just emptied to write it anew is not taken for an empty one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use policy_compiler::index::Event;
use policy_compiler::model::{Labels, Name, Namespace};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::Update;
use crate::manifests::{File, Found, Identity, Object, Places, files_of, load_file};
use crate::telemetry::Telemetry;

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

#[derive(Default)]
struct Tracked {
    /// The file as the last look found it; `None` if it was not there.
    seen: Option<Stamp>,
    /// The file as it was when it was last read.
    read: Option<Stamp>,
    /// What the file said when it was last in order.
    accepted: Option<Vec<Found>>,
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
                self.await_or_tell(BTreeSet::from([complaint]));
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
        self.files.retain(|_, tracked| tracked.seen.is_some() || tracked.accepted.is_some());

        let desired = self.desired(&mut complaints);
        let mut updates = self.difference(desired);
        for (path, _) in self.files.iter().filter(|(_, tracked)| tracked.accepted.is_none()) {
            complaints.insert(format!("{}: not usable yet", path.display()));
        }
        let complete = settled && self.files.values().all(|tracked| tracked.accepted.is_some());
        self.await_or_tell(complaints);
        if complete && !self.synced {
            self.synced = true;
            self.telemetry.has_arrived("manifests");
            info!(folder = %self.folder.display(), files = self.files.len(), "read");
            updates.push(Update::Synced);
        }
        updates
    }

    /// All objects of all files. Of an object that two files define, the one already in force stays.
    fn desired(&self, complaints: &mut BTreeSet<String>) -> BTreeMap<Identity, (PathBuf, Object)> {
        let mut places = Places::default();
        let mut desired: BTreeMap<Identity, (PathBuf, Object)> = BTreeMap::new();
        for (path, found) in self.files.iter().flat_map(|(path, tracked)| {
            tracked.accepted.iter().flatten().map(move |found| (path, found))
        }) {
            let Some(identity) = found.object.identity() else { continue };
            complaints.extend(places.add(found).map(|twice| twice.to_string()));
            let in_force = self.given.get(&identity).is_some_and(|(owner, _)| owner == path);
            if desired.get(&identity).is_none_or(|(owner, _)| in_force && owner != path) {
                desired.insert(identity, (path.clone(), found.object.clone()));
            }
        }
        let mentioned: BTreeSet<Name> = desired.keys().filter_map(Identity::namespace).cloned().collect();
        for name in mentioned {
            let object = Object::Namespace(Namespace::new(name.clone(), &Labels::default()));
            desired.entry(Identity::Namespace(name)).or_insert((PathBuf::new(), object));
        }
        desired
    }

    fn difference(&mut self, desired: BTreeMap<Identity, (PathBuf, Object)>) -> Vec<Update> {
        let gone = self.given.keys().filter(|identity| !desired.contains_key(identity));
        let gone = gone.cloned().map(|identity| match identity {
            Identity::Namespace(name) => Event::NamespaceDeleted(name),
            Identity::Pod(key) => Event::PodDeleted(key),
            Identity::Policy(key) => Event::PolicyDeleted(key),
        });
        let changed = desired
            .iter()
            .filter(|(identity, (_, object))| self.given.get(identity).is_none_or(|(_, given)| given != object))
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

    fn await_or_tell(&mut self, complaints: BTreeSet<String>) {
        for complaint in complaints.difference(&self.told) {
            error!("{complaint}");
            self.telemetry.source_failed("manifests");
        }
        if !self.synced {
            let trouble = complaints.iter().filter_map(|complaint| complaint.lines().next()).collect::<Vec<_>>();
            self.telemetry.waiting_for("manifests", Some(trouble.join("; ")).filter(|text| !text.is_empty()));
        }
        self.told = complaints;
    }
}

impl Tracked {
    /// Looks at one file; reads it if it is new and at rest. Says whether it is at rest.
    fn look(&mut self, path: &Path, listed: bool, telemetry: &Telemetry) -> bool {
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
            error!(file = %path.display(), consequence = self.consequence(&file), "{problem}");
        }
        if file.errors.is_empty() {
            info!(file = %path.display(), objects = file.objects.len(), "manifest file read");
        }
        if file.errors.is_empty() || (self.accepted.is_none() && file.complete) {
            self.accepted = Some(file.objects);
        }
        true
    }

    fn consequence(&self, file: &File) -> &'static str {
        match (&self.accepted, file.complete) {
            (Some(_), _) => "what the file said before stays in force",
            (None, true) => "what is wrong in it allows nothing",
            (None, false) => "nothing of the file is in force until it is mended",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;

    /// A folder under test and the source that watches it.
    struct Bench {
        folder: TempDir,
        source: FolderSource,
        telemetry: Telemetry,
        clock: SystemTime,
    }

    fn pod(name: &str, label: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{a: {label}}}}}\n")
    }

    fn policy(name: &str, spec: &str) -> String {
        format!("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n")
    }

    impl Bench {
        fn new() -> Self {
            let (folder, telemetry) = (tempfile::tempdir().expect("a folder"), Telemetry::default());
            let source = FolderSource::new(folder.path().to_owned(), telemetry.clone());
            Self { folder, source, telemetry, clock: SystemTime::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&mut self, name: &str, text: &str) {
            fs::write(self.path(name), text).expect("written");
            // The looks of a test are nearer to each other than the clock of a file system is fine.
            self.clock += Duration::from_secs(1);
            let file = fs::File::options().write(true).open(self.path(name)).expect("opened");
            file.set_modified(self.clock).expect("set");
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.path(name)).expect("removed");
        }

        /// One look: `+pod/a` came or changed, `-policy/b` went, `.` everything is known; namespaces left out.
        fn look(&mut self) -> String {
            let updates = self.source.look().into_iter().filter_map(|update| match update {
                Update::Synced => Some(".".to_owned()),
                Update::Change(Event::Pod(pod)) => Some(format!("+pod/{}", pod.key.name)),
                Update::Change(Event::PodDeleted(key)) => Some(format!("-pod/{}", key.name)),
                Update::Change(Event::Policy(policy)) => Some(format!("+policy/{}", policy.key.name)),
                Update::Change(Event::PolicyDeleted(key)) => Some(format!("-policy/{}", key.name)),
                Update::Change(Event::Namespace(_) | Event::NamespaceDeleted(_)) => None,
            });
            updates.collect::<Vec<_>>().join(" ")
        }

        /// Looks until a change has been at rest.
        fn settle(&mut self) -> String {
            let looks = [self.look(), self.look()];
            looks.iter().filter(|look| !look.is_empty()).cloned().collect::<Vec<_>>().join(" ")
        }

        fn awaited(&self) -> String {
            self.telemetry.readiness().expect_err("nothing was committed").to_string()
        }
    }

    #[test]
    fn files_come_change_and_go() {
        let mut bench = Bench::new();
        bench.write("a.yaml", &pod("a", "x"));
        bench.write("ignored.txt", "kind: [");
        assert_eq!(bench.settle(), "+pod/a .");
        assert_eq!(bench.settle(), "");
        bench.write("b.yaml", &policy("deny", "{}"));
        assert_eq!(bench.settle(), "+policy/deny");
        bench.write("a.yaml", &pod("a", "y"));
        assert_eq!(bench.settle(), "+pod/a");
        // Written beside and moved over, as careful programs do, with the very same size.
        bench.write(".a.yaml.tmp", &pod("a", "z"));
        fs::rename(bench.path(".a.yaml.tmp"), bench.path("a.yaml")).expect("renamed");
        assert_eq!(bench.settle(), "+pod/a");
        bench.write("a.yaml", &pod("c", "z"));
        assert_eq!(bench.settle(), "-pod/a +pod/c");
        bench.remove("b.yaml");
        assert_eq!(bench.settle(), "-policy/deny");
    }

    #[test]
    fn an_empty_folder_is_known_at_once_and_a_missing_one_is_awaited() {
        assert_eq!(Bench::new().settle(), ".");
        let mut bench = Bench::new();
        let moved = bench.path("../moved-away-by-test");
        let moved = moved.parent().map_or(moved.clone(), |p| p.join(format!("{}-moved", bench.folder.path().display())));
        bench.write("a.yaml", &pod("a", "x"));
        fs::rename(bench.folder.path(), &moved).expect("moved");
        assert_eq!(bench.settle(), "");
        assert!(bench.awaited().contains("cannot be read: No such file or directory"), "{}", bench.awaited());
        fs::rename(&moved, bench.folder.path()).expect("moved back");
        assert_eq!(bench.settle(), "+pod/a .");
        // A folder that goes away later (an unmounted disk) takes nothing with it.
        fs::rename(bench.folder.path(), &moved).expect("moved");
        assert_eq!(bench.settle(), "");
        fs::rename(&moved, bench.folder.path()).expect("moved back");
        assert_eq!(bench.settle(), "");
    }

    #[test]
    fn a_broken_file_changes_nothing_until_it_is_mended() {
        let mut bench = Bench::new();
        bench.write("a.yaml", &format!("{}---\n{}", policy("one", "{}"), policy("two", "{}")));
        assert_eq!(bench.settle(), "+policy/one +policy/two .");
        bench.write("a.yaml", &format!("{}---\nkind: [\n", policy("one", "{podSelector: {matchLabels: {a: b}}}")));
        assert_eq!(bench.settle(), "");
        // Readable, but wrong in a field: still what it said before.
        bench.write("a.yaml", &policy("one", "{policyTypes: [Foo]}"));
        assert_eq!(bench.settle(), "");
        bench.write("a.yaml", &policy("one", "{policyTypes: [Egress]}"));
        assert_eq!(bench.settle(), "-policy/two +policy/one");
    }

    #[test]
    fn at_the_start_a_file_that_cannot_be_read_is_awaited() {
        let mut bench = Bench::new();
        bench.write("a.yaml", "kind: [\n");
        bench.write("b.yaml", &pod("b", "x"));
        assert_eq!(bench.settle(), "+pod/b");
        assert!(bench.awaited().contains("a.yaml"), "{}", bench.awaited());
        bench.write("a.yaml", &policy("deny", "{}"));
        assert_eq!(bench.settle(), "+policy/deny .");
    }

    #[test]
    fn at_the_start_a_policy_with_a_wrong_field_fails_closed() {
        let mut bench = Bench::new();
        bench.write("a.yaml", &policy("deny", "{policyTypes: [Foo]}"));
        assert_eq!(bench.settle(), "+policy/deny .");
    }

    #[test]
    fn a_file_that_is_just_being_written_is_not_read() {
        let mut bench = Bench::new();
        bench.write("a.yaml", &policy("deny", "{}"));
        assert_eq!(bench.settle(), "+policy/deny .");
        bench.write("a.yaml", "");
        assert_eq!(bench.look(), "");
        bench.write("a.yaml", &policy("deny", "{podSelector: {matchLabels: {a: b}}}"));
        assert_eq!(bench.look(), "");
        assert_eq!(bench.look(), "+policy/deny");
        bench.remove("a.yaml");
        assert_eq!(bench.look(), "");
        bench.write("a.yaml", &policy("deny", "{podSelector: {matchLabels: {a: b}}}"));
        assert_eq!(bench.settle(), "");
    }

    #[test]
    fn of_an_object_in_two_files_the_one_in_force_stays() {
        let mut bench = Bench::new();
        bench.write("b.yaml", &pod("p", "x"));
        assert_eq!(bench.settle(), "+pod/p .");
        bench.write("a.yaml", &pod("p", "y"));
        assert_eq!(bench.settle(), "");
        bench.remove("b.yaml");
        assert_eq!(bench.settle(), "+pod/p");
    }
}
