//! Requests to a Git server over http, with the token and what a status means.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};

use super::error::GitError;

/// How long a server may say nothing; a big pack takes longer than this as a whole.
const SILENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(10);

/// A repository behind http, without anything secret.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    url: Url,
}

impl Endpoint {
    /// Takes the URL of a repository as `git clone` would.
    pub(super) fn new(url: Url) -> Result<Self, GitError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GitError::BadRemote(
                "its URL holds credentials; the token is given for each fetch",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(GitError::BadRemote("its URL holds a query or a fragment"));
        }
        if !url.has_host() {
            return Err(GitError::BadRemote("its URL names no host"));
        }
        Ok(Self { url })
    }

    /// Makes a client for this server. It must be made and used where blocking is allowed.
    pub(super) fn client(&self) -> Result<Client, GitError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An Err means that somebody else was faster, which serves as well.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let mut client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none());
        if self.is_loopback() {
            // What is on this machine is not for a proxy, and a token over plain http even less.
            client = client.no_proxy();
        }
        client
            .build()
            .map_err(|error| GitError::Setup(error.without_url().to_string()))
    }

    fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    fn at(&self, parts: &[&str]) -> Url {
        let mut url = self.url.clone();
        // An Err is a URL that can not be a base, which http ones always can.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }
}

/// Host and port.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.host_str().unwrap_or_default())?;
        match self.url.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// One fetch's way to its server.
pub(super) struct Session {
    pub(super) endpoint: Endpoint,
    client: Client,
    token: Option<SecretString>,
}

impl Session {
    pub(super) fn new(
        endpoint: Endpoint,
        client: Client,
        token: Option<SecretString>,
    ) -> Result<Self, GitError> {
        if token.is_some() && endpoint.url.scheme() != "https" && !endpoint.is_loopback() {
            return Err(GitError::InsecureToken {
                host: endpoint.to_string(),
            });
        }
        Ok(Self {
            endpoint,
            client,
            token,
        })
    }

    /// Asks for the server's capabilities, in protocol version 2 if it can.
    pub(super) fn advertisement(&self, attempt: &str) -> Result<Response, GitError> {
        let mut url = self.endpoint.at(&["info", "refs"]);
        url.set_query(Some("service=git-upload-pack"));
        let request = self.client.get(url).header("git-protocol", "version=2");
        self.send(
            request,
            "application/x-git-upload-pack-advertisement",
            attempt,
        )
    }

    /// Sends a command of protocol version 2.
    pub(super) fn command(&self, body: Vec<u8>, attempt: &str) -> Result<Response, GitError> {
        let request = self.upload_pack(body).header("git-protocol", "version=2");
        self.send(request, "application/x-git-upload-pack-result", attempt)
    }

    /// Sends one round of wants and haves, in protocol version 0.
    pub(super) fn negotiate(&self, body: Vec<u8>, attempt: &str) -> Result<Response, GitError> {
        let request = self.upload_pack(body);
        self.send(request, "application/x-git-upload-pack-result", attempt)
    }

    fn upload_pack(&self, body: Vec<u8>) -> RequestBuilder {
        self.client
            .post(self.endpoint.at(&["git-upload-pack"]))
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .body(body)
    }

    fn send(
        &self,
        mut request: RequestBuilder,
        content_type: &str,
        attempt: &str,
    ) -> Result<Response, GitError> {
        if let Some(token) = &self.token {
            request = request.basic_auth("x-access-token", Some(token.expose_secret()));
        }
        let host = self.endpoint.to_string();
        let attempt = attempt.to_owned();
        let response = match request.send() {
            Ok(response) => response,
            Err(error) => {
                return Err(GitError::Unreachable {
                    host,
                    attempt,
                    source: error.without_url().into(),
                });
            }
        };
        let status = response.status().as_u16();
        match status {
            200 => {}
            401 | 403 | 404 => {
                return Err(GitError::Denied {
                    host,
                    attempt,
                    status,
                });
            }
            408 | 429 | 500..=599 => {
                return Err(GitError::Transient {
                    host,
                    attempt,
                    status,
                });
            }
            _ => {
                return Err(GitError::Unexpected {
                    host,
                    attempt,
                    status,
                });
            }
        }
        let is_git = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes() == content_type.as_bytes());
        if !is_git {
            return Err(GitError::Protocol {
                host,
                attempt,
                problem: "the answer is not from a Git server",
            });
        }
        Ok(response)
    }
}
