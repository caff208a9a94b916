//! Edits, what is told of them, and what it takes to undo them: of rules and chains.

/// What undoes an edit.
pub(super) enum Repair {
    /// So many commands, with the one that makes sure of the table.
    Of(usize),
    /// Another table.
    Whole,
}

pub(super) struct Edit {
    /// A script for `nft`.
    pub(super) command: &'static str,
    /// What the differences say among other things.
    pub(super) told: &'static [&'static str],
    pub(super) repair: Repair,
}

pub(super) const fn edit(
    command: &'static str,
    told: &'static [&'static str],
    repair: Repair,
) -> Edit {
    Edit {
        command,
        told,
        repair,
    }
}

use Repair::Of;

/// Edits of rules and chains.
pub(super) const RULES: &[Edit] = &[
    edit(
        "delete rule inet netpol pod handle <pod/2>",
        &["chain pod: rule 2 is missing: `ip saddr @blocks udp dport { 53, 5353 } accept`"],
        Of(7),
    ),
    edit(
        "insert rule inet netpol pod accept",
        &["chain pod: rule 1 (handle ", ") should not be there"],
        Of(7),
    ),
    edit(
        "add rule inet netpol rest counter accept",
        &["chain rest: rule 2 (handle "],
        Of(3),
    ),
    edit(
        "replace rule inet netpol rest handle <rest/1> accept",
        &[
            "chain rest: rule 1 (handle ",
            ") is not `ip daddr . tcp dport @named accept`",
        ],
        Of(3),
    ),
    edit(
        "replace rule inet netpol pod handle <pod/3> jump rest comment \"mine\"",
        &[
            "chain pod: rule 3 (handle ",
            ") has another comment than `jump rest`",
        ],
        Of(7),
    ),
    edit(
        "insert rule inet netpol pod tcp dport { 80, 443, 8000-8101 } ip saddr @peers accept comment \"of web\"\n\
         delete rule inet netpol pod handle <pod/1>",
        &["chain pod: rule 1 (handle ", ") is not `tcp dport {"],
        Of(7),
    ),
    edit(
        "replace rule inet netpol pod handle <pod/2> ip saddr @blocks udp dport { 53, 5354 } accept",
        &["chain pod: rule 2 (handle "],
        Of(7),
    ),
    edit(
        "add rule inet netpol pod position <pod/2> ip saddr { 10.0.0.0/8, 12.0.0.0/8 } accept\n\
         delete rule inet netpol pod handle <pod/2>",
        &["chain pod: rule 2 (handle "],
        Of(7),
    ),
    edit(
        "flush chain inet netpol pod",
        &["rule 1 is missing", "rule 5 is missing"],
        Of(7),
    ),
    edit(
        "flush table inet netpol",
        &[
            "chain base: rule 2 is missing",
            "chain rest: rule 1 is missing",
        ],
        Of(12),
    ),
    edit(
        "add rule inet netpol empty drop",
        &["chain empty: rule 1 (handle "],
        Of(2),
    ),
    edit(
        "flush chain inet netpol pod\nadd rule inet netpol rest jump pod",
        &["chain pod: rule 1 is missing", "chain rest: rule 2"],
        Of(9),
    ),
    edit(
        "delete chain inet netpol empty",
        &["chain empty: is missing"],
        Of(2),
    ),
    edit(
        "flush map inet netpol goes\nflush chain inet netpol pod\ndelete chain inet netpol pod",
        &[
            "chain pod: is missing",
            "map goes: 10.0.0.1, 10.0.0.2 are missing",
        ],
        Of(8),
    ),
    edit(
        "flush chain inet netpol pod\ndelete counter inet netpol pod",
        &["counter pod: is missing"],
        Of(8),
    ),
];
