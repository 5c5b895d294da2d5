//! The `Status` objects with which an API server refuses.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::kinds::Resource;

/// One entry of `details.causes`.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) field: String,
}

impl Cause {
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("FieldValueInvalid", field, message)
    }

    pub(super) fn required(field: impl Into<String>, why: &str) -> Self {
        let message = match why {
            "" => "Required value".to_owned(),
            why => format!("Required value: {why}"),
        };
        Self::new("FieldValueRequired", field, message)
    }

    pub(super) fn new(
        reason: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            message: message.into(),
            field: field.into(),
        }
    }

    fn json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// A request that had no effect, and why.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    code: u16,
    body: Value,
}

pub(super) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    /// `reason` may be empty: errors that the real server did not foresee come without one.
    pub(super) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": message.into(),
        });
        if !reason.is_empty() {
            set(&mut body, "reason", json!(reason));
        }
        set(&mut body, "code", json!(code));
        Self { code, body }
    }

    fn with_details(mut self, details: Value) -> Self {
        set(&mut self.body, "details", details);
        self
    }

    /// Built-in kinds are named by plural in details, as the real server does.
    fn about(self, resource: &Resource, name: &str) -> Self {
        let mut details = json!({"name": name});
        if !resource.group.is_empty() {
            set(&mut details, "group", json!(resource.group));
        }
        set(&mut details, "kind", json!(resource.plural));
        self.with_details(details)
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified_plural());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub(super) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified_plural());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(super) fn stale(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(super) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified_plural()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// A deletion of something else than is there. Only here the kind is named as it is.
    pub(super) fn precondition(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified_kind()
        );
        let mut details = json!({"name": name, "kind": resource.kind});
        if !resource.group.is_empty() {
            set(&mut details, "group", json!(resource.group));
        }
        Self::new(409, "Conflict", message).with_details(details)
    }

    /// A replacement that names no version, of a kind that wants one.
    pub(super) fn unconditional(resource: &Resource, name: &str, cause: &Cause) -> Self {
        let message = format!(
            "{} \"{name}\" is invalid: {}: {}",
            resource.qualified_plural(),
            cause.field,
            cause.message
        );
        let mut refusal = Self::new(422, "Invalid", message).about(resource, name);
        if let Some(details) = refusal.body.get_mut("details") {
            set(details, "causes", json!([cause.json()]));
        }
        refusal
    }

    /// Fields that other managers own; `message` lists them for people.
    pub(super) fn field_managers(message: String, causes: &[Cause]) -> Self {
        let causes: Vec<_> = causes.iter().map(Cause::json).collect();
        Self::new(409, "Conflict", message).with_details(json!({"causes": causes}))
    }

    /// `kind` is qualified by its group: `Role.rbac.authorization.k8s.io`.
    pub(super) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<_> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let text = if lines.len() == 1 {
            lines.pop().unwrap_or_default()
        } else {
            format!("[{}]", lines.join(", "))
        };
        let qualified = match group {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let causes: Vec<_> = causes.iter().map(Cause::json).collect();
        let mut details = json!({});
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                set(&mut details, key, json!(value));
            }
        }
        set(&mut details, "causes", json!(causes));
        Self::new(
            422,
            "Invalid",
            format!("{qualified} \"{name}\" is invalid: {text}"),
        )
        .with_details(details)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn forbidden(resource: &Resource, name: &str, why: &str, cause: Cause) -> Self {
        let message = format!(
            "{} \"{name}\" is forbidden: {why}",
            resource.qualified_plural()
        );
        let mut refusal = Self::new(403, "Forbidden", message).about(resource, name);
        if let Some(details) = refusal.body.get_mut("details") {
            set(details, "causes", json!([cause.json()]));
        }
        refusal
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).with_details(json!({}))
    }

    pub(super) fn unsupported_media(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// The Status itself, as a watch sends it inside an event.
    pub(super) fn body(&self) -> &Value {
        &self.body
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, Json(self.body)).into_response()
    }
}

/// A Status body for a fault: what a proxy or an admission hook in front of the server would say.
pub fn refusal_body(code: StatusCode, reason: &str, message: &str) -> String {
    Refusal::new(code.as_u16(), reason, message)
        .body
        .to_string()
}

/// The answer to a DELETE that left nothing behind.
pub(super) fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name});
    if !resource.group.is_empty() {
        set(&mut details, "group", json!(resource.group));
    }
    set(&mut details, "kind", json!(resource.plural));
    set(&mut details, "uid", json!(uid));
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Success", "details": details,
    })
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}
