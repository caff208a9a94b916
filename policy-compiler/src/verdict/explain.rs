//! The verdict in a few lines for people.

use std::fmt;

use super::{Grant, Party, Side, Verdict};
use crate::model::{Direction, ObjectKey};

impl fmt::Display for Verdict {
    /// One line for the answer, one for each side, one for each near miss; no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = if self.is_allowed() {
            "ALLOWED"
        } else {
            "DENIED"
        };
        write!(
            f,
            "{} -> {} {}: {answer}",
            self.source, self.destination, self.flow.transport
        )?;
        let subjects =
            [Direction::Egress, Direction::Ingress].map(|d| (d, self.subject(d).to_string()));
        let width = subjects
            .iter()
            .map(|(_, subject)| subject.len())
            .max()
            .unwrap_or_default()
            + 1;
        for (direction, subject) in subjects {
            let (side, subject) = (direction.to_string(), format!("{subject}:"));
            write!(f, "\n  {side:<7} of {subject:<width$} ")?;
            self.side(direction).explain(self.subject(direction), f)?;
        }
        Ok(())
    }
}

impl Side {
    fn explain(&self, subject: &Party, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPod => f.write_str("not a pod, no policy applies"),
            Self::NotIsolated => f.write_str("not isolated"),
            Self::OwnNode => f.write_str("isolated, but its own node may always connect"),
            Self::Itself => f.write_str("isolated, but a pod may always talk to itself"),
            Self::Allowed { by } => write!(f, "allowed by {by}"),
            Self::Denied {
                isolating,
                near_misses,
                more,
            } => {
                write!(f, "isolated by {}; no rule allows it", List(isolating))?;
                near_misses
                    .iter()
                    .try_for_each(|miss| write!(f, "\n    {miss}"))?;
                match more {
                    0 => Ok(()),
                    more => write!(f, "\n    and {more} more rules"),
                }
            }
            Self::Contested { isolating } => {
                write!(
                    f,
                    "isolated by {}; nobody can tell whose address {subject} is",
                    List(isolating)
                )
            }
        }
    }
}

impl fmt::Display for Grant {
    /// `shop/allow-api ingress[0] (pods app=api in namespace shop, TCP 5432)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.rule)?;
        match &self.peer {
            Some(peer) => peer.fmt(f)?,
            None => f.write_str("any peer")?,
        }
        match &self.port {
            Some(port) => write!(f, ", {port})"),
            None => f.write_str(", any port)"),
        }
    }
}

struct List<'a>(&'a [ObjectKey]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            write!(f, "{}{key}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
