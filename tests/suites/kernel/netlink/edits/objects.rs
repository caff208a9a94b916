//! Edits of sets, maps and their elements, of other objects and of the table.

use super::rows::Repair::{Of, Whole};
use super::rows::{Edit, edit};

pub(super) const OBJECTS: &[Edit] = &[
    edit(
        "delete element inet netpol peers { 10.1.0.1 }",
        &["set peers: 10.1.0.1 is missing"],
        Of(2),
    ),
    edit(
        "add element inet netpol peers { 10.9.9.9 }",
        &["set peers: 10.9.9.9 is too much"],
        Of(2),
    ),
    edit(
        "delete element inet netpol peers { 10.1.0.1 }\nadd element inet netpol peers { 10.1.0.1 comment \"mine\" }",
        &["set peers: 10.1.0.1 has a timeout or comment"],
        Of(3),
    ),
    edit(
        "add element inet netpol peers { 10.9.9.1, 10.9.9.2, 10.9.9.3, 10.9.9.4, 10.9.9.5, 10.9.9.6, 10.9.9.7 }\n\
         delete element inet netpol peers { 10.1.0.1, 10.1.0.2 }",
        &[
            "10.1.0.1, 10.1.0.2 are missing; 10.9.9.1, 10.9.9.2, 10.9.9.3, 10.9.9.4, 10.9.9.5 and 2 others are too much",
        ],
        Of(3),
    ),
    edit(
        "flush set inet netpol peers",
        &["set peers: 10.1.0.1, 10.1.0.2 are missing"],
        Of(2),
    ),
    edit(
        "delete element inet netpol blocks { 10.2.0.0/16 }\nadd element inet netpol blocks { 10.2.0.0/15 }",
        &["set blocks: 10.2.0.0/16 is missing; 10.2.0.0/15 is too much"],
        Of(3),
    ),
    edit(
        "add element inet netpol blocks { 240.0.0.0/4, 0.0.0.0/8 }",
        &["set blocks: 0.0.0.0/8, 240.0.0.0/4 are too much"],
        Of(2),
    ),
    edit(
        "delete element inet netpol blocks { 10.4.0.1-10.4.0.9 }\n\
         add element inet netpol blocks { 10.4.0.1-10.4.0.9 comment \"mine\" }",
        &["set blocks: 10.4.0.1-10.4.0.9 has a timeout or comment"],
        Of(3),
    ),
    edit(
        "add element inet netpol named { 10.1.0.1 . 22 }",
        &["set named: 10.1.0.1 . 22 is too much"],
        Of(2),
    ),
    edit(
        "delete element inet netpol goes { 10.0.0.1 }\nadd element inet netpol goes { 10.0.0.1 : goto rest }",
        &["map goes: 10.0.0.1 goes elsewhere"],
        Of(3),
    ),
    edit(
        "delete element inet netpol goes { 10.0.0.1 }\nadd element inet netpol goes { 10.0.0.1 : jump pod }",
        &["map goes: 10.0.0.1 goes elsewhere"],
        Of(3),
    ),
    edit(
        "delete element inet netpol goes { 10.0.0.1 }\nadd element inet netpol goes { 10.0.0.1 : accept }",
        &["map goes: 10.0.0.1 goes elsewhere"],
        Of(3),
    ),
    edit(
        "delete element inet netpol goes { 10.0.0.1 }\nadd element inet netpol goes { 10.0.0.9 : goto pod, 10.0.0.8 : drop }",
        &["map goes: 10.0.0.1 is missing; 10.0.0.9, 10.0.0.8 are too much"],
        Of(4),
    ),
    edit(
        "add chain inet netpol extra\nadd rule inet netpol extra jump rest\ninsert rule inet netpol pod jump extra\n\
         add element inet netpol goes { 10.0.0.9 : goto extra }",
        &[
            "chain extra: should not be there",
            "chain pod: rule 1",
            "map goes: 10.0.0.9",
        ],
        Of(10),
    ),
    edit(
        "add chain inet netpol Extra { type filter hook input priority 0; policy drop; }",
        &["chain Extra: should not be there"],
        Of(3),
    ),
    edit(
        "add set inet netpol extra { type inet_service; elements = { 80 }; }\n\
         insert rule inet netpol rest tcp dport @extra accept",
        &["set extra: should not be there"],
        Of(4),
    ),
    edit(
        "add chain inet netpol there\nadd map inet netpol extra { type ipv6_addr : verdict; }\n\
         add element inet netpol extra { fd00::1 : goto there }",
        &["map extra: should not be there", "chain there: should not"],
        Of(5),
    ),
    edit(
        "add map inet netpol extra { type ipv4_addr : mark; elements = { 10.0.0.1 : 7 }; }",
        &["map extra: should not be there"],
        Whole,
    ),
    edit(
        "add counter inet netpol extra\ninsert rule inet netpol rest counter name \"extra\"",
        &["counter extra: should not be there"],
        Of(4),
    ),
    edit(
        "add quota inet netpol extra { over 10 mbytes }",
        &["object extra (of type 2), not a counter: should not be there"],
        Whole,
    ),
    edit(
        "add rule inet netpol rest jump { accept; }",
        &["chain __chain", "chain rest: rule 2"],
        Whole,
    ),
    edit(
        "add element inet netpol peers { * }",
        &["set peers: holds what it cannot"],
        Whole,
    ),
    edit(
        "flush chain inet netpol rest\ndelete set inet netpol named",
        &["set named: is missing", "chain rest: rule 1 is missing"],
        Of(5),
    ),
    edit(
        "flush chain inet netpol rest\ndelete set inet netpol named\n\
         add set inet netpol named { type ipv4_addr; comment \"of a set\"; }",
        &["set named: is of another type"],
        Whole,
    ),
    edit(
        "flush chain inet netpol rest\ndelete set inet netpol named\n\
         add set inet netpol named { type ipv4_addr . inet_service; flags timeout; comment \"of a set\"; }",
        &["set named: is of another type, or has options"],
        Whole,
    ),
    edit(
        "flush chain inet netpol rest\ndelete set inet netpol named\n\
         add set inet netpol named { type ipv4_addr . inet_service; comment \"mine\"; }",
        &["set named: has another comment than \"of a set\""],
        Whole,
    ),
    edit(
        "flush chain inet netpol base\ndelete map inet netpol goes\nadd map inet netpol goes { type ipv6_addr : verdict; }",
        &["map goes: is of another type"],
        Whole,
    ),
    edit(
        "table inet netpol { flags dormant; }",
        &["the table is dormant"],
        Of(1),
    ),
    edit(
        "table inet netpol { flags dormant; }\nflush chain inet netpol pod",
        &["the table is dormant", "chain pod: rule 5 is missing"],
        Of(7),
    ),
    edit(
        "table inet netpol { flags dormant; }\nadd quota inet netpol extra { over 10 mbytes }",
        &["the table is dormant", "object extra"],
        Whole,
    ),
    edit(
        "flush chain inet netpol base\ndelete chain inet netpol base\n\
         add chain inet netpol base { type filter hook forward priority 5; policy accept; }",
        &[
            "chain base: is of type filter, at hook 2 with priority 5 and policy 1; it should be `type filter hook forward priority filter; policy accept;`",
        ],
        Whole,
    ),
    edit(
        "add chain inet netpol base { policy drop; }",
        &["and policy 0; it should be"],
        Whole,
    ),
    edit(
        "delete chain inet netpol empty\nadd chain inet netpol empty { comment \"mine\"; }",
        &["chain empty: has flags or a comment"],
        Whole,
    ),
    edit(
        "delete table inet netpol\nadd table inet netpol { comment \"mine\"; }",
        &["the table has a comment", "chain base: is missing"],
        Whole,
    ),
];
