//! What can go wrong at Google, in the classes that callers branch on.

use reqwest::StatusCode;
use serde::Deserialize;

/// Google's messages name resources and members; anything longer is no message.
const LONGEST_MESSAGE: usize = 1000;

/// What Google calls faults that pass, whatever the code they come under. A quota of a day is not among
/// them.
const PASSING: [&str; 6] = [
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "jobRateLimitExceeded",
    "backendError",
    "jobBackendError",
    "internalError",
];

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call that failed. The text names the attempt and gives Google's own message, never a body or a token.
#[derive(Debug, thiserror::Error)]
pub enum GoogleError {
    #[error("could not {attempt}: not found: {message}")]
    NotFound { attempt: String, message: String },
    #[error("could not {attempt}: already exists: {message}")]
    AlreadyExists { attempt: String, message: String },
    /// Somebody else wrote between our read and our write, more often than we try.
    #[error("could not {attempt}: changed by someone else meanwhile: {message}")]
    Conflict { attempt: String, message: String },
    #[error("could not {attempt}: not allowed: {message}")]
    Forbidden { attempt: String, message: String },
    /// Refused for what it says: by Google, or by this client before it was sent.
    #[error("could not {attempt}: refused: {message}")]
    Invalid { attempt: String, message: String },
    #[error("could not {attempt}: {message}")]
    Transient {
        attempt: String,
        message: String,
        #[source]
        source: Option<Cause>,
    },
    /// The answer is not what the API documents. Its text is left out: it may hold anything.
    #[error("could not {attempt}: unexpected answer: {message}")]
    Decode { attempt: String, message: String },
    /// The removal was accepted, and a read after it still shows what was to go.
    #[error("could not {attempt}: still there after its removal")]
    NotRemoved { attempt: String },
    /// There was no token to send; nothing was asked of Google.
    #[error("could not {attempt}: no access token: {message}")]
    NoToken {
        attempt: String,
        message: String,
        #[source]
        source: Option<Cause>,
    },
}

impl GoogleError {
    /// Whether the same call may succeed later without anyone's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transient { .. }
            | Self::Conflict { .. }
            | Self::NotRemoved { .. }
            | Self::NoToken { .. } => true,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::Forbidden { .. }
            | Self::Invalid { .. }
            | Self::Decode { .. } => false,
        }
    }

    /// Whether a policy write names a service account that Google does not see.
    ///
    /// For minutes after its creation that is not the caller's fault and mends itself.
    pub fn names_unseen_account(&self) -> bool {
        matches!(self, Self::Invalid { message, .. }
            if message.contains("Service account ") && message.contains(" does not exist"))
    }
}

#[derive(Deserialize)]
struct Body {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    errors: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    reason: String,
}

/// Sorts a refused call into its class, by code, then by what Google calls it.
pub(super) fn classify(attempt: String, code: StatusCode, body: &[u8]) -> GoogleError {
    let Some(detail) = serde_json::from_slice(body)
        .ok()
        .map(|Body { error }| error)
    else {
        return unexplained(attempt, code);
    };
    let message: String = detail.message.chars().take(LONGEST_MESSAGE).collect();
    let called =
        |name: &str| detail.status == name || detail.errors.iter().any(|item| item.reason == name);
    match code.as_u16() {
        404 => GoogleError::NotFound { attempt, message },
        409 if called("ALREADY_EXISTS") || called("alreadyExists") || called("duplicate") => {
            GoogleError::AlreadyExists { attempt, message }
        }
        409 | 412 => GoogleError::Conflict { attempt, message },
        // BigQuery says so with the code of a refusal.
        400 | 403 if PASSING.iter().any(|reason| called(reason)) => transient(attempt, message),
        401 | 403 => GoogleError::Forbidden { attempt, message },
        429 | 500.. => transient(attempt, message),
        _ => GoogleError::Invalid { attempt, message },
    }
}

/// An error that carries no error of Google's: a proxy, a wrong address. Above all, its 404 says nothing
/// about what was asked for.
fn unexplained(attempt: String, code: StatusCode) -> GoogleError {
    let message = format!("HTTP {}, without an explanation of Google's", code.as_u16());
    match code.as_u16() {
        401 | 403 => GoogleError::Forbidden { attempt, message },
        412 => GoogleError::Conflict { attempt, message },
        408 | 429 | 500.. => transient(attempt, message),
        _ => GoogleError::Decode { attempt, message },
    }
}

fn transient(attempt: String, message: String) -> GoogleError {
    GoogleError::Transient {
        attempt,
        message,
        source: None,
    }
}
