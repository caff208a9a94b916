//! Whether the node hands packets on at all.

use std::net::Ipv6Addr;

use super::Finding;
use super::attachment::Attachment;
use super::settings::Settings;

const CHECK: &str = "forwarding";

/// What the settings amount to. `routes` is `/proc/net/ipv6_route`.
pub(super) fn judge(
    attachment: &Attachment<'_>,
    settings: &Settings,
    routes: &str,
) -> Vec<Finding> {
    if !attachment.has_some() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if settings.forwards_v4 == Some(false) {
        findings.push(off("IPv4", "net.ipv4.ip_forward"));
    }
    if settings.forwards_v6 == Some(false) && has_ipv6(attachment, routes) {
        findings.push(off("IPv6", "net.ipv6.conf.all.forwarding"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "the node forwards packets of its pods"));
    }
    findings
}

fn off(family: &str, setting: &str) -> Finding {
    Finding::warning(
        CHECK,
        format!("{setting} is 0: pods reach nothing by {family} that the node would have to route, whatever policies say"),
        format!("on the node: `sysctl -w {setting}=1`, and keep that in /etc/sysctl.d"),
    )
    .about(family)
}

/// Whether pods have IPv6 addresses of more than their link.
fn has_ipv6(attachment: &Attachment<'_>, routes: &str) -> bool {
    let bridges = attachment.bridges.iter().map(|(link, _)| *link);
    let names: Vec<&str> = bridges
        .chain(attachment.routed.iter().copied())
        .map(|link| link.name.as_str())
        .collect();
    routes.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(network), Some(length), Some(link)) =
            (fields.first(), fields.get(1), fields.last())
        else {
            return false;
        };
        let is_pods = u128::from_str_radix(network, 16).is_ok_and(|bits| {
            let network = Ipv6Addr::from_bits(bits);
            !network.is_unicast_link_local() && !network.is_multicast()
        });
        // A default route by a veth link is the node's own way out.
        is_pods && *length != "00" && names.contains(link)
    })
}

#[cfg(test)]
mod tests {
    use super::super::links::Link;
    use super::*;

    const ROUTE: &str = "fd000000000000000000000000000005 80 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 00000400 00000001 00000000 00000001 ";
    const LOCAL: &str = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 00000100 00000001 00000000 00000001 ";

    #[test]
    fn what_is_off_is_told_where_pods_need_it() {
        let veth = Link {
            index: 4,
            name: "veth1".to_owned(),
            kind: "veth".to_owned(),
            leads_elsewhere: true,
            ..Link::default()
        };
        let of = |v4, v6| Settings {
            forwards_v4: Some(v4),
            forwards_v6: Some(v6),
            ..Settings::default()
        };
        let pods = [veth];
        let (route, local) = (format!("{ROUTE}veth1\n"), format!("{LOCAL}veth1\n"));
        let elsewhere = format!("{ROUTE}eth0\n");
        let rows: [(&[Link], Settings, &str, &[&str]); 7] = [
            (&pods, of(true, true), &route, &["forwards packets"]),
            (
                &pods,
                of(false, true),
                &route,
                &["net.ipv4.ip_forward is 0"],
            ),
            (
                &pods,
                of(false, false),
                &route,
                &[
                    "net.ipv4.ip_forward is 0",
                    "net.ipv6.conf.all.forwarding is 0",
                ],
            ),
            (&pods, of(true, false), &local, &["forwards packets"]),
            (&pods, of(true, false), &elsewhere, &["forwards packets"]),
            (&pods, of(true, false), "x\n\n", &["forwards packets"]),
            (&[], of(false, false), &route, &[]),
        ];
        for (links, settings, routes, words) in rows {
            let findings = judge(&Attachment::of(links), &settings, routes);
            assert_eq!(findings.len(), words.len(), "{findings:?}");
            for (finding, words) in findings.iter().zip(words) {
                assert!(finding.found.contains(words), "{finding}");
            }
        }
    }
}
