//! Google's error bodies.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Every way the simulated APIs refuse. BigQuery has reasons of its own for the same codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unauthenticated,
    NotFound,
    AlreadyExists,
    Aborted,
    Denied,
    Invalid,
    Exhausted,
    BigQueryDuplicate,
    BigQueryDenied,
    BigQueryInvalid,
    BigQueryStale,
    BigQueryInUse,
}

impl Kind {
    /// HTTP code, `status`, `errors[].reason`.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "authError"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "notFound"),
            Self::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS", "alreadyExists"),
            Self::Aborted => (StatusCode::CONFLICT, "ABORTED", "aborted"),
            Self::Denied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED", "forbidden"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "badRequest"),
            Self::Exhausted => (
                StatusCode::TOO_MANY_REQUESTS,
                "RESOURCE_EXHAUSTED",
                "rateLimitExceeded",
            ),
            Self::BigQueryDuplicate => (StatusCode::CONFLICT, "ALREADY_EXISTS", "duplicate"),
            Self::BigQueryDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED", "accessDenied"),
            Self::BigQueryInvalid => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "invalid"),
            Self::BigQueryStale => (
                StatusCode::PRECONDITION_FAILED,
                "FAILED_PRECONDITION",
                "conditionNotMet",
            ),
            Self::BigQueryInUse => (
                StatusCode::BAD_REQUEST,
                "FAILED_PRECONDITION",
                "resourceInUse",
            ),
        }
    }
}

/// A refused request, as it goes over the wire.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: Kind,
    message: String,
}

impl Refusal {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, status, reason) = self.kind.parts();
        let body = json!({"error": {
            "code": code.as_u16(),
            "message": self.message,
            "status": status,
            "errors": [{"message": self.message, "domain": "global", "reason": reason}],
        }});
        (code, Json(body)).into_response()
    }
}

/// What a handler gives back.
pub(super) type Answer = Result<Json<Value>, Refusal>;

/// Reads a request body; an empty one is an empty object.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            Kind::Invalid,
            format!("Invalid JSON payload received. {error}"),
        )
    })
}

/// The part of a sorted listing that one page shows, and the token of the next.
pub(super) fn page<T>(
    all: Vec<(String, T)>,
    token: Option<&str>,
    size: usize,
) -> (Vec<T>, Option<String>) {
    // The token is the last name shown, so that a listing goes on rightly while names come and go.
    let mut rest = all
        .into_iter()
        .filter(|(name, _)| token.is_none_or(|token| name.as_str() > token))
        .peekable();
    let mut last = None;
    let mut shown = Vec::new();
    for (name, item) in rest.by_ref().take(size) {
        last = Some(name);
        shown.push(item);
    }
    let next = rest.peek().is_some().then_some(last).flatten();
    (shown, next)
}
