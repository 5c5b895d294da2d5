//! What can go wrong with GitHub, by what the caller can do about it.
//!
//! Each variant names the attempt. Messages carry GitHub's own words, shortened, and
//! never anything that was sent: a request holds credentials, an answer's text does not.

use std::error::Error;

use http::StatusCode;
use jiff::Timestamp;

/// The longest piece of GitHub's words that a message repeats. A proxy in between
/// answers with whole pages.
const LONGEST_MESSAGE: usize = 400;

/// Why a request to GitHub had no result.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// A setting can not work, whatever GitHub says.
    #[error("{setting}: {problem}")]
    Setting {
        setting: &'static str,
        problem: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// It does not exist, or the App may not know that it does: GitHub answers both alike.
    #[error("could not {attempt}: not found ({message})")]
    NotFound { attempt: String, message: String },
    /// The App lacks a permission, or the repository forbids it.
    #[error("could not {attempt}: forbidden ({message})")]
    Forbidden { attempt: String, message: String },
    /// The App's key, its id or its token was refused.
    #[error("could not {attempt}: GitHub refuses the App's credentials ({message})")]
    Unauthorized { attempt: String, message: String },
    /// GitHub read the request and will never take it.
    #[error("could not {attempt}: GitHub refuses the request ({message})")]
    Invalid { attempt: String, message: String },
    /// Too many requests: GitHub refused this one, or it was not even sent. Nothing of it
    /// has happened, and all requests are refused until then.
    #[error("could not {attempt}: GitHub's limits allow it from {until} on ({message})")]
    Limited {
        attempt: String,
        message: String,
        until: Timestamp,
    },
    /// No answer, or a server's failure. A write may have happened all the same.
    #[error("could not {attempt}: {message}")]
    Transient {
        attempt: String,
        message: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// An answer that is not what GitHub documents.
    #[error("could not {attempt}: the answer can not be read")]
    Decode {
        attempt: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else.
    #[error("could not {attempt}: {message}")]
    Unexpected {
        attempt: String,
        message: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl ForgeError {
    /// From when on it is worth trying again, if GitHub's limits say so.
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::Limited { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Sorts what octocrab reports, all but limits. `attempt` reads on from "could not".
    pub(super) fn classify(attempt: &str, error: octocrab::Error) -> Self {
        let attempt = attempt.to_owned();
        match error {
            octocrab::Error::GitHub { source, .. } => {
                let mut message = source.message;
                // "Validation Failed" says nothing without its list.
                for detail in source.errors.iter().flatten() {
                    message.push_str("; ");
                    message.push_str(&detail.to_string());
                }
                Self::answered(attempt, source.status_code, &message)
            }
            octocrab::Error::JWT { source, .. } => Self::bad_key(source),
            error @ (octocrab::Error::Json { .. }
            | octocrab::Error::Serde { .. }
            | octocrab::Error::InvalidUtf8 { .. }) => Self::Decode {
                attempt,
                source: error.into(),
            },
            error @ (octocrab::Error::Service { .. } | octocrab::Error::Hyper { .. }) => {
                Self::Transient {
                    attempt,
                    message: "GitHub did not answer".to_owned(),
                    source: Some(error.into()),
                }
            }
            error => Self::Unexpected {
                attempt,
                message: "the request can not be made".to_owned(),
                source: Some(error.into()),
            },
        }
    }

    /// A list has no end.
    pub(super) fn too_many_pages(attempt: &str) -> Self {
        Self::Unexpected {
            attempt: attempt.to_owned(),
            message: "the list has more pages than are read".to_owned(),
            source: None,
        }
    }

    /// The App's key can not sign.
    pub(super) fn bad_key(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Setting {
            setting: "the GitHub App's private key",
            problem: "not an RSA private key in PEM form; it is the file that GitHub offers \
                      under \"Private keys\" on the App's page, and signs every token request"
                .to_owned(),
            source: Some(source.into()),
        }
    }

    fn answered(attempt: String, status: StatusCode, message: &str) -> Self {
        let message = shortened(message);
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized { attempt, message },
            StatusCode::FORBIDDEN => Self::Forbidden { attempt, message },
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::NotFound { attempt, message },
            StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid { attempt, message },
            StatusCode::REQUEST_TIMEOUT => Self::transient(attempt, status, &message),
            _ if status.is_server_error() => Self::transient(attempt, status, &message),
            _ => Self::Unexpected {
                attempt,
                message: format!("GitHub answered {status} ({message})"),
                source: None,
            },
        }
    }

    fn transient(attempt: String, status: StatusCode, message: &str) -> Self {
        Self::Transient {
            attempt,
            message: format!("GitHub answered {status} ({message})"),
            source: None,
        }
    }
}

/// GitHub's words, fit for a line of ours.
pub(super) fn shortened(message: &str) -> String {
    let line: String = message
        .chars()
        .take(LONGEST_MESSAGE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let cut = message.chars().nth(LONGEST_MESSAGE).is_some();
    format!("{}{}", line.trim(), if cut { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, message: &str) -> ForgeError {
        let status = StatusCode::from_u16(status).unwrap();
        ForgeError::answered("list reviews of #3".to_owned(), status, message)
    }

    #[test]
    fn an_error_names_the_attempt_and_githubs_words() {
        assert_eq!(
            answered(404, "Not Found").to_string(),
            "could not list reviews of #3: not found (Not Found)"
        );
    }

    #[test]
    fn a_proxys_page_is_cut_and_passes() {
        let error = answered(502, &"<html>\n\u{1b}".repeat(500));
        assert!(matches!(error, ForgeError::Transient { .. }));
        let shown = error.to_string();
        assert!(shown.len() < 600 && !shown.contains(char::is_control));
    }
}
