//! The one comment per subject that is edited in place.

use serde::{Deserialize, Serialize};

use super::check::same_text;
use super::{AppIdWire, Forge, ForgeError, UserWire};
use crate::event::PullNumber;

/// What became of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentWrite {
    Created,
    Edited,
    Unchanged,
    /// There is none, and none was wanted.
    Left,
}

/// What to do where there is no comment yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    Create,
    /// Nothing to say that is worth a notification.
    Leave,
}

/// The line by which our comment about `marker` is found again; it does not show.
pub fn hidden(marker: &str) -> String {
    format!("<!-- pipewright:{marker} -->")
}

impl Forge {
    /// Makes our comment with this `marker` say `body`, and leaves it alone if it does.
    ///
    /// Ours is what our App wrote and what begins with the hidden marker: somebody else's
    /// comment with the same marker is never touched. If a lost answer once led to two,
    /// the oldest stays and the others go.
    ///
    /// # Errors
    /// If GitHub refuses the comment (over 65,536 characters, a locked conversation) or
    /// does not answer.
    pub async fn put_sticky_comment(
        &self,
        number: PullNumber,
        marker: &str,
        body: &str,
        if_missing: IfMissing,
    ) -> Result<CommentWrite, ForgeError> {
        let hidden = hidden(marker);
        let body = format!("{hidden}\n{body}");
        let path = self.path(&format!("/issues/{number}/comments"));
        let attempt = format!("list comments of #{number}");
        let mut ours: Vec<CommentWire> = self.list(&attempt, &path).await?;
        ours.retain(|comment| self.is_ours(comment) && comment.text().starts_with(&hidden));
        ours.sort_by_key(|comment| comment.id);
        let mut ours = ours.into_iter();

        let Some(oldest) = ours.next() else {
            if if_missing == IfMissing::Leave {
                return Ok(CommentWrite::Left);
            }
            let attempt = format!("comment on #{number}");
            let _: CreatedWire = self
                .post(&attempt, &path, &BodyWire { body: &body })
                .await?;
            return Ok(CommentWrite::Created);
        };
        let write = if same_text(oldest.text(), &body) {
            CommentWrite::Unchanged
        } else {
            let path = self.path(&format!("/issues/comments/{}", oldest.id));
            let attempt = format!("edit the comment on #{number}");
            let _: CreatedWire = self
                .patch(&attempt, &path, &BodyWire { body: &body })
                .await?;
            CommentWrite::Edited
        };
        for twin in ours {
            let path = self.path(&format!("/issues/comments/{}", twin.id));
            let attempt = format!("delete a repeated comment on #{number}");
            match self.delete(&attempt, &path).await {
                Ok(()) | Err(ForgeError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(write)
    }

    fn is_ours(&self, comment: &CommentWire) -> bool {
        let user = comment.user.as_ref();
        self.is_our_app(comment.performed_via_github_app.as_ref())
            || user.is_some_and(|user| user.login.eq_ignore_ascii_case(self.bot_login()))
    }
}

#[derive(Serialize)]
struct BodyWire<'a> {
    body: &'a str,
}

#[derive(Deserialize)]
struct CreatedWire {
    #[serde(rename = "id")]
    _id: u64,
}

#[derive(Deserialize)]
struct CommentWire {
    id: u64,
    body: Option<String>,
    user: Option<UserWire>,
    performed_via_github_app: Option<AppIdWire>,
}

impl CommentWire {
    fn text(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::extract::Path;
    use axum::routing::{get, patch};
    use axum::{Json, Router};
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::edges::forge::testing::{APP, REPO, forge};

    type Thread = Arc<Mutex<Vec<Value>>>;

    /// Just enough of a conversation; what the bot posts is the bot's.
    fn conversation(thread: &Thread) -> Router {
        let (list, create, edit, remove) = (
            thread.clone(),
            thread.clone(),
            thread.clone(),
            thread.clone(),
        );
        let found = |comment: &Value, id: u64| comment["id"] == id;
        Router::new()
            .route(
                &format!("{REPO}/issues/3/comments"),
                get(move || async move { Json(list.lock().unwrap().clone()) }).post(
                    move |Json(sent): Json<Value>| async move {
                        let mut thread = create.lock().unwrap();
                        let comment = json!({"id": thread.len() + 100, "body": sent["body"],
                            "user": {"login": "pipewright-acme[bot]"}});
                        thread.push(comment.clone());
                        (StatusCode::CREATED, Json(comment))
                    },
                ),
            )
            .route(
                &format!("{REPO}/issues/comments/{{id}}"),
                patch(
                    move |Path(id): Path<u64>, Json(sent): Json<Value>| async move {
                        let mut thread = edit.lock().unwrap();
                        let comment = thread.iter_mut().find(|it| found(it, id)).unwrap();
                        comment["body"] = sent["body"].clone();
                        Json(comment.clone())
                    },
                )
                .delete(move |Path(id): Path<u64>| async move {
                    remove.lock().unwrap().retain(|it| !found(it, id));
                    StatusCode::NO_CONTENT
                }),
            )
    }

    #[tokio::test]
    async fn a_comment_is_made_once_and_edited_in_place() {
        let quoted = json!({"id": 1, "user": {"login": "ada"},
                            "body": "<!-- pipewright:plan -->\nmine"});
        let thread: Thread = Arc::new(Mutex::new(vec![quoted.clone()]));
        let (forge, server) = forge(conversation(&thread)).await;
        let put = |body| forge.put_sticky_comment(3, "plan", body, IfMissing::Create);
        assert_eq!(put("one").await.unwrap(), CommentWrite::Created);
        let writes = server.wire().writes();
        assert_eq!(put("one").await.unwrap(), CommentWrite::Unchanged);
        assert_eq!(server.wire().writes(), writes);
        assert_eq!(put("two").await.unwrap(), CommentWrite::Edited);
        let other = forge
            .put_sticky_comment(3, "apply", "done", IfMissing::Create)
            .await;
        let none = forge
            .put_sticky_comment(3, "silent", "x", IfMissing::Leave)
            .await;
        assert_eq!(none.unwrap(), CommentWrite::Left);
        assert_eq!(other.unwrap(), CommentWrite::Created);

        let thread = thread.lock().unwrap();
        let bodies: Vec<_> = thread.iter().map(|it| it["body"].clone()).collect();
        assert_eq!(thread[0], quoted);
        assert_eq!(
            bodies[1..],
            [
                "<!-- pipewright:plan -->\ntwo",
                "<!-- pipewright:apply -->\ndone"
            ]
        );
    }

    #[tokio::test]
    async fn of_two_the_oldest_stays() {
        let ours = |id| {
            json!({"id": id, "body": "<!-- pipewright:plan -->\r\nold", "user": null,
                   "performed_via_github_app": {"id": APP}})
        };
        let mut other_app = ours(4);
        other_app["performed_via_github_app"]["id"] = json!(APP + 1);
        let thread = Arc::new(Mutex::new(vec![ours(9), ours(5), other_app]));
        let (forge, _server) = forge(conversation(&thread)).await;
        let write = forge
            .put_sticky_comment(3, "plan", "old", IfMissing::Create)
            .await
            .unwrap();
        assert_eq!(write, CommentWrite::Unchanged);
        let left: Vec<_> = thread
            .lock()
            .unwrap()
            .iter()
            .map(|it| it["id"].clone())
            .collect();
        assert_eq!(left, [5, 4]);
    }
}
