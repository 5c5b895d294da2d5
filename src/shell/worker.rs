//! The worker: takes a lane, looks at what it is about, passes the line, says what came of it.
//!
//! Level-triggered: a lane's run looks at the pull request or the branch as it is now, and
//! not at the event that woke it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::clock::Clock;
use crate::command;
use crate::edges::forge::{ForgeError, PullRequest, PullState};
use crate::edges::git::GitError;
use crate::event::{Event, Lane, PullNumber};
use crate::name::CommitSha;
use crate::render::House;
use crate::snapshot::Revisions;

use super::Edges;
use super::apply::close;
use super::inventory;
use super::memory::Memory;
use super::post;
use super::queue::{Next, Queue, Turn, Waiting};
use super::reconcile::{Passage, Run, reconcile};

/// Turns events into runs.
pub struct Worker {
    pub edges: Edges,
    pub house: House,
    pub default_branch: String,
    pub queue: Queue,
    pub clock: Clock,
    pub(super) memory: Memory,
}

/// What one step came to.
#[derive(Debug)]
pub enum Stepped {
    /// A lane was run to its end, or the sweep was.
    Ran(Option<Lane>),
    /// It failed, and waits to be tried again.
    Failed(Option<Lane>, anyhow::Error),
    /// Nothing is due.
    Idle,
}

/// How many lanes run side by side.
const LANES: usize = 8;
/// When a run is given up: what it has done stands, and it begins anew.
const LONGEST_RUN: Duration = Duration::from_secs(3600);
/// How often a run is given up in a row because something newer waits in its lane.
const MOST_SUPERSEDED: u32 = 3;

impl Worker {
    /// Does the next thing that is due, to its end.
    pub async fn step(&self) -> Stepped {
        match self.queue.take(self.clock.now()) {
            Next::Nothing | Next::Later(_) => Stepped::Idle,
            Next::Sweep => self.sweep().await,
            Next::Lane(turn, waiting) => self.turn(turn, *waiting).await,
        }
    }

