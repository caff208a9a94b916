//! The agent's log on standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How the log looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Libraries that tell of each failed request too; here that is told in proportion.
const QUIET: &str = "warn,kube_runtime=error,kube_client=off,rustls_platform_verifier=off";

/// What is logged, as `tracing` takes it, of a level or of directives by module. A bare level is about netpol.
pub(super) fn directives(text: &str) -> Result<String, String> {
    let level = |text: &str| text.parse::<LevelFilter>().ok();
    if let Some(level) = level(text) {
        return Ok(format!("{QUIET},netpol_agent={level}"));
    }
    // `tracing` would take a misspelt level for a module's name, and nothing would be logged.
    let misspelt = |part: &&str| !part.contains('=') && level(part.trim()).is_none();
    if let Some(part) = text.split(',').find(misspelt) {
        return Err(format!(
            "{part:?} is no level: error, warn, info, debug or trace"
        ));
    }
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Starts to log.
pub(super) fn start(format: Format, directives: &str) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(|| Unfailing(io::stderr()));
    match format {
        Format::Text => log
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
}

/// A log that cannot be written, because the disk is full or its reader has gone, is not to end the agent: `tracing`
/// complains on standard error, where that is bound to fail again, and panics.
struct Unfailing<W>(W);

impl<W: Write> Write for Unfailing<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives() {
        for (text, expected) in [
            (
                "debug",
                Some(
                    "warn,kube_runtime=error,kube_client=off,rustls_platform_verifier=off,netpol_agent=debug",
                ),
            ),
            (
                "info,netpol_agent::source=debug",
                Some("info,netpol_agent::source=debug"),
            ),
            ("inf", None),
            ("info,netpol_agent", None),
            ("netpol_agent=loud", None),
        ] {
            assert_eq!(directives(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_full_disk_is_no_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let mut log = Unfailing(Full);
        assert!(writeln!(log, "x").and_then(|()| log.flush()).is_ok());
    }
}
