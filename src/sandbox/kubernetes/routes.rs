//! From a request to the store and back: paths, parameters, content types.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::Part;
use super::apply::Conflicts;
use super::kinds::{self, Origin, Resource, Scope};
use super::selector::Selector;
use super::status::{Cause, Refusal, Result};
use super::store::Key;
use super::watch::{self, Bookmarks, Start};
use super::writes::{Context, Effect, Outcome, Unknown};
use super::{ArgoCrds, Shared, discovery};

/// What a real server takes in one body.
const BODY_LIMIT: usize = 3 << 20;

/// The path of a request, taken apart.
struct Target {
    resource: &'static Resource,
    /// Empty for all namespaces, or for a kind that lives in none.
    namespace: String,
    name: Option<String>,
}

struct Call {
    method: Method,
    headers: HeaderMap,
    query: HashMap<String, String>,
    body: Bytes,
}

pub(super) async fn handle(State(shared): State<Shared>, request: Request) -> Response {
    answer(shared, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(shared: Shared, request: Request) -> Result<Response> {
    authenticate(&shared, request.headers())?;
    let path = request.uri().path().to_owned();
    let segments: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let served = |resource: &Resource| {
        resource.origin == Origin::BuiltIn || shared.options.argo == ArgoCrds::Installed
    };
    if let Some(found) = discovery::answer(&segments, served) {
        return Ok(Json(found).into_response());
    }
    let Some(target) = locate(&segments).filter(|target| served(target.resource)) else {
        // A path that no group serves is answered in plain text, not by a Status.
        return Ok((StatusCode::NOT_FOUND, "404 page not found\n").into_response());
    };
    let Query(query) = Query::<HashMap<String, String>>::try_from_uri(request.uri())
        .map_err(|error| Refusal::bad_request(error.to_string()))?;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT)
        .await
        .map_err(|_| Refusal::too_large(BODY_LIMIT))?;
    let call = Call {
        method: parts.method,
        headers: parts.headers,
        query,
        body,
    };
    match target.name.clone() {
        Some(name) => on_object(&shared, &target, &name, &call),
        None => on_collection(&shared, target, &call),
    }
}

fn authenticate(shared: &Shared, headers: &HeaderMap) -> Result<()> {
    let Some(token) = &shared.options.token else {
        return Ok(());
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given == Some(token.as_str()) {
        Ok(())
    } else {
        Err(Refusal::unauthorized())
    }
}

fn locate(segments: &[&str]) -> Option<Target> {
    let (group, version, rest) = match segments {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let found = |plural| kinds::by_path(group, version, plural);
    let target = |resource, namespace: &str, name: Option<&str>| Target {
        resource,
        namespace: namespace.to_owned(),
        name: name.map(str::to_owned),
    };
    let target = match rest {
        ["namespaces", namespace, plural] => target(found(plural)?, namespace, None),
        ["namespaces", namespace, plural, name] => target(found(plural)?, namespace, Some(name)),
        [plural] => target(found(plural)?, "", None),
        // A namespaced object cannot be reached without its namespace.
        [plural, name] => target(found(plural)?, "", Some(name)),
        _ => return None,
    };
    let cluster = target.resource.scope == Scope::Cluster;
    let fits = match (cluster, target.namespace.is_empty()) {
        (true, in_none) => in_none,
        (false, in_none) => !in_none || target.name.is_none(),
    };
    fits.then_some(target)
}

fn on_collection(shared: &Shared, target: Target, call: &Call) -> Result<Response> {
    match call.method {
        Method::GET if call.is_set("watch") => watch_answer(shared, target, call),
        Method::GET => list(shared, &target, call).map(|list| Json(list).into_response()),
        Method::POST => {
            let context = context(&target, call)?;
            if target.namespace.is_empty() && target.resource.scope == Scope::Namespaced {
                return Err(Refusal::method_not_allowed());
            }
            let body = call.json()?;
            call.reply(context.create(&mut shared.lock(), body))
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn on_object(shared: &Shared, target: &Target, name: &str, call: &Call) -> Result<Response> {
    if call.method == Method::GET {
        let key = Key::new(target.resource, &target.namespace, name);
        let found = shared.lock().get(&key);
        return match found {
            Some(object) => Ok(Part::accepted(&call.headers).of(&object)),
            None => Err(Refusal::not_found(target.resource, name)),
        };
    }
    let context = context(target, call)?;
    match call.method {
        Method::PUT => {
            let body = call.json()?;
            call.reply(context.replace(&mut shared.lock(), name, body))
        }
        Method::PATCH => patch(shared, &context, name, call),
        Method::DELETE => {
            let mut options = match call.body.is_empty() {
                true => json!({}),
                false => call.json()?,
            };
            if let (Some(map), Some(policy)) =
                (options.as_object_mut(), call.query.get("propagationPolicy"))
            {
                map.insert("propagationPolicy".to_owned(), json!(policy));
            }
            let dry = options
                .get("dryRun")
                .is_some_and(|value| value != &json!([]));
            let context = Context {
                effect: if dry { Effect::DryRun } else { context.effect },
                ..context
            };
            let deleted = context.delete(&mut shared.lock(), name, &options)?;
            Ok(Part::accepted(&call.headers).of(&deleted))
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn patch(shared: &Shared, context: &Context<'_>, name: &str, call: &Call) -> Result<Response> {
    const FOR_ALL: &str =
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    let forced = call.query.get("force");
    match call.content_type() {
        "application/apply-patch+yaml" => {
            if !call.query.contains_key("fieldManager") {
                let why = "is required for apply patch";
                return Err(bad_option(Cause::required("fieldManager", why)));
            }
            let conflicts = match forced.map(String::as_str) {
                Some("true" | "1") => Conflicts::TakeOver,
                _ => Conflicts::Refuse,
            };
            let body = call.yaml()?;
            call.reply(context.apply(&mut shared.lock(), name, body, conflicts))
        }
        _ if forced.is_some() => Err(bad_option(Cause::new(
            "FieldValueForbidden",
            "force",
            "Forbidden: may not be specified for non-apply patch",
        ))),
        "application/merge-patch+json" => {
            let body = call.json()?;
            call.reply(context.merge_patch(&mut shared.lock(), name, &body))
        }
        "application/strategic-merge-patch+json" if context.resource.origin == Origin::BuiltIn => {
            let body = call.json()?;
            call.reply(context.merge_patch(&mut shared.lock(), name, &body))
        }
        _ => Err(Refusal::unsupported_media(FOR_ALL)),
    }
}

fn bad_option(cause: Cause) -> Refusal {
    Refusal::invalid("meta.k8s.io", "PatchOptions", "", &[cause])
}

fn context<'a>(target: &'a Target, call: &'a Call) -> Result<Context<'a>> {
    let effect = match call.query.get("dryRun").map(String::as_str) {
        None | Some("") => Effect::Persist,
        Some("All") => Effect::DryRun,
        Some(other) => {
            let message = format!("Unsupported value: {other:?}: supported values: \"All\"");
            let cause = Cause::new("FieldValueNotSupported", "dryRun", message);
            return Err(bad_option(cause));
        }
    };
    let unknown = match call.query.get("fieldValidation").map(String::as_str) {
        Some("Strict") => Unknown::Refuse,
        _ => Unknown::Prune,
    };
    Ok(Context {
        resource: target.resource,
        namespace: &target.namespace,
        manager: call.manager(),
        effect,
        unknown,
    })
}

impl Call {
    fn is_set(&self, key: &str) -> bool {
        self.query
            .get(key)
            .is_some_and(|value| value == "1" || value == "true")
    }

    fn text(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn content_type(&self) -> &str {
        let value = self.header(header::CONTENT_TYPE);
        value.split(';').next().unwrap_or_default().trim()
    }

    /// A write that names no manager is put down to the program that sent it.
    fn manager(&self) -> &str {
        let agent = self.header(header::USER_AGENT);
        let program = agent.split('/').next().filter(|name| !name.is_empty());
        match self.text("fieldManager") {
            "" => program.unwrap_or("unknown"),
            manager => manager,
        }
    }

    fn reply(&self, written: Result<Outcome>) -> Result<Response> {
        written.map(|outcome| Part::accepted(&self.headers).of_write(outcome))
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Refusal::bad_request(format!(
                "couldn't get version/kind; json parse error: {error}"
            ))
        })
    }

    fn yaml(&self) -> Result<Value> {
        if let Ok(value) = serde_json::from_slice(&self.body) {
            return Ok(value);
        }
        serde_yaml::from_slice(&self.body)
            .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))
    }

    fn selector(&self) -> Result<Selector> {
        Selector::parse(self.text("labelSelector"), self.text("fieldSelector"))
    }
}

/// Where the next page starts, and the version that all pages show.
fn read_token(token: &str) -> Option<(u64, usize)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token: Value = serde_json::from_slice(&bytes).ok()?;
    let version = token.get("rv")?.as_u64()?;
    let start = usize::try_from(token.get("start")?.as_u64()?).ok()?;
    Some((version, start))
}

fn list(shared: &Shared, target: &Target, call: &Call) -> Result<Value> {
    let selector = call.selector()?;
    let store = shared.lock();
    let (version, start) = match call.text("continue") {
        "" => (store.version(), 0),
        token => {
            read_token(token).ok_or_else(|| Refusal::bad_request("continue key is not valid"))?
        }
    };
    let resource = target.resource;
    let found = store
        .list_at(version, resource, &target.namespace)
        .ok_or_else(|| {
            Refusal::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
            )
        })?;
    let matching: Vec<_> = found
        .into_iter()
        .filter(|object| selector.matches(object))
        .collect();
    let limit = match call.text("limit").parse::<usize>() {
        Ok(0) | Err(_) => usize::MAX,
        Ok(limit) => limit,
    };
    let end = start.saturating_add(limit).min(matching.len());
    let items: Vec<_> = matching
        .iter()
        .take(end)
        .skip(start)
        .map(|object| item(resource, object))
        .collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    let left = matching.len() - end;
    if left > 0
        && let Some(map) = metadata.as_object_mut()
    {
        let token = json!({"rv": version, "start": end}).to_string();
        map.insert("continue".to_owned(), json!(URL_SAFE_NO_PAD.encode(token)));
        if selector.is_empty() {
            map.insert("remainingItemCount".to_owned(), json!(left));
        }
    }
    Ok(json!({
        "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": metadata, "items": items,
    }))
}

/// In lists of built-in kinds the items do not say what they are; custom resources do.
fn item(resource: &Resource, object: &Value) -> Value {
    let mut item = object.clone();
    if resource.origin == Origin::BuiltIn
        && let Some(map) = item.as_object_mut()
    {
        map.remove("kind");
        map.remove("apiVersion");
    }
    item
}

fn watch_answer(shared: &Shared, target: Target, call: &Call) -> Result<Response> {
    let start = match call.text("resourceVersion") {
        _ if call.is_set("sendInitialEvents") => Start::PresentThenBookmark,
        "" | "0" => Start::Present,
        version => Start::After(version.parse().map_err(|_| {
            let message = format!(
                "Invalid value: {version:?}: strconv.ParseUint: parsing {version:?}: invalid syntax"
            );
            Refusal::invalid("", "", "", &[Cause::invalid("resourceVersion", message)])
        })?),
    };
    let request = watch::Request {
        resource: target.resource,
        namespace: target.namespace,
        selector: call.selector()?,
        start,
        bookmarks: match call.is_set("allowWatchBookmarks") {
            true => Bookmarks::Send,
            false => Bookmarks::Omit,
        },
        timeout: call
            .text("timeoutSeconds")
            .parse()
            .ok()
            .map(Duration::from_secs),
    };
    let body: Body = watch::body(shared.clone(), request);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
