//! `pipewright plan`: what this branch would change, from Git alone.
//!
//! The plan is the bot's own, made against a world in which exactly the base is applied.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::edges::git::{GitError, SnapshotRead, local_snapshot};
use crate::finding::Finding;
use crate::plan::access::Movement;
use crate::plan::assumed::applied;
use crate::plan::{self, Action, Change, Intent, NEEDED_ELSEWHERE, Plan as Made};
use crate::proposal::propose;
use crate::snapshot::Snapshot;

use super::house::HouseArguments;
use super::{Ended, Format, print};

const CAVEAT: &str = "Compared with Git, as if the base were applied: what exists in the cluster and at Google is not known here.";

/// Show what this branch would change.
///
/// Exit codes: 0 no deny finding, 1 some, 2 could not run.
#[derive(Debug, Args)]
pub struct Plan {
    /// The revision to compare with; otherwise `origin/HEAD`, or `main`.
    #[arg(long)]
    base: Option<String>,
    /// The revision to merge into it; otherwise the working folder as it is.
    #[arg(long)]
    head: Option<String>,
    /// Any folder of the repository.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    house: HouseArguments,
}

/// Plans.
///
/// # Errors
/// If there is no repository or no such revision, or the two do not merge.
pub fn run(arguments: &Plan, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let house = arguments.house.house()?;
    let (base, read) = read(arguments)?;
    let snapshot = match read {
        SnapshotRead::Snapshot(snapshot) => snapshot,
        SnapshotRead::Conflict { files } => {
            anyhow::bail!(
                "it conflicts with {base} in {}: merge or rebase first",
                files.join(", ")
            )
        }
    };
    let before = Snapshot {
        proposed: None,
        ..snapshot.clone()
    };
    let world = applied(&propose(&before, &house), &propose(&snapshot, &house));
    let made = plan::plan(&propose(&snapshot, &house), &world);
    match arguments.format {
        Format::Human => human(&made, &snapshot, &base, out)?,
        Format::Json => writeln!(out, "{:#}", machine(&made, &base))?,
    }
    Ok(if made.findings.iter().any(Finding::is_deny) {
        Ended::Denied
    } else {
        Ended::Well
    })
}

/// Without a base, the branch that people usually mean.
fn read(arguments: &Plan) -> anyhow::Result<(String, SnapshotRead)> {
    let head = arguments.head.as_deref();
    let bases: Vec<&str> = match &arguments.base {
        Some(base) => vec![base],
        None => vec!["origin/HEAD", "main"],
    };
    let mut last = None;
    for base in bases {
        match local_snapshot(&arguments.repository, base, head) {
            Ok(read) => return Ok((base.to_owned(), read)),
            Err(error @ GitError::UnknownRevision { .. }) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => anyhow::bail!("there is no revision to compare with"),
    }
}

fn human(made: &Made, snapshot: &Snapshot, base: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let findings: Vec<&Finding> = made.findings.iter().collect();
    print::findings(&findings, snapshot.tree(), &str::to_owned, out)?;
    writeln!(out, "{CAVEAT}")?;
    for (name, pipeline) in &made.pipelines {
        writeln!(
            out,
            "\n{name}: {} ({})",
            words(pipeline.intent),
            pipeline.path
        )?;
        for (key, change) in &made.changes {
            if change.pipelines.contains(name)
                && let Some((sign, note)) = sign(change)
            {
                writeln!(out, "  {sign} {key}{note}")?;
            }
        }
    }
    let moved = made
        .access
        .rows
        .iter()
        .filter(|row| row.movement != Movement::Kept);
    for row in moved {
        let (sign, grant) = (
            if row.movement == Movement::Gained {
                "gains"
            } else {
                "loses"
            },
            &row.grant,
        );
        writeln!(
            out,
            "\n{} {sign}: {} {}",
            grant.member,
            grant.role.words(),
            grant.resource
        )?;
    }
    writeln!(
        out,
        "\n{} against {base}",
        print::summary(made.pipelines.len(), &findings)
    )?;
    Ok(())
}

fn sign(change: &Change) -> Option<(&'static str, String)> {
    match &change.action {
        Action::Create => Some(("+", String::new())),
        Action::Adopt { .. } => Some(("+", " (exists)".to_owned())),
        Action::Configure { fields, .. } => {
            let fields: Vec<&str> = fields.iter().map(|change| change.field.as_str()).collect();
            Some(("~", format!(": {}", fields.join(", "))))
        }
        Action::Unchanged | Action::Release(NEEDED_ELSEWHERE) => None,
        Action::Prune => Some(("-", String::new())),
        Action::Release(why) => Some(("=", format!(" stays: {why}"))),
    }
}

fn words(intent: Intent) -> &'static str {
    match intent {
        Intent::Create => "new",
        Intent::Change => "changed",
        Intent::Keep => "unchanged",
        Intent::Remove => "removed",
        Intent::Blocked => "can not be read",
    }
}

fn machine(made: &Made, base: &str) -> serde_json::Value {
    let pipelines: serde_json::Map<_, _> = made
        .pipelines
        .iter()
        .map(|(name, pipeline)| {
            let changes: Vec<_> = made
                .changes
                .iter()
                .filter(|(_, change)| change.pipelines.contains(name))
                .filter_map(|(key, change)| {
                    sign(change).map(|(sign, _)| json!({ "sign": sign, "object": key.to_string() }))
                })
                .collect();
            let value = json!({
                "path": pipeline.path, "intent": words(pipeline.intent),
                "digest": pipeline.digest, "changes": changes,
            });
            (name.to_string(), value)
        })
        .collect();
    json!({ "version": 1, "base": base, "pipelines": pipelines, "findings": made.findings })
}
