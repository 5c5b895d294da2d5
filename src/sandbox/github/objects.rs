//! GitHub's JSON for accounts, the App, the repository and commits.
//!
//! Every field that GitHub's OpenAPI description requires is there, because clients may parse strictly.

use serde_json::{Map, Value, json};

use super::repository::{CommitInfo, MAIN};
use super::world::{World, instant};

/// The repository's account is an organization, so nobody's association is OWNER.
pub(super) const OWNER_ID: u64 = 500;
pub(super) const REPOSITORY_ID: u64 = 501;
const BOT_ID: u64 = 502;
/// When the repository and the App were made.
const BORN: &str = "2026-01-01T00:00:00Z";

/// Below a repository's URL, the templates of its `*_url` fields.
const REPOSITORY_URLS: &[(&str, &str)] = &[
    ("archive_url", "{archive_format}{/ref}"),
    ("assignees_url", "assignees{/user}"),
    ("blobs_url", "git/blobs{/sha}"),
    ("branches_url", "branches{/branch}"),
    ("collaborators_url", "collaborators{/collaborator}"),
    ("comments_url", "comments{/number}"),
    ("commits_url", "commits{/sha}"),
    ("compare_url", "compare/{base}...{head}"),
    ("contents_url", "contents/{+path}"),
    ("contributors_url", "contributors"),
    ("deployments_url", "deployments"),
    ("downloads_url", "downloads"),
    ("events_url", "events"),
    ("forks_url", "forks"),
    ("git_commits_url", "git/commits{/sha}"),
    ("git_refs_url", "git/refs{/sha}"),
    ("git_tags_url", "git/tags{/sha}"),
    ("hooks_url", "hooks"),
    ("issue_comment_url", "issues/comments{/number}"),
    ("issue_events_url", "issues/events{/number}"),
    ("issues_url", "issues{/number}"),
    ("keys_url", "keys{/key_id}"),
    ("labels_url", "labels{/name}"),
    ("languages_url", "languages"),
    ("merges_url", "merges"),
    ("milestones_url", "milestones{/number}"),
    (
        "notifications_url",
        "notifications{?since,all,participating}",
    ),
    ("pulls_url", "pulls{/number}"),
    ("releases_url", "releases{/id}"),
    ("stargazers_url", "stargazers"),
    ("statuses_url", "statuses/{sha}"),
    ("subscribers_url", "subscribers"),
    ("subscription_url", "subscription"),
    ("tags_url", "tags"),
    ("teams_url", "teams"),
    ("trees_url", "git/trees{/sha}"),
];

/// Below an account's URL, the templates of its `*_url` fields.
const ACCOUNT_URLS: &[(&str, &str)] = &[
    ("followers_url", "followers"),
    ("following_url", "following{/other_user}"),
    ("gists_url", "gists{/gist_id}"),
    ("starred_url", "starred{/owner}{/repo}"),
    ("subscriptions_url", "subscriptions"),
    ("organizations_url", "orgs"),
    ("repos_url", "repos"),
    ("events_url", "events{/privacy}"),
    ("received_events_url", "received_events"),
];

/// An opaque id; its prefix tells the kind, as GitHub's do.
pub(super) fn node_id(prefix: &str, id: u64) -> String {
    format!("{prefix}_kwDO{id:010}")
}

/// Adds `fields` to the object `to`.
pub(super) fn extend(to: &mut Value, fields: Value) {
    if let (Value::Object(to), Value::Object(fields)) = (to, fields) {
        to.extend(fields);
    }
}

fn urls(base: &str, templates: &[(&str, &str)]) -> Value {
    let fields: Map<String, Value> = templates
        .iter()
        .map(|(name, template)| ((*name).to_owned(), json!(format!("{base}/{template}"))))
        .collect();
    Value::Object(fields)
}

