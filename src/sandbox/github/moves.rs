//! What an act of a person sets in motion: refs, test merges, and the webhooks that tell of them.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::activity::{Way, moved};
use super::repository::{Change, MAIN, Person};
use super::webhook::{self, MergeGroup, NOWHERE};
use super::world::{Permission, PullRequest, PullState, World};

/// The commit that the default branch is at.
pub(super) fn main(world: &World) -> anyhow::Result<String> {
    world.git.branch(MAIN).context("the default branch is gone")
}

/// The actor, who is the author or may do `least`.
pub(super) fn author_or(
    world: &World,
    author: &str,
    login: &str,
    least: Permission,
) -> anyhow::Result<Person> {
    let own = author.eq_ignore_ascii_case(login);
    world.actor(login, if own { Permission::None } else { least })
}

/// Opens a pull request for `main` from a commit that is there.
pub(super) fn open(
    world: &mut World,
    by: &Person,
    head_owner: String,
    branch: &str,
    title: &str,
    head_sha: String,
) -> anyhow::Result<u64> {
    let (id, number, at) = (world.next_id(), world.next_number(), world.tick());
    let pull = PullRequest {
        id,
        number,
        title: title.to_owned(),
        body: None,
        author: by.login.clone(),
        head_owner,
        head_ref: branch.to_owned(),
        head_sha,
        base_ref: MAIN.to_owned(),
        base_sha: main(world)?,
        state: PullState::Open,
        test_merge: None,
        created_at: at,
        updated_at: at,
        reviews: Vec::new(),
    };
    let reference = format!("refs/pull/{number}/head");
    world.git.set_ref(&reference, Some(&pull.head_sha))?;
    world.pulls.insert(number, pull);
    test_merge(world, number)?;
    tell(world, "opened", number, by, json!({}))?;
    Ok(number)
}

/// Commits on `parent` and makes that the head of a pull request.
pub(super) fn synchronize(
    world: &mut World,
    number: u64,
    author: &str,
    parent: &str,
    changes: &[Change],
) -> anyhow::Result<String> {
    let pull = world.pull(number)?.clone();
    let fork = pull.head_owner != world.options.owner;
    let least = if fork {
        Permission::None
    } else {
        Permission::Write
    };
    let by = world.actor(author, least)?;
    if fork && pull.head_owner != by.login {
        bail!("{author} may not push to the fork of {}", pull.head_owner);
    }
    let at = world.tick();
    let message = format!("Update {}", pull.title);
    let after = world.git.commit(parent, changes, &message, &by, at)?;
    let before = pull.head_sha;
    if !fork {
        let reference = format!("refs/heads/{}", pull.head_ref);
        world.git.set_ref(&reference, Some(&after))?;
        moved(world, Way::Push, &reference, &before, &after, &by)?;
    }
    let reference = format!("refs/pull/{number}/head");
    world.git.set_ref(&reference, Some(&after))?;
    let base_sha = world.git.branch(&pull.base_ref);
    let pull = world.pull_mut(number)?;
    pull.head_sha.clone_from(&after);
    pull.base_sha = base_sha.context("the base is gone")?;
    pull.updated_at = at;
    test_merge(world, number)?;
    let more = json!({ "before": before, "after": after });
    tell(world, "synchronize", number, &by, more)?;
    Ok(after)
}

/// The merge commit of an open pull request into `base`.
pub(super) fn merge_commit(
    world: &mut World,
    number: u64,
    by: &Person,
    base: &str,
) -> anyhow::Result<String> {
    let at = world.tick();
    let pull = world.open_pull(number)?;
    let message = format!(
        "Merge pull request #{number} from {}/{}\n\n{}",
        pull.head_owner, pull.head_ref, pull.title
    );
    world
        .git
        .merge(base, &pull.head_sha, &message, by, at)?
        .with_context(|| format!("pull request {number} conflicts with its base"))
}

/// Moves the base of a pull request to the commit that merges it.
pub(super) fn land(
    world: &mut World,
    way: Way,
    number: u64,
    by: &Person,
    before: &str,
    after: &str,
) -> anyhow::Result<()> {
    let at = world.tick();
    let pull = world.pull_mut(number)?;
    pull.state = PullState::Merged {
        at,
        by: by.login.clone(),
        sha: after.to_owned(),
    };
    pull.updated_at = at;
    let base = pull.base_ref.clone();
    let reference = format!("refs/pull/{number}/merge");
    world.git.set_ref(&reference, None)?;
    tell(world, "closed", number, by, json!({}))?;
    move_branch(world, way, &base, before, after, by)
}

