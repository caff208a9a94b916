//! Whether there is room for more connections.

use super::Finding;

const CHECK: &str = "conntrack";

/// Of a hundred places so many taken are told.
const FULL: u64 = 90;

/// What the number of connections and of places for them amount to.
pub(super) fn judge(connections: Option<(u64, u64)>) -> Option<Finding> {
    let (count, most) = connections?;
    if most == 0 || count.saturating_mul(100) < most.saturating_mul(FULL) {
        let found = format!("connection tracking has room ({count} of {most})");
        return Some(Finding::ok(CHECK, found));
    }
    Some(Finding::warning(
        CHECK,
        format!(
            "connection tracking is almost full ({count} of {most}): when it is, the kernel drops whatever begins a \
             connection"
        ),
        "raise net.netfilter.nf_conntrack_max on the node (kube-proxy's --conntrack-max-per-core sets it, too)",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn the_last_tenth_is_told() {
        let level = |connections| judge(connections).map(|finding| finding.level);
        for (count, expected) in [
            (0, Level::Ok),
            (899, Level::Ok),
            (900, Level::Warning),
            (2000, Level::Warning),
        ] {
            assert_eq!(level(Some((count, 1000))), Some(expected), "{count}");
        }
        // 0 is no bound.
        assert_eq!(level(Some((7, 0))), Some(Level::Ok));
        assert_eq!(level(None), None);
        assert_eq!(level(Some((u64::MAX, u64::MAX))), Some(Level::Warning));
    }
}