/// Whoever has that login: a person, the organization, or an App's bot, which `[bot]` ends.
pub(super) fn account(world: &World, login: &str) -> Value {
    let known = world.user(login).map_or(0, |user| user.id);
    let app = login.strip_suffix("[bot]");
    let (id, kind, prefix) = if login == world.bot() {
        (BOT_ID, "Bot", "BOT")
    } else if app.is_some() {
        (known, "Bot", "BOT")
    } else if login.eq_ignore_ascii_case(&world.options.owner) {
        (OWNER_ID, "Organization", "O")
    } else {
        (known, "User", "U")
    };
    let page = match app {
        Some(app) => format!("{}/apps/{app}", world.url),
        None => format!("{}/{login}", world.url),
    };
    let api = format!("{}/users/{login}", world.url);
    let mut account = json!({
        "login": login,
        "id": id,
        "node_id": node_id(prefix, id),
        "avatar_url": format!("{}/avatars/{id}", world.url),
        "gravatar_id": "",
        "url": api,
        "html_url": page,
        "type": kind,
        "user_view_type": "public",
        "site_admin": false,
    });
    extend(&mut account, urls(&api, ACCOUNT_URLS));
    account
}

/// The owner as webhooks carry it beside the repository.
pub(super) fn organization(world: &World) -> Value {
    let login = &world.options.owner;
    let api = format!("{}/orgs/{login}", world.url);
    json!({
        "login": login,
        "id": OWNER_ID,
        "node_id": node_id("O", OWNER_ID),
        "url": api,
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events"),
        "hooks_url": format!("{api}/hooks"),
        "issues_url": format!("{api}/issues"),
        "members_url": format!("{api}/members{{/member}}"),
        "public_members_url": format!("{api}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/{OWNER_ID}", world.url),
        "description": null,
    })
}

/// How the author of something stands to the repository.
pub(super) fn association(world: &World, login: &str) -> &'static str {
    use super::world::Permission;
    let member = world.teams.iter().any(|((org, _), members)| {
        org.eq_ignore_ascii_case(&world.options.owner)
            && members.contains(&login.to_ascii_lowercase())
    });
    match world.user(login) {
        Some(_) if member => "MEMBER",
        Some(user) if user.permission > Permission::None => "COLLABORATOR",
        _ => "NONE",
    }
}

/// What the App was granted.
pub(super) fn permissions() -> Value {
    json!({
        "checks": "write",
        "contents": "read",
        "issues": "write",
        "members": "read",
        "merge_queues": "read",
        "metadata": "read",
        "pull_requests": "write",
    })
}

fn events() -> Value {
    json!([
        "check_run",
        "issue_comment",
        "merge_group",
        "pull_request",
        "pull_request_review",
        "push"
    ])
}

pub(super) fn app(world: &World) -> Value {
    let slug = &world.options.app_slug;
    json!({
        "id": world.options.app_id,
        "slug": slug,
        "node_id": node_id("A", world.options.app_id),
        "client_id": format!("Iv23sim{:013}", world.options.app_id),
        "owner": account(world, &world.options.owner),
        "name": slug,
        "description": null,
        "external_url": format!("{}/apps/{slug}", world.url),
        "html_url": format!("{}/apps/{slug}", world.url),
        "created_at": BORN,
        "updated_at": BORN,
        "permissions": permissions(),
        "events": events(),
        "installations_count": 1,
    })
}

pub(super) fn installation(world: &World) -> Value {
    let id = world.options.installation_id;
    json!({
        "id": id,
        "account": account(world, &world.options.owner),
        "repository_selection": "selected",
        "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", world.url),
        "repositories_url": format!("{}/installation/repositories", world.url),
        "html_url": format!("{}/organizations/{}/settings/installations/{id}", world.url, world.options.owner),
        "app_id": world.options.app_id,
        "app_slug": world.options.app_slug,
        "target_id": OWNER_ID,
        "target_type": "Organization",
        "permissions": permissions(),
        "events": events(),
        "created_at": BORN,
        "updated_at": BORN,
        "single_file_name": null,
        "has_multiple_single_files": false,
        "single_file_paths": [],
        "suspended_by": null,
        "suspended_at": null,
    })
}

pub(super) fn repository(world: &World) -> Value {
    repository_of(world, &world.options.owner)
}

