//! "Did you mean": which known word a misspelt one was probably to be.

/// The known name nearest to `name`, if it differs by case only or by no more than two letters.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // A name this long is nobody's typo, and the distance costs the product of both lengths.
    if name.len() > 40 {
        return None;
    }
    let near = |known: &&str| distance(name, known);
    let best = known.iter().copied().min_by_key(near)?;
    (near(&best) <= 2.min(best.len() / 2)).then_some(best)
}

/// What is said of a field that there is not.
pub(super) fn unknown(name: &str, near: Option<&str>) -> String {
    let hint = near.map_or(String::new(), |near| format!(", did you mean {near:?}?"));
    format!("unknown field {name:?}{hint}")
}

/// How many slips of the finger lead from one word to the other, whatever their case: a letter more, less or other, or
/// two neighbours exchanged. Only the beginnings of long words are looked at.
pub fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .take(64)
            .collect::<Vec<char>>()
    };
    let (a, b) = (letters(a), letters(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let other = rows[i][j] + usize::from(x != y);
            let mut best = other.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("web", "web", 0),
            ("Web", "wbe", 1),
            ("web", "wb", 1),
            ("web", "weba", 1),
            ("", "ab", 2),
        ] {
            assert_eq!(
                (distance(a, b), distance(b, a)),
                (expected, expected),
                "{a} {b}"
            );
        }
    }
}
