//! Keeps a line one line, and a terminal that shows it from doing anything else.

use std::fmt::Write as _;

use serde::Serialize;

/// A character that ends a line for some reader, that a terminal obeys, or that changes how the text around it is shown:
/// control characters, line and paragraph separators, and what sets or hides direction and width.
pub(super) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// The most bytes a character becomes in a line.
pub(super) fn length(character: char) -> usize {
    if is_harmful(character) {
        6
    } else if matches!(character, '"' | '\\') {
        2
    } else {
        character.len_utf8()
    }
}

/// `\u202e`. All harmful characters have four digits.
pub(super) fn push_escaped(text: &mut String, character: char) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\\u{:04x}", u32::from(character));
}

/// One line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> String {
    // Structs with names as keys cannot fail to be written.
    let mut json = serde_json::to_string(value).unwrap_or_default();
    if json.contains(is_harmful) {
        // Such characters can only be in strings, where their escapes mean the same.
        let mut escaped = String::with_capacity(json.len() + 64);
        for character in json.chars() {
            if is_harmful(character) {
                push_escaped(&mut escaped, character);
            } else {
                escaped.push(character);
            }
        }
        json = escaped;
    }
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_and_means_the_same() {
        for (text, line) in [
            ("plain, … and \u{e4}", "\"plain, … and \u{e4}\"\n"),
            ("a\nb\tc\u{0}\"\\", "\"a\\nb\\tc\\u0000\\\"\\\\\"\n"),
            ("\u{7f}\u{85}\u{9b}31m", "\"\\u007f\\u0085\\u009b31m\"\n"),
            (
                "\u{2028}\u{2029}\u{202e}\u{feff}",
                "\"\\u2028\\u2029\\u202e\\ufeff\"\n",
            ),
        ] {
            let json = json_line(&text);
            assert_eq!(json, line);
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
