//! The command line: one file for each command. Arguments in, text out, an exit code.

pub mod completions;
mod diff;
pub mod folder;
pub mod google;
pub mod house;
pub mod new;
pub mod plan;
pub mod print;
pub mod progress;
pub mod render;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod schema;
pub mod serve;
pub mod sync;
pub mod validate;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::finding::Finding;
use crate::sync::Persistence;

/// Copies Cloud SQL schemas to BigQuery, asked for by pull request.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "\
Examples:
  pipewright sandbox                  see it work, without an account
  pipewright new crm                  write the file of a new pipeline
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
    New(Box<new::New>),
    Validate(validate::Validate),
    Plan(plan::Plan),
    Render(render::Render),
    Sync(Box<sync::Sync>),
    Schema(Box<schema::Schema>),
    Serve(Box<serve::Serve>),
    Completions(completions::Completions),
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
    /// A run that failed, by whether another attempt could help.
    Failed(Persistence),
}

impl Ended {
    /// By the findings that were shown.
    fn by<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Self {
        if findings.into_iter().any(Finding::is_deny) {
            Self::Denied
        } else {
            Self::Well
        }
    }
}

impl From<Option<Persistence>> for Ended {
    fn from(failed: Option<Persistence>) -> Self {
        failed.map_or(Self::Well, Self::Failed)
    }
}

/// Exit code of a command that could not run.
pub const COULD_NOT_RUN: u8 = 2;

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Well => Self::SUCCESS,
            Ended::Denied => Self::from(1),
            Ended::Failed(persistence) => {
                // Both codes are small.
                u8::try_from(persistence.exit_code()).map_or(Self::from(COULD_NOT_RUN), Self::from)
            }
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
        Command::New(arguments) => printed(|out, _| new::run(&arguments, out)),
        Command::Validate(arguments) => printed(|out, _| validate::run(&arguments, out)),
        Command::Plan(arguments) => printed(|out, _| plan::run(&arguments, out)),
        Command::Render(arguments) => printed(|out, err| render::run(&arguments, out, err)),
        Command::Completions(arguments) => printed(|out, _| completions::run(&arguments, out)),
        Command::Sync(arguments) => {
            printed(|out, err| runtime()?.block_on(sync::run(&arguments, out, err)))
        }
        Command::Schema(arguments) => {
            printed(|out, err| runtime()?.block_on(schema::run(&arguments, out, err)))
        }
        Command::Serve(arguments) => runtime()?
            .block_on(serve::run(*arguments))
            .map(|()| Ended::Well),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(arguments) => runtime()?.block_on(sandbox::run(arguments)),
    }
}

/// Runs a command to its end before anything is written: a reader who has seen enough
/// (`| head`) must not turn a deny into a success.
fn printed(
    command: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> anyhow::Result<Ended>,
) -> anyhow::Result<Ended> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = command(&mut out, &mut err)?;
    write_whole(&mut io::stdout().lock(), &out)?;
    write_whole(&mut io::stderr().lock(), &err)?;
    Ok(ended)
}

fn write_whole(stream: &mut dyn Write, text: &[u8]) -> io::Result<()> {
    match stream.write_all(text).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
