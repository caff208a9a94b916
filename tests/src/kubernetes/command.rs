//! Programs run to their end, and conditions awaited.

use std::process::Command;
use std::time::{Duration, Instant};

use super::ClusterError;
use crate::command::output;

/// How often a condition is looked at.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Runs a program to its end and returns what it printed. `place` is for messages.
pub(super) fn run(place: &str, command: &mut Command, input: &str) -> Result<String, ClusterError> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let failed = |stderr: String| ClusterError::Command {
        place: place.to_owned(),
        command: words.join(" "),
        stderr,
    };
    let output = output(command, input).map_err(|error| failed(error.to_string()))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(printed)
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {stderr}{printed}", output.status)))
    }
}

/// Asks until the answer is `Ok`, which it returns; what it says otherwise is told if it never is.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, ClusterError> {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            Ok(answer) => return Ok(answer),
            Err(last) if Instant::now() > deadline => {
                return Err(ClusterError::Waited {
                    what: what.to_owned(),
                    seconds: within.as_secs(),
                    last,
                });
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
