//! `pipewright plan`: what this branch would change, from Git alone.
//!
//! The plan is the bot's own, made against a world in which exactly the base is applied.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::edges::git::{GitError, SnapshotRead, local_snapshot};
use crate::finding::Finding;
use crate::name::PipelineName;
use crate::object::{Grant, Object, ObjectKey};
use crate::plan::access::Movement;
use crate::plan::assumed::applied;
use crate::plan::{self, Action, Change, Intent, NEEDED_ELSEWHERE, Plan as Made};
use crate::policy;
use crate::proposal::{Proposal, propose};
use crate::snapshot::{Entry, Snapshot, Tree};

use super::house::HouseArguments;
use super::{Ended, Format, diff, print};

const CAVEAT: &str = "Compared with Git, as if the base were applied: what exists in the cluster and at Google is not known here.";

const POLICIES_CHANGE: &str =
    "This changes policies/ as well: the base's hold until it is merged, and are used here.";

/// Show what this branch would change.
///
/// Made from Git alone, as if the base were applied. The digests can differ from the bot's:
/// it also sees what exists already without being anybody's, and its own house settings.
/// JSON that stands in a string is shown opened up.
///
/// Exit codes: 0 no deny finding, 1 some, 2 could not run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipewright plan                             the working folder against origin/HEAD, or main
  pipewright plan --base v1 --head HEAD       one revision against another
  pipewright plan --format json | jq .access  who gains or loses access")]
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
    let base_only = Snapshot {
        proposed: None,
        ..snapshot.clone()
    };
    let (before, after) = (propose(&base_only, &house), propose(&snapshot, &house));
    let made = plan::plan(&after, &applied(&before, &after));
    let told = Told {
        made: &made,
        before: &before,
        snapshot: &snapshot,
        base: &base,
    };
    match arguments.format {
        Format::Human => told.human(out)?,
        Format::Json => print::json(&told.machine(), out)?,
    }
    Ok(Ended::by(&made.findings))
}

/// Without a base, the branch that people usually mean.
fn read(arguments: &Plan) -> anyhow::Result<(String, SnapshotRead)> {
    let head = arguments.head.as_deref();
    let bases: Vec<&str> = match &arguments.base {
        Some(base) => vec![base],
        None => vec!["origin/HEAD", "main"],
    };
    for base in &bases {
        match local_snapshot(&arguments.repository, base, head) {
            // A head that is not known is not known beside any base.
            Err(GitError::UnknownRevision { rev, .. })
                if arguments.base.is_none() && rev == **base => {}
            read => return Ok(((*base).to_owned(), read?)),
        }
    }
    anyhow::bail!(
        "neither {} is a revision of this repository: name one with --base",
        bases.join(" nor ")
    )
}

/// A plan, and what it takes to tell of it.
struct Told<'a> {
    made: &'a Made,
    before: &'a Proposal,
    snapshot: &'a Snapshot,
    base: &'a str,
}

impl Told<'_> {
    fn human(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let made = self.made;
        let findings: Vec<&Finding> = made.findings.iter().collect();
        let renderer = print::renderer(&io::stdout());
        let tree = |finding: &Finding| Some(self.tree_of(finding));
        print::findings(&findings, tree, &str::to_owned, &renderer, out)?;
        writeln!(out, "{CAVEAT}")?;
        if self.policies_change() {
            writeln!(out, "{POLICIES_CHANGE}")?;
        }
        for (name, pipeline) in &made.pipelines {
            let intent = words(pipeline.intent);
            let (path, digest) = (print::escaped(&pipeline.path), pipeline.digest.short());
            writeln!(out, "\n{name}: {intent} ({path}), digest {digest}")?;
            for (key, change) in self.changes_of(name) {
                let Some((sign, note)) = sign(change) else {
                    continue;
                };
                writeln!(out, "  {sign} {}{note}", print::escaped(&key.to_string()))?;
                for line in self.diff(key, change) {
                    writeln!(out, "      {}", print::escaped(&line))?;
                }
            }
        }
        if self.moved().next().is_some() {
            writeln!(out)?;
        }
        for (moved, grant) in self.moved() {
            let told = format!("{} {} {}", grant.member, grant.role.words(), grant.resource);
            writeln!(out, "{moved}: {}", print::escaped(&told))?;
        }
        let summary = print::summary(made.pipelines.len(), &findings);
        writeln!(out, "\n{summary} against {}", print::escaped(self.base))?;
        Ok(())
    }

    fn machine(&self) -> Value {
        let pipelines: Map<String, Value> = self
            .made
            .pipelines
            .iter()
            .map(|(name, pipeline)| {
                let changes: Vec<Value> = self
                    .changes_of(name)
                    .filter_map(|(key, change)| {
                        let (sign, _) = sign(change)?;
                        let diff = self.diff(key, change);
                        Some(json!({ "sign": sign, "object": key.to_string(), "diff": diff }))
                    })
                    .collect();
                let value = json!({
                    "path": pipeline.path, "intent": words(pipeline.intent),
                    "digest": pipeline.digest, "changes": changes,
                });
                (name.to_string(), value)
            })
            .collect();
        let access: Vec<Value> = self
            .moved()
            .map(|(moved, grant)| {
                json!({
                    "movement": moved, "member": grant.member.iam(),
                    "role": grant.role.as_str(), "resource": grant.resource.to_string(),
                })
            })
            .collect();
        json!({
            "version": 1, "base": self.base, "pipelines": pipelines, "access": access,
            "policies_change": self.policies_change(), "findings": self.made.findings,
        })
    }

    fn changes_of(&self, name: &PipelineName) -> impl Iterator<Item = (&ObjectKey, &Change)> {
        let changes = self.made.changes.iter();
        changes.filter(move |(_, change)| change.pipelines.contains(name))
    }

    /// The lines that differ; none but for what is configured.
    fn diff(&self, key: &ObjectKey, change: &Change) -> Vec<String> {
        let objects = self.before.desired.objects();
        match (&change.action, objects.get(key), &change.object) {
            (
                Action::Configure { .. } | Action::Replace { .. },
                Some(Object::Kubernetes(before)),
                Some(Object::Kubernetes(after)),
            ) => diff::lines(&before.value(), &after.value()),
            _ => Vec::new(),
        }
    }

    fn moved(&self) -> impl Iterator<Item = (&'static str, &Grant)> {
        let rows = self.made.access.rows.iter();
        rows.filter_map(|row| match row.movement {
            Movement::Gained => Some(("gained", &row.grant)),
            Movement::Lost => Some(("lost", &row.grant)),
            Movement::Kept => None,
        })
    }

    /// The side whose text a finding is about: those of the policies that hold are the base's.
    fn tree_of(&self, finding: &Finding) -> &Tree {
        if self.made.policies.findings.contains(finding) {
            &self.snapshot.base
        } else {
            self.snapshot.tree()
        }
    }

    fn policies_change(&self) -> bool {
        let policies = |tree: &'_ Tree| -> Vec<(String, Entry)> {
            let entries = tree.entries.iter();
            entries
                .filter(|(path, _)| path.starts_with(policy::FOLDER))
                .map(|(path, entry)| (path.clone(), entry.clone()))
                .collect()
        };
        policies(&self.snapshot.base) != policies(self.snapshot.tree())
    }
}

fn sign(change: &Change) -> Option<(&'static str, String)> {
    match &change.action {
        Action::Create => Some(("+", String::new())),
        Action::Adopt { .. } => Some(("+", " (exists)".to_owned())),
        Action::Configure { .. } => Some(("~", String::new())),
        Action::Replace { .. } => Some(("~", " (deleted and made again)".to_owned())),
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
