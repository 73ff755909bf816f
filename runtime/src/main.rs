//! The binary: arguments in, text out, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    reprise::cli::run(std::env::args_os())
}
