//! What people do: the handle by which a test or the sandbox's story moves the simulated GitHub.
//!
//! The actor must have been added; the login of another App ends with `[bot]`. Comments, reviews and
//! pull requests from forks need no permission, as in a public repository; whatever moves a branch does.

use anyhow::{Context, bail};
use serde_json::json;

use super::activity::{Way, moved};
use super::moves::{
    author_or, dequeue, enqueue, land, main, merge_commit, move_branch, open, synchronize, tell,
    test_merge,
};
use super::repository::{Change, MAIN};
use super::webhook::{self, NOWHERE};
use super::world::{Permission, PullState, Review, ReviewState, User};
use super::{Github, rest_comments};

/// What of a pull request is edited.
#[derive(Debug, Clone)]
pub enum Edit {
    Title(String),
    Body(String),
    /// Retargets it to another branch, which must exist.
    Base(String),
}

/// People and teams.
impl Github {
    /// Adds a person, or changes what they may do.
    pub fn add_user(&self, login: &str, permission: Permission) {
        let mut world = self.world.lock();
        let key = login.to_ascii_lowercase();
        let id = match world.users.get(&key) {
            Some(user) => user.id,
            None => world.next_id(),
        };
        let login = login.to_owned();
        world.users.insert(
            key,
            User {
                login,
                id,
                permission,
            },
        );
    }

    /// Adds a team, or replaces its members.
    pub fn add_team(&self, org: &str, slug: &str, members: &[&str]) {
        let team = (org.to_ascii_lowercase(), slug.to_ascii_lowercase());
        let members = members.iter().map(|login| login.to_ascii_lowercase());
        self.world.lock().teams.insert(team, members.collect());
    }
}

/// Branches and pull requests.
impl Github {
    /// Pushes a new branch off `main` and opens a pull request from it.
    ///
    /// # Errors
    /// If the actor may not push, the branch exists, or a change does not apply.
    pub fn open_pull_request(
        &self,
        author: &str,
        branch: &str,
        title: &str,
        changes: &[Change],
    ) -> anyhow::Result<u64> {
        let world = &mut *self.world.lock();
        let by = world.actor(author, Permission::Write)?;
        if world.git.branch(branch).is_some() {
            bail!("the branch {branch} exists");
        }
        let base = main(world)?;
        let at = world.tick();
        let head = world.git.commit(&base, changes, title, &by, at)?;
        let reference = format!("refs/heads/{branch}");
        world.git.set_ref(&reference, Some(&head))?;
        moved(world, Way::Push, &reference, NOWHERE, &head, &by)?;
        let owner = world.options.owner.clone();
        open(world, &by, owner, branch, title, head)
    }

    /// Opens a pull request from the actor's fork, off `main`.
    ///
    /// # Errors
    /// If there is no such actor, or a change does not apply.
    pub fn open_fork_pull_request(
        &self,
        author: &str,
        branch: &str,
        title: &str,
        changes: &[Change],
    ) -> anyhow::Result<u64> {
        let world = &mut *self.world.lock();
        let by = world.actor(author, Permission::None)?;
        let base = main(world)?;
        let at = world.tick();
        let head = world.git.commit(&base, changes, title, &by, at)?;
        let owner = by.login.clone();
        open(world, &by, owner, branch, title, head)
    }

    /// Adds a commit to an open pull request.
    ///
    /// # Errors
    /// If the actor may not push to its head, it is not open, or a change does not apply.
    pub fn push(&self, number: u64, author: &str, changes: &[Change]) -> anyhow::Result<String> {
        let world = &mut *self.world.lock();
        let parent = world.open_pull(number)?.head_sha.clone();
        synchronize(world, number, author, &parent, changes)
    }

    /// Replaces the commits of an open pull request by one on the base branch as it is now.
    ///
    /// # Errors
    /// As [`Github::push`].
    pub fn force_push(
        &self,
        number: u64,
        author: &str,
        changes: &[Change],
    ) -> anyhow::Result<String> {
        let world = &mut *self.world.lock();
        let base = world.open_pull(number)?.base_ref.clone();
        let parent = world.git.branch(&base).context("the base is gone")?;
        synchronize(world, number, author, &parent, changes)
    }

