//! What can go wrong with the cluster, by what the caller can do about it.
//!
//! Each variant names the attempt and repeats the API server's own words, shortened. What
//! was sent is never repeated, nor a kubeconfig's text: it holds credentials.

use std::error::Error;

use kube::client::AuthError;
use kube::config::{InferConfigError, KubeconfigError};
use kube::core::Status;
use kube::core::response::StatusCause;

/// The longest piece of the server's words that a message repeats: a schema's violations
/// can fill pages.
const LONGEST_MESSAGE: usize = 600;

/// Why a request to the cluster had no result. `attempt` reads on from "could not".
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A setting can not work, whatever the cluster says.
    #[error("{setting}: {problem}")]
    Setting {
        setting: &'static str,
        problem: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The object does not exist.
    #[error("could not {attempt}: not found ({message})")]
    NotFound { attempt: String, message: String },
    /// What the object needs does not exist: its namespace, or its kind.
    #[error("could not {attempt}: the cluster lacks what it needs ({message})")]
    Missing { attempt: String, message: String },
    /// Our account lacks a right, or is not known.
    #[error("could not {attempt}: forbidden ({message})")]
    Forbidden { attempt: String, message: String },
    /// Other managers own fields that we want otherwise: manager and field of each.
    #[error("could not {attempt}: {}", owners(fields))]
    Conflict {
        attempt: String,
        fields: Vec<(String, String)>,
    },
    /// The object is no longer the one that was seen. Look again.
    #[error("could not {attempt}: it has changed since it was read ({message})")]
    Changed { attempt: String, message: String },
    /// The server, or its limits, will never take the request.
    #[error("could not {attempt}: invalid ({message})")]
    Invalid { attempt: String, message: String },
    /// The object does not carry our label.
    #[error("could not {attempt}: it is not ours, {why}")]
    NotOurs { attempt: String, why: String },
    /// Something that is not what was to be made has its name.
    #[error("could not {attempt}: {name} is there already, and it is another's")]
    Taken { attempt: String, name: String },
    /// No answer, too many requests, or a server's failure. A write may have happened all
    /// the same.
    #[error("could not {attempt}: {message}")]
    Transient {
        attempt: String,
        message: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
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

impl ClusterError {
    /// Whether the same attempt may succeed a little later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// Sorts what the client reports.
    pub(super) fn classify(attempt: &str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::answered(attempt, *status),
            kube::Error::Auth(error) => Self::credentials(error),
            error @ (kube::Error::HyperError(_)
            | kube::Error::Service(_)
            | kube::Error::ReadEvents(_)) => Self::Transient {
                attempt: attempt.to_owned(),
                message: "the cluster did not answer".to_owned(),
                source: Some(error.into()),
            },
            kube::Error::BuildRequest(error) => Self::Invalid {
                attempt: attempt.to_owned(),
                message: shortened(&error.to_string()),
            },
            error => Self::Unexpected {
                attempt: attempt.to_owned(),
                message: "the answer can not be read".to_owned(),
                source: Some(error.into()),
            },
        }
    }

    /// No kubeconfig and no pod's account, or neither can be used.
    pub(super) fn inferred(error: InferConfigError) -> Self {
        let kubeconfig = error
            .source()
            .and_then(|source| source.downcast_ref::<KubeconfigError>());
        match kubeconfig {
            Some(KubeconfigError::Parse(_)) => Self::unreadable(),
            _ => Self::setting(error.to_string(), None),
        }
    }

    pub(super) fn kubeconfig(error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::Parse(_) => Self::unreadable(),
            error => Self::setting("it can not be used".to_owned(), Some(error.into())),
        }
    }

    /// The client can not be made of what the kubeconfig says.
    pub(super) fn client(error: kube::Error) -> Self {
        match error {
            kube::Error::Auth(error) => Self::credentials(error),
            error => Self::setting("no client can be made of it".to_owned(), Some(error.into())),
        }
    }

    /// The reader's own error is left out, because it quotes the lines around the mistake,
    /// where the tokens are.
    fn unreadable() -> Self {
        Self::setting("it is not the YAML of a kubeconfig".to_owned(), None)
    }

    fn setting(problem: String, source: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Setting {
            setting: "the kubeconfig",
            problem,
            source,
        }
    }

    fn credentials(error: AuthError) -> Self {
        // What the command printed may be the token, and both errors would repeat it.
        let (problem, source): (_, Option<Box<dyn Error + Send + Sync>>) = match error {
            AuthError::AuthExecRun { cmd, out } => {
                (format!("`{cmd}` ended with {}", out.status), None)
            }
            AuthError::AuthExecParse(_) => {
                ("the command's answer can not be read".to_owned(), None)
            }
            error => ("they can not be had".to_owned(), Some(error.into())),
        };
        Self::Setting {
            setting: "the cluster's credentials",
            problem,
            source,
        }
    }

    fn answered(attempt: &str, status: Status) -> Self {
        let attempt = attempt.to_owned();
        let message = shortened(&status.message);
        match status.code {
            400 | 413 | 422 => Self::Invalid { attempt, message },
            // How the server answers an apply with a field that the schema does not know
            // (kubernetes/kubernetes#139253): the same again would fail the same.
            500 if message.contains("failed to create typed patch object") => {
                Self::Invalid { attempt, message }
            }
            401 | 403 => Self::Forbidden { attempt, message },
            404 if names_the_object(&status) => Self::NotFound { attempt, message },
            404 => Self::Missing { attempt, message },
            409 => match conflicts(&status) {
                fields if fields.is_empty() => Self::Changed { attempt, message },
                fields => Self::Conflict { attempt, fields },
            },
            // 410: a list took so long that its next page is gone; from the start, then.
            code @ (408 | 410 | 429 | 500..) => Self::Transient {
                attempt,
                message: format!("the cluster answered {code} ({message})"),
                source: None,
            },
            // No Status of an API server's: something on the way answered in its place.
            0 => Self::Transient {
                attempt,
                message: "an answer came that is not the cluster's".to_owned(),
                source: None,
            },
            code => Self::Unexpected {
                attempt,
                message: format!("the cluster answered {code} ({message})"),
                source: None,
            },
        }
    }
}

