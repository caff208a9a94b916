//! Rows of manifests and what is read of them, or what is said of them.

use std::path::PathBuf;

use policy_compiler::model::{Name, NAMESPACE_NAME_LABEL};
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
    names.chain(manifests.others.iter().map(|_| "other".to_owned())).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_read() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec: {}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n";
    let rows: &[(&str, String, &str)] = &[
        ("nothing", String::new(), ""),
        ("comments only", "# nothing here\n---\n# nor here\n".to_owned(), ""),
        ("one document", policy.to_owned(), "ns/shop policy/shop/db"),
        ("several documents", format!("{pod}---\n{policy}---\n"), "ns/shop pod/shop/web policy/shop/db"),
        ("a directive, comments, a document end", format!("%YAML 1.2\n# x\n---\n{policy}...\n---\n{pod}"), "ns/shop pod/shop/web policy/shop/db"),
        ("no namespace", policy.replace(", namespace: shop", ""), "ns/default policy/default/db"),
        ("CRLF and a byte order mark", format!("\u{feff}{}", policy.replace('\n', "\r\n")), "ns/shop policy/shop/db"),
        ("JSON", r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"a":"\u00e4"}}}"#.replace("\\u00e4", "x"), "ns/default pod/default/web"),
        ("List", format!("apiVersion: v1\nkind: List\nitems:\n- {}", pod.trim_end().replace('\n', "\n  ")), "ns/shop pod/shop/web"),
        ("PodList, items without kind", "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: web}\n".to_owned(), "ns/default pod/default/web"),
        ("empty List", "apiVersion: v1\nkind: List\nitems: null\n".to_owned(), ""),
        ("other kinds", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n".to_owned(), "other"),
        ("an anchor", "x: &x {name: web, namespace: shop}\napiVersion: v1\nkind: Service\nmetadata: *x\n".to_owned(), "other"),
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
    for file in ["a.yaml", "b.yml", "c.json", "d.txt", "e.yaml.bak", "below/f.yaml"] {
        let name = file.trim_start_matches("below/").chars().next().unwrap_or('x').to_string();
        std::fs::write(folder.path().join(file), pod(&name)).expect("written");
    }
    let manifests = load(&[folder.path().to_owned(), folder.path().join("a.yaml")]);
    let expected = "ns/default pod/default/a pod/default/b pod/default/c";
    // The file is in the folder: naming it again reads it again.
    assert_eq!(manifests.map(|m| names(&m)).map_err(|_| ()), Err(()));
    let twice = load(&[folder.path().to_owned(), folder.path().join("below/..")]);
    assert_eq!(twice.map(|m| names(&m)).map_err(|e| e.to_string()), Ok(expected.to_owned()));
}

#[test]
fn namespaces_that_are_only_mentioned_have_just_their_name() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\n\
                apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n---\n\
                apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: pay}\n";
    let manifests = load_text(text).expect("valid");
    let labels = |name: &str| format!("{:?}", manifests.snapshot.namespaces[&Name::parse(name).expect("valid")].labels);
    assert_eq!(labels("shop"), format!("{{\"{NAMESPACE_NAME_LABEL}\": \"shop\", \"team\": \"a\"}}"));
    assert_eq!(labels("pay"), format!("{{\"{NAMESPACE_NAME_LABEL}\": \"pay\"}}"));
    assert_eq!(manifests.implicit_namespaces.iter().map(ToString::to_string).collect::<Vec<_>>(), ["pay"]);
}

