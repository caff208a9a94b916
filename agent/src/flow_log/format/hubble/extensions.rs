//! What netpol tells of a flow and Hubble has no field for.

use policy_compiler::model::Name;
use serde::{Deserialize, Serialize};

use crate::flow_log::event::{End, FlowEvent, Reason, Who};
use crate::flow_log::format::{limits, tell, time};
use crate::flow_log::packet::PacketTransport;

use super::lenient::{self, is_default};

/// In the line this is `flow.extensions.value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extensions {
    /// Why: `no-rule`, `contested`, `link-local`, `not-programmed`, `forged-source`, `cut`, `revoked`, `changed`,
    /// `mismatch` or `unknown`. Never missing, which tells ours from another program's.
    pub reason: String,
    /// Why each rule does not match, the nearest first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub near_misses: Vec<String>,
    /// How many rules more there are.
    #[serde(
        default,
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_default"
    )]
    pub near_misses_more: u64,
    /// With reason `mismatch`: what the policies say of the flow.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verdict: String,
    /// With reason `revoked`: what had changed, by which a connection was cut.
    #[serde(default, skip_serializing_if = "is_default")]
    pub causes: Vec<String>,
    /// What may help.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hints: Vec<HintExtension>,
    /// `first`, `repeats`, `others` or `connection`
    #[serde(default, skip_serializing_if = "is_default")]
    pub extent: String,
    /// How many packets the line stands for.
    #[serde(
        default,
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_default"
    )]
    pub count: u64,
    /// With `repeats` and `others`: when the first of them was dropped, in RFC 3339.
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: String,
    /// Packets of the same pod and direction that were dropped before this line and not looked at.
    #[serde(
        default,
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_default"
    )]
    pub suppressed: u64,
    /// The number of an IP protocol that `l4` has no place for, or whose header could not be read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Option<u8>,
    /// Whether the packet is a fragment other than the first, which has no ports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fragment: bool,
    /// How many more policies there are than `ingress_denied_by` or `egress_denied_by` lists.
    #[serde(
        default,
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_default"
    )]
    pub denied_by_more: u64,
    /// More on the source.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: EndExtension,
    /// More on the destination.
    #[serde(default, skip_serializing_if = "is_default")]
    pub destination: EndExtension,
}

/// More on one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndExtension {
    /// `pod`, `contested`, `node` or `world`
    #[serde(skip_serializing_if = "is_default")]
    pub kind: String,
    /// The pod's `metadata.uid`
    #[serde(skip_serializing_if = "is_default")]
    pub uid: String,
    /// The pod's node, or the node that it is.
    #[serde(skip_serializing_if = "is_default")]
    pub node: String,
    /// How many more labels the pod has than are listed.
    #[serde(
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_default"
    )]
    pub labels_more: u64,
    /// The pods that claim a contested address, as `namespace/name`.
    #[serde(skip_serializing_if = "is_default")]
    pub claimants: Vec<String>,
    /// How many more there are than are listed.
    #[serde(
        deserialize_with = "lenient::count",
        skip_serializing_if = "is_default"
    )]
    pub claimants_more: u64,
}

/// Something that may help.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HintExtension {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub text: String,
}

impl From<&FlowEvent> for Extensions {
    fn from(event: &FlowEvent) -> Self {
        let (extent, count, since) = tell::extent(event.extent);
        let (near, more) = match &event.reason {
            Reason::NoRule {
                near_misses, more, ..
            } => (near_misses.as_slice(), *more),
            _ => (&[][..], 0),
        };
        let near = limits::near_misses(near);
        let other = event
            .transport
            .filter(|transport| matches!(transport, PacketTransport::Other { .. }));
        Self {
            reason: tell::reason(&event.reason).to_owned(),
            near_misses: near.shown,
            near_misses_more: near
                .more
                .saturating_add(more.try_into().unwrap_or(u64::MAX)),
            verdict: match &event.reason {
                Reason::Mismatch { verdict } => limits::sentence(verdict),
                _ => String::new(),
            },
            causes: match &event.reason {
                Reason::Revoked { causes, .. } => {
                    causes.iter().map(|cause| limits::sentence(cause)).collect()
                }
                _ => Vec::new(),
            },
            hints: event
                .hints
                .iter()
                .take(limits::HINTS)
                .map(|hint| HintExtension {
                    code: hint.code.to_owned(),
                    text: limits::sentence(&hint.text),
                })
                .collect(),
            extent: extent.to_owned(),
            count,
            since: since.map(time::rfc3339).unwrap_or_default(),
            suppressed: event.suppressed,
            protocol: other.map(tell::protocol_number),
            fragment: other.is_some_and(tell::is_fragment),
            denied_by_more: limits::policies(tell::isolating(&event.reason)).more,
            source: (&event.source).into(),
            destination: (&event.destination).into(),
        }
    }
}

impl From<&End> for EndExtension {
    fn from(end: &End) -> Self {
        let mut extension = Self {
            kind: tell::kind(end).to_owned(),
            ..Self::default()
        };
        match &end.who {
            Who::Pod(pod) => {
                extension.uid = limits::name(&pod.uid);
                extension.node = pod.node.as_ref().map(Name::to_string).unwrap_or_default();
                extension.labels_more = limits::labels(&pod.labels).more;
            }
            Who::Contested(pods) => {
                let cut = limits::claimants(pods);
                extension.claimants = cut.shown.into_iter().map(ToString::to_string).collect();
                extension.claimants_more = cut.more;
            }
            Who::Node(node) => extension.node = node.to_string(),
            Who::World => {}
        }
        extension
    }
}

/// The field is protobuf's `Any`: any message, told apart by its `@type`. Ours is a `Struct`, which is JSON as it stands
/// and which every program that has protobuf can read.
pub(super) mod any {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use super::Extensions;

    const TYPE: &str = "type.googleapis.com/google.protobuf.Struct";

    #[derive(Serialize)]
    struct Any<'a> {
        #[serde(rename = "@type")]
        kind: &'a str,
        value: &'a Extensions,
    }

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(in super::super) fn serialize<S: Serializer>(
        extensions: &Option<Box<Extensions>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let any = extensions.as_deref().map(|value| Any { kind: TYPE, value });
        any.serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Box<Extensions>>, D::Error> {
        let mut any = Value::deserialize(from)?;
        if any.get("@type").and_then(Value::as_str) != Some(TYPE) {
            return Ok(None);
        }
        let value = any.get_mut("value").map(Value::take).unwrap_or_default();
        Ok(serde_json::from_value(value).ok())
    }
}