    /// Commits to `main`, past every pull request.
    ///
    /// # Errors
    /// If the actor may not push, or a change does not apply.
    pub fn push_to_default(
        &self,
        author: &str,
        message: &str,
        changes: &[Change],
    ) -> anyhow::Result<String> {
        let world = &mut *self.world.lock();
        let by = world.actor(author, Permission::Write)?;
        let before = main(world)?;
        let at = world.tick();
        let after = world.git.commit(&before, changes, message, &by, at)?;
        move_branch(world, Way::Push, MAIN, &before, &after, &by)?;
        Ok(after)
    }

    /// Merges by a merge commit, as the button does.
    ///
    /// # Errors
    /// If the actor may not, it is not open, or it conflicts.
    pub fn merge(&self, number: u64, login: &str) -> anyhow::Result<String> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::Write)?;
        let base = world.open_pull(number)?.base_ref.clone();
        let before = world.git.branch(&base).context("the base is gone")?;
        let after = merge_commit(world, number, &by, &before)?;
        land(world, Way::Merge, number, &by, &before, &after)?;
        Ok(after)
    }

    /// Removes a branch, as the button on a merged or closed pull request does.
    ///
    /// # Errors
    /// If the actor may not, an open pull request needs it, or there is none.
    pub fn delete_branch(&self, branch: &str, login: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::Write)?;
        let head = world.git.branch(branch).context("no such branch")?;
        let mut open = world.pulls.values().filter(|pull| {
            pull.state == PullState::Open && (pull.head_ref == branch || pull.base_ref == branch)
        });
        if branch == MAIN || open.next().is_some() {
            bail!("{branch} is needed");
        }
        world.tick();
        let reference = format!("refs/heads/{branch}");
        world.git.set_ref(&reference, None)?;
        moved(world, Way::Push, &reference, &head, NOWHERE, &by)
    }

    /// Closes without merging.
    ///
    /// # Errors
    /// If the actor may not, or it is not open.
    pub fn close(&self, number: u64, login: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = author_or(
            world,
            &world.open_pull(number)?.author.clone(),
            login,
            Permission::Triage,
        )?;
        let at = world.tick();
        let pull = world.pull_mut(number)?;
        (pull.state, pull.updated_at) = (PullState::Closed { at }, at);
        world
            .git
            .set_ref(&format!("refs/pull/{number}/merge"), None)?;
        tell(world, "closed", number, &by, json!({}))
    }

    /// Opens a closed pull request again.
    ///
    /// # Errors
    /// If the actor may not, or it is open or merged.
    pub fn reopen(&self, number: u64, login: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = author_or(
            world,
            &world.pull(number)?.author.clone(),
            login,
            Permission::Triage,
        )?;
        if !matches!(world.pull(number)?.state, PullState::Closed { .. }) {
            bail!("pull request {number} is not closed");
        }
        let at = world.tick();
        let pull = world.pull_mut(number)?;
        (pull.state, pull.updated_at, pull.test_merge) = (PullState::Open, at, None);
        test_merge(world, number)?;
        tell(world, "reopened", number, &by, json!({}))
    }

    /// Edits the title, the text or the base.
    ///
    /// # Errors
    /// If the actor may not, or the new base does not exist.
    pub fn edit(&self, number: u64, login: &str, edit: Edit) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = author_or(
            world,
            &world.pull(number)?.author.clone(),
            login,
            Permission::Write,
        )?;
        let onto = match &edit {
            Edit::Base(name) => world.git.branch(name).context("no such base branch")?,
            Edit::Title(_) | Edit::Body(_) => String::new(),
        };
        let at = world.tick();
        let pull = world.pull_mut(number)?;
        pull.updated_at = at;
        let changes = match edit {
            Edit::Title(title) => {
                json!({ "title": { "from": std::mem::replace(&mut pull.title, title) } })
            }
            Edit::Body(body) => {
                json!({ "body": { "from": pull.body.replace(body).unwrap_or_default() } })
            }
            Edit::Base(name) => json!({ "base": {
                "ref": { "from": std::mem::replace(&mut pull.base_ref, name) },
                "sha": { "from": std::mem::replace(&mut pull.base_sha, onto) },
            } }),
        };
        test_merge(world, number)?;
        tell(world, "edited", number, &by, json!({ "changes": changes }))
    }

    /// Reviews the head as it is now. A merged or closed pull request can still be reviewed.
    ///
    /// # Errors
    /// If there is no such actor or pull request, or the author approves their own.
    pub fn review(&self, number: u64, login: &str, state: ReviewState) -> anyhow::Result<u64> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::None)?;
        let pull = world.pull(number)?;
        if pull.author == by.login && state != ReviewState::Commented {
            bail!("{login} can not judge their own pull request");
        }
        let commit = pull.head_sha.clone();
        let review = Review {
            id: world.next_id(),
            login: by.login,
            state,
            commit,
            submitted_at: world.tick(),
        };
        let pull = world.pull_mut(number)?;
        pull.updated_at = review.submitted_at;
        pull.reviews.push(review.clone());
        let pull = pull.clone();
        webhook::review(world, &pull, &review)?;
        Ok(review.id)
    }

    /// Puts a pull request into the merge queue: its merge with `main`, to be checked on a branch of its own.
    ///
    /// # Errors
    /// If the actor may not merge, it is not open or not for `main`, or it conflicts.
    pub fn queue_merge_group(&self, number: u64, login: &str) -> anyhow::Result<String> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::Write)?;
        enqueue(world, number, &by)
    }

    /// Ends a merge group whose checks passed: `main` moves to its commit.
    ///
    /// # Errors
    /// If it was not queued on `main` as it is now.
    pub fn finish_merge_group(&self, number: u64, login: &str) -> anyhow::Result<String> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::Write)?;
        dequeue(world, number, &by)
    }
}

