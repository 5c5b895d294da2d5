//! Where access tokens come from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;

/// A token so close to its end is not used again: the call it is for takes time too.
const MARGIN: Duration = Duration::from_secs(60);

/// Where to get the access token of each call.
#[derive(Clone)]
pub enum TokenSource {
    Fixed(SecretString),
    /// Read again at each use: somebody else rotates it.
    File(PathBuf),
    /// The metadata server of the node or cluster; `host` is its name or address, with a port if it is not 80.
    Metadata {
        host: String,
    },
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Metadata { host } => f.debug_struct("Metadata").field("host", host).finish(),
        }
    }
}

/// A token of the metadata server, and when to ask for the next.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) token: SecretString,
    stale: Timestamp,
}

impl Issued {
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.stale
    }

    /// Reads the metadata server's answer to a request sent at `asked`.
    pub(super) fn parse(answer: &[u8], asked: Timestamp) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
            expires_in: u64,
        }
        let Answer {
            access_token,
            expires_in,
        } = serde_json::from_slice(answer).ok()?;
        let lasts = Duration::from_secs(expires_in).saturating_sub(MARGIN);
        Some(Self {
            token: access_token.into(),
            stale: asked.checked_add(lasts).ok()?,
        })
    }
}
