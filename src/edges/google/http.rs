//! The one place that sends.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH};
use reqwest::{Client, Method, Request, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::clock::Clock;

use super::error::{GoogleError, classify};
use super::token::{Issued, TokenSource};

const CONNECT: Duration = Duration::from_secs(10);
/// Between two reads of one answer.
const READ: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_secs(90);

/// One request, yet without its token.
pub(super) struct Call {
    /// What is done, in words, for errors.
    pub(super) attempt: String,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Value>,
    pub(super) if_match: Option<String>,
}

impl Call {
    pub(super) fn new(attempt: impl Into<String>, method: Method, url: Url) -> Self {
        Self {
            attempt: attempt.into(),
            method,
            url,
            body: None,
            if_match: None,
        }
    }

    pub(super) fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

pub(super) struct Http {
    google: Client,
    /// Never by way of a proxy, which the metadata server is not behind.
    metadata: Client,
    source: TokenSource,
    clock: Clock,
    /// Of the metadata server. Held while asking, so that many calls ask once.
    issued: Mutex<Option<Issued>>,
}

impl Http {
    pub(super) fn new(source: TokenSource, clock: Clock) -> Result<Self, GoogleError> {
        // reqwest is built without a default, and panics if the process has none. Err means that it has.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("pipewright/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .read_timeout(READ)
                .timeout(WHOLE)
                // The APIs never redirect; whoever does should not get the token.
                .redirect(reqwest::redirect::Policy::none())
        };
        let failed = |source: reqwest::Error| GoogleError::Transient {
            attempt: "set up HTTP".into(),
            message: "no TLS".into(),
            source: Some(Box::new(source)),
        };
        Ok(Self {
            google: builder().build().map_err(failed)?,
            metadata: builder().no_proxy().build().map_err(failed)?,
            source,
            clock,
            issued: Mutex::new(None),
        })
    }

    /// Makes a call and reads its answer; an empty one is `null`. A token that is refused is
    /// replaced by a fresh one, once: Google did nothing of what was asked.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, GoogleError> {
        let token = self.token(&call.attempt).await?;
        let (mut code, mut answer) = self.send(&call, &token).await?;
        if code == StatusCode::UNAUTHORIZED {
            self.forget(&token).await;
            if !matches!(self.source, TokenSource::Fixed(_)) {
                let token = self.token(&call.attempt).await?;
                (code, answer) = self.send(&call, &token).await?;
                if code == StatusCode::UNAUTHORIZED {
                    self.forget(&token).await;
                }
            }
        }
        let attempt = call.attempt;
        if !code.is_success() {
            return Err(classify(attempt, code, &answer));
        }
        let answer: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        // Not even as a source: serde quotes what it did not expect.
        serde_json::from_slice(answer).map_err(|error| GoogleError::Decode {
            attempt,
            message: format!("line {}, column {}", error.line(), error.column()),
        })
    }

    async fn send(
        &self,
        call: &Call,
        token: &SecretString,
    ) -> Result<(StatusCode, Bytes), GoogleError> {
        let attempt = &call.attempt;
        let mut request = Request::new(call.method.clone(), call.url.clone());
        let bearer = format!("Bearer {}", token.expose_secret());
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| GoogleError::NoToken {
            attempt: attempt.clone(),
            message: "it holds bytes that no header can".into(),
            source: None,
        })?;
        bearer.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer);
        if let Some(etag) = &call.if_match {
            let etag = HeaderValue::try_from(etag).map_err(|_| GoogleError::Decode {
                attempt: attempt.clone(),
                message: "the etag holds bytes that no header can".into(),
            })?;
            headers.insert(IF_MATCH, etag);
        }
        let body = call.body.as_ref().map(Value::to_string);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // A write without a body says so in its length, or Google answers 411.
        if body.is_some() || *request.method() != Method::GET {
            *request.body_mut() = Some(body.unwrap_or_default().into());
        }
        send(&self.google, attempt, request).await
    }

    /// Forgets a token that was refused, unless another call has replaced it already.
    async fn forget(&self, token: &SecretString) {
        let mut issued = self.issued.lock().await;
        issued.take_if(|issued| issued.token.expose_secret() == token.expose_secret());
    }

    async fn token(&self, attempt: &str) -> Result<SecretString, GoogleError> {
        match &self.source {
            TokenSource::Fixed(token) => Ok(token.clone()),
            TokenSource::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => Ok(text.trim().to_owned().into()),
                Err(source) => Err(GoogleError::NoToken {
                    attempt: attempt.to_owned(),
                    message: format!("cannot read {}", path.display()),
                    source: Some(Box::new(source)),
                }),
            },
            TokenSource::Metadata { host } => self.metadata_token(host, attempt).await,
        }
    }

    async fn metadata_token(&self, host: &str, attempt: &str) -> Result<SecretString, GoogleError> {
        // Never NotFound, whatever the metadata server answers: that would say that what the token
        // is for does not exist.
        let failed = |message: String, source: Option<GoogleError>| GoogleError::NoToken {
            attempt: attempt.to_owned(),
            message,
            source: source.map(Into::into),
        };
        let mut issued = self.issued.lock().await;
        if let Some(issued) = issued
            .as_ref()
            .filter(|issued| issued.is_fresh(self.clock.now()))
        {
            return Ok(issued.token.clone());
        }
        let url =
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let url = Url::parse(&url)
            .map_err(|_| failed(format!("{host:?} is no host of a metadata server"), None))?;
        let mut request = Request::new(Method::GET, url);
        request
            .headers_mut()
            .insert("Metadata-Flavor", HeaderValue::from_static("Google"));
        let asked = self.clock.now();
        let (code, answer) = send(&self.metadata, "ask the metadata server", request)
            .await
            .map_err(|error| failed(format!("no answer from {host}"), Some(error)))?;
        if !code.is_success() {
            return Err(failed(
                format!("{host} answered HTTP {}", code.as_u16()),
                None,
            ));
        }
        let fresh = Issued::parse(&answer, asked)
            .ok_or_else(|| failed(format!("{host} answered something else"), None))?;
        let token = fresh.token.clone();
        *issued = Some(fresh);
        Ok(token)
    }
}

