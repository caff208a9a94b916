//! Chains, rules, sets and counters of the table. They are the same whatever its sets hold.
//!
//! ```text
//! chain ports {
//!     type filter hook prerouting priority dstnat; policy accept;      (-300 in this family)
//!     meta iifkind != "veth" accept
//!     iif @passages accept
//!     vlan id 0 goto tagged
//!     ether type 8021ad vlan id 0 goto tagged
//!     ip saddr @guarded4 iif . ip saddr != @bound4 goto forged
//!     ip6 saddr @guarded6 iif . ip6 saddr != @bound6 goto forged
//!     arp saddr ip @guarded4 iif . arp saddr ip != @bound4 goto forged-neighbour
//!     icmpv6 type nd-router-advert iif @pods goto forged-neighbour
//!     icmpv6 type nd-neighbor-advert, its target as ip6 saddr above, goto forged-neighbour
//! }
//! ```
//!
//! The tag of VLAN 0 means no VLAN: who receives such a frame takes it as if it had none. But `br_netfilter` passes over all
//! tagged frames, so that no policy would hold between pods of a bridge that send them.
//!
//! No pod is a router: whom it says it is one to, and who listens to routers, as Linux does by default, would send it all
//! that goes to addresses far away, or that it says are on the link.

use policy_compiler::model::Direction;
use policy_compiler::ruleset::{DropLog, DropOf, DropPoint};

use super::super::chain::{
    ACCEPT, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TYPE, FILTER as FILTER_TYPE,
};
use super::super::expression::{
    AFTER_4_BYTES, Compare, Expressions, FIRST_REGISTER, Header, Target,
};
use super::super::numbers::{
    COUNTER, NAME as OBJECT_NAME, NEW_CHAIN, NEW_OBJECT, NEW_RULE, NEW_SET, NEW_TABLE, OBJECT_DATA,
    OBJECT_TYPE, RULE_CHAIN, RULE_EXPRESSIONS,
};
use super::super::set::{FLAGS, KEY_LENGTH, KEY_TYPE, USERDATA};
use super::super::userdata::Userdata;
use super::commands::{APPEND, CREATE, Commands};
use crate::netlink::{Writer, written};

/// The table's name.
pub(super) const NAME: &str = policy_compiler::ruleset::TABLE;

/// `NF_BR_PRE_ROUTING`, and `NF_BR_PRI_NAT_DST_BRIDGED`: before `br_netfilter`, which comes at 0.
pub(super) const HOOK: (u32, i32) = (0, -300);

const PORTS: &str = "ports";
const FORGED: &str = "forged";
const FORGED_NEIGHBOUR: &str = "forged-neighbour";
const TAGGED: &str = "tagged";

/// The base chain, and where it goes. Each of these has a counter of its name.
pub(super) const CHAINS: [&str; 4] = [PORTS, FORGED, FORGED_NEIGHBOUR, TAGGED];
pub(super) const COUNTERS: [&str; 3] = [FORGED, FORGED_NEIGHBOUR, TAGGED];

/// What the keys of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Addresses of a family.
    Addresses { v4: bool },
    /// Ports with addresses of a family.
    Pairs { v4: bool },
    /// Ports of pods.
    Pods,
    /// Ports that lead to the node itself.
    Passages,
}

pub(super) const SETS: [(&str, Keys); 6] = [
    ("bound4", Keys::Pairs { v4: true }),
    ("bound6", Keys::Pairs { v4: false }),
    ("guarded4", Keys::Addresses { v4: true }),
    ("guarded6", Keys::Addresses { v4: false }),
    ("passages", Keys::Passages),
    ("pods", Keys::Pods),
];

/// Packets that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drops {
    /// They bore an address that belongs elsewhere.
    pub(crate) source: u64,
    /// They said, in ARP or neighbour discovery, that such an address or a router is here.
    pub(crate) neighbour: u64,
    /// They bore a tag of VLAN 0.
    pub(crate) tagged: u64,
}

