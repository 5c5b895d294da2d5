//! What commands stand on: the pull request, the default branch as it is now, and what was
//! said before. Read once for all commands of a look.

use std::collections::BTreeSet;

use crate::command::{
    self, AuthorizedCommand, Base, Circumstances, CodeOwners, Command, CommandKey, Comment,
    Refused, Target,
};
use crate::edges::forge::comment::hidden;
use crate::edges::forge::{PullRequest, PullState};
use crate::edges::git::SnapshotRead;
use crate::event::{Lane, PullNumber};
use crate::name::{CommitSha, PipelineName};
use crate::pipeline::{self, Parsed};
use crate::proposal::{Proposal, propose};
use crate::snapshot::Revisions;

use super::reconcile::Run;
use super::worker::Worker;

pub(super) struct Ground {
    pub(super) pull: PullRequest,
    /// Tip of the default branch.
    pub(super) commit: CommitSha,
    pub(super) proposal: Proposal,
    parsed: Parsed,
    code_owners: CodeOwners,
    /// The pipelines that the pull request is about: what its last plan showed.
    pub(super) about: BTreeSet<PipelineName>,
    /// Every comment under the pull request.
    pub(super) comments: Vec<Comment>,
    bot: String,
}

impl Ground {
    pub(super) async fn read(worker: &Worker, number: PullNumber) -> anyhow::Result<Self> {
        let forge = &worker.edges.forge;
        let pull = forge.pull_request(number).await?;
        let about = forge.reviewed(number).await?.digests.into_keys().collect();
        let comments = forge.comments(number).await?;
        let commit = worker.fetch_default().await?;
        let revisions = Revisions::Default {
            commit: commit.clone(),
        };
        let snapshot = match worker.edges.git.snapshot(&revisions).await? {
            SnapshotRead::Snapshot(snapshot) => snapshot,
            SnapshotRead::Conflict { .. } => anyhow::bail!("one commit conflicts with itself"),
        };
        Ok(Self {
            pull,
            commit,
            proposal: propose(&snapshot, &worker.house),
            parsed: pipeline::parse(snapshot.tree()),
            code_owners: CodeOwners::of(&snapshot.base),
            about,
            comments,
            bot: forge.bot_login().to_owned(),
        })
    }

    /// The run that would apply the default branch now.
    pub(super) fn as_run(&self) -> Run {
        Run {
            lane: Lane::Default,
            revisions: Revisions::Default {
                commit: self.commit.clone(),
            },
            pulls: [self.pull.number].into(),
            commanded: BTreeSet::new(),
            contended: BTreeSet::new(),
            drifted: None,
        }
    }

    /// Whether our comment with this marker stands.
    pub(super) fn has_said(&self, marker: &str) -> bool {
        let hidden = hidden(marker);
        self.comments.iter().any(|comment| {
            comment.author.eq_ignore_ascii_case(&self.bot) && comment.body.starts_with(&hidden)
        })
    }

    /// Asks GitHub who the comment's author is, and decides.
    pub(super) async fn authorize(
        &self,
        worker: &Worker,
        comment: &Comment,
        key: CommandKey,
        asked: &Command,
    ) -> anyhow::Result<Result<AuthorizedCommand, Refused>> {
        let forge = &worker.edges.forge;
        let base = Base {
            policies: &self.proposal.policies,
            pipelines: &self.parsed.pipelines,
            code_owners: &self.code_owners,
            about: &self.about,
        };
        let permission = forge.permission(&comment.author).await?;
        let teams = command::asked_owners(asked, &base);
        let logins = [comment.author.clone()].into();
        let memberships = forge.memberships(&teams, &logins).await?;
        let target = if self.pull.base_branch == worker.default_branch {
            Target::DefaultBranch
        } else {
            Target::OtherBranch
        };
        let circumstances = Circumstances {
            comment,
            pull_author: &self.pull.author,
            state: match self.pull.state {
                PullState::Open => command::PullState::Open,
                PullState::Merged { .. } => command::PullState::Merged,
                PullState::Closed => command::PullState::Closed,
            },
            target,
            permission,
            memberships: &memberships,
            base,
        };
        Ok(command::authorize(key, asked, &circumstances))
    }
}
