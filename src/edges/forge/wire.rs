//! How requests are made: paths only, own small answers, pages by counting.
//!
//! Octocrab sends no credentials to an absolute URL unless its host is api.github.com,
//! so the address in a `Link` header is never followed, only its presence believed.

use std::ops::ControlFlow;

use axum::body::HttpBody;
use bytes::Bytes;
use http::{HeaderMap, Method};
use octocrab::{FromResponse, Octocrab};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::{Cost, Limits, Permit};
use super::{Forge, ForgeError};

/// GitHub's largest page.
pub(super) const PAGE: usize = 100;

/// A server that always names one more page must not hold a lane for ever.
pub(super) const MOST_PAGES: usize = 200;

impl Forge {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
    ) -> Result<T, ForgeError> {
        Ok(self.page(attempt, path).await?.body)
    }

    /// Makes something. What only changes something is a PATCH.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ForgeError> {
        let request = Request {
            method: Method::POST,
            path,
            body: Some(body),
        };
        let answer = self.door().exchange(attempt, Cost::Creation, request);
        Ok(answer.await?.body)
    }

    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ForgeError> {
        let request = Request {
            method: Method::PATCH,
            path,
            body: Some(body),
        };
        let answer = self.door().exchange(attempt, Cost::Write, request);
        Ok(answer.await?.body)
    }

    pub(super) async fn delete(&self, attempt: &str, path: &str) -> Result<(), ForgeError> {
        let request = Request::without_body(Method::DELETE, path);
        let permit = self.limits().permit(attempt, Cost::Write).await?;
        self.door().send(&permit, attempt, request).await.map(drop)
    }

    /// One page, with the header that says whether there are more.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        attempt: &str,
        path: &str,
    ) -> Result<Answer<T>, ForgeError> {
        let request = Request::without_body(Method::GET, path);
        self.door().exchange(attempt, Cost::Read, request).await
    }

    fn door(&self) -> Door<'_> {
        Door {
            client: self.client(),
            limits: self.limits(),
        }
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
        let joint = if path.contains('?') { '&' } else { '?' };
        for number in 1..=MOST_PAGES {
            let address = format!("{path}{joint}per_page={PAGE}&page={number}");
            let answer: Answer<P> = self.page(attempt, &address).await?;
            let next = answer.link().map(|link| link.contains("rel=\"next\""));
            let page = items(answer.body);
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
        Err(ForgeError::too_many_pages(attempt))
    }
}

/// What GitHub answered to a request that it took.
pub(super) struct Answer<T> {
    headers: HeaderMap,
    pub(super) body: T,
}

impl<T> Answer<T> {
    /// The header that names other pages; absent when everything fitted into one.
    pub(super) fn link(&self) -> Option<&str> {
        let link = self.headers.get(http::header::LINK)?;
        Some(link.to_str().unwrap_or_default())
    }
}

/// The one way out: whatever is sent was let through by the limits.
#[derive(Clone, Copy)]
pub(super) struct Door<'f> {
    pub(super) client: &'f Octocrab,
    pub(super) limits: &'f Limits,
}

/// What is asked of GitHub; it is sent by a [`Door`].
pub(super) struct Request<'r, B> {
    pub(super) method: Method,
    pub(super) path: &'r str,
    pub(super) body: Option<&'r B>,
}

impl<'r> Request<'r, ()> {
    pub(super) fn without_body(method: Method, path: &'r str) -> Self {
        Self {
            method,
            path,
            body: None,
        }
    }
}

impl Door<'_> {
    pub(super) async fn exchange<T: DeserializeOwned>(
        self,
        attempt: &str,
        cost: Cost,
        request: Request<'_, impl Serialize>,
    ) -> Result<Answer<T>, ForgeError> {
        let permit = self.limits.permit(attempt, cost).await?;
        let response = self.send(&permit, attempt, request).await?;
        let headers = response.headers().clone();
        let body = T::from_response(response).await;
        let body = body.map_err(|error| ForgeError::classify(attempt, error))?;
        Ok(Answer { headers, body })
    }

    async fn send<B: Serialize>(
        self,
        permit: &Permit<'_>,
        attempt: &str,
        request: Request<'_, B>,
    ) -> Result<
        http::Response<impl HttpBody<Data = Bytes, Error = octocrab::Error> + Send + use<B>>,
        ForgeError,
    > {
        let answered = async {
            let builder = http::Request::builder()
                .method(request.method)
                .uri(request.path);
            let request = self.client.build_request(builder, request.body)?;
            let response = self.client.execute(request).await?;
            octocrab::map_github_error(response).await
        };
        let response = answered.await;
        let response = response.map_err(|error| permit.failed(attempt, error))?;
        permit.taken(response.headers());
        Ok(response)
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