/// Rows: what is wrong, the file, all of the message.
#[test]
fn mistakes_are_shown_where_they_are() {
    let rows: &[(&str, &str, &str)] = &[
        (
            "a value",
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: db\n  namespace: shop\nspec:\n  \
             podSelector: {}\n  ingress:\n  - from:\n    - podSelector: {}\n    ports:\n    - protocol: TCP\n      port: 70000\n",
            "error: networkpolicy shop/db: spec.ingress[0].ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive
  --> shop.yaml:13:13
   |
13 |       port: 70000
   |             ^^^^^
",
        ),
        (
            "a YAML mistake, with what comes after it",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: [\n---\napiVersion: v2\nkind: Pod\nmetadata: {name: b}\n",
            "error: unclosed bracket '['
 --> shop.yaml:5:11
  |
5 |   labels: [
  |           ^

error: pod default/b: apiVersion: Pod is not in \"v2\": write \"v1\"
 --> shop.yaml:7:13
  |
7 | apiVersion: v2
  |             ^^
",
        ),
        (
            "a key twice",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nkind: Service\n",
            "error: the key `kind` is given twice in one mapping; only one of the two would count
 --> shop.yaml:4:1
  |
4 | kind: Service
  | ^^^^
",
        ),
        (
            "a kind",
            "kind: NetworkPolcy\napiVersion: networking.k8s.io/v1\nmetadata: {name: db}\n",
            "error: networkpolcy default/db: kind: there is no \"NetworkPolcy\" in \"networking.k8s.io/v1\"; did you mean \"NetworkPolicy\"?
 --> shop.yaml:1:7
  |
1 | kind: NetworkPolcy
  |       ^^^^^^^^^^^^
",
        ),
        (
            "no kind",
            "apiVersion: v1\nmetadata: {name: db}\n",
            "error: object default/db: kind: must be given, as a string
 --> shop.yaml:1:1
  |
1 | apiVersion: v1
  | ^
",
        ),
        (
            "not an object",
            "- a\n- b\n",
            "error: not a Kubernetes object: a mapping with `apiVersion`, `kind` and `metadata` is expected
 --> shop.yaml:1:1
  |
1 | - a
  | ^
",
        ),
        (
            "a template",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\n",
            "error: this is a template, not YAML yet: render it first (`helm template`)
 --> shop.yaml:4:10
  |
4 |   name: {{ .Values.name }}
  |          ^
",
        ),
        (
            "an object twice",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
            "error: pod default/a: defined twice; give one of the two another name or take it out
 --> shop.yaml:5:1
  |
5 | apiVersion: v1
  | ^
note: first defined here
 --> shop.yaml:1:1
  |
1 | apiVersion: v1
  | ^
",
        ),
        (
            "an escape sequence, and a tab before the place",
            "{\"apiVersion\": \"v1\",\t\"kind\": \"P\u{85}d\", \"metadata\": {\"name\": \"a\"}}\n",
            "error: p\u{fffd}d default/a: kind: there is no \"P\\u{85}d\" in \"v1\"; did you mean \"Pod\"?
 --> shop.yaml:1:30
  |
1 | {\"apiVersion\": \"v1\",\t\"kind\": \"P\u{fffd}d\", \"metadata\": {\"name\": \"a\"}}
  |                     \t        ^^^^^
",
        ),
    ];
    for (what, text, expected) in rows {
        let errors = load_text(text).err().unwrap_or_else(|| panic!("{what}: accepted"));
        assert_eq!(errors, *expected, "{what}");
    }
}

#[test]
fn a_missing_field_is_shown_at_what_should_hold_it() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {a: b}\n";
    let errors = load_text(text).expect_err("no name");
    assert!(errors.contains("pod without name: metadata.name: "), "{errors}");
    assert!(errors.contains("--> shop.yaml:3:1\n"), "{errors}");
}

#[test]
fn all_mistakes_of_all_files_are_reported() {
    let errors = load_files(&[
        ("a.yaml", "kind: [\n"),
        ("b.yaml", "apiVersion: v1\nkind: Namespce\n"),
        ("c.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: A, labels: {a: 1}}\n"),
    ])
    .expect_err("three bad files");
    assert_eq!(errors.matches("error: ").count(), 4, "{errors}");
    for file in ["a.yaml", "b.yaml", "c.yaml"] {
        assert!(errors.contains(file), "{errors}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let missing = load(&[PathBuf::from("/nonexistent/shop.yaml"), PathBuf::from("https://example.com/x.yaml")]);
    let errors = missing.map(|_| ()).map_err(|e| e.to_string()).expect_err("neither is there");
    assert!(errors.contains("/nonexistent/shop.yaml: cannot be read: No such file or directory"), "{errors}");
    assert!(errors.contains("netpol does not fetch manifests"), "{errors}");
    let empty = tempfile::tempdir().expect("a folder");
    let errors = load(&[empty.path().to_owned()]).map(|_| ()).map_err(|e| e.to_string()).expect_err("empty");
    assert!(errors.contains("the folder holds no *.yaml, *.yml or *.json files"), "{errors}");
    std::fs::write(empty.path().join("x.yaml"), b"a: 1\nb: \xff\n").expect("written");
    let errors = load(&[empty.path().to_owned()]).map(|_| ()).map_err(|e| e.to_string()).expect_err("not text");
    assert!(errors.contains("x.yaml:2: not a text file in UTF-8"), "{errors}");
}

#[test]
fn small_files_cannot_become_large() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let errors = load_text(&bomb).expect_err("ten to the twelfth");
    assert!(errors.contains("too large or too complex"), "{errors}");
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(load_text(&nested).is_err());
    let nested: String = (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(load_text(&nested).is_err());
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let labels: Vec<String> = (0..100).map(|i| format!("\"label-{i}\": \"value\"")).collect();
    let text = format!(
        "{{\"apiVersion\": \"v1\", \"metadata\": {{\"name\": \"a\", \"labels\": {{{}}}}}, \"kind\": \"Pood\"}}",
        labels.join(", ")
    );
    let errors = load_text(&text).expect_err("no such kind");
    let lines: Vec<&str> = errors.lines().collect();
    let (line, caret) = (lines[3], lines[4]);
    let at = caret.find('^').expect("a caret");
    assert!(line[at..].starts_with("\"Pood\""), "{errors}");
    assert!(line.len() < 140, "{errors}");
}
