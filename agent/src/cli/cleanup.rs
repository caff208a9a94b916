//! `netpol cleanup`

use clap::Args;
use policy_compiler::ruleset::{Operation, TABLE, Transaction};

use super::{Failure, remark, stop_signal};
use crate::dataplane::{Dataplane, NetlinkDataplane};
use crate::node_lock::{LockError, NodeLock};
use crate::port_guard::PortGuard;

/// Remove netpol's rules from this node's kernel: nothing is isolated any more. Other tables are left alone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  On a node, as root, when its agent has been stopped:
    netpol cleanup

Stop the agent first: nothing is removed while one runs, which would write its rules anew at once.
Doing it again does no harm. Needs root or CAP_NET_ADMIN.")]
pub(super) struct Cleanup {
    /// Then wait for SIGTERM, and let no agent start meanwhile: for pods that uninstall
    #[arg(long)]
    stay: bool,
}

impl Cleanup {
    pub(super) async fn run(self) -> Result<String, Failure> {
        // Without a lock to be had nobody knows whether an agent runs. What else is amiss is said by the removal.
        let _lock = match NodeLock::take() {
            Err(error @ LockError::Held { .. }) => {
                return Err(Failure::because(format!(
                    "stop the agent of this node first, which would write its rules anew at once: {error}"
                )));
            }
            lock => lock.ok(),
        };
        let stop = stop_signal()?;
        let mut done = remove(&mut NetlinkDataplane::open()?).await?;
        if PortGuard::remove()? {
            done.push_str("removed table bridge netpol: bridges' ports are not guarded any more\n");
        }
        if !self.stay {
            return Ok(done);
        }
        remark(done.trim_end());
        stop.await;
        Ok(String::new())
    }
}

/// Removes the table. A bare removal, not [`Transaction::remove`]: its failure is how one learns that there was none.
async fn remove(dataplane: &mut impl Dataplane) -> Result<String, Failure> {
    match dataplane
        .commit(&Transaction::new(vec![Operation::DeleteTable]))
        .await
    {
        Ok(()) => Ok(format!(
            "removed table inet {TABLE}: this node enforces no policy any more\n"
        )),
        Err(error) if error.is_missing() => Ok(format!("there is no table inet {TABLE}\n")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;
    use crate::dataplane::{Memory, NetlinkError};

    #[tokio::test]
    async fn only_the_own_table_goes() {
        let mut memory = Memory::default();
        let said = remove(&mut memory)
            .await
            .map_err(|failure| format!("{failure:?}"));
        assert_eq!(
            said.as_deref(),
            Ok("removed table inet netpol: this node enforces no policy any more\n")
        );
        assert_eq!(memory.attempts(), ["delete table inet netpol\n"]);
        memory.fail_next_with(|| NetlinkError::Refused {
            command: "delete table inet netpol".to_owned(),
            reason: String::new(),
            errno: libc::ENOENT,
            others: 0,
        });
        let said = remove(&mut memory)
            .await
            .map_err(|failure| format!("{failure:?}"));
        assert_eq!(said.as_deref(), Ok("there is no table inet netpol\n"));
        memory.fail_next("Device or resource busy");
        assert!(remove(&mut memory).await.is_err());
    }
}
