//! How a line looks.

pub mod hubble;

use clap::ValueEnum;

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
