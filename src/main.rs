//! The program: arguments, logging, one command, one exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use pipewright::cli::print::escaped;
use pipewright::cli::progress::Log;
use pipewright::cli::{COULD_NOT_RUN, Cli, run};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(Log)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .init();
    match run(cli) {
        Ok(ended) => ended.into(),
        // Whoever read the output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // The whole chain, once; a closed standard error has nobody to tell.
            let chain = escaped(&format!("{error:#}"));
            let _ = writeln!(std::io::stderr(), "error: {chain}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
