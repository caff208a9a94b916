//! Real packets through real rules, in a network of namespaces.
//!
//! Needs root, touches nothing outside its own namespaces, and runs with `cargo test -p netpol-tests --test packets`.

#[path = "packets/attacks.rs"]
mod attacks;
#[path = "packets/books.rs"]
mod books;
#[path = "packets/churn.rs"]
mod churn;
#[path = "packets/connections.rs"]
mod connections;
#[path = "packets/cut.rs"]
mod cut;
#[path = "packets/deleted_table.rs"]
mod deleted_table;
#[path = "packets/flood.rs"]
mod flood;
#[path = "packets/flow_log_files.rs"]
mod flow_log_files;
#[path = "packets/flow_log_formats.rs"]
mod flow_log_formats;
#[path = "packets/flow_log_ground.rs"]
mod flow_log_ground;
#[path = "packets/flow_log_metrics.rs"]
mod flow_log_metrics;
#[path = "packets/flow_log_mismatch.rs"]
mod flow_log_mismatch;
#[path = "packets/flow_log_odd.rs"]
mod flow_log_odd;
#[path = "packets/flow_log_replaced.rs"]
mod flow_log_replaced;
#[path = "packets/flow_log_silence.rs"]
mod flow_log_silence;
#[path = "packets/flow_log_sockets.rs"]
mod flow_log_sockets;
#[path = "packets/forged.rs"]
mod forged;
#[path = "packets/ground.rs"]
mod ground;
#[path = "packets/icmp_errors.rs"]
mod icmp_errors;
#[path = "packets/ledger.rs"]
mod ledger;
#[path = "packets/lifecycle.rs"]
mod lifecycle;
#[path = "packets/live.rs"]
mod live;
#[path = "packets/long_lived.rs"]
mod long_lived;
#[path = "packets/node_findings.rs"]
mod node_findings;
#[path = "packets/node_ports.rs"]
mod node_ports;
#[path = "packets/older_tables.rs"]
mod older_tables;
#[path = "packets/one_agent.rs"]
mod one_agent;
#[path = "packets/pod_start.rs"]
mod pod_start;
#[path = "packets/revocation.rs"]
mod revocation;
#[path = "packets/rows.rs"]
mod rows;
#[path = "packets/shots.rs"]
mod shots;
#[path = "packets/source_ports.rs"]
mod source_ports;
#[path = "packets/streams.rs"]
mod streams;
#[path = "packets/table_metrics.rs"]
mod table_metrics;
#[path = "packets/told.rs"]
mod told;
#[path = "packets/tricks.rs"]
mod tricks;
#[path = "packets/unprogrammed.rs"]
mod unprogrammed;
#[path = "packets/upgrade.rs"]
mod upgrade;
#[path = "packets/uplinks.rs"]
mod uplinks;
#[path = "packets/world.rs"]
mod world;
