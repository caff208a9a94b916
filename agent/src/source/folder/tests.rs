//! A folder that changes between looks. No time passes: a look is a function call.

use std::fs;
use std::time::{Duration, SystemTime};

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
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

impl Bench {
    fn new() -> Self {
        let (folder, telemetry) = (tempfile::tempdir().expect("a folder"), Telemetry::default());
        let source = FolderSource::new(folder.path().to_owned(), telemetry.clone());
        Self {
            folder,
            source,
            telemetry,
            clock: SystemTime::now(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&mut self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
        // The looks of a test are nearer to each other than the clock of a file system is fine.
        self.clock += Duration::from_secs(1);
        let file = fs::File::options()
            .write(true)
            .open(self.path(name))
            .expect("opened");
        file.set_modified(self.clock).expect("set");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    /// One look: `+pod/a` came or changed, `-policy/b` went, `.` everything is known; namespaces left out.
    fn look(&mut self) -> String {
        let updates = self
            .source
            .look()
            .into_iter()
            .filter_map(|update| match update {
                Update::Synced => Some(".".to_owned()),
                Update::Change(Event::Pod(pod)) => Some(format!("+pod/{}", pod.key.name)),
                Update::Change(Event::PodDeleted(key)) => Some(format!("-pod/{}", key.name)),
                Update::Change(Event::Policy(policy)) => {
                    Some(format!("+policy/{}", policy.key.name))
                }
                Update::Change(Event::PolicyDeleted(key)) => Some(format!("-policy/{}", key.name)),
                Update::Change(Event::Namespace(_) | Event::NamespaceDeleted(_)) => None,
            });
        updates.collect::<Vec<_>>().join(" ")
    }

    /// Looks until a change has been at rest.
    fn settle(&mut self) -> String {
        let looks = [self.look(), self.look()];
        looks
            .iter()
            .filter(|look| !look.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn awaited(&self) -> String {
        self.telemetry
            .readiness()
            .expect_err("nothing was committed")
            .to_string()
    }
}

#[test]
fn files_come_change_and_go() {
    let mut bench = Bench::new();
    bench.write("a.yaml", &pod("a", "one"));
    bench.write("ignored.txt", "kind: [");
    assert_eq!(bench.settle(), "+pod/a .");
    assert_eq!(bench.settle(), "");
    bench.write("b.yaml", &policy("deny", "{}"));
    assert_eq!(bench.settle(), "+policy/deny");
    bench.write("a.yaml", &pod("a", "two"));
    assert_eq!(bench.settle(), "+pod/a");
    // Written beside and moved over, as careful programs do, with the very same size.
    bench.write(".a.yaml.tmp", &pod("a", "six"));
    fs::rename(bench.path(".a.yaml.tmp"), bench.path("a.yaml")).expect("renamed");
    assert_eq!(bench.settle(), "+pod/a");
    bench.write("a.yaml", &pod("c", "six"));
    assert_eq!(bench.settle(), "-pod/a +pod/c");
    bench.remove("b.yaml");
    assert_eq!(bench.settle(), "-policy/deny");
}

#[test]
fn an_empty_folder_is_known_at_once_and_a_missing_one_is_awaited() {
    assert_eq!(Bench::new().settle(), ".");
    let mut bench = Bench::new();
    let moved = bench.path("../moved-away-by-test");
    let moved = moved.parent().map_or(moved.clone(), |p| {
        p.join(format!("{}-moved", bench.folder.path().display()))
    });
    bench.write("a.yaml", &pod("a", "one"));
    fs::rename(bench.folder.path(), &moved).expect("moved");
    assert_eq!(bench.settle(), "");
    assert!(
        bench
            .awaited()
            .contains("cannot be read: No such file or directory"),
        "{}",
        bench.awaited()
    );
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
    bench.write(
        "a.yaml",
        &format!("{}---\n{}", policy("one", "{}"), policy("two", "{}")),
    );
    assert_eq!(bench.settle(), "+policy/one +policy/two .");
    bench.write(
        "a.yaml",
        &format!(
            "{}---\nkind: [\n",
            policy("one", "{podSelector: {matchLabels: {a: b}}}")
        ),
    );
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
    bench.write("b.yaml", &pod("b", "one"));
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
    bench.write(
        "a.yaml",
        &policy("deny", "{podSelector: {matchLabels: {a: b}}}"),
    );
    assert_eq!(bench.look(), "");
    assert_eq!(bench.look(), "+policy/deny");
    bench.remove("a.yaml");
    assert_eq!(bench.look(), "");
    bench.write(
        "a.yaml",
        &policy("deny", "{podSelector: {matchLabels: {a: b}}}"),
    );
    assert_eq!(bench.settle(), "");
}

#[test]
fn what_is_listed_but_cannot_be_read_takes_nothing_away() {
    let mut bench = Bench::new();
    let deny = policy("deny", "{}");
    bench.write("target", &deny);
    let link = |bench: &Bench, to: &str| {
        let _ = fs::remove_file(bench.path("a.yaml"));
        std::os::unix::fs::symlink(to, bench.path("a.yaml")).expect("linked");
    };
    link(&bench, "target");
    assert_eq!(bench.settle(), "+policy/deny .");
    link(&bench, "nowhere");
    assert_eq!(bench.settle(), "");
    assert!(
        bench
            .telemetry
            .render()
            .contains("netpol_faulty_manifests 1\n"),
        "{}",
        bench.telemetry.render()
    );
    link(&bench, "a.yaml");
    assert_eq!(bench.settle(), "");
    // To read all of this would take for ever.
    link(&bench, "/dev/zero");
    assert_eq!(bench.settle(), "");
    bench.write("b.yaml", &pod("b", "one"));
    assert_eq!(bench.settle(), "+pod/b");
    link(&bench, "target");
    assert_eq!(bench.settle(), "");
    assert!(
        bench
            .telemetry
            .render()
            .contains("netpol_faulty_manifests 0\n")
    );
    bench.remove("a.yaml");
    assert_eq!(bench.settle(), "-policy/deny");
}

#[test]
fn of_an_object_in_two_files_the_one_in_force_stays() {
    let mut bench = Bench::new();
    bench.write("b.yaml", &pod("p", "one"));
    assert_eq!(bench.settle(), "+pod/p .");
    bench.write("a.yaml", &pod("p", "two"));
    assert_eq!(bench.settle(), "");
    bench.remove("b.yaml");
    assert_eq!(bench.settle(), "+pod/p");
}
