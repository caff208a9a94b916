//! How a line looks.
//!
//! Every format tells the same; what is cut to keep lines short is counted in each. Names, labels and what a pod's owner
//! is called come from whoever makes pods: none of it may begin a line or fill one.

mod ecs;
mod escape;
pub mod hubble;
mod id;
mod limits;
mod logfmt;
mod tell;
pub mod time;

use clap::ValueEnum;

use super::event::Line;

/// The format of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Hubble's `ExportEvent` as JSON, which `hubble observe --input-file` reads
    #[default]
    Hubble,
    /// key=value, for people
    Logfmt,
    /// JSON in the names of the Elastic Common Schema
    Ecs,
}

/// The most bytes of a line, its newline included: `hubble` gives up at a longer one and reads nothing after it.
pub const LONGEST_LINE: usize = 64 * 1024 - 1;

impl Format {
    /// One line, ending in a newline and holding no other control character, of at most [`LONGEST_LINE`] bytes. The same
    /// for the same `line`.
    pub fn write(self, line: &Line) -> String {
        match self {
            Self::Hubble => escape::json_line(&hubble::ExportEvent::from(line)),
            Self::Logfmt => logfmt::write(line),
            Self::Ecs => match line {
                Line::Flow(flow) => escape::json_line(&ecs::FlowDocument::from(&**flow)),
                Line::Lost(lost) => escape::json_line(&ecs::LostDocument::from(lost)),
            },
        }
    }
}
