//! What was found, for people and for programs.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use policy_compiler::model::{Direction, ObjectKey};
use serde_json::{Value, json};

use crate::conntrack::judge::Objection;
use crate::conntrack::{Connection, Tuple};

const HEADER: [&str; 5] = ["SOURCE", "DESTINATION", "PORT", "COUNT", "FORBIDDEN BY"];

/// Lines at most. Whoever opens connections can make as many ends differ as there is room for in the kernel.
const MOST: usize = 10_000;

/// Connections that were looked at, and those that would be cut.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The kernel may tell of one twice.
    examined: HashSet<(u32, Tuple)>,
    cut: HashSet<(u32, Tuple)>,
    between: BTreeMap<Ends, Row>,
}

/// What is told in one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    port: u16,
}

#[derive(Debug)]
struct Row {
    /// The pods that have the addresses: of source and destination.
    pods: [Vec<ObjectKey>; 2],
    objection: Objection,
    count: usize,
}

impl Found {
    pub(super) fn examined(&mut self, connection: &Connection) {
        self.examined.insert((connection.id, connection.original));
    }

    pub(super) fn cut(
        &mut self,
        connection: &Connection,
        pods: [Vec<ObjectKey>; 2],
        objection: Objection,
    ) {
        if !self.cut.insert((connection.id, connection.original)) {
            return;
        }
        let ends = Ends {
            source: connection.source(),
            destination: connection.destination(),
            protocol: connection.original.protocol,
            port: connection.destination_port(),
        };
        if let Some(row) = self.between.get_mut(&ends) {
            row.count += 1;
        } else if self.between.len() < MOST {
            let row = Row {
                pods,
                objection,
                count: 1,
            };
            self.between.insert(ends, row);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cut.is_empty()
    }

    /// Those that are in no line.
    fn untold(&self) -> usize {
        let told: usize = self.between.values().map(|row| row.count).sum();
        self.cut.len() - told
    }

    pub(super) fn table(&self) -> String {
        let examined = self.examined.len();
        if self.is_empty() {
            return format!("none of {examined} connections would be cut\n");
        }
        let cut = self.cut.len();
        let mut text = format!("{cut} of {examined} connections would be cut:\n");
        let rows = self.between.iter().map(|(ends, row)| {
            let [source, destination] = &row.pods;
            [
                end(ends.source, source),
                end(ends.destination, destination),
                transport(ends),
                row.count.to_string(),
                policies(&row.objection),
            ]
        });
        let rows: Vec<[String; 5]> = std::iter::once(HEADER.map(str::to_owned))
            .chain(rows)
            .collect();
        let widths: [usize; 5] = std::array::from_fn(|column| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or_default()
        });
        for row in &rows {
            let cells = row.iter().zip(widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        if self.untold() > 0 {
            let _ = writeln!(text, "and {} more", self.untold());
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let connections: Vec<Value> = self
            .between
            .iter()
            .map(|(ends, row)| {
                let [source, destination] = &row.pods;
                json!({
                    "source": end_json(ends.source, source),
                    "destination": end_json(ends.destination, destination),
                    "protocol": protocol(ends.protocol),
                    "port": has_ports(ends.protocol).then_some(ends.port),
                    "count": row.count,
                    "forbiddenBy": {
                        "egress": words(&row.objection.egress),
                        "ingress": words(&row.objection.ingress),
                    },
                })
            })
            .collect();
        let document = json!({
            "examined": self.examined.len(),
            "cut": self.cut.len(),
            "connections": connections,
            "notListed": self.untold(),
        });
        format!("{document:#}\n")
    }
}

fn words(keys: &[ObjectKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn end(address: IpAddr, pods: &[ObjectKey]) -> String {
    match pods {
        [] => address.to_string(),
        pods => format!("{} ({address})", words(pods).join(" or ")),
    }
}

fn end_json(address: IpAddr, pods: &[ObjectKey]) -> Value {
    json!({"address": address, "pods": words(pods)})
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}

fn protocol(number: u8) -> String {
    let name = match number {
        1 => "ICMP",
        6 => "TCP",
        17 => "UDP",
        33 => "DCCP",
        47 => "GRE",
        58 => "ICMPv6",
        132 => "SCTP",
        136 => "UDPLite",
        number => return format!("protocol {number}"),
    };
    name.to_owned()
}

fn transport(ends: &Ends) -> String {
    let name = protocol(ends.protocol);
    if has_ports(ends.protocol) {
        format!("{name} {}", ends.port)
    } else {
        name
    }
}

/// `egress: shop/web; ingress: shop/db, shop/all`
fn policies(objection: &Objection) -> String {
    let side = |direction: Direction| {
        let policies = words(objection.side(direction));
        format!("{direction}: {}", policies.join(", "))
    };
    let sides: Vec<String> = objection.directions().map(side).collect();
    sides.join("; ")
}
