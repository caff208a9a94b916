//! What the runtime says, as far as it matters here. Field numbers are those of `nri.pkg.api.v1alpha1`.

use std::net::IpAddr;
use std::time::Duration;

use super::WireError;
use super::protobuf::{self, Writer};
use crate::nri::Sandbox;

/// What the runtime calls to have its plugins act.
pub(in crate::nri) const PLUGIN_SERVICE: &str = "nri.pkg.api.v1alpha1.Plugin";
/// What a plugin calls.
pub(in crate::nri) const RUNTIME_SERVICE: &str = "nri.pkg.api.v1alpha1.Runtime";

/// Number and bit of each kind of event that is asked for.
const RUN: i64 = 1;
const STOP: i64 = 2;
const REMOVE: i64 = 3;

/// Which events are asked for: bit 0 is the kind with number 1.
const EVENTS: u64 = 1 << (RUN - 1) | 1 << (STOP - 1) | 1 << (REMOVE - 1);

/// Addresses of one sandbox that are looked at. Kubernetes has two.
const MOST_ADDRESSES: usize = 16;

/// The runtime, as it introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::nri) struct Configuration {
    pub(in crate::nri) runtime: String,
    pub(in crate::nri) version: String,
    /// How long it waits for an answer; nothing if it does not say.
    pub(in crate::nri) request_timeout: Option<Duration>,
}

impl Configuration {
    pub(in crate::nri) fn read(payload: &[u8]) -> Result<Self, WireError> {
        let mut configuration = Self::default();
        for field in protobuf::fields(payload) {
            match field? {
                (2, value) => value.text()?.clone_into(&mut configuration.runtime),
                (3, value) => value.text()?.clone_into(&mut configuration.version),
                (5, value) => {
                    let milliseconds = u64::try_from(value.signed()?).unwrap_or(0);
                    configuration.request_timeout =
                        (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
                }
                _ => {}
            }
        }
        Ok(configuration)
    }
}

/// Sandboxes that there are already, or some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::nri) struct Synchronization {
    pub(in crate::nri) pods: Vec<Pod>,
    /// Whether others follow.
    pub(in crate::nri) more: bool,
}

impl Synchronization {
    pub(in crate::nri) fn read(payload: &[u8]) -> Result<Self, WireError> {
        let mut all = Self::default();
        for field in protobuf::fields(payload) {
            match field? {
                (1, value) => all.pods.push(Pod::read(value.bytes()?)?),
                (3, value) => all.more = value.signed()? != 0,
                _ => {}
            }
        }
        Ok(all)
    }

    /// What the answer says: ready for the others too.
    pub(in crate::nri) fn answer(&self) -> Vec<u8> {
        if self.more {
            Writer::default().number(2, 1).finish()
        } else {
            Vec::new()
        }
    }
}

/// A sandbox as the runtime tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::nri) struct Pod {
    pub(in crate::nri) sandbox: Sandbox,
    /// Whether a network is among its namespaces; nothing if the runtime tells of none at all.
    pub(in crate::nri) has_network: Option<bool>,
}

impl Pod {
    /// Of the message that has it as its field of this number.
    pub(in crate::nri) fn in_field(payload: &[u8], number: u64) -> Result<Option<Self>, WireError> {
        let mut pod = None;
        for field in protobuf::fields(payload) {
            let (found, value) = field?;
            if found == number {
                pod = Some(Self::read(value.bytes()?)?);
            }
        }
        Ok(pod)
    }

    fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut sandbox = Sandbox {
            id: String::new(),
            uid: String::new(),
            namespace: String::new(),
            name: String::new(),
            addresses: Vec::new(),
        };
        let mut has_network = None;
        for field in protobuf::fields(message) {
            match field? {
                (1, value) => value.text()?.clone_into(&mut sandbox.id),
                (2, value) => value.text()?.clone_into(&mut sandbox.name),
                (3, value) => value.text()?.clone_into(&mut sandbox.uid),
                (4, value) => value.text()?.clone_into(&mut sandbox.namespace),
                (8, value) => has_network = network_among(value.bytes()?)?,
                (10, value) => {
                    let address = value.text()?.parse::<IpAddr>().ok();
                    if sandbox.addresses.len() < MOST_ADDRESSES {
                        sandbox.addresses.extend(address);
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            sandbox,
            has_network,
        })
    }
}

/// Whether a network is among the namespaces of this message, if there are any.
fn network_among(linux: &[u8]) -> Result<Option<bool>, WireError> {
    let mut found = None;
    for field in protobuf::fields(linux) {
        if let (5, namespace) = field? {
            for field in protobuf::fields(namespace.bytes()?) {
                if let (1, kind) = field? {
                    found = Some(kind.text()? == "network" || found == Some(true));
                }
            }
        }
    }
    Ok(found)
}

/// What became of a sandbox, from a runtime that has one method for all of it.
pub(in crate::nri) fn state_change(payload: &[u8]) -> Result<Option<Change>, WireError> {
    let mut event = 0;
    for field in protobuf::fields(payload) {
        if let (1, value) = field? {
            event = value.signed()?;
        }
    }
    Ok(match event {
        RUN => Some(Change::Started),
        STOP | REMOVE => Some(Change::Stopped),
        _ => None,
    })
}

/// What became of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::nri) enum Change {
    Started,
    Stopped,
}

/// Asks to be a plugin.
pub(in crate::nri) fn registration(name: &str, index: &str) -> Vec<u8> {
    Writer::default().text(1, name).text(2, index).finish()
}

/// Asks for events.
pub(in crate::nri) fn subscription() -> Vec<u8> {
    Writer::default().number(2, EVENTS).finish()
}
