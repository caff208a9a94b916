//! The links by which this node reaches others, as far as they are of the kinds that pods hang on: a node may itself be a
//! container, or stand on a bridge with its pods. What comes by such a link is not asked for its way back: between nodes
//! answers may take another way, as where one sends into an overlay with the address it has outside.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use futures::future::pending;
use policy_compiler::ruleset::InterfacePattern;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::doctor::links::{self, Link};
use crate::doctor::{Plugged, reach};
use crate::netlink::{Channel, DUMP};

/// How often they are looked for, whatever is told of links and addresses.
const OFTEN: Duration = Duration::from_secs(60);
/// After a link was plugged in there are others.
const TOGETHER: Duration = Duration::from_millis(100);

/// Uplinks, as they come and go.
#[derive(Debug, Default)]
pub struct Uplinks {
    told: Option<watch::Receiver<BTreeSet<InterfacePattern>>>,
}

impl Uplinks {
    /// None, for whoever guards no sources.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Looks for those of the network namespace that this thread is in, now and from now on. Must be called in a tokio
    /// runtime.
    #[must_use]
    pub fn start(plugged: Plugged) -> Self {
        let (tell, told) = watch::channel(found().unwrap_or_default());
        tokio::spawn(go_on(tell, plugged));
        Self { told: Some(told) }
    }

    /// Those there are, which the log tells: what is sent by them is not checked.
    #[must_use]
    pub fn now(&mut self) -> BTreeSet<InterfacePattern> {
        let uplinks = self.known();
        if !uplinks.is_empty() {
            tell_people(&uplinks);
        }
        uplinks
    }

    fn known(&mut self) -> BTreeSet<InterfacePattern> {
        let told = self.told.as_mut();
        told.map_or_else(BTreeSet::new, |told| told.borrow_and_update().clone())
    }

    /// Waits until they are others.
    pub async fn changed(&mut self) -> BTreeSet<InterfacePattern> {
        if let Some(told) = &mut self.told
            && told.changed().await.is_ok()
        {
            return self.known();
        }
        pending().await
    }
}

async fn go_on(tell: watch::Sender<BTreeSet<InterfacePattern>>, mut plugged: Plugged) {
    loop {
        tokio::select! {
            () = plugged.next() => sleep(TOGETHER).await,
            () = sleep(OFTEN) => {}
            () = tell.closed() => return,
        }
        if let Some(found) = found() {
            tell.send_if_modified(|known| {
                let is_new = *known != found;
                if is_new {
                    tell_people(&found);
                    *known = found;
                }
                is_new
            });
        }
    }
}

fn tell_people(uplinks: &BTreeSet<InterfacePattern>) {
    let names: Vec<String> = uplinks.iter().map(ToString::to_string).collect();
    info!(
        uplinks = ?names,
        "sources are not checked on the links by which this node reaches others"
    );
}

fn found() -> Option<BTreeSet<InterfacePattern>> {
    read()
        .inspect_err(|error| warn!(%error, "the node's links cannot be read"))
        .ok()
}

/// Those of the network namespace that this thread is in.
pub fn read() -> io::Result<BTreeSet<InterfacePattern>> {
    let far = reach::far()?;
    let shared = shared_links()?;
    let links = links::read()?;
    let names = links
        .iter()
        .filter(|link| is_uplink(link, &far, &shared))
        // No pattern can hold an odder name: the guard stays on there.
        .filter_map(|link| link.name.parse().ok());
    Ok(names.collect())
}

/// A pod's end has no network of its own on the node's side: its addresses, if any, are for the node alone. What a router
/// has advertised does not count, since a pod can do that.
fn is_uplink(link: &Link, far: &[reach::Way], shared: &BTreeSet<u32>) -> bool {
    let is_default = far.iter().any(|way| way.link == link.index && way.is_laid);
    match link.kind.as_str() {
        "veth" => link.master.is_none() && (is_default || shared.contains(&link.index)),
        "bridge" => is_default,
        _ => false,
    }
}

/// The links that have an address with others beside it in its network, link-local ones aside.
fn shared_links() -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    // What comes or goes meanwhile is told, and looked at again.
    Channel::open_route(DUMP)?.addresses(0, None, |address| {
        if address.is_shared {
            found.insert(address.link);
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn pods_links_are_no_uplinks() {
        let link = |index, kind: &str, master| Link {
            index,
            kind: kind.to_owned(),
            master,
            ..Link::default()
        };
        let far = |link| reach::Way {
            to: Ipv4Addr::LOCALHOST.into(),
            link,
            is_laid: link != 8,
        };
        let shared = BTreeSet::from([2, 3, 5]);
        for (link, is_so) in [
            // A pod's, the node's own, one that has no default route.
            (link(1, "veth", None), false),
            (link(4, "veth", None), true),
            (link(2, "veth", None), true),
            // Pods' bridge has their network; another leads out.
            (link(3, "bridge", None), false),
            (link(6, "bridge", None), true),
            // Of these a router says that they do.
            (link(8, "veth", None), false),
            (link(8, "bridge", None), false),
            // A port has its bridge's.
            (link(5, "veth", Some(3)), false),
            // The guard does not look at others.
            (link(7, "", None), false),
        ] {
            let far = [4, 6, 7, 8].map(far);
            assert_eq!(is_uplink(&link, &far, &shared), is_so, "{link:?}");
        }
    }
}
