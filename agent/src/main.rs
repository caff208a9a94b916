//! The `netpol` binary; see [`netpol_agent::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    netpol_agent::cli::main()
}
