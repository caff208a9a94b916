//! Whether an agent runs here already, and what one has left.

use policy_compiler::ruleset::TABLE;

use super::Finding;
use crate::node_lock::Holder;

const CHECK: &str = "agent";

/// Which of an agent's tables are there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// `inet netpol`
    pub(super) rules: bool,
    /// `bridge netpol`
    pub(super) ports: bool,
}

/// What the lock's holder and the tables amount to; `tables` is `None` if they cannot be asked for.
pub(super) fn judge(holder: Option<&Holder>, tables: Option<Tables>) -> Finding {
    const ADVICE: &str = "start the agent, or remove the rules with `netpol cleanup`";
    match (holder, tables) {
        (Some(holder), Some(Tables { rules: false, .. })) => Finding::warning(
            CHECK,
            format!("an agent runs here ({holder}), and there is no table inet {TABLE}"),
            "ask its /readyz and read its log; as long as it does not know all objects it writes nothing",
        ),
        (Some(holder), _) => {
            Finding::ok(CHECK, format!("an agent runs here: {holder}; only one can"))
        }
        (None, Some(Tables { rules: true, .. })) => Finding::warning(
            CHECK,
            format!(
                "table inet {TABLE} is there, and no agent: its rules stay in force as they are"
            ),
            ADVICE,
        ),
        (None, Some(Tables { ports: true, .. })) => Finding::warning(
            CHECK,
            format!(
                "table bridge {TABLE} is there, and no agent: new pods cannot use the addresses of those that have gone"
            ),
            ADVICE,
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
        let tables = |rules, ports| Some(Tables { rules, ports });
        let ours = "process 4711 (netpol)";
        for (holder, tables, level, words) in [
            (None, tables(false, false), Level::Ok, "no agent runs"),
            (None, None, Level::Ok, "no agent runs"),
            (None, tables(true, true), Level::Warning, "table inet"),
            (None, tables(false, true), Level::Warning, "table bridge"),
            (Some(&holder), tables(true, false), Level::Ok, ours),
            (Some(&holder), None, Level::Ok, ours),
            (
                Some(&holder),
                tables(false, true),
                Level::Warning,
                "/readyz",
            ),
        ] {
            let finding = judge(holder, tables);
            assert_eq!(finding.level, level, "{finding}");
            assert!(finding.to_string().contains(words), "{finding}");
        }
    }
}
