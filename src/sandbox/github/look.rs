//! What there is to see in the simulated GitHub, past the API.

use super::Github;
use super::repository::MAIN;
use super::world::{CheckRun, Comment, Issue, Permission, PullRequest};

/// A file that a pull request changes: its text before and after, of which one may be missing.
#[derive(Debug, Clone)]
pub struct Changed {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A commit of a pull request.
#[derive(Debug, Clone)]
pub struct Pushed {
    pub sha: String,
    pub login: String,
    pub message: String,
    pub at: i64,
}

impl Github {
    /// The comments under a number, in the order they were written.
    pub fn comments(&self, number: u64) -> Vec<Comment> {
        let world = self.world.lock();
        let comments = world.comments.values();
        comments
            .filter(|one| one.number == number)
            .cloned()
            .collect()
    }

    /// All check runs on a commit, oldest first.
    pub fn check_runs(&self, sha: &str) -> Vec<CheckRun> {
        let world = self.world.lock();
        let runs = world.check_runs.values();
        runs.filter(|run| run.head_sha == sha).cloned().collect()
    }

    pub fn pull_request(&self, number: u64) -> Option<PullRequest> {
        self.world.lock().pulls.get(&number).cloned()
    }

    /// All pull requests, whatever became of them, by number.
    pub fn pull_requests(&self) -> Vec<PullRequest> {
        self.world.lock().pulls.values().cloned().collect()
    }

    /// The people, each with what they may do; the App is none of them.
    pub fn people(&self) -> Vec<(String, Permission)> {
        let world = self.world.lock();
        let users = world.users.values();
        users
            .map(|user| (user.login.clone(), user.permission))
            .collect()
    }

    /// The teams, as `organisation/team`, with their members.
    pub fn teams(&self) -> Vec<(String, Vec<String>)> {
        let world = self.world.lock();
        let teams = world.teams.iter();
        teams
            .map(|((organisation, team), members)| {
                let members = members.iter().cloned().collect();
                (format!("{organisation}/{team}"), members)
            })
            .collect()
    }

    /// What a pull request changes since it left its base.
    ///
    /// # Errors
    /// If there is no such pull request, or its commits can not be read.
    pub fn changed(&self, number: u64) -> anyhow::Result<Vec<Changed>> {
        let world = self.world.lock();
        let pull = world.pull(number)?;
        let left = world.git.fork_point(&pull.base_sha, &pull.head_sha)?;
        let files = world.git.changed_files(&left, &pull.head_sha)?;
        let read = |file: super::repository::ChangedFile| Changed {
            before: world
                .git
                .file(&left, file.previous.as_deref().unwrap_or(&file.path)),
            after: world.git.file(&pull.head_sha, &file.path),
            path: file.path,
        };
        Ok(files.into_iter().map(read).collect())
    }

    /// The commits of a pull request, oldest first.
    ///
    /// # Errors
    /// As [`Github::changed`].
    pub fn pushed(&self, number: u64) -> anyhow::Result<Vec<Pushed>> {
        let world = self.world.lock();
        let pull = world.pull(number)?;
        let left = world.git.fork_point(&pull.base_sha, &pull.head_sha)?;
        let commits = world.git.commits(&left, &pull.head_sha)?;
        let shown = |commit: super::repository::CommitInfo| Pushed {
            sha: commit.sha,
            login: commit.author,
            message: commit.message,
            at: commit.at,
        };
        Ok(commits.into_iter().map(shown).collect())
    }

    /// The paths on a branch, or at a commit, in order.
    pub fn paths(&self, branch: &str) -> Vec<String> {
        self.world.lock().git.paths(branch).unwrap_or_default()
    }

    /// The issues, by number; pull requests are not among them.
    pub fn issues(&self) -> Vec<Issue> {
        self.world.lock().issues.values().cloned().collect()
    }

    /// The text of a file on a branch, or at a commit.
    pub fn file(&self, branch: &str, path: &str) -> Option<String> {
        self.world.lock().git.file(branch, path)
    }

    /// The commit that `main` is at.
    pub fn default_head(&self) -> String {
        self.world.lock().git.branch(MAIN).unwrap_or_default()
    }
}