/// Comments and checks.
impl Github {
    /// Comments on a pull request or an issue.
    ///
    /// # Errors
    /// If there is no such actor, or nothing to comment on.
    pub fn comment(&self, number: u64, login: &str, body: &str) -> anyhow::Result<u64> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::None)?;
        if !world.has_thread(number) {
            bail!("there is no issue or pull request {number}");
        }
        rest_comments::add(world, number, by.login, body.to_owned())
    }

    /// Edits a comment: one's own, or with write access anyone's, the App's too.
    ///
    /// # Errors
    /// If the actor may not, or there is no such comment.
    pub fn edit_comment(&self, id: u64, login: &str, body: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let comment = world.comments.get(&id).context("no such comment")?;
        let by = author_or(world, &comment.login, login, Permission::Write)?;
        rest_comments::change(world, id, &by.login, body.to_owned())
    }

    /// Deletes a comment: one's own, or with write access anyone's.
    ///
    /// # Errors
    /// If the actor may not, or there is no such comment.
    pub fn delete_comment(&self, id: u64, login: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let comment = world
            .comments
            .get(&id)
            .cloned()
            .context("no such comment")?;
        let by = author_or(world, &comment.login, login, Permission::Write)?;
        world.tick();
        world.comments.remove(&id);
        webhook::issue_comment(world, "deleted", &comment, &by.login, json!({}))
    }

    /// Reacts to a comment, which tells no webhook.
    ///
    /// # Errors
    /// If there is no such actor or comment, or GitHub has no such reaction.
    pub fn react(&self, id: u64, login: &str, content: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::None)?;
        rest_comments::give(world, id, by.login, content.to_owned())?;
        Ok(())
    }

    /// Presses "Re-run" on a check run, which GitHub leaves as it is.
    ///
    /// # Errors
    /// If the actor may not, or there is no such check run.
    pub fn rerequest(&self, check_run: u64, login: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::Write)?;
        let run = world.check_runs.get(&check_run).cloned();
        let run = run.context("no such check run")?;
        webhook::check_run(world, "rerequested", &run, &by.login, json!({}))
    }

    /// Presses one of the buttons that the App gave a check run.
    ///
    /// # Errors
    /// If the actor may not, or there is no such button.
    pub fn press(&self, check_run: u64, login: &str, identifier: &str) -> anyhow::Result<()> {
        let world = &mut *self.world.lock();
        let by = world.actor(login, Permission::Write)?;
        let run = world.check_runs.get(&check_run).cloned();
        let run = run.context("no such check run")?;
        let asked = json!(identifier);
        let mut buttons = run.actions.iter();
        if !buttons.any(|button| button.get("identifier") == Some(&asked)) {
            bail!("check run {check_run} has no button {identifier}");
        }
        let more = json!({ "requested_action": { "identifier": identifier } });
        webhook::check_run(world, "requested_action", &run, &by.login, more)
    }
}
