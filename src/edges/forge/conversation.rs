//! What people write under pull requests, and how our App reacts to it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::encoded;
use super::{Forge, ForgeError, UserWire};
use crate::command::{AuthorKind, Comment, CommentId, Edits, Permission};
use crate::event::PullNumber;

/// What our App says with one sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// Understood, and under way.
    Eyes,
    /// Done.
    Rocket,
    /// Refused, or not understood; a reply says why.
    Confused,
}

impl Reaction {
    const ALL: [Self; 3] = [Self::Eyes, Self::Rocket, Self::Confused];

    fn content(self) -> &'static str {
        match self {
            Self::Eyes => "eyes",
            Self::Rocket => "rocket",
            Self::Confused => "confused",
        }
    }
}

impl Forge {
    /// A comment as it is now.
    ///
    /// # Errors
    /// [`ForgeError::NotFound`] if it was deleted or stands under an issue that is no pull
    /// request; and if GitHub does not answer.
    pub async fn comment(&self, id: CommentId) -> Result<Comment, ForgeError> {
        let attempt = format!("read the comment {id}");
        let path = self.path(&format!("/issues/comments/{id}"));
        let wire: CommentWire = self.get(&attempt, &path).await?;
        wire.read().ok_or_else(|| ForgeError::NotFound {
            attempt,
            message: "it stands under no pull request".to_owned(),
        })
    }

    /// Every comment under a pull request, the oldest first.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn comments(&self, number: PullNumber) -> Result<Vec<Comment>, ForgeError> {
        let attempt = format!("list comments of #{number}");
        let path = self.path(&format!("/issues/{number}/comments"));
        let wires: Vec<CommentWire> = self.list(&attempt, &path).await?;
        Ok(wires.into_iter().filter_map(CommentWire::read).collect())
    }

    /// The comments under pull requests that changed at `since` or later.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn comments_since(&self, since: Timestamp) -> Result<Vec<Comment>, ForgeError> {
        let path = self.path(&format!(
            "/issues/comments?sort=updated&direction=asc&since={}",
            encoded(&since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        ));
        let wires: Vec<CommentWire> = self.list("list the last comments", &path).await?;
        Ok(wires.into_iter().filter_map(CommentWire::read).collect())
    }

    /// What our App has reacted to a comment with.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn our_reactions(&self, id: CommentId) -> Result<BTreeSet<Reaction>, ForgeError> {
        let attempt = format!("list reactions to the comment {id}");
        let path = self.path(&format!("/issues/comments/{id}/reactions"));
        let wires: Vec<ReactionWire> = self.list(&attempt, &path).await?;
        let ours = wires.iter().filter(|wire| {
            let user = wire.user.as_ref();
            user.is_some_and(|user| user.login.eq_ignore_ascii_case(self.bot_login()))
        });
        Ok(ours
            .filter_map(|wire| {
                let mut all = Reaction::ALL.into_iter();
                all.find(|reaction| reaction.content() == wire.content)
            })
            .collect())
    }

    /// Reacts to a comment. A second time changes nothing.
    ///
    /// # Errors
    /// If GitHub does not take it.
    pub async fn react(&self, id: CommentId, reaction: Reaction) -> Result<(), ForgeError> {
        let attempt = format!("react to the comment {id}");
        let path = self.path(&format!("/issues/comments/{id}/reactions"));
        let body = ContentWire {
            content: reaction.content(),
        };
        let _: ReactionWire = self.post(&attempt, &path, &body).await?;
        Ok(())
    }

    /// What a person may do in the repository.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn permission(&self, login: &str) -> Result<Permission, ForgeError> {
        let attempt = format!("read the permission of {login}");
        let path = self.path(&format!("/collaborators/{}/permission", encoded(login)));
        match self.get::<PermissionWire>(&attempt, &path).await {
            // GitHub folds its finer roles into these: maintain is write, triage is read.
            Ok(wire) => Ok(match wire.permission.as_str() {
                "admin" => Permission::Admin,
                "write" => Permission::Write,
                "read" => Permission::Read,
                _ => Permission::None,
            }),
            // Who is no user any more.
            Err(ForgeError::NotFound { .. }) => Ok(Permission::None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct CommentWire {
    id: CommentId,
    html_url: String,
    issue_url: String,
    body: Option<String>,
    user: Option<AuthorWire>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Deserialize)]
struct AuthorWire {
    login: String,
    r#type: Option<String>,
}

#[derive(Serialize)]
struct ContentWire {
    content: &'static str,
}

#[derive(Deserialize)]
struct ReactionWire {
    user: Option<UserWire>,
    content: String,
}

#[derive(Deserialize)]
struct PermissionWire {
    permission: String,
}

impl CommentWire {
    /// `None` for a comment on an issue, or by nobody.
    fn read(self) -> Option<Comment> {
        let (page, _) = self.html_url.split_once('#')?;
        page.contains("/pull/").then_some(())?;
        let (_, number) = self.issue_url.rsplit_once('/')?;
        let author = self.user?;
        let by = match author.r#type.as_deref() {
            Some("User") => AuthorKind::Person,
            _ => AuthorKind::Bot,
        };
        Some(Comment {
            id: self.id,
            pull: number.parse().ok()?,
            author: author.login,
            by,
            body: self.body.unwrap_or_default(),
            created_at: self.created_at,
            // A reaction does not count as a change.
            edits: if self.updated_at == self.created_at {
                Edits::Never
            } else {
                Edits::Edited
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wire(page: &str, kind: &str, updated: &str) -> CommentWire {
        serde_json::from_value(json!({
            "id": 7, "html_url": format!("https://github.com/a/b/{page}/3#issuecomment-7"),
            "issue_url": "https://api.github.com/repos/a/b/issues/3", "body": "/plan",
            "user": {"login": "nina", "type": kind},
            "created_at": "2026-01-01T00:00:00Z", "updated_at": updated,
        }))
        .unwrap()
    }

    #[test]
    fn what_stands_under_a_pull_request_is_read_with_who_and_whether_it_was_changed() {
        let comment = wire("pull", "User", "2026-01-01T00:00:00Z").read().unwrap();
        assert_eq!((comment.pull, comment.by), (3, AuthorKind::Person));
        assert_eq!(comment.edits, Edits::Never);
        let edited = wire("pull", "User", "2026-01-01T00:00:01Z").read().unwrap();
        assert_eq!(edited.edits, Edits::Edited);
        let bot = wire("pull", "Bot", "2026-01-01T00:00:00Z").read().unwrap();
        assert_eq!(bot.by, AuthorKind::Bot);
        assert_eq!(wire("issues", "User", "2026-01-01T00:00:00Z").read(), None);
    }
}
