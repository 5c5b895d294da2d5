//! What people write under pull requests, and the reactions by which we answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::{Answer, MOST_PAGES, PAGE, encoded};
use super::{AppIdWire, Forge, ForgeError, pull};
use crate::command::{AuthorKind, Comment, CommentId, Edits, Permission};
use crate::event::PullNumber;

/// What we put under somebody's comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    Eyes,
    Rocket,
    Confused,
}

impl Reaction {
    /// `None` for all that we never give.
    fn named(content: &str) -> Option<Self> {
        match content {
            "eyes" => Some(Self::Eyes),
            "rocket" => Some(Self::Rocket),
            "confused" => Some(Self::Confused),
            _ => None,
        }
    }
}

impl Forge {
    /// Reads one comment.
    ///
    /// # Errors
    /// If there is none of this id under a pull request, or GitHub does not answer.
    pub async fn comment(&self, id: CommentId) -> Result<Comment, ForgeError> {
        let path = self.path(&format!("/issues/comments/{id}"));
        let attempt = format!("read comment {id}");
        let wire: CommentWire = self.get(&attempt, &path).await?;
        let Some(number) = wire.pull() else {
            return Err(ForgeError::NotFound {
                attempt,
                message: "it stands under no pull request".to_owned(),
            });
        };
        Ok(self.read(wire, number))
    }

    /// Every comment under a pull request, ours too, oldest first.
    ///
    /// # Errors
    /// If there is no such pull request, or GitHub does not answer.
    pub async fn comments(&self, pull: PullNumber) -> Result<Vec<Comment>, ForgeError> {
        let attempt = format!("list comments of #{pull}");
        let path = self.path(&format!("/issues/{pull}/comments"));
        let wires: Vec<CommentWire> = self.list(&attempt, &path).await?;
        let comments = wires.into_iter();
        Ok(comments.map(|wire| self.read(wire, pull)).collect())
    }

