//! Where the log goes, as the command line says it.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

/// Where the lines of the log go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
    /// A unix socket that anybody with access to it may connect to and read.
    Unix(PathBuf),
    /// Nowhere.
    Off,
}

/// A text that is not a [`Destination`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// None of the words.
    #[error("must be stdout, file:PATH, unix:PATH or off")]
    Unknown,
    /// A path alone.
    #[error("must be stdout, file:PATH, unix:PATH or off; for a file write file:{0}")]
    BarePath(String),
    /// `file:` or `unix:` and nothing after it.
    #[error("a path is missing after `{0}:`, as in {0}:/var/log/netpol/flows")]
    NoPath(&'static str),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = |kind, path: &str| match path {
            "" => Err(DestinationError::NoPath(kind)),
            path => Ok(PathBuf::from(path)),
        };
        match text.split_once(':') {
            None if text == "stdout" => Ok(Self::Stdout),
            None if text == "off" => Ok(Self::Off),
            Some(("file", rest)) => path("file", rest).map(Self::File),
            Some(("unix", rest)) => path("unix", rest).map(Self::Unix),
            _ if text.starts_with(['/', '.']) => Err(DestinationError::BarePath(text.to_owned())),
            _ => Err(DestinationError::Unknown),
        }
    }
}

impl Display for Destination {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Off => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths() {
        let file = |path: &str| Destination::File(path.into());
        let unix = |path: &str| Destination::Unix(path.into());
        for (text, destination) in [
            ("stdout", Destination::Stdout),
            ("off", Destination::Off),
            (
                "file:/var/log/netpol/flows.log",
                file("/var/log/netpol/flows.log"),
            ),
            ("file:flows.log", file("flows.log")),
            ("file:a:b", file("a:b")),
            ("file: ", file(" ")),
            ("unix:/run/netpol/flows", unix("/run/netpol/flows")),
            ("unix:../s", unix("../s")),
        ] {
            assert_eq!(text.parse(), Ok(destination.clone()), "{text}");
            assert_eq!(destination.to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_told_the_words() {
        for (text, says) in [
            ("", "stdout, file:PATH, unix:PATH or off"),
            ("Stdout", "stdout, file:PATH, unix:PATH or off"),
            ("stdout:", "stdout, file:PATH, unix:PATH or off"),
            ("off:x", "stdout, file:PATH, unix:PATH or off"),
            ("stderr", "stdout, file:PATH, unix:PATH or off"),
            ("tcp:1.2.3.4:5", "stdout, file:PATH, unix:PATH or off"),
            ("File:/x", "stdout, file:PATH, unix:PATH or off"),
            ("/var/log/x", "write file:/var/log/x"),
            ("./a:b", "write file:./a:b"),
            ("file:", "missing after `file:`"),
            ("unix:", "missing after `unix:`"),
        ] {
            let error = text.parse::<Destination>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
