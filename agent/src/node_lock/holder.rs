//! Which process holds an NFLOG group.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::manifests::printable;

/// `NETLINK_NETFILTER`
const NETFILTER: &str = "12";

/// No process has a higher number (`PID_MAX_LIMIT`); sockets that are not a process's first have.
const HIGHEST_PID: u32 = 4 << 20;

/// The process that holds a group, as far as can be seen from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its number and its name, if it is in this PID namespace or one below.
    pub process: Option<(u32, String)>,
    /// The number of its socket. A process's first one has the number of the process, as counted where that runs.
    pub port: Option<u32>,
}

impl Holder {
    /// Who holds a group in the network namespace of this thread.
    pub(super) fn of(group: u16) -> Self {
        let net = Path::new("/proc/thread-self/net");
        let read = |name| fs::read_to_string(net.join(name)).unwrap_or_default();
        let port = port(&read("netfilter/nfnetlink_log"), group);
        // The port is a number that anybody can choose; a descriptor of the socket itself is proof.
        let socket = port.and_then(|port| inode(&read("netlink"), port));
        let pid = port
            .zip(socket)
            .and_then(|(port, socket)| pid(port, socket));
        Self {
            process: pid.map(|pid| (pid, name(pid))),
            port,
        }
    }
}

/// The number of the socket that a group is bound to, by `/proc/net/netfilter/nfnetlink_log`.
fn port(groups: &str, group: u16) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let is_it = fields.next()?.parse() == Ok(group);
        fields.next().filter(|_| is_it)?.parse().ok()
    })
}

/// The inode of netfilter's socket with a number, by `/proc/net/netlink`.
fn inode(sockets: &str, port: u32) -> Option<u64> {
    sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, NETFILTER, number, .., inode] if number.parse() == Ok(port) => inode.parse().ok(),
            _ => None,
        }
    })
}

/// The process that has a socket open. The one whose number the socket bears is mostly it.
fn pid(likely: u32, socket: u64) -> Option<u32> {
    let link = PathBuf::from(format!("socket:[{socket}]"));
    let has_it = |pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        let mut descriptors = descriptors.into_iter().flatten().flatten();
        descriptors.any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|to| to == link))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    Some(likely).into_iter().chain(pids).find(has_it)
}

/// A process's name, which it can choose.
fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    printable(name.trim_end_matches('\n'))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.process, self.port) {
            (Some((pid, name)), _) => write!(f, "process {pid} ({name})"),
            (None, Some(port)) if port <= HIGHEST_PID => write!(
                f,
                "a process that cannot be seen from here (probably number {port} where it runs: on the node itself or in a \
                 container)"
            ),
            (None, _) => f.write_str(
                "a process that cannot be seen from here (on the node itself or in another container)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = " 9807  23548     0 2 65531    100  1
    5 3496391625     0 2 65531    100  1
 9808 3496391626    12 2 65531      3  1
";

    const SOCKETS: &str = "\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000c351d6ac 0   23548      00000000 0        0        0     2        0        9010379
0000000051676618 12  0          00000000 0        0        0     2        0        9010386
0000000051676619 12  23548      00000001 0        0        0     2        0        9010387
000000006d6c4cad 16  3496391625 00000000 0        0        0     2        0        9010380
";

    #[test]
    fn the_socket_is_found_by_group_and_port() {
        for (group, expected) in [
            (9807, Some(23548)),
            (5, Some(3_496_391_625)),
            (9808, Some(3_496_391_626)),
            (23548, None),
            (0, None),
        ] {
            assert_eq!(port(GROUPS, group), expected, "{group}");
        }
        assert_eq!(inode(SOCKETS, 23548), Some(9_010_387));
        assert_eq!(inode(SOCKETS, 3_496_391_625), None, "not netfilter's");
        for odd in ["", "\n", "9807\n", "9807 x\n", "-1 2 3\n", "9807 -4096 0\n"] {
            assert_eq!(port(odd, 9807), None, "{odd:?}");
        }
        for odd in ["", "\n", "0 12 23548\n", "0 12 23548 x\n"] {
            assert_eq!(inode(odd, 23548), None, "{odd:?}");
        }
    }

    #[test]
    fn it_is_said_what_is_known() {
        let process = Some((4711, "netpol".to_owned()));
        let port = Some(1);
        let known = Holder { process, port };
        assert_eq!(known.to_string(), "process 4711 (netpol)");
        let mut unknown = Holder {
            process: None,
            port,
        };
        assert!(unknown.to_string().contains("probably number 1 where"));
        unknown.port = Some(3_496_391_625);
        assert!(!unknown.to_string().contains("number"), "{unknown}");
    }
}
