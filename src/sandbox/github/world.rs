//! What the simulated GitHub knows: people, threads, check runs, and the clock that orders them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Options;
use super::activity::Activity;
use super::limits::Counted;
use super::repository::{Person, Repository};
use super::webhook::{Delivery, Hook};
use crate::clock::Clock;

/// 2026-01-01T00:00:00Z: without a clock, or with one that shows less, it begins here, so
/// that two runs of one story do not differ.
const EPOCH: i64 = 1_767_225_600;

/// What the clock shows, in seconds.
pub(super) fn started(clock: Option<&Clock>) -> i64 {
    clock.map_or(EPOCH, |clock| clock.now().as_second().max(EPOCH))
}

/// What a person may do in the repository, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    None,
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}

impl Permission {
    /// The exact role.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// The four legacy levels that the permission endpoint folds the roles into.
    pub(super) fn legacy(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) login: String,
    pub(super) id: u64,
    pub(super) permission: Permission,
}

/// Where a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullState {
    Open,
    Closed { at: i64 },
    Merged { at: i64, by: String, sha: String },
}

#[derive(Debug, Clone)]
pub struct PullRequest {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: String,
    /// Owner of the head repository: the repository's own, or a fork's.
    pub head_owner: String,
    pub head_ref: String,
    pub head_sha: String,
    pub base_ref: String,
    /// As of the last push to the head: GitHub does not move it when the base moves.
    pub base_sha: String,
    pub state: PullState,
    /// The commit at `refs/pull/N/merge`; none on a conflict.
    pub test_merge: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    pub reviews: Vec<Review>,
}

/// What a review says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewState {
    Approved,
    ChangesRequested,
    Commented,
}

impl ReviewState {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Approved => "APPROVED",
            Self::ChangesRequested => "CHANGES_REQUESTED",
            Self::Commented => "COMMENTED",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Review {
    pub id: u64,
    pub login: String,
    pub state: ReviewState,
    pub commit: String,
    pub submitted_at: i64,
}

#[derive(Debug, Clone)]
pub struct Issue {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: String,
    pub labels: Vec<String>,
    pub assignees: Vec<String>,
    pub closed_at: Option<i64>,
    /// `completed`, `not_planned` or `reopened`; none on an issue that was never closed.
    pub state_reason: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    /// The issue or pull request it stands under.
    pub number: u64,
    pub login: String,
    pub body: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub reactions: Vec<Reaction>,
}

#[derive(Debug, Clone)]
pub struct Reaction {
    pub id: u64,
    pub login: String,
    pub content: String,
    pub created_at: i64,
}

#[derive(Debug, Clone)]
pub struct CheckRun {
    pub id: u64,
    pub name: String,
    pub head_sha: String,
    pub external_id: Option<String>,
    pub details_url: Option<String>,
    pub status: String,
    pub conclusion: Option<String>,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub text: Option<String>,
    /// As sent, appended to by each request that carried some.
    pub annotations: Vec<Map<String, Value>>,
    /// The buttons, as sent.
    pub actions: Vec<Value>,
}

pub(super) struct World {
    pub(super) options: Options,
    pub(super) git: Repository,
    /// Where the server listens; every link points there.
    pub(super) url: String,
    /// The instant of the last change.
    last: i64,
    last_id: u64,
    last_number: u64,
    pub(super) tokens: BTreeSet<String>,
    pub(super) tokens_issued: u64,
    pub(super) users: BTreeMap<String, User>,
    pub(super) teams: BTreeMap<(String, String), BTreeSet<String>>,
    pub(super) rules: Vec<Value>,
    pub(super) pulls: BTreeMap<u64, PullRequest>,
    pub(super) issues: BTreeMap<u64, Issue>,
    pub(super) comments: BTreeMap<u64, Comment>,
    pub(super) check_runs: BTreeMap<u64, CheckRun>,
    /// Oldest first.
    pub(super) activity: Vec<Activity>,
    pub(super) limits: Option<Counted>,
    pub(super) hook: Option<Hook>,
    pub(super) queue: VecDeque<Delivery>,
    pub(super) deliveries: u64,
}

impl World {
    pub(super) fn new(options: Options, git: Repository) -> Self {
        Self {
            last: started(options.clock.as_ref()),
            options,
            git,
            url: String::new(),
            last_id: 1000,
            last_number: 0,
            tokens: BTreeSet::new(),
            tokens_issued: 0,
            users: BTreeMap::new(),
            teams: BTreeMap::new(),
            rules: Vec::new(),
            pulls: BTreeMap::new(),
            issues: BTreeMap::new(),
            comments: BTreeMap::new(),
            check_runs: BTreeMap::new(),
            activity: Vec::new(),
            limits: None,
            hook: None,
            queue: VecDeque::new(),
            deliveries: 0,
        }
    }

