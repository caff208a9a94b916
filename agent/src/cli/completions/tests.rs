use similar_asserts::assert_eq;

use super::*;

/// The proposals without what they mean, and how to go on.
fn proposed(line: &str) -> (Vec<String>, Directive) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let mut command = Form::Plugin.command();
    command.build();
    let (proposals, directive) = propose(&command, &words);
    let words = proposals
        .iter()
        .map(|line| line.split('\t').next().unwrap_or_default());
    (words.map(str::to_owned).collect(), directive)
}

#[test]
fn what_may_follow() {
    use Directive::{Files, NoFiles};
    let rows: [(&str, &[&str], Directive); 13] = [
        ("", &["compile", "explain", "flows", "help"], NoFiles),
        ("fl", &["flows"], NoFiles),
        ("nothing-of-the-kind", &[], NoFiles),
        (
            "flows --agents-",
            &["--agents-namespace", "--agents-selector"],
            NoFiles,
        ),
        ("flows -o ", &["table", "json", "summary"], NoFiles),
        ("flows -fo s", &["summary"], NoFiles),
        ("flows --output=s", &["--output=summary"], NoFiles),
        ("flows --output s", &["summary"], NoFiles),
        ("flows --output summary --verdict d", &["dropped"], NoFiles),
        ("flows --kubeconfig ", &[], Files),
        ("flows -f", &[], NoFiles),
        ("flows -- --output ", &[], Files),
        ("explain --from x ", &[], Files),
    ];
    for (line, expected, directive) in rows {
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(proposed(line), (expected, directive), "{line}");
    }
}

#[test]
fn an_answer_in_kubectls_form() {
    let answer = answer(&["flows".to_owned(), "--foll".to_owned()]);
    let (first, rest) = answer.split_once('\n').expect("a line");
    assert!(first.starts_with("--follow\tGo on when"), "{first}");
    assert_eq!(rest, ":4\n");
}

#[test]
fn each_shell_gets_a_script_of_all_commands() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = Completions { shell }.run();
        for word in ["netpol", "compile", "agents-selector", "summary"] {
            assert!(script.contains(word), "{shell:?}: {word}");
        }
    }
}
