//! Makes bridged packets pass the hooks, for who asks for it.

use std::io;

use nix::libc;

use super::Finding;
use super::attachment::Attachment;
use super::settings::{BRIDGED, Bridged, switch_on};

const CHECK: &str = "bridges";

/// Switches on what is off, where pods hang on a bridge or it is not known yet where they will: the first one brings the
/// bridge with it.
pub(super) fn enable(attachment: &Attachment<'_>, settings: Bridged) -> Option<Finding> {
    let is_off = settings.v4 == Some(false) || settings.v6 == Some(false);
    let is_wanted = !attachment.bridges.is_empty() || !attachment.has_some();
    if !is_off || !is_wanted {
        return None;
    }
    Some(judge(BRIDGED.into_iter().try_for_each(switch_on)))
}

fn judge(done: io::Result<()>) -> Finding {
    let error = match done {
        Ok(()) => {
            let found = "net.bridge.bridge-nf-call-iptables and -ip6tables were 0, and are 1 now";
            return Finding::ok(CHECK, found);
        }
        Err(error) => error,
    };
    let (why, advice) = match error.raw_os_error() {
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => (
            "the kernel's settings may not be changed from here",
            "run `netpol doctor --enable-bridge-netfilter` as a privileged init container, or on the node itself: \
             `sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1`",
        ),
        _ => (
            "the kernel's settings cannot be changed",
            "on the node: `modprobe br_netfilter`, then `sysctl -w net.bridge.bridge-nf-call-iptables=1 \
             net.bridge.bridge-nf-call-ip6tables=1`",
        ),
    };
    // How bad that is depends on who hangs on which bridge, and is said there.
    Finding::warning(
        CHECK,
        format!("--enable-bridge-netfilter: {why} ({error})"),
        advice,
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn why_it_cannot_be_done_is_said() {
        for errno in [libc::EROFS, libc::EACCES, libc::EPERM] {
            let finding = judge(Err(io::Error::from_raw_os_error(errno)));
            assert_eq!(finding.level, Level::Warning);
            assert!(
                finding.to_string().contains("privileged init container"),
                "{finding}"
            );
        }
        let finding = judge(Err(io::Error::from_raw_os_error(libc::ENOENT)));
        assert!(finding.to_string().contains("modprobe"), "{finding}");
        assert_eq!(judge(Ok(())).level, Level::Ok);
    }

    #[test]
    fn what_is_on_or_absent_is_left_alone() {
        let attachment = Attachment::default();
        let on = Bridged {
            v4: Some(true),
            v6: Some(true),
        };
        assert_eq!(enable(&attachment, on), None);
        assert_eq!(enable(&attachment, Bridged::default()), None);
    }
}