    /// The instant of the next change: the clock's, and a second after the last at least.
    pub(super) fn tick(&mut self) -> i64 {
        self.last = started(self.options.clock.as_ref()).max(self.last + 1);
        self.last
    }

    /// The instant of the last change.
    pub(super) fn now(&self) -> i64 {
        self.last
    }

    /// Ids are unique across all kinds, so that mixing two up can not go unseen.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Issues and pull requests share one row of numbers.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The login under which the App itself acts.
    pub(super) fn bot(&self) -> String {
        format!("{}[bot]", self.options.app_slug)
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.options.owner, self.options.name)
    }

    /// The URL of the repository in the API.
    pub(super) fn api(&self) -> String {
        format!("{}/repos/{}", self.url, self.full_name())
    }

    /// The URL of the repository for people.
    pub(super) fn html(&self) -> String {
        format!("{}/{}", self.url, self.full_name())
    }

    /// Logins are case-insensitive.
    pub(super) fn user(&self, login: &str) -> Option<&User> {
        self.users.get(&login.to_ascii_lowercase())
    }

    /// The person of that login, if they may do this much.
    ///
    /// # Errors
    /// If nobody has that login, or their permission is lower.
    pub(super) fn actor(&self, login: &str, least: Permission) -> anyhow::Result<Person> {
        let user = self
            .user(login)
            .with_context(|| format!("nobody is called {login}: add_user first"))?;
        if user.permission < least {
            bail!(
                "{login} has the permission to {} only, and this takes {}",
                user.permission.role(),
                least.role()
            );
        }
        Ok(Person {
            login: user.login.clone(),
            id: user.id,
        })
    }

    pub(super) fn pull(&self, number: u64) -> anyhow::Result<&PullRequest> {
        self.pulls
            .get(&number)
            .with_context(|| format!("there is no pull request {number}"))
    }

    pub(super) fn pull_mut(&mut self, number: u64) -> anyhow::Result<&mut PullRequest> {
        self.pulls
            .get_mut(&number)
            .with_context(|| format!("there is no pull request {number}"))
    }

    /// The pull request, if it is open.
    pub(super) fn open_pull(&self, number: u64) -> anyhow::Result<&PullRequest> {
        let pull = self.pull(number)?;
        if pull.state != PullState::Open {
            bail!("pull request {number} is not open");
        }
        Ok(pull)
    }

    /// Whether comments can be written under that number.
    pub(super) fn has_thread(&self, number: u64) -> bool {
        self.pulls.contains_key(&number) || self.issues.contains_key(&number)
    }

    /// A new comment makes its thread recently updated.
    pub(super) fn touch_thread(&mut self, number: u64, at: i64) {
        if let Some(pull) = self.pulls.get_mut(&number) {
            pull.updated_at = at;
        }
        if let Some(issue) = self.issues.get_mut(&number) {
            issue.updated_at = at;
        }
    }
}

/// The world as routes and control share it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// A poisoned lock only means that another test thread failed.
    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `2026-01-01T00:00:01Z`.
pub(super) fn instant(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|at| at.to_string())
        .unwrap_or_default()
}
