//! Authorizing: who may have which command obeyed.
//!
//! The only maker of an [`AuthorizedCommand`]. Everything that decides comes from the base
//! branch or from GitHub's own accounts, nothing from the pull request.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::event::PullNumber;
use crate::name::{Owner, PgName, PipelineName};
use crate::pipeline::{Pipeline, TableSelection};
use crate::plan::approval::Memberships;

use super::base::{Base, OwnedBy};
use super::{AuthorKind, Command, CommandKey, Comment, Edits, Permission, Verb};

/// What is known when a command is given.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub comment: &'a Comment,
    /// Login of the pull request's author.
    pub pull_author: &'a str,
    pub state: PullState,
    pub target: Target,
    /// The comment's author in the repository.
    pub permission: Permission,
    pub memberships: &'a Memberships,
    pub base: Base<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullState {
    Open,
    Merged,
    Closed,
}

/// Where the pull request leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    DefaultBranch,
    OtherBranch,
}

/// A command that may have its effect. Nothing else can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedCommand {
    key: CommandKey,
    pull: PullNumber,
    actor: String,
    at: Timestamp,
    command: Command,
}

impl AuthorizedCommand {
    pub fn key(&self) -> CommandKey {
        self.key
    }

    pub fn pull(&self) -> PullNumber {
        self.pull
    }

    /// The login of who gave it.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// When it was given.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// With the pipelines that it is for, all of which are on the base branch.
    pub fn command(&self) -> &Command {
        &self.command
    }
}

/// Why a command has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Someone changed the comment after it was written.
    Edited,
    Bot,
    NoReadAccess,
    /// `/plan` where there is nothing to merge any more.
    NotOpen,
    /// `/apply` or `/confirm` before the merge.
    NotMerged {
        verb: Verb,
    },
    OtherBranch {
        verb: Verb,
    },
    /// `/plan` by neither the author nor somebody who may write.
    NeitherAuthorNorWriter,
    /// The policies have mistakes, and rights would follow from them.
    BrokenPolicies {
        verb: Verb,
    },
    NoSuchPipeline {
        name: PipelineName,
        meant: Option<PipelineName>,
    },
    /// No pipeline was named, and none follows from the pull request.
    NoPipeline,
    NotYours(Denied),
    NoSuchTable {
        pipeline: PipelineName,
        table: PgName,
        selection: TableSelection,
    },
    /// `/apply` by somebody who owns nothing of the estate, or `/confirm` by one of no house.
    NoVoice {
        verb: Verb,
        owners: BTreeSet<Owner>,
    },
}

/// A pipeline that the actor may not rerun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    pub pipeline: PipelineName,
    /// How many more of those that were asked for are not theirs either.
    pub others: usize,
    pub by: OwnedBy,
    pub owners: BTreeSet<Owner>,
    /// They may always.
    pub house: BTreeSet<Owner>,
    pub missing: Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Ownership,
    /// A code owner counts only with write access, as on GitHub.
    WriteAccess,
}

/// Decides about one command of the comment.
///
/// # Errors
/// With the first reason why it is not obeyed; then no part of it is.
pub fn authorize(
    key: CommandKey,
    command: &Command,
    circumstances: &Circumstances<'_>,
) -> Result<AuthorizedCommand, Refused> {
    let comment = circumstances.comment;
    if comment.by == AuthorKind::Bot {
        return Err(Refused::Bot);
    }
    if comment.edits == Edits::Edited {
        return Err(Refused::Edited);
    }
    if circumstances.permission < Permission::Read {
        return Err(Refused::NoReadAccess);
    }
    let command = match command {
        Command::Help | Command::Status => command.clone(),
        Command::Plan => {
            may_plan(circumstances)?;
            Command::Plan
        }
        Command::Apply { .. } => {
            may_approve(circumstances, Verb::Apply, circumstances.base.voices())?;
            command.clone()
        }
        Command::Confirm { .. } => {
            may_approve(circumstances, Verb::Confirm, circumstances.base.house())?;
            command.clone()
        }
        Command::Rerun { pipelines, tables } => {
            let pipelines = may_rerun(circumstances, pipelines, tables)?;
            Command::Rerun {
                pipelines,
                tables: tables.clone(),
            }
        }
    };
    Ok(AuthorizedCommand {
        key,
        pull: comment.pull,
        actor: comment.author.clone(),
        at: comment.created_at,
        command,
    })
}

