//! The kernel's numbers, from `linux/netfilter/nfnetlink_conntrack.h`.

use crate::netlink::kind;

/// `NFNL_SUBSYS_CTNETLINK`
const CONNTRACK: u8 = 1;

// `IPCTNL_MSG_CT_…`
pub(super) const NEW: u16 = kind(CONNTRACK, 0);
pub(super) const GET: u16 = kind(CONNTRACK, 1);
pub(super) const DELETE: u16 = kind(CONNTRACK, 2);

pub(super) const GET_STATISTICS: u16 = kind(CONNTRACK, 5);

/// `CTA_STATS_GLOBAL_ENTRIES`
pub(super) const COUNT: u16 = 1;

// `CTA_…`
pub(super) const ORIGINAL: u16 = 1;
pub(super) const REPLY: u16 = 2;
pub(super) const STATUS: u16 = 3;
pub(super) const PROTOCOL_STATE: u16 = 4;
pub(super) const ID: u16 = 12;
pub(super) const MASTER: u16 = 14;
pub(super) const ZONE: u16 = 18;
pub(super) const LABELS: u16 = 22;
pub(super) const LABELS_MASK: u16 = 23;
pub(super) const FILTER: u16 = 25;

// `CTA_PROTOINFO_…`
pub(super) const TCP: u16 = 1;
pub(super) const TCP_STATE: u16 = 1;

// `CTA_FILTER_…`
pub(super) const FILTER_ORIGINAL: u16 = 1;
pub(super) const FILTER_REPLY: u16 = 2;
/// `CTA_FILTER_F_CTA_IP_SRC`
pub(super) const BY_SOURCE: u32 = 1;

// `CTA_TUPLE_…`
pub(super) const TUPLE_IP: u16 = 1;
pub(super) const TUPLE_PROTOCOL: u16 = 2;
pub(super) const TUPLE_ZONE: u16 = 3;

// `CTA_IP_…`
pub(super) const V4_SOURCE: u16 = 1;
pub(super) const V4_DESTINATION: u16 = 2;
pub(super) const V6_SOURCE: u16 = 3;
pub(super) const V6_DESTINATION: u16 = 4;

// `CTA_PROTO_…`
pub(super) const PROTOCOL: u16 = 1;
pub(super) const SOURCE_PORT: u16 = 2;
pub(super) const DESTINATION_PORT: u16 = 3;
pub(super) const ICMP_ID: u16 = 4;
pub(super) const ICMP_TYPE: u16 = 5;
pub(super) const ICMP_CODE: u16 = 6;
pub(super) const ICMPV6_ID: u16 = 7;
pub(super) const ICMPV6_TYPE: u16 = 8;
pub(super) const ICMPV6_CODE: u16 = 9;

/// `AF_INET`
pub(super) const V4: u8 = 2;
/// `AF_INET6`
pub(super) const V6: u8 = 10;
