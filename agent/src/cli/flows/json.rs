//! `netpol flows -o json`

use std::io::{self, Write};

use super::show::View;
use crate::flow_log::reading::Entry;

/// The lines as they are.
#[derive(Debug)]
pub(super) struct Json {}

impl View for Json {
    fn take(&mut self, entry: Entry, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&entry.json)?;
        out.write_all(b"\n")
    }

    fn flush(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