/// Moves a branch, and with it the test merges of what is open for it.
pub(super) fn move_branch(
    world: &mut World,
    way: Way,
    name: &str,
    before: &str,
    after: &str,
    by: &Person,
) -> anyhow::Result<()> {
    let reference = format!("refs/heads/{name}");
    world.git.set_ref(&reference, Some(after))?;
    moved(world, way, &reference, before, after, by)?;
    let waiting: Vec<u64> = world
        .pulls
        .values()
        .filter(|pull| pull.state == PullState::Open && pull.base_ref == name)
        .map(|pull| pull.number)
        .collect();
    for number in waiting {
        test_merge(world, number)?;
    }
    Ok(())
}

/// Keeps `refs/pull/N/merge` of an open pull request: there while it merges cleanly, gone on a conflict.
pub(super) fn test_merge(world: &mut World, number: u64) -> anyhow::Result<()> {
    let pull = world.pull(number)?.clone();
    if pull.state != PullState::Open {
        return Ok(());
    }
    let base = world.git.branch(&pull.base_ref);
    let base = base.context("the base is gone")?;
    let parents = [base.as_str(), pull.head_sha.as_str()];
    if let Some(there) = &pull.test_merge
        && world.git.info(there)?.parents == parents
    {
        return Ok(());
    }
    let by = world.actor(&pull.author, Permission::None)?;
    let message = format!("Merge {} into {base}", pull.head_sha);
    let merged = world
        .git
        .merge(&base, &pull.head_sha, &message, &by, pull.updated_at)?;
    let reference = format!("refs/pull/{number}/merge");
    world.git.set_ref(&reference, merged.as_deref())?;
    world.pull_mut(number)?.test_merge = merged;
    Ok(())
}

/// Queues the `pull_request` event of a pull request as it is now.
pub(super) fn tell(
    world: &mut World,
    action: &str,
    number: u64,
    by: &Person,
    more: Value,
) -> anyhow::Result<()> {
    let pull = world.pull(number)?.clone();
    webhook::pull_request(world, action, &pull, &by.login, more)
}

/// The branch of the merge group that a pull request forms on `base`.
pub(super) fn group_ref(number: u64, base: &str) -> String {
    format!("refs/heads/gh-readonly-queue/{MAIN}/pr-{number}-{base}")
}

/// Makes the merge group of a pull request and asks for its checks.
pub(super) fn enqueue(world: &mut World, number: u64, by: &Person) -> anyhow::Result<String> {
    if world.open_pull(number)?.base_ref != MAIN {
        bail!("only {MAIN} has a merge queue");
    }
    let base = main(world)?;
    let head = merge_commit(world, number, by, &base)?;
    let reference = group_ref(number, &base);
    world.git.set_ref(&reference, Some(&head))?;
    moved(world, Way::Push, &reference, NOWHERE, &head, by)?;
    let group = group(&reference, &head, &base);
    webhook::merge_group(world, "checks_requested", &group, &by.login, json!({}))?;
    Ok(head)
}

/// Moves `main` to the commit of a merge group.
pub(super) fn dequeue(world: &mut World, number: u64, by: &Person) -> anyhow::Result<String> {
    world.open_pull(number)?;
    let base = main(world)?;
    let reference = group_ref(number, &base);
    let refs = world.git.refs()?;
    let head = refs
        .get(&reference)
        .with_context(|| format!("pull request {number} is not in the queue"))?;
    land(world, Way::MergeQueue, number, by, &base, head)?;
    let group = group(&reference, head, &base);
    let more = json!({ "reason": "merged" });
    webhook::merge_group(world, "destroyed", &group, &by.login, more)?;
    world.git.set_ref(&reference, None)?;
    moved(world, Way::Push, &reference, head, NOWHERE, by)?;
    Ok(head.clone())
}

fn group<'g>(reference: &'g str, head: &'g str, base: &'g str) -> MergeGroup<'g> {
    MergeGroup {
        head_sha: head,
        head_ref: reference,
        base_sha: base,
        base_ref: "refs/heads/main",
    }
}