impl Keys {
    /// The type of keys, as `nft` numbers it, and their bytes.
    pub(super) fn kind(self) -> (u32, u32) {
        /// `iface_index`
        const LINK: u32 = 20;
        /// A concatenation's type is made of its parts', 6 bits each.
        const PART: u32 = 6;
        let address = |v4| if v4 { (7, 4) } else { (8, 16) };
        match self {
            Self::Addresses { v4 } => address(v4),
            Self::Pairs { v4 } => {
                let (kind, length) = address(v4);
                (LINK << PART | kind, length + 4)
            }
            Self::Pods | Self::Passages => (LINK, 4),
        }
    }
}

/// Makes the table with all that does not change.
pub(super) fn make(log: Option<&DropLog>, commands: &mut Commands) {
    commands.add(NEW_TABLE, CREATE, |w| w.be32(2, 0));
    for counter in COUNTERS {
        commands.add(NEW_OBJECT, CREATE, |w| {
            w.text(OBJECT_NAME, counter);
            w.be32(OBJECT_TYPE, COUNTER);
            w.nest(OBJECT_DATA, |w| {
                w.be64(1, 0);
                w.be64(2, 0);
            });
        });
    }
    for (number, (name, keys)) in (1..).zip(SETS) {
        commands.add(NEW_SET, CREATE, |w| write_set(w, number, name, keys));
    }
    for chain in CHAINS {
        commands.add(NEW_CHAIN, CREATE, |w| {
            w.text(CHAIN_NAME, chain);
            if chain == PORTS {
                w.text(CHAIN_TYPE, FILTER_TYPE);
                w.be32(CHAIN_POLICY, ACCEPT);
                w.nest(CHAIN_HOOK, |w| {
                    w.be32(1, HOOK.0);
                    w.put(2, &HOOK.1.to_be_bytes());
                });
            }
        });
    }
    for (chain, expressions) in rules(log) {
        commands.add(NEW_RULE, APPEND, |w| {
            w.text(RULE_CHAIN, chain);
            w.nest(RULE_EXPRESSIONS, |w| w.raw(&expressions));
        });
    }
}

fn write_set(writer: &mut Writer, number: u32, name: &str, keys: Keys) {
    const NUMBER: u16 = 10;
    let (kind, length) = keys.kind();
    let userdata = match keys {
        Keys::Addresses { .. } => Userdata::of_key(),
        Keys::Pairs { .. } => Userdata::of_concatenation(),
        Keys::Pods | Keys::Passages => Userdata::of_number(),
    };
    writer.text(OBJECT_NAME, name);
    writer.be32(FLAGS, 0);
    writer.be32(KEY_TYPE, kind);
    writer.be32(KEY_LENGTH, length);
    writer.be32(NUMBER, number);
    writer.put(USERDATA, userdata.bytes());
}