    /// The comments under all pull requests that were written or edited since, ours too,
    /// the one that changed last at the end.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn comments_since(&self, since: Timestamp) -> Result<Vec<Comment>, ForgeError> {
        let mut found: BTreeMap<CommentId, (Timestamp, Comment)> = BTreeMap::new();
        let mut cursor = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut number = 1;
        for _ in 0..MOST_PAGES {
            let path = self.path(&format!(
                "/issues/comments?sort=updated&direction=asc&since={}&per_page={PAGE}&page={number}",
                encoded(&cursor)
            ));
            let attempt = "list comments of all pull requests";
            let Answer { body, .. }: Answer<Vec<CommentWire>> = self.page(attempt, &path).await?;
            let full = body.len() >= PAGE;
            // An edit moves a comment to the end and all behind it forward, past the border
            // of a page. So the next page begins at the last instant seen, not at a count.
            let last = body.last().map(|wire| wire.updated_at);
            for wire in body {
                if let Some(pull) = wire.pull() {
                    let read = (wire.updated_at, self.read(wire, pull));
                    found.insert(read.1.id, read);
                }
            }
            let reached = last.map(|last| last.to_string());
            match reached {
                _ if !full => {
                    let mut found: Vec<_> = found.into_values().collect();
                    found.sort_by_key(|(updated_at, comment)| (*updated_at, comment.id));
                    return Ok(found.into_iter().map(|(_, comment)| comment).collect());
                }
                Some(reached) if reached != cursor => (cursor, number) = (reached, 1),
                // A whole page within one second.
                _ => number += 1,
            }
        }
        Err(ForgeError::too_many_pages("list comments"))
    }

    /// Reacts to a comment. It is the same to react twice.
    ///
    /// # Errors
    /// If the comment is gone, or GitHub does not answer.
    pub async fn react(&self, comment: CommentId, reaction: Reaction) -> Result<(), ForgeError> {
        #[derive(Serialize)]
        struct ReactionBody {
            content: Reaction,
        }
        #[derive(Deserialize)]
        struct CreatedWire {
            #[serde(rename = "id")]
            _id: u64,
        }
        let attempt = format!("react to comment {comment}");
        let path = self.path(&format!("/issues/comments/{comment}/reactions"));
        let body = ReactionBody { content: reaction };
        let _: CreatedWire = self.post(&attempt, &path, &body).await?;
        Ok(())
    }

    /// The reactions that we have put under a comment.
    ///
    /// # Errors
    /// If the comment is gone, or GitHub does not answer.
    pub async fn our_reactions(
        &self,
        comment: CommentId,
    ) -> Result<BTreeSet<Reaction>, ForgeError> {
        #[derive(Deserialize)]
        struct ReactionWire {
            user: Option<AccountWire>,
            content: String,
        }
        let attempt = format!("list reactions to comment {comment}");
        let path = self.path(&format!("/issues/comments/{comment}/reactions"));
        let wires: Vec<ReactionWire> = self.list(&attempt, &path).await?;
        Ok(wires
            .iter()
            .filter(|wire| {
                let user = wire.user.as_ref();
                user.is_some_and(|user| user.login.eq_ignore_ascii_case(self.bot_login()))
            })
            .filter_map(|wire| Reaction::named(&wire.content))
            .collect())
    }

    /// What a person may do in the repository: GitHub's four levels, into which it folds
    /// the finer roles and those that a house defines itself.
    ///
    /// # Errors
    /// If GitHub does not answer, or knows a fifth level.
    pub async fn permission(&self, login: &str) -> Result<Permission, ForgeError> {
        #[derive(Deserialize)]
        struct PermissionWire {
            permission: LevelWire,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum LevelWire {
            None,
            Read,
            Write,
            Admin,
        }
        let attempt = format!("read the permission of {login}");
        let path = self.path(&format!("/collaborators/{}/permission", encoded(login)));
        match self.get::<PermissionWire>(&attempt, &path).await {
            Ok(wire) => Ok(match wire.permission {
                LevelWire::None => Permission::None,
                LevelWire::Read => Permission::Read,
                LevelWire::Write => Permission::Write,
                LevelWire::Admin => Permission::Admin,
            }),
            Err(ForgeError::NotFound { .. }) => Ok(Permission::None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, wire: CommentWire, pull: PullNumber) -> Comment {
        let ours = self.is_our_app(wire.performed_via_github_app.as_ref());
        let (author, kind) = match wire.user {
            Some(user) => (user.login, user.r#type),
            // Nobody is left who could be asked, or answer.
            None => (pull::GHOST.to_owned(), String::new()),
        };
        Comment {
            id: wire.id,
            pull,
            by: if kind == "User" && !ours {
                AuthorKind::Person
            } else {
                AuthorKind::Bot
            },
            author,
            body: wire.body.unwrap_or_default(),
            created_at: wire.created_at,
            edits: if wire.updated_at > wire.created_at {
                Edits::Edited
            } else {
                Edits::Never
            },
        }
    }
}

#[derive(Deserialize)]
struct AccountWire {
    login: String,
    r#type: String,
}

#[derive(Deserialize)]
struct CommentWire {
    id: CommentId,
    html_url: String,
    body: Option<String>,
    user: Option<AccountWire>,
    created_at: Timestamp,
    /// A reaction does not move it.
    updated_at: Timestamp,
    performed_via_github_app: Option<AppIdWire>,
}

impl CommentWire {
    /// The pull request it stands under; issues have comments too. Only the address for
    /// people tells them apart: `…/pull/3#issuecomment-7`.
    fn pull(&self) -> Option<PullNumber> {
        let (page, _) = self.html_url.split_once('#')?;
        let mut parts = page.rsplit('/');
        let number = parts.next()?.parse().ok()?;
        (parts.next() == Some("pull")).then_some(number)
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
