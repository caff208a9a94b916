//! The kernel's settings, as `/proc/sys` shows them of this thread's network namespace.

use std::fs;
use std::io;
use std::path::Path;

const ROOT: &str = "/proc/sys/net";

/// Whether bridged packets are shown to netfilter. `None` where there is no such setting: the module is not loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bridged {
    pub(super) v4: Option<bool>,
    pub(super) v6: Option<bool>,
}

/// The settings that checks ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) forwards_v4: Option<bool>,
    pub(super) forwards_v6: Option<bool>,
    pub(super) bridged: Bridged,
    /// Connections that are tracked, and how many can be.
    pub(super) connections: Option<(u64, u64)>,
}

/// What makes bridged packets pass the hooks, by family.
pub(super) const BRIDGED: [&str; 2] = [
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
];

impl Settings {
    pub(super) fn read() -> Self {
        let [v4, v6] = BRIDGED.map(switch);
        let count = number("netfilter/nf_conntrack_count");
        Self {
            forwards_v4: switch("ipv4/ip_forward"),
            forwards_v6: switch("ipv6/conf/all/forwarding"),
            bridged: Bridged { v4, v6 },
            connections: count.zip(number("netfilter/nf_conntrack_max")),
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new(ROOT).join(name)).ok()?;
    text.trim().parse().ok()
}

fn switch(name: &str) -> Option<bool> {
    number(name).map(|value| value != 0)
}

/// Switches a setting on.
pub(super) fn switch_on(name: &str) -> io::Result<()> {
    fs::write(Path::new(ROOT).join(name), "1")
}
