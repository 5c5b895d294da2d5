//! One object as the client wants to read it: whole, or its metadata alone.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>
//! and the `PartialObjectMetadata` of `meta.k8s.io/v1`.

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::writes::Outcome;

/// How much of an object is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Metadata,
}

impl Part {
    /// The first of what is accepted decides, as far as it is known here.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let first = accept.and_then(|accept| accept.split(',').next());
        let mut parameters = first.unwrap_or_default().split(';').map(str::trim);
        match parameters.any(|parameter| parameter == "as=PartialObjectMetadata") {
            true => Self::Metadata,
            false => Self::Whole,
        }
    }

    /// The answer to a write.
    pub(super) fn of_write(self, outcome: Outcome) -> Response {
        match outcome {
            Outcome::Created(object) => (StatusCode::CREATED, self.of(&object)).into_response(),
            Outcome::Updated(object) => self.of(&object),
        }
    }

    /// The answer to whoever reads the object.
    pub(super) fn of(self, object: &Value) -> Response {
        match self {
            // A deletion tells of an object, or of its end.
            _ if object.get("kind").is_some_and(|kind| kind == "Status") => {
                Json(object).into_response()
            }
            Self::Whole => Json(object).into_response(),
            Self::Metadata => Json(json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object.get("metadata"),
            }))
            .into_response(),
        }
    }
}