/// The teams whose memberships decide about the command.
pub fn asked_owners(command: &Command, base: &Base<'_>) -> BTreeSet<Owner> {
    let owners = match command {
        Command::Help | Command::Status | Command::Plan => BTreeSet::new(),
        Command::Apply { .. } => base.voices(),
        Command::Confirm { .. } => base.house(),
        Command::Rerun { pipelines, .. } => {
            let named = base.resolve(pipelines).unwrap_or_default();
            named
                .iter()
                .flat_map(|pipeline| base.owners_of(pipeline).1)
                .chain(base.house())
                .collect()
        }
    };
    owners
        .into_iter()
        .filter(|owner| owner.team().is_some())
        .collect()
}

fn may_plan(circumstances: &Circumstances<'_>) -> Result<(), Refused> {
    if circumstances.state != PullState::Open {
        return Err(Refused::NotOpen);
    }
    circumstances.leads_to_default(Verb::Plan)?;
    let comment = circumstances.comment;
    let is_author = comment
        .author
        .eq_ignore_ascii_case(circumstances.pull_author);
    if is_author || circumstances.permission >= Permission::Write {
        Ok(())
    } else {
        Err(Refused::NeitherAuthorNorWriter)
    }
}

/// What lets something be written, once one of these owners says so.
fn may_approve(
    circumstances: &Circumstances<'_>,
    verb: Verb,
    owners: BTreeSet<Owner>,
) -> Result<(), Refused> {
    if circumstances.state != PullState::Merged {
        return Err(Refused::NotMerged { verb });
    }
    circumstances.leads_to_default(verb)?;
    if circumstances.base.policies.are_broken() {
        return Err(Refused::BrokenPolicies { verb });
    }
    if circumstances.speaks_for_one(&owners) {
        Ok(())
    } else {
        Err(Refused::NoVoice { verb, owners })
    }
}

fn may_rerun(
    circumstances: &Circumstances<'_>,
    named: &BTreeSet<PipelineName>,
    tables: &BTreeSet<PgName>,
) -> Result<BTreeSet<PipelineName>, Refused> {
    let base = &circumstances.base;
    let pipelines = base.resolve(named)?;
    let mut denied = pipelines
        .iter()
        .filter_map(|pipeline| circumstances.denied(pipeline).err());
    if let Some(mut first) = denied.next() {
        if let Refused::NotYours(first) = &mut first {
            first.others = denied.count();
        }
        return Err(first);
    }
    for pipeline in &pipelines {
        if let Some(table) = tables.iter().find(|one| !pipeline.tables.contains(one)) {
            return Err(Refused::NoSuchTable {
                pipeline: pipeline.name.clone(),
                table: table.clone(),
                selection: pipeline.tables.clone(),
            });
        }
    }
    Ok(pipelines.iter().map(|one| one.name.clone()).collect())
}

impl Circumstances<'_> {
    fn leads_to_default(&self, verb: Verb) -> Result<(), Refused> {
        match self.target {
            Target::DefaultBranch => Ok(()),
            Target::OtherBranch => Err(Refused::OtherBranch { verb }),
        }
    }

    fn speaks_for_one<'o>(&self, owners: impl IntoIterator<Item = &'o Owner>) -> bool {
        owners
            .into_iter()
            .any(|owner| self.memberships.speaks_for(&self.comment.author, owner))
    }

    fn denied(&self, pipeline: &Pipeline) -> Result<(), Refused> {
        let house = self.base.house();
        if self.speaks_for_one(&house) {
            return Ok(());
        }
        let (by, owners) = self.base.owners_of(pipeline);
        if by == OwnedBy::Estate && self.base.has_no_estate() {
            return Err(Refused::BrokenPolicies { verb: Verb::Rerun });
        }
        let missing = match self.speaks_for_one(&owners) {
            false => Missing::Ownership,
            true if by == OwnedBy::CodeOwners && self.permission < Permission::Write => {
                Missing::WriteAccess
            }
            true => return Ok(()),
        };
        Err(Refused::NotYours(Denied {
            pipeline: pipeline.name.clone(),
            others: 0,
            by,
            owners,
            house,
            missing,
        }))
    }
}
