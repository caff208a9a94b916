//! Why a rule of an isolating policy does not match, in words a policy's author can act on.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Transport;
use crate::model::{Direction, Labels, Name, ObjectKey, PortMatch, PortName, Protocol, Selector};

/// Reasons beyond this many are only counted: a rule may list hundreds of blocks.
const REASONS_SHOWN: usize = 3;

/// One rule of one policy, printed `shop/allow-api ingress[0]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleKey {
    /// The policy.
    pub policy: ObjectKey,
    /// Which of its two lists.
    pub direction: Direction,
    /// The place in that list, from 0.
    pub index: usize,
}

/// A rule that does not match. At least one of the two lists of reasons is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule.
    pub rule: RuleKey,
    /// Why none of its peers matches, the nearest first; empty if one does.
    pub peers: Vec<PeerMiss>,
    /// Why none of its ports matches; empty if one does.
    pub ports: Vec<PortMiss>,
}

/// Why one item of `from` or `to` does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMiss {
    /// The pod is in the right namespace but its labels are not the wanted ones.
    PodLabels(ObjectKey, LabelMiss),
    /// The pod's namespace does not bear the wanted labels.
    NamespaceLabels(Name, LabelMiss),
    /// The item is about one namespace and the pod is in another.
    OtherNamespace {
        /// The pod's namespace.
        namespace: Name,
        /// The policy's.
        wanted: Name,
    },
    /// The item asks for namespace labels and the pod's Namespace object is not known.
    UnknownNamespace(Name),
    /// The block holds the address but takes it out again.
    Excepted {
        /// The address.
        address: IpAddr,
        /// The exception that holds it.
        except: IpNet,
        /// The block.
        block: IpNet,
    },
    /// The block does not hold the address.
    OutsideBlock {
        /// The address.
        address: IpAddr,
        /// The block.
        block: IpNet,
    },
    /// The item selects pods and this is none (semantics rule B7).
    NotAPod(IpAddr),
    /// The item selects pods and several claim the address (semantics rule F9).
    Contested(IpAddr),
    /// Every item of the list was invalid.
    NoValidItem,
}

/// Labels that do not satisfy a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMiss {
    /// The labels there are, of those the unmet requirements ask about.
    pub held: Labels,
    /// The requirements that are not met.
    pub unmet: Selector,
}

/// Why the items of `ports` do not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMiss {
    /// The port, or a protocol without ports, is none of these.
    NotListed {
        /// What the flow uses.
        transport: Transport,
        /// The items.
        listed: Vec<PortMatch>,
    },
    /// A named port of the right protocol does not lead to the port.
    Named {
        /// The item's protocol.
        protocol: Protocol,
        /// The item's name.
        name: PortName,
        /// Why.
        miss: NamedPortMiss,
    },
    /// Every item of the list was invalid.
    NoValidItem,
}

/// Why a named port does not lead to the flow's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedPortMiss {
    /// The destination pod defines it with other numbers.
    OtherNumbers(ObjectKey, Vec<u16>),
    /// The destination pod does not define it for this protocol (semantics rule D9).
    NotDefined(ObjectKey),
    /// The destination is no pod (semantics rule D8).
    NotAPod(IpAddr),
    /// Several pods claim the destination (semantics rule F9).
    Contested(IpAddr),
}

impl NearMiss {
    /// How far the rule is from matching.
    pub fn distance(&self) -> u8 {
        distance(self.peers.is_empty(), self.ports.is_empty())
    }
}

/// The right peer on the wrong port is nearest, then the wrong peer on the right port, then neither.
pub(super) fn distance(has_peer: bool, has_port: bool) -> u8 {
    match (has_peer, has_port) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

impl PeerMiss {
    /// How far the item is from matching.
    pub fn distance(&self) -> u8 {
        match self {
            Self::PodLabels(..) | Self::Excepted { .. } => 0,
            Self::NamespaceLabels(..) | Self::UnknownNamespace(_) => 1,
            Self::OtherNamespace { .. } => 2,
            Self::OutsideBlock { .. }
            | Self::NotAPod(_)
            | Self::Contested(_)
            | Self::NoValidItem => 3,
        }
    }
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[{}]", self.policy, self.direction, self.index)
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule)?;
        match self.distance() {
            0 => write!(f, "peer matches; {}", Reasons(&self.ports)),
            1 => write!(f, "ports match; {}", Reasons(&self.peers)),
            _ => write!(f, "{}; {}", Reasons(&self.peers), Reasons(&self.ports)),
        }
    }
}

struct Reasons<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Reasons<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.0.iter().take(REASONS_SHOWN).enumerate() {
            write!(f, "{}{reason}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(REASONS_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for PeerMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodLabels(pod, miss) if miss.held.is_empty() => write!(f, "pod {pod} {miss}"),
            Self::PodLabels(_, miss) => write!(f, "pod {miss}"),
            Self::NamespaceLabels(namespace, miss) => write!(f, "namespace {namespace} {miss}"),
            Self::OtherNamespace { namespace, wanted } => {
                write!(f, "the pod is in namespace {namespace}, not {wanted}")
            }
            Self::UnknownNamespace(namespace) => {
                write!(f, "the labels of namespace {namespace} are not known")
            }
            Self::Excepted {
                address,
                except,
                block,
            } => write!(f, "{address} is in except {except} of {block}"),
            Self::OutsideBlock { address, block } => write!(f, "{address} is not in {block}"),
            Self::NotAPod(address) => {
                write!(f, "{address} is not a pod, only an ipBlock could match it")
            }
            Self::Contested(address) => write!(
                f,
                "{address} is claimed by several pods, only an ipBlock could match it"
            ),
            Self::NoValidItem => f.write_str("none of its peers is valid"),
        }
    }
}

impl fmt::Display for LabelMiss {
    /// `lacks app=web` or `labels app=fe do not satisfy app=web`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held.is_empty() {
            return write!(f, "lacks {}", self.unmet);
        }
        f.write_str("labels ")?;
        for (i, (key, value)) in self.held.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { "" } else { "," })?;
        }
        write!(f, " do not satisfy {}", self.unmet)
    }
}

impl fmt::Display for PortMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed { transport, listed } => {
                let what = match transport {
                    Transport::Port(..) => "port ",
                    Transport::Other => "",
                };
                write!(f, "{what}{transport} not in {}", Reasons(listed))
            }
            Self::Named {
                protocol,
                name,
                miss,
            } => match miss {
                NamedPortMiss::OtherNumbers(pod, numbers) => {
                    write!(
                        f,
                        "named port {name} on {pod} is {protocol} {}",
                        Reasons(numbers)
                    )
                }
                NamedPortMiss::NotDefined(pod) => write!(
                    f,
                    "named port {name} is not defined for {protocol} on {pod}"
                ),
                NamedPortMiss::NotAPod(address) => {
                    write!(
                        f,
                        "named port {name} means nothing on {address}, which is not a pod"
                    )
                }
                NamedPortMiss::Contested(address) => {
                    write!(
                        f,
                        "named port {name} means nothing on {address}, which several pods claim"
                    )
                }
            },
            Self::NoValidItem => f.write_str("none of its ports is valid"),
        }
    }
}
