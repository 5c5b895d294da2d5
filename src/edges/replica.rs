//! The edge to the other replicas: a webhook that arrives at a standby is handed to the
//! one that holds the Lease, as it came.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use reqwest::Url;

const CONNECT: Duration = Duration::from_secs(2);
/// GitHub gives up after ten seconds.
const WHOLE: Duration = Duration::from_secs(8);

/// Says that a webhook was handed over once already: it is not handed on again.
pub const HANDED_OVER: HeaderName = HeaderName::from_static("x-pipewright-handed-over");

/// What GitHub signs, and by what it is told apart. Nothing else goes along.
const HEADERS: [&str; 4] = [
    "content-type",
    "x-github-event",
    "x-github-delivery",
    "x-hub-signature-256",
];

/// The holder did not take a webhook.
#[derive(Debug, thiserror::Error)]
#[error("the replica at {address} did not take the webhook")]
pub struct ReplicaError {
    address: String,
    #[source]
    source: Option<reqwest::Error>,
}

/// Clones share one connection pool.
#[derive(Debug, Clone)]
pub struct Replicas {
    client: reqwest::Client,
}

impl Replicas {
    /// # Errors
    /// If there is no TLS.
    pub fn new() -> Result<Self, ReplicaError> {
        // reqwest is built without a default, and panics if the process has none. Err means that it has.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| ReplicaError {
                address: String::new(),
                source: Some(source),
            })?;
        Ok(Self { client })
    }

    /// Hands a webhook to the replica at `address`, and says what it answered.
    ///
    /// # Errors
    /// If it can not be reached: then the delivery has failed, and GitHub shall see that.
    pub async fn hand_over(
        &self,
        address: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<StatusCode, ReplicaError> {
        let failed = |source| ReplicaError {
            address: address.to_owned(),
            source,
        };
        let url = Url::parse(address)
            .and_then(|base| base.join("webhook"))
            .map_err(|_| failed(None))?;
        let mut request = self.client.post(url).header(HANDED_OVER, "1");
        for name in HEADERS {
            if let Some(value) = headers.get(name) {
                request = request.header(name, value);
            }
        }
        let answer = request.body(body).send().await;
        Ok(answer.map_err(|source| failed(Some(source)))?.status())
    }
}
