//! A program run to its end.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// What a program answers to `input`.
pub(crate) fn output(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that stops reading early says why on standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