/// All rules: their chains and their expressions, in order.
pub(super) fn rules(log: Option<&DropLog>) -> Vec<(&'static str, Vec<u8>)> {
    let rule = |chain, write: &dyn Fn(&mut Expressions<'_>)| {
        // None is near the length that attributes can have.
        let bytes = written(|w| write(&mut Expressions(w)));
        (chain, bytes.unwrap_or_default())
    };
    let mut rules = vec![
        rule(PORTS, &|e| {
            e.kind_of_interface();
            e.compare(Compare::NotEqual, b"veth\0\0\0\0\0\0\0\0\0\0\0\0");
            e.verdict(Target::Accept);
        }),
        rule(PORTS, &|e| {
            e.port();
            e.lookup("passages", None);
            e.verdict(Target::Accept);
        }),
    ];
    // 802.1Q and 802.1ad.
    for kind in [[0x81, 0x00], [0x88, 0xa8]] {
        rules.push(rule(PORTS, &|e| {
            e.link(12);
            e.compare(Compare::Equal, &kind);
            e.link(14);
            e.mask(&[0x0f, 0xff]);
            e.compare(Compare::Equal, &[0, 0]);
            e.verdict(Target::Goto(TAGGED));
        }));
    }
    rules.push(rule(PORTS, &|e| {
        e.protocol([0x08, 0x00]);
        e.bound(Header::Network, 12, true, FORGED);
    }));
    rules.push(rule(PORTS, &|e| {
        e.protocol([0x86, 0xdd]);
        e.bound(Header::Network, 8, false, FORGED);
    }));
    rules.push(rule(PORTS, &|e| {
        e.link(12);
        e.compare(Compare::Equal, &[0x08, 0x06]);
        e.bound(Header::Network, 14, true, FORGED_NEIGHBOUR);
    }));
    rules.push(rule(PORTS, &|e| {
        const ROUTER_ADVERTISEMENT: u8 = 134;
        e.icmpv6(ROUTER_ADVERTISEMENT);
        e.port();
        e.lookup("pods", None);
        e.verdict(Target::Goto(FORGED_NEIGHBOUR));
    }));
    rules.push(rule(PORTS, &|e| {
        const ADVERTISEMENT: u8 = 136;
        e.icmpv6(ADVERTISEMENT);
        e.bound(Header::Transport, 8, false, FORGED_NEIGHBOUR);
    }));
    if let Some(log) = log {
        rules.push(rule(FORGED, &|e| {
            e.limit(log.rate, log.burst);
            e.log(&POINT.to_string(), log.group, log.snaplen);
        }));
    }
    for chain in COUNTERS {
        rules.push(rule(chain, &|e| {
            e.count(chain);
            e.verdict(Target::Drop);
        }));
    }
    rules
}

/// By which the flow log knows what was dropped here.
const POINT: DropPoint = DropPoint {
    direction: Direction::Egress,
    of: DropOf::ForgedSource,
};

impl Expressions<'_> {
    fn meta_of(&mut self, key: u32) {
        self.expression("meta", |w| {
            w.be32(2, key);
            w.be32(1, FIRST_REGISTER);
        });
    }

    /// `NFT_META_IIFKIND`
    fn kind_of_interface(&mut self) {
        self.meta_of(26);
    }

    /// `NFT_META_IIF`, in this family the port.
    fn port(&mut self) {
        self.meta_of(4);
    }

    /// `NFT_META_PROTOCOL`
    fn protocol(&mut self, kind: [u8; 2]) {
        self.meta_of(1);
        self.compare(Compare::Equal, &kind);
    }

    /// `NFT_META_L4PROTO`
    fn transport_protocol(&mut self, number: u8) {
        self.meta_of(16);
        self.compare(Compare::Equal, &[number]);
    }

    /// A message of this type.
    fn icmpv6(&mut self, kind: u8) {
        self.protocol([0x86, 0xdd]);
        self.transport_protocol(58);
        self.payload(Header::Transport, 0, 1, FIRST_REGISTER);
        self.compare(Compare::Equal, &[kind]);
    }

    /// Two bytes of the link's own header.
    fn link(&mut self, offset: u32) {
        self.expression("payload", |w| {
            w.be32(1, FIRST_REGISTER);
            // NFT_PAYLOAD_LL_HEADER
            w.be32(2, 0);
            w.be32(3, offset);
            w.be32(4, 2);
        });
    }

    /// Goes to `chain` if the address at an offset is guarded and not bound to the port.
    fn bound(&mut self, header: Header, offset: u32, v4: bool, chain: &str) {
        let (length, guarded, bound) = if v4 {
            (4, "guarded4", "bound4")
        } else {
            (16, "guarded6", "bound6")
        };
        self.payload(header, offset, length, FIRST_REGISTER);
        self.lookup(guarded, None);
        self.port();
        self.payload(header, offset, length, AFTER_4_BYTES);
        self.expression("lookup", |w| {
            w.text(1, bound);
            w.be32(2, FIRST_REGISTER);
            // NFT_LOOKUP_F_INV
            w.be32(5, 1);
        });
        self.verdict(Target::Goto(chain));
    }
}
