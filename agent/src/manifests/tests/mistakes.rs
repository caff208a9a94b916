//! What is said of mistakes, word for word.

use std::path::PathBuf;

use similar_asserts::assert_eq;

use super::super::load;
use super::{load_files, load_text};

/// Rows: what is wrong, the file, all of the message.
const MISTAKES: &[(&str, &str, &str)] = &[
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
            "a field of a pod, for which nothing would be isolated",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  label:\n    app: db\n",
            "error: pod default/a: metadata.label: unknown field \"label\", did you mean \"labels\"?
 --> shop.yaml:5:3
  |
5 |   label:
  |   ^^^^^
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

#[test]
fn mistakes_are_shown_where_they_are() {
    for (what, text, expected) in MISTAKES {
        let errors = load_text(text)
            .err()
            .unwrap_or_else(|| panic!("{what}: accepted"));
        assert_eq!(errors, *expected, "{what}");
    }
}

#[test]
fn a_missing_field_is_shown_at_what_should_hold_it() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {a: b}\n";
    let errors = load_text(text).expect_err("no name");
    assert!(
        errors.contains("pod without name: metadata.name: "),
        "{errors}"
    );
    assert!(errors.contains("--> shop.yaml:3:1\n"), "{errors}");
}

#[test]
fn all_mistakes_of_all_files_are_reported() {
    let errors = load_files(&[
        ("a.yaml", "kind: [\n"),
        ("b.yaml", "apiVersion: v1\nkind: Namespce\n"),
        (
            "c.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: A, labels: {a: 1}}\n",
        ),
    ])
    .expect_err("three bad files");
    assert_eq!(errors.matches("error: ").count(), 4, "{errors}");
    for file in ["a.yaml", "b.yaml", "c.yaml"] {
        assert!(errors.contains(file), "{errors}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let missing = load(&[
        PathBuf::from("/nonexistent/shop.yaml"),
        PathBuf::from("https://example.com/x.yaml"),
    ]);
    let errors = missing
        .map(|_| ())
        .map_err(|e| e.to_string())
        .expect_err("neither is there");
    assert!(
        errors.contains("/nonexistent/shop.yaml: cannot be read: No such file or directory"),
        "{errors}"
    );
    assert!(
        errors.contains("netpol does not fetch manifests"),
        "{errors}"
    );
    let empty = tempfile::tempdir().expect("a folder");
    let errors = load(&[empty.path().to_owned()])
        .map(|_| ())
        .map_err(|e| e.to_string())
        .expect_err("empty");
    assert!(
        errors.contains("the folder holds no *.yaml, *.yml or *.json files"),
        "{errors}"
    );
    std::fs::write(empty.path().join("x.yaml"), b"a: 1\nb: \xff\n").expect("written");
    let errors = load(&[empty.path().to_owned()])
        .map(|_| ())
        .map_err(|e| e.to_string())
        .expect_err("not text");
    assert!(
        errors.contains("x.yaml:2: not a text file in UTF-8"),
        "{errors}"
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let labels: Vec<String> = (0..100)
        .map(|i| format!("\"label-{i}\": \"value\""))
        .collect();
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
