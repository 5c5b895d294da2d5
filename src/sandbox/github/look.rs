//! What there is to see in the simulated GitHub, past the API.

use super::Github;
use super::repository::MAIN;
use super::world::{CheckRun, Comment, Issue, PullRequest};

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
