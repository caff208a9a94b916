//! What keeps a line short whatever there is to tell. Each limit is far above what one meets, and counts bytes as they
//! are written; the sum of all stays below [`LONGEST_LINE`](super::LONGEST_LINE).

use policy_compiler::model::{Labels, ObjectKey};

use super::escape;

/// The most bytes of the labels of one end.
const LABELS: usize = 8 * 1024;
/// The most bytes of the policies.
const POLICIES: usize = 8 * 1024;
/// The most bytes of the names of the pods that claim one address.
const CLAIMANTS: usize = 4 * 1024;
/// The most bytes of the rules that did not match.
const NEAR_MISSES: usize = 6 * 1024;
/// The most bytes of one sentence.
const SENTENCE: usize = 1024;
/// The most bytes of a name that Kubernetes does not limit.
const NAME: usize = 253;
/// The most hints.
pub(super) const HINTS: usize = 6;

/// The beginning of a list, and how many are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut<T> {
    pub(super) shown: Vec<T>,
    pub(super) more: u64,
}

/// As many of `items`, from the first, as have `most` bytes together.
fn list<T>(items: impl IntoIterator<Item = T>, most: usize, bytes: impl Fn(&T) -> usize) -> Cut<T> {
    let mut cut = Cut {
        shown: Vec::new(),
        more: 0,
    };
    let mut sum = 0;
    for item in items {
        sum += bytes(&item);
        if sum <= most && cut.more == 0 {
            cut.shown.push(item);
        } else {
            cut.more += 1;
        }
    }
    cut
}

/// A pod's labels.
pub(super) fn labels(labels: &Labels) -> Cut<(&str, &str)> {
    // "k8s:key=value",
    list(labels.iter(), LABELS, |(key, value)| {
        key.len() + value.len() + 8
    })
}

/// Policies.
pub(super) fn policies(policies: &[ObjectKey]) -> Cut<&ObjectKey> {
    // {"name":"","namespace":"","kind":"NetworkPolicy"},
    list(policies, POLICIES, |key| key_length(key) + 50)
}

/// Pods that claim one address.
pub(super) fn claimants(pods: &[ObjectKey]) -> Cut<&ObjectKey> {
    list(pods, CLAIMANTS, |key| key_length(key) + 4)
}

fn key_length(key: &ObjectKey) -> usize {
    key.namespace.as_str().len() + key.name.as_str().len()
}

/// Why rules did not match.
pub(super) fn near_misses(texts: &[String]) -> Cut<String> {
    let sentences = texts.iter().map(|text| sentence(text));
    list(sentences, NEAR_MISSES, |text| {
        text.chars().map(escape::length).sum::<usize>() + 3
    })
}

/// A sentence.
pub(super) fn sentence(text: &str) -> String {
    cut(text, SENTENCE)
}

/// A name that Kubernetes does not limit.
pub(super) fn name(text: &str) -> String {
    cut(text, NAME)
}

/// The text, or its beginning and an ellipsis, in at most `most` bytes. What one would not see in a terminal counts as
/// what it is escaped to.
fn cut(text: &str, most: usize) -> String {
    const ELLIPSIS: &str = "…";
    let mut bytes = 0;
    let mut fits = 0;
    for (at, character) in text.char_indices() {
        bytes += escape::length(character);
        if bytes > most {
            return format!("{}{ELLIPSIS}", &text[..fits]);
        }
        if bytes + ELLIPSIS.len() <= most {
            fits = at + character.len_utf8();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_before_the_first_that_does_not_fit() {
        for (most, shown, more) in [
            (0, "", 3),
            (6, "aaa", 2),
            (7, "aaa bbbb", 1),
            (8, "aaa bbbb c", 0),
        ] {
            let cut = list(["aaa", "bbbb", "c"], most, |item| item.len());
            assert_eq!(
                (cut.shown.join(" ").as_str(), cut.more),
                (shown, more),
                "{most}"
            );
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (whole, most, expected) in [
            ("", 8, ""),
            ("12345678", 8, "12345678"),
            ("123456789", 8, "12345…"),
            ("äöüäöü", 8, "äö…"),
            ("\n\n\n", 18, "\n\n\n"),
            ("\n\n\n", 17, "\n\n…"),
        ] {
            assert_eq!(cut(whole, most), expected, "{whole:?}");
        }
    }
}