    /// Works until the future is dropped. Lanes run side by side: one that hangs holds no
    /// other.
    pub async fn run(&self) {
        let mut under_way = FuturesUnordered::new();
        let mut rested = None;
        loop {
            let later = loop {
                if under_way.len() >= LANES {
                    break None;
                }
                match self.queue.take(self.clock.now()) {
                    Next::Later(due) => break Some(due),
                    Next::Nothing => break None,
                    next @ (Next::Sweep | Next::Lane(..)) => under_way.push(self.carry_out(next)),
                }
            };
            // A sweep has no lane.
            let rests = self.queue.at_rest(self.clock.now());
            let rests = rests.filter(|_| under_way.is_empty());
            if let Some(events) = rests
                && rests != rested
            {
                tracing::info!(events, "at rest");
            }
            rested = rests;
            let due = async {
                match later {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(stepped) = under_way.next() => report(stepped),
                () = self.queue.added(), if under_way.len() < LANES => {}
                () = due => {}
            }
        }
    }

    async fn carry_out(&self, next: Next) -> Stepped {
        match next {
            Next::Sweep => self.sweep_until_done().await,
            Next::Lane(turn, waiting) => self.timed(turn, *waiting).await,
            Next::Later(_) | Next::Nothing => Stepped::Idle,
        }
    }

    async fn timed(&self, turn: Turn, waiting: Waiting) -> Stepped {
        let lane = turn.lane().clone();
        let again = waiting.clone();
        let run = self.turn(turn, waiting);
        tokio::select! {
            stepped = run => stepped,
            () = self.clock.sleep(LONGEST_RUN) => {
                self.queue.put_back(lane.clone(), again, self.clock.now(), None);
                Stepped::Failed(Some(lane), anyhow::anyhow!("it took longer than {LONGEST_RUN:?}"))
            }
        }
    }

    async fn sweep_until_done(&self) -> Stepped {
        loop {
            match self.sweep().await {
                Stepped::Failed(lane, error) => {
                    report(Stepped::Failed(lane, error));
                    self.clock.sleep(Duration::from_secs(10)).await;
                }
                stepped => return stepped,
            }
        }
    }

    async fn turn(&self, turn: Turn, waiting: Waiting) -> Stepped {
        let lane = turn.lane().clone();
        match self.run_lane(&lane, &waiting).await {
            Ok(()) => Stepped::Ran(Some(lane)),
            Err(error) => {
                let limited = error.downcast_ref().and_then(ForgeError::retry_at);
                self.queue
                    .put_back(lane.clone(), waiting, self.clock.now(), limited);
                Stepped::Failed(Some(lane), error)
            }
        }
    }

    async fn sweep(&self) -> Stepped {
        match self.look_at_everything().await {
            Ok(()) => Stepped::Ran(None),
            Err(error) => Stepped::Failed(None, error),
        }
    }

    /// Looks at everything: open pull requests, the default branch, and what was commented.
    async fn look_at_everything(&self) -> anyhow::Result<()> {
        for pull in self.edges.forge.open_pull_requests().await? {
            self.queue.add(&Event::PullRequestChanged {
                number: pull.number,
            });
        }
        self.queue.put(Lane::Default, Waiting::default());
        let began = self.clock.now();
        for comment in self
            .edges
            .forge
            .comments_since(self.memory.since(began))
            .await?
        {
            if !self.memory.is_settled(comment.id) && !command::parse(&comment).is_empty() {
                self.queue.add(&Event::Commented {
                    number: comment.pull,
                    comment: comment.id,
                });
            }
        }
        self.memory.swept(began);
        Ok(())
    }

    async fn run_lane(&self, lane: &Lane, waiting: &Waiting) -> anyhow::Result<()> {
        match lane {
            Lane::PullRequest(number) => self.pull_request(*number, waiting).await,
            Lane::MergeGroup(head) => self.merge_group(head, waiting).await,
            Lane::Commands(number) => self.commands(*number, waiting).await,
            Lane::Default => self.default_branch(waiting).await,
        }
        .with_context(|| format!("run {lane:?}"))
    }

    async fn pull_request(&self, number: PullNumber, waiting: &Waiting) -> anyhow::Result<()> {
        let pull = self.edges.forge.pull_request(number).await?;
        match pull.state {
            PullState::Open if pull.base_branch == self.default_branch => {
                self.review(&pull, waiting).await
            }
            PullState::Merged { .. } if pull.base_branch == self.default_branch => {
                let pulls = [number].into();
                self.queue.put(
                    Lane::Default,
                    Waiting {
                        pulls,
                        ..Waiting::default()
                    },
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn review(&self, pull: &PullRequest, waiting: &Waiting) -> anyhow::Result<()> {
        let head_ref = format!("refs/pull/{}/head", pull.number);
        let (base, fetched) = self.fetch(&head_ref).await?;
        // GitHub's word and Git's can differ for a moment; what was fetched is what is shown.
        let run = Run {
            lane: Lane::PullRequest(pull.number),
            revisions: Revisions::Merge {
                base,
                head: fetched.clone(),
            },
            pulls: BTreeSet::new(),
            commanded: BTreeSet::new(),
            contended: BTreeSet::new(),
            drifted: None,
        };
        let passage = reconcile(&self.edges, &self.house, &run, &self.clock, &|| false).await?;
        if self.is_superseded(&run.lane, waiting) {
            self.give_up(&run.lane, waiting);
            return Ok(());
        }
        post::review(&self.edges.forge, pull.number, &fetched, &passage).await?;
        self.tell_commands(waiting);
        Ok(())
    }

    /// The check on what the merge queue is about to merge. The base is the default branch
    /// as it is: a queued neighbour's policies do not count before they are merged.
    async fn merge_group(&self, head: &CommitSha, waiting: &Waiting) -> anyhow::Result<()> {
        let Some(branch) = &waiting.branch else {
            return Ok(());
        };
        let (base, fetched) = match self.fetch(branch).await {
            Ok(fetched) => fetched,
            // The queue has moved on; it asks again for what takes its place.
            Err(error) if is_missing_ref(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        if fetched != *head {
            return Ok(());
        }
        let run = Run {
            lane: Lane::MergeGroup(head.clone()),
            revisions: Revisions::Merge {
                base,
                head: head.clone(),
            },
            pulls: BTreeSet::new(),
            commanded: BTreeSet::new(),
            contended: BTreeSet::new(),
            drifted: None,
        };
        let passage = reconcile(&self.edges, &self.house, &run, &self.clock, &|| false).await?;
        post::check(&self.edges.forge, head, &passage).await
    }

    async fn default_branch(&self, waiting: &Waiting) -> anyhow::Result<()> {
        let commit = self.fetch_default().await?;
        let run = Run {
            lane: Lane::Default,
            revisions: Revisions::Default {
                commit: commit.clone(),
            },
            pulls: waiting.pulls.clone(),
            commanded: waiting.commanded.clone(),
            contended: self.memory.contended(self.clock.now()),
            drifted: waiting.drifted.clone(),
        };
        let superseded = || self.is_superseded(&Lane::Default, waiting);
        match reconcile(&self.edges, &self.house, &run, &self.clock, &superseded).await? {
            Passage::Conflict { .. } => Ok(()),
            Passage::Superseded => {
                self.give_up(&Lane::Default, waiting);
                Ok(())
            }
            Passage::Planned(planned) => {
                self.memory.mended(&planned, self.clock.now());
                post::applied(&self.edges.forge, &commit, &planned).await?;
                post::commanded(&self.edges.forge, &commit, &planned, &waiting.commanded).await?;
                if let Ok(approved) = &planned.approved {
                    close(&self.edges, approved, &planned.outcomes, &self.clock).await?;
                    inventory::note(
                        &self.edges,
                        &self.house,
                        &planned,
                        approved,
                        &commit,
                        &self.clock,
                    )
                    .await;
                }
                self.tell_commands(waiting);
                let unfinished = planned.outcomes.unfinished();
                anyhow::ensure!(
                    unfinished.is_empty(),
                    "not finished: {}",
                    unfinished
                        .iter()
                        .map(|name| name.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                );
                Ok(())
            }
        }
    }

    /// Lets the commands that waited for this run go on.
    fn tell_commands(&self, waiting: &Waiting) {
        for (number, key) in &waiting.commands {
            let more = Waiting {
                comments: [key.comment].into(),
                effected: [*key].into(),
                ..Waiting::default()
            };
            self.queue.put(Lane::Commands(*number), more);
        }
    }

    /// Whether something newer waits in the lane: then nothing is written any more, unless
    /// that has happened so often that news might never end.
    fn is_superseded(&self, lane: &Lane, waiting: &Waiting) -> bool {
        waiting.superseded < MOST_SUPERSEDED && self.queue.has_news(lane)
    }

    /// Leaves what the run was about to the one that waits.
    fn give_up(&self, lane: &Lane, waiting: &Waiting) {
        let more = Waiting {
            superseded: waiting.superseded + 1,
            failures: 0,
            due: None,
            ..waiting.clone()
        };
        self.queue.put(lane.clone(), more);
    }

    /// Fetches the default branch.
    pub(super) async fn fetch_default(&self) -> anyhow::Result<CommitSha> {
        let token = self.edges.forge.installation_token().await?;
        let name = self.branch_ref();
        let refs = std::slice::from_ref(&name);
        let fetched = self.edges.git.fetch(refs, Some(token)).await?;
        fetched
            .get(&name)
            .cloned()
            .context("the default branch was not fetched")
    }

    /// Fetches the default branch and one more ref.
    async fn fetch(&self, other: &str) -> anyhow::Result<(CommitSha, CommitSha)> {
        let token = self.edges.forge.installation_token().await?;
        let name = self.branch_ref();
        let refs = [name.clone(), other.to_owned()];
        let fetched = self.edges.git.fetch(&refs, Some(token)).await?;
        let base = fetched
            .get(&name)
            .context("the default branch was not fetched")?;
        let head = fetched
            .get(other)
            .with_context(|| format!("{other} was not fetched"))?;
        Ok((base.clone(), head.clone()))
    }

    fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.default_branch)
    }
}

/// Once, with the whole chain; what failed is tried again.
fn report(stepped: Stepped) {
    match stepped {
        Stepped::Ran(lane) => tracing::info!(?lane, "ran"),
        Stepped::Failed(lane, error) => {
            tracing::warn!(?lane, error = format!("{error:#}"), "a run failed");
        }
        Stepped::Idle => {}
    }
}

fn is_missing_ref(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<GitError>(),
        Some(GitError::MissingRef { .. })
    )
}