async fn send(
    client: &Client,
    attempt: &str,
    request: Request,
) -> Result<(StatusCode, Bytes), GoogleError> {
    let lost = |message: &str, source: reqwest::Error| GoogleError::Transient {
        attempt: attempt.to_owned(),
        message: message.to_owned(),
        source: Some(Box::new(source)),
    };
    let answer = client
        .execute(request)
        .await
        .map_err(|error| lost("no answer", error))?;
    let code = answer.status();
    let body = answer
        .bytes()
        .await
        .map_err(|error| lost("the answer broke off", error))?;
    Ok((code, body))
}

/// Reads a base address.
pub(super) fn base(text: &str) -> Result<Url, GoogleError> {
    let refused = |message: String| GoogleError::Invalid {
        attempt: "read the address of an API".into(),
        message,
    };
    let url = Url::parse(text).map_err(|error| refused(format!("{text:?}: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refused(format!("{text:?} is not an http address")));
    }
    Ok(url)
}

/// `base` with a path below it, each segment escaped.
///
/// # Errors
/// If a segment is one that URLs drop or resolve away, which would name another thing than was meant.
pub(super) fn below(base: &Url, segments: &[&str], attempt: &str) -> Result<Url, GoogleError> {
    let mut url = base.clone();
    let dropped = segments.iter().any(|segment| {
        matches!(*segment, "" | "." | "..")
            || segment.starts_with(':')
            || segment.contains(['\t', '\n', '\r'])
    });
    match url.path_segments_mut() {
        Ok(mut path) if !dropped => {
            path.pop_if_empty().extend(segments);
        }
        _ => {
            return Err(GoogleError::Invalid {
                attempt: attempt.to_owned(),
                message: "an empty name, or one that no URL can carry".into(),
            });
        }
    }
    Ok(url)
}
