//! Peers: items of `from` and `to`.

use ipnet::IpNet;

use super::address::Cidr;
use super::cursor::Cursor;
use super::{address, selector};
use crate::model::{IpBlock, Name, NamespaceScope, Peer, PodPeer, Selector};

/// One item of `from` or `to` of a policy in `namespace`; `None` if anything about it is wrong (semantics rule B5).
pub(super) fn peer(item: &Cursor<'_>, namespace: Option<&Name>) -> Option<Peer> {
    let fields = item.fields(&["podSelector", "namespaceSelector", "ipBlock"])?;
    let pods = fields
        .get("podSelector")
        .map(|field| selector::selector(&field).exact());
    let namespaces = fields
        .get("namespaceSelector")
        .map(|field| selector::selector(&field).exact());
    let block = fields.get("ipBlock").map(|field| ip_block(&field));
    if !fields.only_known() {
        return None;
    }
    match (pods, namespaces, block) {
        (None, None, None) => item.report(
            "Required value: must specify a peer: podSelector, namespaceSelector or ipBlock; \
             to allow everyone leave the list out",
        ),
        (None, None, Some(block)) => Some(Peer::IpBlock(block?)),
        (_, _, Some(_)) => item.report(
            "Forbidden: may not specify both ipBlock and another peer: make it an item of its own",
        ),
        (Some(pods), None, None) => {
            let namespaces = NamespaceScope::Named(namespace?.clone());
            Some(Peer::Pods(PodPeer {
                namespaces,
                pods: pods?,
            }))
        }
        (pods, Some(namespaces), None) => {
            let pods = pods.unwrap_or_else(|| Some(Selector::everything()))?;
            Some(Peer::Pods(PodPeer {
                namespaces: NamespaceScope::Matching(namespaces?),
                pods,
            }))
        }
    }
}

/// `ipBlock` (semantics rules E1 to E4). A bad exception spoils the block: without it too much would match.
fn ip_block(field: &Cursor<'_>) -> Option<IpBlock> {
    let fields = field.fields(&["cidr", "except"])?;
    let cidr = match fields.get("cidr") {
        Some(field) if field.value().as_str() != Some("") => address::cidr(&field),
        _ => fields.required("cidr", ""),
    };
    let except = match fields.get("except") {
        Some(field) => exceptions(&field, cidr),
        None => Some(Vec::new()),
    };
    if !fields.only_known() {
        return None;
    }
    IpBlock::new(cidr?.network, &except?).ok()
}

fn exceptions(field: &Cursor<'_>, cidr: Option<Cidr>) -> Option<Vec<IpNet>> {
    let except: Vec<Option<IpNet>> = field
        .items()?
        .map(|item| {
            let hole = address::cidr(&item)?;
            let Some(cidr) = cidr else {
                return Some(hole.network);
            };
            match IpBlock::new(cidr.network, &[hole.network]) {
                Ok(_) if hole.written_length > cidr.written_length => Some(hole.network),
                Ok(_) | Err(_) => item.invalid("must be a strict subset of `cidr`"),
            }
        })
        .collect();
    except.into_iter().collect()
}
