//! `pipewright validate`: the bot's findings, before anybody else sees them.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::finding::Finding;
use crate::proposal::propose;

use super::folder::Folder;
use super::house::HouseArguments;
use super::{Ended, Format, print};

/// Check pipelines, and show what is wrong on its line.
///
/// Exit codes: 0 no deny finding, 1 some, 2 could not run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipewright validate                                   everything under pipelines/
  pipewright validate pipelines/orders/orders.yaml      one file's findings
  pipewright validate --format json | jq .findings      for a script")]
pub struct Validate {
    /// A file or a folder of pipelines, or a checkout; only its own findings are shown.
    #[arg(default_value = "pipelines")]
    path: PathBuf,
    /// Folder of policies; otherwise `policies` beside the pipelines, or here.
    #[arg(long)]
    policies: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    house: HouseArguments,
}

/// Checks.
///
/// # Errors
/// If the files can not be read.
pub fn run(arguments: &Validate, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let folder = Folder::read(&arguments.path, arguments.policies.as_deref())?;
    let proposal = propose(&folder.snapshot(), &arguments.house.house()?);
    let findings: Vec<&Finding> = proposal
        .findings
        .iter()
        .filter(|finding| folder.concerns(finding))
        .collect();
    let pipelines = folder.pipelines();
    match arguments.format {
        Format::Human => {
            let shown = |path: &str| folder.shown(path);
            let renderer = print::renderer(&io::stdout());
            print::findings(&findings, |_| Some(&folder.tree), &shown, &renderer, out)?;
            writeln!(out, "{}", print::summary(pipelines, &findings))?;
        }
        Format::Json => {
            let answer = json!({ "version": 1, "pipelines": pipelines, "findings": findings });
            print::json(&answer, out)?;
        }
    }
    Ok(Ended::by(findings))
}
