//! How a chain ends that lets nothing more pass.

use crate::model::Protocol;
use crate::ruleset::{DropLog, DropPoint, Ident, Match, Rule, Verdict};

/// The rules at the end of `chain`, which drop what no rule before them let pass. Packets are dropped without an answer
/// (semantics rule I7, decision L11). With `log` some are told of; the counter, which bears the chain's name, sees
/// every one, also those that the log's limit passes over.
pub(super) fn drop_rules(
    chain: &Ident,
    point: DropPoint,
    log: Option<&DropLog>,
    comment: &str,
) -> impl Iterator<Item = Rule> {
    let log = log_rule(point, log);
    let drop = Rule::new(vec![], Verdict::CountAndDrop(chain.clone())).with_comment(comment);
    log.into_iter().chain([drop])
}

/// The same for connections that were cut. Who sends on in one over TCP is told, so that it need not wait for answers
/// until it gives up.
pub(super) fn cut_rules(
    chain: &Ident,
    point: DropPoint,
    log: Option<&DropLog>,
) -> impl Iterator<Item = Rule> {
    let of_tcp = vec![Match::Protocol(Protocol::Tcp)];
    let reset = Rule::new(of_tcp, Verdict::CountAndReset(chain.clone()));
    let comment = "no policy allows this connection any more";
    let drop = Rule::new(vec![], Verdict::CountAndDrop(chain.clone())).with_comment(comment);
    log_rule(point, log).into_iter().chain([reset, drop])
}

fn log_rule(point: DropPoint, log: Option<&DropLog>) -> Option<Rule> {
    log.map(|log| Rule::new(vec![], Verdict::Log(point, *log)))
}
