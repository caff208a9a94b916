//! Whether the kernel's filter is worth it. Nanoseconds, by `benches/connections.rs`.

/// What looking into one place of the list takes, which is made for all connections that there may be, and has a lock of its own.
const PLACE: u64 = 15;
/// What passing over a connection takes, which is in the list in both its directions.
const PASSED: u64 = 60;
/// What it takes the kernel to tell of a connection, and this process to read it.
const TOLD: u64 = 900;

/// The list is walked once for each address and role if the kernel filters it, and once if it does not; but then everything is
/// told. Which takes less depends on how many connections there are, and on the list's size, which can be much larger.
pub(super) fn is_filter_cheaper(addresses: usize, connections: u64, places: Option<u64>) -> bool {
    let addresses = u64::try_from(addresses).unwrap_or(u64::MAX);
    let places = places.unwrap_or(connections);
    let walk = PLACE
        .saturating_mul(places)
        .saturating_add(PASSED.saturating_mul(connections));
    let walks = addresses.saturating_mul(2).saturating_sub(1);
    walk.saturating_mul(walks) < TOLD.saturating_mul(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_are_worth_some_walks() {
        let places = Some(262_144);
        for (addresses, connections, expected) in [
            (1, 0, false),
            (1, 1_000, false),
            (1, 50_000, true),
            (1, 200_000, true),
            (4, 200_000, true),
            (40, 200_000, false),
            (usize::MAX, u64::MAX, false),
        ] {
            let found = is_filter_cheaper(addresses, connections, places);
            assert_eq!(found, expected, "{addresses} of {connections}");
        }
    }
}
