//! Who asks: the App by its JWT, the installation by its token.
//!
//! The JWT's signature and times are not verified: the simulator has no key of the App.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, Fields, Refusal, created, ok};
use super::objects;
use super::world::{Shared, World};

/// The routes that take the App's JWT.
pub(super) fn routes(world: &World) -> Router<Shared> {
    Router::new()
        .route("/app", get(app))
        .route("/app/installations/{id}/access_tokens", post(issue))
        .route(
            &format!("/repos/{}/installation", world.full_name()),
            get(installation),
        )
}

async fn app(State(shared): State<Shared>, headers: HeaderMap) -> Answer {
    let world = shared.lock();
    require_jwt(&world, &headers)?;
    ok(objects::app(&world))
}

async fn installation(State(shared): State<Shared>, headers: HeaderMap) -> Answer {
    let world = shared.lock();
    require_jwt(&world, &headers)?;
    ok(objects::installation(&world))
}

async fn issue(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Fields(fields): Fields,
) -> Answer {
    let mut world = shared.lock();
    require_jwt(&world, &headers)?;
    if id != world.options.installation_id.to_string() {
        return Err(Refusal::not_found());
    }
    let foreign = |name: &str, own: Value| {
        let asked = fields.get(name).and_then(Value::as_array);
        asked.is_some_and(|asked| asked.iter().any(|one| *one != own))
    };
    if foreign("repositories", json!(world.options.name))
        || foreign("repository_ids", json!(objects::REPOSITORY_ID))
    {
        return Err(Refusal::unprocessable(
            "There is at least one repository that does not exist or is not accessible to the \
             parent installation.",
        ));
    }
    world.tokens_issued += 1;
    let seed = format!("{}/{}", world.options.app_slug, world.tokens_issued);
    // Longer than the 40 characters that tokens once had, as the stateless ones are.
    let token = format!("ghs_{}", hex::encode(Sha256::digest(seed)));
    world.tokens.insert(token.clone());
    // The one use of the real clock: the client library compares this instant with it
    // and would fetch a new token before every request.
    let expires = Timestamp::now()
        .checked_add(SignedDuration::from_hours(1))
        .unwrap_or(Timestamp::MAX)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    created(json!({
        "token": token,
        "expires_at": expires,
        "permissions": objects::permissions(),
        "repository_selection": "selected",
        "repositories": [objects::repository(&world)],
    }))
}

/// Lets a request through that carries an issued installation token.
pub(super) async fn require_token(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let message = match credential(request.headers()) {
        None => "Requires authentication",
        Some(token) if shared.lock().tokens.contains(token) => return next.run(request).await,
        Some(_) => "Bad credentials",
    };
    Refusal::new(StatusCode::UNAUTHORIZED, message).into_response()
}

fn require_jwt(world: &World, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |message| Refusal::new(StatusCode::UNAUTHORIZED, message);
    let claims = credential(headers)
        .and_then(claims)
        .ok_or_else(|| refuse("A JSON web token could not be decoded"))?;
    let own = world.options.app_id;
    let issuer = claims.get("iss");
    if issuer == Some(&json!(own)) || issuer == Some(&json!(own.to_string())) {
        Ok(())
    } else {
        Err(refuse("Bad credentials"))
    }
}

fn claims(jwt: &str) -> Option<Value> {
    let mut parts = jwt.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let (head, payload, _signature) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice::<Value>(&head).ok()?.get("alg")?;
    serde_json::from_slice(&payload).ok()
}

/// The word after `Bearer` or `token`.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    known.then(|| credential.trim())
}
