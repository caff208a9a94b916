//! "Did you mean": which known field a misspelt one was probably to be.

/// The known name nearest to `name`, if it differs by case only or by no more than two letters.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // A name this long is nobody's typo, and the distance costs the product of both lengths.
    if name.len() > 40 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let near = |known: &&str| distance(&name, &known.to_ascii_lowercase());
    let best = known.iter().copied().min_by_key(near)?;
    (near(&best) <= 2.min(best.len() / 2)).then_some(best)
}

/// Letters to insert, remove or replace to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let known = [
            "podSelector",
            "ingress",
            "egress",
            "policyTypes",
            "to",
            "from",
        ];
        let rows = [
            ("podSelctor", Some("podSelector")),
            ("PodSelector", Some("podSelector")),
            ("Egress", Some("egress")),
            ("ingres", Some("ingress")),
            ("form", Some("from")),
            ("tp", Some("to")),
            ("ports", None),
            ("xy", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }
}