/// A server that does not serve the kind at all names no object, and one that lacks the
/// namespace names that.
fn names_the_object(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty() && details.kind != "namespaces")
}

fn conflicts(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            (
                manager(cause),
                cause.field.trim_start_matches('.').to_owned(),
            )
        })
        .collect()
}

/// The manager stands only in the text: `conflict with "kubectl" using apps/v1`.
fn manager(cause: &StatusCause) -> String {
    let quoted = cause.message.split('"').nth(1);
    shortened(quoted.unwrap_or(&cause.message))
}

fn owners(fields: &[(String, String)]) -> String {
    let owned: Vec<String> = fields
        .iter()
        .map(|(manager, field)| format!("{manager} owns {field}"))
        .collect();
    owned.join(", ")
}

/// One line of at most [`LONGEST_MESSAGE`] characters.
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
    use serde_json::json;

    fn answered(status: serde_json::Value) -> ClusterError {
        let status = serde_json::from_value(status).unwrap();
        ClusterError::answered("apply CronWorkflow orders", status)
    }

    #[test]
    fn a_conflict_names_manager_and_field_of_each_cause() {
        let error = answered(json!({
            "code": 409, "reason": "Conflict", "message": "Apply failed with 2 conflicts",
            "details": {"name": "orders", "kind": "cronworkflows", "causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.timezone",
                 "message": "conflict with \"kubectl-edit\" using argoproj.io/v1alpha1 at 2026-01-02T03:04:05Z"},
                {"reason": "FieldManagerConflict", "field": ".metadata.labels.x",
                 "message": "conflict with \"argo\""},
            ]},
        }));
        assert_eq!(
            error.to_string(),
            "could not apply CronWorkflow orders: kubectl-edit owns spec.timezone, argo owns metadata.labels.x"
        );
    }

    #[test]
    fn a_404_tells_the_object_from_what_it_needs() {
        let object = json!({"code": 404, "reason": "NotFound", "details":
            {"name": "orders", "group": "argoproj.io", "kind": "cronworkflows"}});
        assert!(matches!(answered(object), ClusterError::NotFound { .. }));
        for status in [
            json!({"code": 404, "reason": "NotFound", "details": {"name": "data", "kind": "namespaces"}}),
            json!({"code": 404, "reason": "NotFound", "details": {},
                   "message": "the server could not find the requested resource"}),
            json!({"code": 404, "message": "404 page not found"}),
        ] {
            assert!(matches!(answered(status), ClusterError::Missing { .. }));
        }
    }

    #[test]
    fn the_other_answers() {
        for (code, transient, word) in [
            (400, false, "invalid"),
            (401, false, "forbidden"),
            (403, false, "forbidden"),
            (409, false, "changed"),
            (410, true, "410"),
            (422, false, "invalid"),
            (429, true, "429"),
            (500, true, "500"),
            (504, true, "504"),
        ] {
            let error = answered(json!({"code": code, "message": "its words"}));
            assert_eq!(error.is_transient(), transient, "{code}");
            let shown = error.to_string();
            assert!(
                shown.contains(word) && shown.contains("its words"),
                "{shown}"
            );
        }
    }
}
