//! What was found of the node, in words for people.

use std::fmt;

use serde::Serialize;

use crate::manifests::printable;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be, or good to know.
    Ok,
    /// Something may not work, or not as people expect.
    Warning,
    /// Policies are not enforced here, or packets pass that nobody judges.
    Error,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Warning, Self::Error];

    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check found it.
    pub check: &'static str,
    /// What it is about, if the check looks at several things.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(Level::Ok, check, found, None)
    }

    /// Something may not work.
    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warning, check, found, Some(&advice.into()))
    }

    /// Something does not work.
    pub(super) fn error(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Level::Error, check, found, Some(&advice.into()))
    }

    pub(super) fn new(
        level: Level,
        check: &'static str,
        found: impl Into<String>,
        advice: Option<&str>,
    ) -> Self {
        Self {
            level,
            check,
            subject: String::new(),
            found: printable(&found.into()),
            advice: advice.map(printable),
        }
    }

    /// The same, about one thing of several.
    #[must_use]
    pub(super) fn about(mut self, subject: &str) -> Self {
        self.subject = printable(subject);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
}

/// How many findings are of a level.
pub fn count(findings: &[Finding], level: Level) -> usize {
    let of_level = |finding: &&Finding| finding.level == level;
    findings.iter().filter(of_level).count()
}

/// One line for each finding.
pub fn text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let (level, check) = (finding.level.name(), finding.check);
        format!("{level:<8} {check:<12}  {finding}\n")
    };
    findings.iter().map(line).collect()
}

/// All findings as one JSON document.
pub fn json(findings: &[Finding]) -> String {
    let document = Document {
        errors: count(findings, Level::Error),
        warnings: count(findings, Level::Warning),
        findings,
    };
    // Nothing in it can fail to be written.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_line_whatever_names_hold() {
        let findings = [
            Finding::ok("source-guard", "on"),
            Finding::error("pods", "bridge \u{1b}[2J\nx", "do").about("x\n"),
        ];
        assert_eq!(
            text(&findings),
            "ok       source-guard  on\nerror    pods          bridge \u{fffd}[2J\u{fffd}x; do\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).expect("JSON");
        assert_eq!(json["errors"], 1);
        assert_eq!(json["warnings"], 0);
        assert_eq!(json["findings"][0]["level"], "ok");
        assert_eq!(json["findings"][0]["advice"], serde_json::Value::Null);
        assert_eq!(json["findings"][1]["advice"], "do");
        assert_eq!(json["findings"][1]["subject"], "x\u{fffd}");
    }
}
