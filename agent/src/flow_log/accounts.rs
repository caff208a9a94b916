//! Whose account a counter or a drop belongs to.

use policy_compiler::compile::{drop_of_counter, pod_chain_name};
use policy_compiler::model::{Direction, ObjectKey, Snapshot};
use policy_compiler::ruleset::{DropOf, DropPoint};

use super::attribution::Attribution;
use super::books::{Account, Payer};

/// The account of one of the table's counters, by its name; `None` if it is none of netpol's.
/// `pods` are those of this node, the only ones that have counters.
pub(super) fn of_counter<'a>(
    name: &str,
    pods: impl Iterator<Item = &'a ObjectKey>,
) -> Option<Account> {
    if let Some(point) = drop_of_counter(name) {
        return Some(Account {
            of: payer(point.of)?,
            direction: point.direction,
        });
    }
    let (kind, rest) = name.split_once('/')?;
    let (which, direction) = rest.rsplit_once('/')?;
    let direction = Direction::BOTH
        .into_iter()
        .find(|d| d.as_str() == direction)?;
    let of = match kind {
        "contested" => Payer::Contested,
        "bridge" => Payer::ForgedSource,
        "pod" => pod_of(name, which, direction, pods).map_or(Payer::Unknown, Payer::Pod),
        _ => return None,
    };
    Some(Account { of, direction })
}

fn pod_of<'a>(
    name: &str,
    which: &str,
    direction: Direction,
    mut pods: impl Iterator<Item = &'a ObjectKey>,
) -> Option<ObjectKey> {
    // Names that were too long for nftables were cut and bear a digest behind a `_`: those can only be looked for.
    if !which.contains('_') {
        return which.parse().ok();
    }
    pods.find(|pod| pod_chain_name(pod, direction).as_str() == name)
        .cloned()
}

/// The account of a drop.
pub(super) fn of_drop(point: DropPoint, attribution: &Attribution, snapshot: &Snapshot) -> Account {
    let pod = match point.of {
        DropOf::Pod(id) => attribution.pod(id, snapshot),
        _ => None,
    };
    let pod = pod.map(|pod| Payer::Pod(pod.key.clone()));
    let of = pod.or_else(|| payer(point.of)).unwrap_or(Payer::Unknown);
    Account {
        of,
        direction: point.direction,
    }
}

/// Who pays for a drop that is no pod's.
fn payer(of: DropOf) -> Option<Payer> {
    match of {
        DropOf::Contested => Some(Payer::Contested),
        DropOf::LinkLocal => Some(Payer::LinkLocal),
        DropOf::NotProgrammed => Some(Payer::NotProgrammed),
        DropOf::ForgedSource => Some(Payer::ForgedSource),
        DropOf::Cut => Some(Payer::Cut),
        DropOf::Pod(_) => None,
    }
}

/// Namespace and workload, as metrics name them. Without a pod to name there is no namespace, and in place of the
/// workload at most what kind of drop it was.
pub(super) fn labels(account: &Account, snapshot: &Snapshot) -> (String, String) {
    let nobodys = |what: &str| (String::new(), what.to_owned());
    let key = match &account.of {
        Payer::Pod(key) => key,
        Payer::NotProgrammed => return nobodys("(not programmed)"),
        Payer::ForgedSource => return nobodys("(forged source)"),
        Payer::Cut => return nobodys("(cut)"),
        Payer::Contested | Payer::LinkLocal | Payer::Unknown => return nobodys(""),
    };
    let workload = snapshot.pod(key).and_then(|pod| pod.workload.as_ref());
    let workload = workload.map_or_else(|| format!("Pod/{}", key.name), ToString::to_string);
    (key.namespace.to_string(), workload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_log::kernel::counters::FORGED_AT_PORTS;

    #[test]
    fn counters_have_accounts() {
        let long = format!("shop/{}", "x".repeat(253));
        let key: ObjectKey = long.parse().expect("a key");
        let here = [key.clone()];
        let long_name = pod_chain_name(&key, Direction::Egress);
        let account = |of, direction| Some(Account { of, direction });
        let web = || Payer::Pod("shop/web".parse().expect("a key"));
        let rows = [
            ("pod/shop/web/ingress", account(web(), Direction::Ingress)),
            ("pod/shop/web/egress", account(web(), Direction::Egress)),
            (
                long_name.as_str(),
                account(Payer::Pod(key), Direction::Egress),
            ),
            (
                "pod/shop/cut_0f/egress",
                account(Payer::Unknown, Direction::Egress),
            ),
            (
                "contested/10.0.0.1/ingress",
                account(Payer::Contested, Direction::Ingress),
            ),
            ("link-local", account(Payer::LinkLocal, Direction::Egress)),
            (
                FORGED_AT_PORTS,
                account(Payer::ForgedSource, Direction::Egress),
            ),
            ("cut", account(Payer::Cut, Direction::Egress)),
            (
                "forged-source",
                account(Payer::ForgedSource, Direction::Egress),
            ),
            (
                "not-programmed-egress",
                account(Payer::NotProgrammed, Direction::Egress),
            ),
            (
                "not-programmed-ingress",
                account(Payer::NotProgrammed, Direction::Ingress),
            ),
            ("not-programmed", None),
            ("other", None),
            ("pod/shop/web/both", None),
            ("set/shop/web/egress", None),
        ];
        for (name, expected) in rows {
            assert_eq!(of_counter(name, here.iter()), expected, "{name}");
        }
    }
}
