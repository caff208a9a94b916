//! Whether this process may change nftables, and whether there is one.

use super::Finding;
use crate::dataplane::NetlinkError;

const CHECK: &str = "rights";
/// `CAP_NET_ADMIN`
const NET_ADMIN: u32 = 12;

/// Whether the capability is in effect, by `/proc/self/status`.
fn has_net_admin(status: &str) -> Option<bool> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let bits = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(bits & (1 << NET_ADMIN) != 0)
}

/// What the process's status and nftables' answer amount to. Errors mean that nothing further can be asked of nftables.
pub(super) fn judge(status: &str, answer: Result<(), &NetlinkError>) -> Vec<Finding> {
    let advice = "run as root, or give the container the capability NET_ADMIN (securityContext.capabilities.add), in the \
        node's own network (hostNetwork: true)";
    match (has_net_admin(status), answer) {
        (Some(false), Err(_)) => vec![Finding::error(
            CHECK,
            "no NET_ADMIN: this process may not change nftables",
            advice,
        )],
        (_, Ok(())) => vec![Finding::ok(
            CHECK,
            "NET_ADMIN is there, and nf_tables answers",
        )],
        (_, Err(NetlinkError::NotPermitted)) => vec![Finding::error(
            CHECK,
            "NET_ADMIN is not that of this network namespace: nftables may not be changed",
            advice,
        )],
        (_, Err(error)) => vec![Finding::error(
            CHECK,
            format!("nf_tables does not answer: {error}"),
            "load the module on the node (`modprobe nf_tables`), or use a kernel with CONFIG_NF_TABLES and \
             CONFIG_NETFILTER_NETLINK",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn the_capability_is_a_bit() {
        for (status, expected) in [
            ("Name:\tx\nCapEff:\t0000000000001000\n", Some(true)),
            ("CapEff:\t000001ffffffffff\n", Some(true)),
            ("CapEff:\t000001ffffffefff\n", Some(false)),
            (
                "CapPrm:\t0000000000001000\nCapEff:\t0000000000000000\n",
                Some(false),
            ),
            ("CapEff:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(has_net_admin(status), expected, "{status}");
        }
    }

    #[test]
    fn rights_and_the_kernel_are_told_apart() {
        let with = "CapEff:\t0000000000001000\n";
        let without = "CapEff:\t0000000000000000\n";
        let refused = NetlinkError::NotPermitted;
        let no_kernel = NetlinkError::Socket {
            doing: "opening",
            source: std::io::ErrorKind::Unsupported.into(),
        };
        for (status, answer, level, words) in [
            (with, Ok(()), Level::Ok, "answers"),
            // The number of the field may change; what the kernel lets be done counts.
            ("", Ok(()), Level::Ok, "answers"),
            (without, Err(&refused), Level::Error, "no NET_ADMIN"),
            (
                with,
                Err(&refused),
                Level::Error,
                "not that of this network",
            ),
            (with, Err(&no_kernel), Level::Error, "modprobe nf_tables"),
        ] {
            let findings = judge(status, answer);
            let [finding] = findings.as_slice() else {
                panic!("{findings:?}")
            };
            assert_eq!(finding.level, level, "{finding}");
            assert!(finding.to_string().contains(words), "{finding}");
        }
    }
}
