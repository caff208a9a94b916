//! How a chain ends that lets nothing more pass.

use crate::ruleset::{DropLog, DropPoint, Ident, Rule, Verdict};

/// The rules at the end of `chain`, which drop what no rule before them let pass. Packets are dropped without an answer
/// (semantics rule I7, decision L11). With `log` some are told of; the counter, which bears the chain's name, sees
/// every one, also those that the log's limit passes over.
pub(super) fn drop_rules(
    chain: &Ident,
    point: DropPoint,
    log: Option<&DropLog>,
    comment: &str,
) -> impl Iterator<Item = Rule> {
    let log = log.map(|log| Rule::new(vec![], Verdict::Log(point, *log)));
    let drop = Rule::new(vec![], Verdict::CountAndDrop(chain.clone())).with_comment(comment);
    log.into_iter().chain([drop])
}
