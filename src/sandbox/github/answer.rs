//! How GitHub answers: refusals with its bodies, pages with its Link header, and what requests are read by.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::world::World;

/// What a route answers.
pub(super) type Answer = Result<Response, Refusal>;

/// The parameters after the question mark.
pub(super) type Query = axum::extract::Query<BTreeMap<String, String>>;

/// An error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Option<Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: None,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// A field that the schema of a request refuses.
    pub(super) fn invalid_request(message: impl AsRef<str>) -> Self {
        Self::unprocessable(format!("Invalid request.\n\n{}", message.as_ref()))
    }

    /// A field that the application behind the schema refuses.
    pub(super) fn validation(error: Value) -> Self {
        Self {
            errors: Some(json!([error])),
            ..Self::unprocessable("Validation Failed")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({
            "message": self.message,
            "documentation_url": "https://docs.github.com/rest",
            "status": self.status.as_u16().to_string(),
        });
        if let (Some(errors), Some(fields)) = (self.errors, body.as_object_mut()) {
            fields.insert("errors".to_owned(), errors);
        }
        (self.status, axum::Json(body)).into_response()
    }
}

/// libgit2 failing under a valid request is the simulator's own fault, as a 500 is GitHub's.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
    }
}

pub(super) fn ok(body: Value) -> Answer {
    Ok(axum::Json(body).into_response())
}

pub(super) fn created(body: Value) -> Answer {
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

pub(super) async fn not_found() -> Refusal {
    Refusal::not_found()
}

/// One page of a list of items.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) total: usize,
    link: Option<String>,
}

impl Page {
    /// Cuts the page that `query` asks for; `path` is below the repository's URL.
    pub(super) fn cut(world: &World, path: &str, query: &Query, items: Vec<Value>) -> Self {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let per_page = number("per_page").unwrap_or(30).clamp(1, 100);
        let page = number("page").unwrap_or(1).max(1);
        let total = items.len();
        let last = total.div_ceil(per_page).max(1);
        let mut links = Vec::new();
        let mut link = |to: usize, relation: &str| {
            let mut query = query.0.clone();
            query.insert("page".to_owned(), to.to_string());
            let url = format!("{}/{path}", world.api());
            if let Ok(url) = reqwest::Url::parse_with_params(&url, query) {
                links.push(format!("<{url}>; rel=\"{relation}\""));
            }
        };
        if page > 1 {
            link(page - 1, "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        let skipped = (page - 1).saturating_mul(per_page);
        Self {
            items: items.into_iter().skip(skipped).take(per_page).collect(),
            total,
            link: (!links.is_empty()).then(|| links.join(", ")),
        }
    }

    /// The page as a plain array.
    pub(super) fn answer(self) -> Answer {
        let items = Value::Array(self.items);
        Self::with_link(self.link, items)
    }

    /// The page as an object with its total.
    pub(super) fn answer_counted(self, name: &str) -> Answer {
        let mut body = Map::new();
        body.insert("total_count".to_owned(), self.total.into());
        body.insert(name.to_owned(), Value::Array(self.items));
        Self::with_link(self.link, Value::Object(body))
    }

    fn with_link(link: Option<String>, body: Value) -> Answer {
        let mut response = axum::Json(body).into_response();
        if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// A number in the path; anything else is a page that does not exist.
pub(super) struct Number(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(number) = Path::<u64>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::not_found())?;
        Ok(Self(number))
    }
}

/// The JSON object in a request's body, whatever its content type says.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bad = |message| Refusal::new(StatusCode::BAD_REQUEST, message);
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| bad("Problems parsing JSON"))?;
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(bad("Body should be a JSON object")),
            Err(_) => Err(bad("Problems parsing JSON")),
        }
    }
}

/// The text of a field; `null` is as absent.
pub(super) fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(Refusal::invalid_request(format!(
            "For 'properties/{name}', {other} is not a string."
        ))),
    }
}

/// The instant that `since` names, in seconds; the beginning of time without one.
pub(super) fn since(query: &Query) -> i64 {
    query
        .get("since")
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map_or(i64::MIN, Timestamp::as_second)
}
