//! Whether an agent runs here already, and what one has left.

use policy_compiler::ruleset::TABLE;

use super::Finding;
use crate::node_lock::Holder;

const CHECK: &str = "agent";

/// What the lock's holder and the table amount to; `has_table` is `None` if that cannot be asked.
pub(super) fn judge(holder: Option<&Holder>, has_table: Option<bool>) -> Finding {
    match (holder, has_table) {
        (Some(holder), Some(false)) => Finding::warning(
            CHECK,
            format!("an agent runs here ({holder}), and there is no table inet {TABLE}"),
            "ask its /readyz and read its log; as long as it does not know all objects it writes nothing",
        ),
        (Some(holder), _) => {
            Finding::ok(CHECK, format!("an agent runs here: {holder}; only one can"))
        }
        (None, Some(true)) => Finding::warning(
            CHECK,
            format!(
                "table inet {TABLE} is there, and no agent: its rules stay in force as they are"
            ),
            "start the agent, or remove the rules with `netpol cleanup`",
        ),
        (None, _) => Finding::ok(CHECK, "no agent runs here"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn agents_and_what_they_leave() {
        let holder = Holder {
            process: Some((4711, "netpol".to_owned())),
            port: Some(4711),
        };
        for (holder, has_table, level, words) in [
            (None, Some(false), Level::Ok, "no agent runs"),
            (None, None, Level::Ok, "no agent runs"),
            (None, Some(true), Level::Warning, "netpol cleanup"),
            (
                Some(&holder),
                Some(true),
                Level::Ok,
                "process 4711 (netpol)",
            ),
            (Some(&holder), None, Level::Ok, "process 4711 (netpol)"),
            (Some(&holder), Some(false), Level::Warning, "/readyz"),
        ] {
            let finding = judge(holder, has_table);
            assert_eq!(finding.level, level, "{finding}");
            assert!(finding.to_string().contains(words), "{finding}");
        }
    }
}
