//! The kernel's nftables, by way of the `nft` program.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use policy_compiler::ruleset::{Operation, Transaction};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Dataplane, DataplaneError};

/// Where system programs are. The environment's `PATH` is not asked: a program that runs as root is not to be chosen by
/// whoever set that.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// A full load of a large node takes seconds; past this, something is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Characters kept of what `nft` says: it may complain of each of thousands of lines.
const MESSAGE: usize = 2000;

/// Runs `nft -f -` for each transaction. The script goes in by standard input, and nothing else of it anywhere.
#[derive(Debug)]
pub struct NftProcess {
    program: PathBuf,
}

impl NftProcess {
    /// Finds `nft` where system programs are.
    pub fn find() -> Result<Self, DataplaneError> {
        let candidates = FOLDERS
            .iter()
            .map(|folder| PathBuf::from(folder).join("nft"));
        match candidates.into_iter().find(|program| program.is_file()) {
            Some(program) => Ok(Self { program }),
            None => Err(DataplaneError::NotInstalled {
                searched: FOLDERS.join(", "),
            }),
        }
    }

    /// Whether this process may change nftables at all; changes nothing.
    pub async fn check(&self) -> Result<(), DataplaneError> {
        let transaction = Transaction::new(vec![Operation::AddTable]).to_string();
        self.run_in_time(&["-c", "-f", "-"], &transaction).await
    }

    async fn run_in_time(&self, arguments: &[&str], script: &str) -> Result<(), DataplaneError> {
        match timeout(PATIENCE, self.run(arguments, script)).await {
            Ok(result) => result,
            Err(_) => Err(DataplaneError::TimedOut {
                seconds: PATIENCE.as_secs(),
            }),
        }
    }

    async fn run(&self, arguments: &[&str], script: &str) -> Result<(), DataplaneError> {
        let not_started = |source| DataplaneError::NotStarted {
            program: self.program.display().to_string(),
            source,
        };
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            // Messages are read back: they are wanted in English.
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(not_started)?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // If nft goes away early its exit status tells more than the broken pipe does.
                let _ = stdin.write_all(script.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output.map_err(not_started)?;
        if output.status.success() {
            return Ok(());
        }
        let stderr: String = String::from_utf8_lossy(&output.stderr)
            .trim()
            .chars()
            .take(MESSAGE)
            .collect();
        let stderr = if stderr.is_empty() {
            output.status.to_string()
        } else {
            stderr
        };
        if stderr.contains("Operation not permitted") {
            return Err(DataplaneError::NotPermitted { stderr });
        }
        Err(DataplaneError::Refused {
            culprit: culprit(&stderr, script),
            stderr,
        })
    }
}

impl Dataplane for NftProcess {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        if transaction.is_empty() {
            return Ok(());
        }
        self.run_in_time(&["-f", "-"], &transaction.to_string())
            .await
    }
}

/// The line of the script that an error such as `/dev/stdin:12:5-9: Error: …` is about.
fn culprit(stderr: &str, script: &str) -> Option<String> {
    let place = stderr
        .split_once("/dev/stdin:")
        .or_else(|| stderr.split_once("-:"))?
        .1;
    let number: usize = place.split(':').next()?.parse().ok()?;
    let line = script.lines().nth(number.checked_sub(1)?)?;
    if stderr.contains(line) {
        return None;
    }
    let shown: String = line.chars().take(300).collect();
    Some(format!(
        "line {number}: {}{}",
        shown.trim(),
        if shown.len() < line.len() { " …" } else { "" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in place of nft: `sh -f -` reads its script from standard input too, so scripts here are what nft does.
    async fn run(script: &str) -> Result<(), DataplaneError> {
        let shell = NftProcess {
            program: PathBuf::from("/bin/sh"),
        };
        shell.run_in_time(&["-f", "-"], script).await
    }

    #[tokio::test]
    async fn success_and_failure() {
        assert!(run("exit 0").await.is_ok());
        let refused = run("echo '/dev/stdin:1:1-4: Error: no such thing' >&2; exit 1").await;
        match refused {
            Err(DataplaneError::Refused { stderr, culprit }) => {
                assert_eq!(stderr, "/dev/stdin:1:1-4: Error: no such thing");
                assert!(culprit.is_some_and(|line| line.starts_with("line 1: echo ")));
            }
            other => panic!("{other:?}"),
        }
        let silent = run("exit 3").await.map_err(|error| error.to_string());
        assert_eq!(
            silent,
            Err("nft refused the rules: exit status: 3".to_owned())
        );
        let forbidden = run("echo 'Error: Operation not permitted' >&2; exit 1").await;
        assert!(
            matches!(forbidden, Err(DataplaneError::NotPermitted { .. })),
            "{forbidden:?}"
        );
        let missing = NftProcess {
            program: PathBuf::from("/nonexistent/nft"),
        };
        let missing = missing.check().await;
        assert!(
            matches!(missing, Err(DataplaneError::NotStarted { .. })),
            "{missing:?}"
        );
    }

    #[tokio::test]
    async fn nothing_of_the_environment_is_passed_on() {
        // The variables that a shell sets itself are not from outside.
        let script = "test \"$LC_ALL\" = C && test -z \"$HOME$USER$CARGO_MANIFEST_DIR\" && test \"$PWD\" = /";
        assert!(run(script).await.is_ok());
    }

    #[tokio::test]
    async fn large_scripts_and_many_complaints_do_not_block_each_other() {
        let line = format!("echo {} >&2\n", "x".repeat(1000));
        let refused = run(&format!("{}exit 1\n", line.repeat(2000))).await;
        match refused {
            Err(DataplaneError::Refused { stderr, .. }) => assert_eq!(stderr.len(), MESSAGE),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let outcome = run("exec sleep 1000").await;
        assert!(
            matches!(outcome, Err(DataplaneError::TimedOut { seconds: 60 })),
            "{outcome:?}"
        );
    }

    #[test]
    fn the_culprit_is_the_line_that_nft_names() {
        let script = "add table inet netpol\nadd chain inet netpol\nadd rule x\n";
        let long = format!("{}\n", "x".repeat(400));
        let rows = [
            (
                "/dev/stdin:2:22-22: Error: syntax error, unexpected newline",
                script,
                Some("line 2: add chain inet netpol"),
            ),
            (
                "/dev/stdin:1:1-3: Error: x\nadd table inet netpol\n^^^",
                script,
                None,
            ),
            ("netlink: Error: cache initialization failed", script, None),
            ("/dev/stdin:9:1-2: Error: x", script, None),
            ("/dev/stdin:0:1-2: Error: x", script, None),
        ];
        for (stderr, script, expected) in rows {
            assert_eq!(culprit(stderr, script).as_deref(), expected, "{stderr}");
        }
        assert!(
            culprit("/dev/stdin:1:1-2: Error: x", &long).is_some_and(|line| line.ends_with("xx …"))
        );
    }
}
