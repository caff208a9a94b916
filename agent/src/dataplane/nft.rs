//! The kernel's nftables, by way of the `nft` program.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use policy_compiler::ruleset::{Operation, TABLE, Transaction};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
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

/// A killed process is gone at once, unless the kernel holds it.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// Characters kept of what `nft` says: it may complain of each of thousands of lines.
const MESSAGE: usize = 2000;

/// Runs `nft -f -` for each transaction. The script goes in by standard input, and nothing else of it anywhere.
#[derive(Debug)]
pub struct NftProcess {
    program: PathBuf,
    bytes_sent: u64,
}

impl NftProcess {
    /// Finds `nft` where system programs are.
    pub fn find() -> Result<Self, DataplaneError> {
        let candidates = FOLDERS
            .iter()
            .map(|folder| PathBuf::from(folder).join("nft"));
        match candidates.into_iter().find(|program| program.is_file()) {
            Some(program) => Ok(Self::new(program)),
            None => Err(DataplaneError::NotInstalled {
                searched: FOLDERS.join(", "),
            }),
        }
    }

    fn new(program: PathBuf) -> Self {
        let bytes_sent = 0;
        Self {
            program,
            bytes_sent,
        }
    }

    /// Whether this process may change nftables at all; changes nothing.
    pub async fn check(&self) -> Result<(), DataplaneError> {
        let transaction = Transaction::new(vec![Operation::AddTable]).to_string();
        self.run(&["-c", "-f", "-"], &transaction).await.map(drop)
    }

    /// Whether the kernel takes rules that log to `group`; changes nothing. Some have NFLOG but not nftables' `log`, and
    /// would refuse every table that has one.
    pub async fn check_log(&self, group: u16) -> Result<(), DataplaneError> {
        let script = format!(
            "add table inet {TABLE}\nadd chain inet {TABLE} check\n\
             add rule inet {TABLE} check limit rate 1/second log group {group}\n"
        );
        self.run(&["-c", "-f", "-"], &script).await.map(drop)
    }

    /// Runs `nft` and returns what it printed.
    async fn run(&self, arguments: &[&str], script: &str) -> Result<String, DataplaneError> {
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
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(not_started)?;
        let Ok(said) = timeout(PATIENCE, converse(&mut child, script)).await else {
            // The next transaction must not be overtaken by this one.
            let _ = timeout(LAST_PATIENCE, child.kill()).await;
            return Err(DataplaneError::TimedOut {
                seconds: PATIENCE.as_secs(),
            });
        };
        let Said {
            status,
            stdout,
            stderr,
        } = said.map_err(not_started)?;
        if status.success() {
            return Ok(stdout);
        }
        let stderr: String = stderr.trim().chars().take(MESSAGE).collect();
        if stderr.is_empty() {
            return Err(DataplaneError::Ended { status });
        }
        if stderr.contains("Operation not permitted") {
            return Err(DataplaneError::NotPermitted { stderr });
        }
        Err(DataplaneError::Refused {
            culprit: culprit(&stderr, script),
            stderr,
        })
    }
}

/// What a program said, and how it ended.
struct Said {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Gives a program its input and waits for all it has to say.
async fn converse(child: &mut Child, input: &str) -> io::Result<Said> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // If nft goes away early its exit status tells more than the broken pipe does.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), stdout, stderr, status) =
        tokio::join!(write, read(stdout), read(stderr), child.wait());
    Ok(Said {
        status: status?,
        stdout: stdout?,
        stderr: stderr?,
    })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Dataplane for NftProcess {
    async fn commit(&mut self, transaction: &Transaction) -> Result<(), DataplaneError> {
        if transaction.is_empty() {
            return Ok(());
        }
        let script = transaction.to_string();
        self.bytes_sent += script.len() as u64;
        self.run(&["-f", "-"], &script).await.map(drop)
    }

    async fn has_table(&mut self) -> Result<bool, DataplaneError> {
        let tables = self.run(&["list", "tables", "inet"], "").await?;
        let own = format!("table inet {TABLE}");
        Ok(tables.lines().any(|line| line.trim() == own))
    }

    fn bytes_sent(&self) -> u64 {
        self.bytes_sent
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
        let shell = NftProcess::new(PathBuf::from("/bin/sh"));
        shell.run(&["-f", "-"], script).await.map(drop)
    }

    /// As a kernel does that has no `log` for nftables.
    #[tokio::test]
    async fn a_kernel_without_log_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("nft");
        // Another process writes it: while one that another test starts has a file of ours open for writing, nobody can run it.
        let script = r#"printf '#!/bin/sh\n! grep " log " >&2\n' > "$0" && chmod 755 "$0""#;
        let mut shell = Command::new("sh");
        let written = shell.arg("-c").arg(script).arg(&program).status().await;
        assert!(written.expect("a shell").success());
        let nft = NftProcess::new(program);
        assert!(nft.check().await.is_ok());
        let refused = nft.check_log(9808).await;
        assert!(
            matches!(&refused, Err(DataplaneError::Refused { stderr, .. }) if stderr.contains("log group 9808")),
            "{refused:?}"
        );
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
            Err("nft ended without a word (exit status: 3); was it killed, for want of memory perhaps?".to_owned())
        );
        let forbidden = run("echo 'Error: Operation not permitted' >&2; exit 1").await;
        assert!(
            matches!(forbidden, Err(DataplaneError::NotPermitted { .. })),
            "{forbidden:?}"
        );
        let missing = NftProcess::new(PathBuf::from("/nonexistent/nft"));
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