/// The repository, or the fork of it that `owner` has.
pub(super) fn repository_of(world: &World, owner: &str) -> Value {
    let name = &world.options.name;
    let fork = !owner.eq_ignore_ascii_case(&world.options.owner);
    let id = match world.user(owner) {
        Some(user) if fork => user.id + 100_000,
        _ => REPOSITORY_ID,
    };
    let api = format!("{}/repos/{owner}/{name}", world.url);
    let page = format!("{}/{owner}/{name}", world.url);
    let open = world
        .pulls
        .values()
        .filter(|pull| pull.state == super::world::PullState::Open);
    let open = open.count()
        + world
            .issues
            .values()
            .filter(|one| one.closed_at.is_none())
            .count();
    let mut repository = json!({
        "id": id,
        "node_id": node_id("R", id),
        "name": name,
        "full_name": format!("{owner}/{name}"),
        "private": true,
        "visibility": "private",
        "owner": account(world, owner),
        "html_url": page,
        "url": api,
        "description": null,
        "fork": fork,
        "created_at": BORN,
        "updated_at": BORN,
        "pushed_at": BORN,
        "git_url": format!("git:{}.git", page.trim_start_matches("http:")),
        "ssh_url": format!("git@github.invalid:{owner}/{name}.git"),
        "clone_url": format!("{page}.git"),
        "svn_url": page,
        "homepage": null,
        "mirror_url": null,
        "language": null,
        "license": null,
        "open_issues_count": open,
        "open_issues": open,
        "default_branch": MAIN,
    });
    extend(&mut repository, quiet());
    extend(&mut repository, urls(&api, REPOSITORY_URLS));
    repository
}

/// What a repository says of itself that never matters here.
fn quiet() -> Value {
    json!({
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "watchers": 0,
        "subscribers_count": 0,
        "network_count": 0,
        "forks_count": 0,
        "forks": 0,
        "has_issues": true,
        "has_projects": false,
        "has_downloads": true,
        "has_wiki": false,
        "has_pages": false,
        "has_discussions": false,
        "has_pull_requests": true,
        "archived": false,
        "disabled": false,
        "allow_forking": true,
        "is_template": false,
        "web_commit_signoff_required": false,
        "topics": [],
        "custom_properties": {},
    })
}

/// A commit as `GET /branches/{branch}` shows it.
pub(super) fn commit(world: &World, commit: &CommitInfo) -> Value {
    let (api, html) = (world.api(), world.html());
    let sha = &commit.sha;
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|parent| {
            json!({
                "sha": parent,
                "url": format!("{api}/commits/{parent}"),
                "html_url": format!("{html}/commit/{parent}"),
            })
        })
        .collect();
    let by = json!({ "name": commit.author, "email": commit.email, "date": instant(commit.at) });
    json!({
        "sha": sha,
        "node_id": format!("C_{sha}"),
        "url": format!("{api}/commits/{sha}"),
        "html_url": format!("{html}/commit/{sha}"),
        "comments_url": format!("{api}/commits/{sha}/comments"),
        "commit": {
            "author": by,
            "committer": by,
            "message": commit.message,
            "tree": {
                "sha": commit.tree,
                "url": format!("{api}/git/trees/{}", commit.tree),
            },
            "url": format!("{api}/git/commits/{sha}"),
            "comment_count": 0,
            "verification": {
                "verified": false,
                "reason": "unsigned",
                "signature": null,
                "payload": null,
                "verified_at": null,
            },
        },
        "author": account(world, &commit.author),
        "committer": account(world, &commit.author),
        "parents": parents,
    })
}

/// A commit as webhooks carry it, with what it changed since its first parent.
pub(super) fn pushed_commit(world: &World, commit: &CommitInfo) -> anyhow::Result<Value> {
    let by = json!({ "name": commit.author, "email": commit.email, "username": commit.author });
    let files = match commit.parents.first() {
        Some(parent) => world.git.changed_files(parent, &commit.sha)?,
        None => Vec::new(),
    };
    let (mut added, mut removed, mut modified) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match (file.status, file.previous) {
            ("added", _) => added.push(file.path),
            ("removed", _) => removed.push(file.path),
            (_, Some(previous)) => {
                removed.push(previous);
                added.push(file.path);
            }
            (_, None) => modified.push(file.path),
        }
    }
    Ok(json!({
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": true,
        "message": commit.message,
        "timestamp": instant(commit.at),
        "url": format!("{}/commit/{}", world.html(), commit.sha),
        "author": by,
        "committer": by,
        "added": added,
        "removed": removed,
        "modified": modified,
    }))
}
