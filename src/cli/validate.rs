//! `pipewright validate`: the bot's findings, before anybody else sees them.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::finding::Finding;
use crate::policy::FOLDER as POLICIES;
use crate::proposal::propose;

use super::folder::Folder;
use super::house::HouseArguments;
use super::{Ended, Format, print};

/// Check pipelines, and show what is wrong on its line.
///
/// Exit codes: 0 no deny finding, 1 some, 2 could not run.
#[derive(Debug, Args)]
pub struct Validate {
    /// A file or a folder of pipelines.
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
    // All files were read, because rules see all pipelines; one file was asked about.
    let findings: Vec<&Finding> = proposal
        .findings
        .iter()
        .filter(|finding| {
            let only = folder.only.as_ref();
            only.is_none_or(|only| *only == finding.path || finding.path.starts_with(POLICIES))
        })
        .collect();
    let pipelines = match &folder.only {
        Some(_) => 1,
        None => folder.pipelines(),
    };
    match arguments.format {
        Format::Human => {
            print::findings(&findings, &folder.tree, &|path| folder.shown(path), out)?;
            writeln!(out, "{}", print::summary(pipelines, &findings))?;
        }
        Format::Json => {
            let answer = json!({ "version": 1, "pipelines": pipelines, "findings": findings });
            writeln!(out, "{answer:#}")?;
        }
    }
    Ok(if findings.iter().any(|finding| finding.is_deny()) {
        Ended::Denied
    } else {
        Ended::Well
    })
}
