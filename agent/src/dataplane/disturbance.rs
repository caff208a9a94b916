//! What other programs do to netpol's table.

use std::fmt;

/// Something has happened in the kernel that is not of the agent's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Other programs changed netpol's table. What was told besides may not be all, if some was lost.
    Foreign(Foreign),
    /// Changes came faster than they were read, so some are not known: netpol's table may be among what they changed.
    Overrun,
}

/// What of a table was changed. The order is that of what the change is called by, if it is of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The table itself: it was deleted, made anew, or put to sleep.
    Table,
    /// Chains.
    Chain,
    /// Rules.
    Rule,
    /// Sets and maps.
    Set,
    /// Elements of sets and maps.
    Element,
    /// Anything else: counters, for instance.
    Other,
}

/// One commit of another program's to netpol's table, or several that came together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Notifications of each part, in the order of [`Part::ALL`].
    counts: [u64; Part::ALL.len()],
    /// The table is not there any more.
    pub is_gone: bool,
    /// Whose commit it was; the last one's, if there were several.
    pub process: Option<Process>,
}

/// A process, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number in the first PID namespace.
    pub pid: u32,
    /// Its name; at most 15 bytes, and any process can choose its own.
    pub name: String,
}

impl Process {
    /// What an agent's threads are called that write to nftables.
    pub const AGENT: &str = "netpol";
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Table,
        Self::Chain,
        Self::Rule,
        Self::Set,
        Self::Element,
        Self::Other,
    ];

    /// One word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Chain => "chain",
            Self::Rule => "rule",
            Self::Set => "set",
            Self::Element => "element",
            Self::Other => "other",
        }
    }
}

impl Foreign {
    /// One change of a part, by nobody knows whom.
    #[must_use]
    pub fn of(part: Part, is_gone: bool) -> Self {
        let mut foreign = Self {
            is_gone,
            ..Self::default()
        };
        foreign.add(part);
        foreign
    }

    /// Counts a notification.
    pub fn add(&mut self, part: Part) {
        self.counts[part as usize] += 1;
    }

    /// How many notifications there were of a part.
    #[must_use]
    pub fn count(&self, part: Part) -> u64 {
        self.counts[part as usize]
    }

    /// What the change is called by: deleting a chain deletes its rules, too.
    #[must_use]
    pub fn part(&self) -> Part {
        let found = Part::ALL.into_iter().find(|part| self.count(*part) > 0);
        found.unwrap_or(Part::Other)
    }

    /// Whether another agent did it.
    #[must_use]
    pub fn is_agents(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.name == Process::AGENT)
    }

    /// Adds what came later.
    pub fn merge(&mut self, later: Self) {
        for (count, more) in self.counts.iter_mut().zip(later.counts) {
            *count += more;
        }
        if later.count(Part::Table) > 0 {
            self.is_gone = later.is_gone;
        }
        self.process = later.process.or(self.process.take());
    }
}

impl Disturbance {
    /// Adds what came later. What is known is more than that something is not.
    pub fn merge(&mut self, later: Self) {
        match (self, later) {
            (Self::Foreign(known), Self::Foreign(more)) => known.merge(more),
            (unknown @ Self::Overrun, later) => *unknown = later,
            (Self::Foreign(_), Self::Overrun) => {}
        }
    }
}

/// How many of what, as in `2 chain, 5 rule`.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for part in Part::ALL {
            let count = self.count(part);
            if count > 0 {
                write!(f, "{separator}{count} {}", part.name())?;
                separator = ", ";
            }
        }
        Ok(())
    }
}
