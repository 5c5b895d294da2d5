//! The command line: one file for each command. Arguments in, text out, an exit code.

pub mod folder;
pub mod house;
pub mod plan;
pub mod print;
pub mod render;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod serve;
pub mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Copies Cloud SQL schemas to BigQuery, asked for by pull request.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "\
Examples:
  pipewright sandbox                  see it work, without an account
  pipewright validate                 check pipelines/ against policies/
  pipewright validate pipelines/x.yaml
  pipewright plan --base origin/main  what this branch would change"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Validate(validate::Validate),
    Plan(plan::Plan),
    Render(render::Render),
    Serve(Box<serve::Serve>),
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Sandbox),
}

/// How a command that could run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Exit code 0.
    Well,
    /// Exit code 1: a deny finding, or something that was not seen to happen.
    Denied,
}

/// Exit code of a command that could not run.
pub const COULD_NOT_RUN: u8 = 2;

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Well => Self::SUCCESS,
            Ended::Denied => Self::from(1),
        }
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Human,
    Json,
}

/// Runs the command, and writes what it has to say to the standard output.
///
/// # Errors
/// If it could not run.
pub fn run(cli: Cli) -> anyhow::Result<Ended> {
    match cli.command {
        Command::Validate(arguments) => validate::run(&arguments, &mut std::io::stdout().lock()),
        Command::Plan(arguments) => plan::run(&arguments, &mut std::io::stdout().lock()),
        Command::Render(arguments) => render::run(&arguments, &mut std::io::stdout().lock()),
        Command::Serve(arguments) => runtime()?
            .block_on(serve::run(*arguments))
            .map(|()| Ended::Well),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(arguments) => runtime()?.block_on(sandbox::run(arguments)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
