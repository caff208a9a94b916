//! Rows of manifests and what is read of them, or what is said of them.

mod mistakes;

use std::fmt::Write;

use policy_compiler::model::{NAMESPACE_NAME_LABEL, Name};
use similar_asserts::assert_eq;

use super::{Manifests, load};

/// Writes files into a folder and loads the folder; errors come with the folder's path taken out.
fn load_files(files: &[(&str, &str)]) -> Result<Manifests, String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let prefix = format!("{}/", folder.path().display());
    load(&[folder.path().to_owned()]).map_err(|errors| format!("{errors}\n").replace(&prefix, ""))
}

fn load_text(text: &str) -> Result<Manifests, String> {
    load_files(&[("shop.yaml", text)])
}

/// The names of all that was read: `ns/shop pod/shop/web policy/shop/db other`.
fn names(manifests: &Manifests) -> String {
    let snapshot = &manifests.snapshot;
    let names = snapshot.namespaces.keys().map(|name| format!("ns/{name}"));
    let names = names.chain(snapshot.pods.keys().map(|key| format!("pod/{key}")));
    let names = names.chain(snapshot.policies.keys().map(|key| format!("policy/{key}")));
    names
        .chain(manifests.others.iter().map(|_| "other".to_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_is_read() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec: {}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n";
    let rows: &[(&str, String, &str)] = &[
        ("nothing", String::new(), ""),
        (
            "comments only",
            "# nothing here\n---\n# nor here\n".to_owned(),
            "",
        ),
        ("one document", policy.to_owned(), "ns/shop policy/shop/db"),
        (
            "several documents",
            format!("{pod}---\n{policy}---\n"),
            "ns/shop pod/shop/web policy/shop/db",
        ),
        (
            "a directive, comments, a document end",
            format!("%YAML 1.2\n# x\n---\n{policy}...\n---\n{pod}"),
            "ns/shop pod/shop/web policy/shop/db",
        ),
        (
            "no namespace",
            policy.replace(", namespace: shop", ""),
            "ns/default policy/default/db",
        ),
        (
            "CRLF and a byte order mark",
            format!("\u{feff}{}", policy.replace('\n', "\r\n")),
            "ns/shop policy/shop/db",
        ),
        (
            "JSON",
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"a":"\u00e4"}}}"#
                .replace("\\u00e4", "x"),
            "ns/default pod/default/web",
        ),
        (
            "List",
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- {}",
                pod.trim_end().replace('\n', "\n  ")
            ),
            "ns/shop pod/shop/web",
        ),
        (
            "PodList, items without kind",
            "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: web}\n".to_owned(),
            "ns/default pod/default/web",
        ),
        (
            "empty List",
            "apiVersion: v1\nkind: List\nitems: null\n".to_owned(),
            "",
        ),
        (
            "other kinds",
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n".to_owned(),
            "other",
        ),
        (
            "an anchor",
            "x: &x {name: web, namespace: shop}\napiVersion: v1\nkind: Service\nmetadata: *x\n"
                .to_owned(),
            "other",
        ),
    ];
    for (what, text, expected) in rows {
        let manifests = load_text(text).unwrap_or_else(|errors| panic!("{what}: {errors}"));
        assert_eq!(names(&manifests), *expected, "{what}");
    }
}

#[test]
fn folders_are_read_as_kubectl_does() {
    let pod = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("below")).expect("created");
    std::fs::create_dir(folder.path().join("folder.yaml")).expect("created");
    for file in [
        "a.yaml",
        "b.yml",
        "c.json",
        "d.txt",
        "e.yaml.bak",
        "below/f.yaml",
    ] {
        let name = file
            .trim_start_matches("below/")
            .chars()
            .next()
            .unwrap_or('x')
            .to_string();
        std::fs::write(folder.path().join(file), pod(&name)).expect("written");
    }
    let manifests = load(&[folder.path().to_owned(), folder.path().join("a.yaml")]);
    let expected = "ns/default pod/default/a pod/default/b pod/default/c";
    // The file is in the folder: naming it again reads it again.
    assert_eq!(manifests.map(|m| names(&m)).map_err(|_| ()), Err(()));
    let twice = load(&[folder.path().to_owned(), folder.path().join("below/..")]);
    assert_eq!(
        twice.map(|m| names(&m)).map_err(|e| e.to_string()),
        Ok(expected.to_owned())
    );
}

#[test]
fn namespaces_that_are_only_mentioned_have_just_their_name() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\n\
                apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n---\n\
                apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: pay}\n";
    let manifests = load_text(text).expect("valid");
    let labels = |name: &str| {
        format!(
            "{:?}",
            manifests.snapshot.namespaces[&Name::parse(name).expect("valid")].labels
        )
    };
    assert_eq!(
        labels("shop"),
        format!("{{\"{NAMESPACE_NAME_LABEL}\": \"shop\", \"team\": \"a\"}}")
    );
    assert_eq!(
        labels("pay"),
        format!("{{\"{NAMESPACE_NAME_LABEL}\": \"pay\"}}")
    );
    assert_eq!(
        manifests
            .implicit_namespaces
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["pay"]
    );
}

#[test]
fn small_files_cannot_become_large() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").expect("written");
    }
    let errors = load_text(&bomb).expect_err("ten to the twelfth");
    assert!(errors.contains("too large or too complex"), "{errors}");
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(load_text(&nested).is_err());
    let levels = (0..10_000).map(|depth| format!("{}a:", " ".repeat(depth)));
    let nested = levels.collect::<Vec<_>>().join("\n");
    assert!(load_text(&nested).is_err());
}
