//! How requests are made: paths only, own small answers, pages by counting.
//!
//! Octocrab sends no credentials to an absolute URL unless its host is api.github.com,
//! so the address in a `Link` header is never followed, only its presence believed.

use std::ops::ControlFlow;

use octocrab::FromResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Forge, ForgeError};

/// GitHub's largest page.
const PAGE: usize = 100;

/// A server that always names one more page must not hold a lane for ever.
const MOST_PAGES: usize = 200;

impl Forge {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
    ) -> Result<T, ForgeError> {
        let answer = self.client().get(path, None::<&()>).await;
        answer.map_err(|error| ForgeError::classify(attempt, error))
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ForgeError> {
        let answer = self.client().post(path, Some(body)).await;
        answer.map_err(|error| ForgeError::classify(attempt, error))
    }

    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ForgeError> {
        let answer = self.client().patch(path, Some(body)).await;
        answer.map_err(|error| ForgeError::classify(attempt, error))
    }

    pub(super) async fn delete(&self, attempt: &str, path: &str) -> Result<(), ForgeError> {
        let failed = |error| ForgeError::classify(attempt, error);
        let response = self.client()._delete(path, None::<&()>).await;
        let answer = octocrab::map_github_error(response.map_err(failed)?).await;
        answer.map(drop).map_err(failed)
    }

    /// Every item of a list. An item that moves to an earlier page between two requests
    /// is missed, one that moves to a later page comes twice: lists are hints, and are
    /// asked for in an order that moves least.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
    ) -> Result<Vec<T>, ForgeError> {
        let mut all = Vec::new();
        let keep = |item| {
            all.push(item);
            ControlFlow::Continue(())
        };
        self.pages(attempt, path, |page: Vec<T>| page, keep).await?;
        Ok(all)
    }

    /// Hands each item of each page to `keep`, until it breaks or there are no more.
    /// `items` takes the list out of a page. `path` may have a query.
    pub(super) async fn pages<P: DeserializeOwned, T>(
        &self,
        attempt: &str,
        path: &str,
        items: fn(P) -> Vec<T>,
        mut keep: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), ForgeError> {
        let failed = |error| ForgeError::classify(attempt, error);
        let joint = if path.contains('?') { '&' } else { '?' };
        for number in 1..=MOST_PAGES {
            let address = format!("{path}{joint}per_page={PAGE}&page={number}");
            let response = self.client()._get(address).await.map_err(failed)?;
            let response = octocrab::map_github_error(response).await.map_err(failed)?;
            let link = response.headers().get(http::header::LINK);
            let next = link.map(|link| {
                let link = link.to_str().unwrap_or_default();
                link.contains("rel=\"next\"")
            });
            let page = items(P::from_response(response).await.map_err(failed)?);
            let full = page.len() >= PAGE;
            for item in page {
                if keep(item).is_break() {
                    return Ok(());
                }
            }
            // GitHub leaves the header out when everything fitted; a short page beside
            // a "next" does occur, so the header counts for more than the length.
            if !next.unwrap_or(full) {
                return Ok(());
            }
        }
        Err(ForgeError::Unexpected {
            attempt: attempt.to_owned(),
            message: format!("the list has more than {MOST_PAGES} pages"),
            source: None,
        })
    }
}

/// `text` as one part of a path or as the value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;
    use crate::edges::forge::testing::forge;

    #[tokio::test]
    async fn pages_are_counted_and_the_link_is_not_followed() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let (forge, server) = forge(Router::new().route(
            "/things",
            get(move || {
                let page = counter.fetch_add(1, Ordering::SeqCst) + 1;
                let link = match page {
                    1 => "<http://127.0.0.1:9/elsewhere>; rel=\"next\"",
                    _ => "<http://127.0.0.1:9/elsewhere>; rel=\"prev\"",
                };
                async move { ([("link", link)], Json(json!([page]))) }
            }),
        ))
        .await;
        let all: Vec<u64> = forge.list("list things", "/things?a=b").await.unwrap();
        assert_eq!(all, [1, 2]);
        let seen = server.wire().traffic();
        let last = seen.last().unwrap();
        assert_eq!(last.uri, "/things?a=b&per_page=100&page=2");
        assert!(last.headers.contains_key("authorization"));
    }

    #[tokio::test]
    async fn a_full_page_without_a_link_asks_once_more() {
        let (forge, server) = forge(Router::new().route(
            "/things",
            get(|uri: http::Uri| async move {
                let full = uri.query().unwrap_or_default().ends_with("&page=1");
                Json(vec![7_u64; if full { 100 } else { 3 }])
            }),
        ))
        .await;
        let before = server.wire().traffic().len();
        let all: Vec<u64> = forge.list("list things", "/things").await.unwrap();
        // Two pages, and the token before the first.
        assert_eq!(
            (all.len(), server.wire().traffic().len() - before),
            (103, 3)
        );
    }

    #[tokio::test]
    async fn a_failed_write_is_sent_once() {
        let refused = || async { (http::StatusCode::BAD_GATEWAY, "no") };
        let (forge, server) = forge(Router::new().route("/things", post(refused))).await;
        let error = forge.post::<u64>("make it", "/things", &json!({})).await;
        assert!(matches!(error, Err(ForgeError::Transient { .. })));
        let sent = server.wire().traffic();
        assert_eq!(sent.iter().filter(|e| e.uri == "/things").count(), 1);
    }

    #[test]
    fn names_can_not_leave_their_place_in_a_path() {
        assert_eq!(encoded("dependabot[bot]"), "dependabot%5Bbot%5D");
        assert_eq!(encoded("../a?b=c&d é"), "..%2Fa%3Fb%3Dc%26d%20%C3%A9");
    }
}
