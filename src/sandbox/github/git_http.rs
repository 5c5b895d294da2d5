//! Git over smart HTTP, to fetch from: the requests, the two protocol versions, and their framing.
//!
//! A request compressed by gzip, as the git program sends long ones, is refused.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::Query;
use super::pack;
use super::repository::MAIN;
use super::world::{Shared, World};

/// What version 0 offers; `\0` parts it from the first ref.
const CAPABILITIES: &str = "multi_ack thin-pack side-band side-band-64k ofs-delta no-progress \
    multi_ack_detailed allow-tip-sha1-in-want allow-reachable-sha1-in-want no-done \
    symref=HEAD:refs/heads/main object-format=sha1 agent=git/github-simulated";

pub(super) fn routes(world: &World) -> Router<Shared> {
    let base = format!("/{}.git", world.full_name());
    Router::new()
        .route(&format!("{base}/info/refs"), get(advertise))
        .route(&format!("{base}/git-upload-pack"), post(upload_pack))
}

async fn advertise(State(shared): State<Shared>, query: Query, headers: HeaderMap) -> Response {
    let world = shared.lock();
    if let Some(refusal) = refuse(&world, &headers) {
        return refusal;
    }
    match query.get("service").map(String::as_str) {
        Some("git-upload-pack") => {}
        Some("git-receive-pack") => {
            let message = "Write access to repository not granted.\n";
            return (StatusCode::FORBIDDEN, message).into_response();
        }
        _ => return (StatusCode::FORBIDDEN, "Please upgrade your git client.\n").into_response(),
    }
    let mut lines = Lines::default();
    lines.line("# service=git-upload-pack\n");
    lines.flush();
    if version_2(&headers) {
        lines.line("version 2\n");
        lines.line("agent=git/github-simulated\n");
        lines.line("ls-refs\n");
        lines.line("fetch\n");
        lines.line("object-format=sha1\n");
    } else {
        let refs = match listed(&world) {
            Ok(refs) => refs,
            Err(error) => return broken(&error),
        };
        let mut capabilities = format!("\0{CAPABILITIES}");
        for (name, target) in refs {
            lines.line(format!("{target} {name}{capabilities}\n"));
            capabilities.clear();
        }
    }
    lines.flush();
    answer("application/x-git-upload-pack-advertisement", lines.0)
}

async fn upload_pack(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let world = shared.lock();
    if let Some(refusal) = refuse(&world, &headers) {
        return refusal;
    }
    let expected = HeaderValue::from_static("application/x-git-upload-pack-request");
    if headers.get(header::CONTENT_TYPE) != Some(&expected)
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let Some(request) = read(&body) else {
        return (StatusCode::BAD_REQUEST, "bad line length\n").into_response();
    };
    let answered = if version_2(&headers) {
        command(&world, &request)
    } else {
        pack::fetch_v0(&world.git, &request)
    };
    match answered {
        Ok(body) => answer("application/x-git-upload-pack-result", body),
        Err(error) => broken(&error),
    }
}

fn command(world: &World, request: &[Line<'_>]) -> anyhow::Result<Vec<u8>> {
    let mut texts = request.iter().filter_map(Line::text);
    match texts.next() {
        Some("command=ls-refs") => list_refs(world, request),
        Some("command=fetch") => pack::fetch_v2(&world.git, request),
        other => Ok(error_line(&format!("unknown command {other:?}"))),
    }
}

fn list_refs(world: &World, request: &[Line<'_>]) -> anyhow::Result<Vec<u8>> {
    let arguments: Vec<&str> = request.iter().filter_map(Line::text).collect();
    let prefixes: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("ref-prefix "))
        .collect();
    let symrefs = arguments.contains(&"symrefs");
    let mut lines = Lines::default();
    for (name, target) in listed(world)? {
        let wanted = prefixes.is_empty() || prefixes.iter().any(|one| name.starts_with(one));
        if wanted {
            let symref = match name.as_str() {
                "HEAD" if symrefs => format!(" symref-target:refs/heads/{MAIN}"),
                _ => String::new(),
            };
            lines.line(format!("{target} {name}{symref}\n"));
        }
    }
    lines.flush();
    Ok(lines.0)
}

/// HEAD and all refs; `HEAD` sorts before `refs/`, where git puts it.
fn listed(world: &World) -> anyhow::Result<BTreeMap<String, String>> {
    let mut refs = world.git.refs()?;
    if let Some(head) = world.git.branch(MAIN) {
        refs.insert("HEAD".to_owned(), head);
    }
    Ok(refs)
}

/// Whoever shows no issued token as `x-access-token` is refused.
fn refuse(world: &World, headers: &HeaderMap) -> Option<Response> {
    let token = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        let decoded = STANDARD.decode(encoded.trim()).ok()?;
        let pair = String::from_utf8(decoded).ok()?;
        let (user, token) = pair.split_once(':')?;
        let right = scheme.eq_ignore_ascii_case("basic") && user == "x-access-token";
        right.then(|| token.to_owned())
    };
    if token().is_some_and(|token| world.tokens.contains(&token)) {
        return None;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"GitHub\"")];
    let message = "Invalid username or token.\n";
    Some((StatusCode::UNAUTHORIZED, challenge, message).into_response())
}

fn version_2(headers: &HeaderMap) -> bool {
    let name = HeaderName::from_static("git-protocol");
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.split(':').any(|one| one == "version=2"))
}

fn answer(kind: &'static str, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (
            header::CACHE_CONTROL,
            "no-cache, max-age=0, must-revalidate",
        ),
    ];
    (headers, body).into_response()
}

fn broken(error: &anyhow::Error) -> Response {
    let message = format!("{error:#}\n");
    (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
}

/// The one line by which a server of either version gives up.
pub(super) fn error_line(message: &str) -> Vec<u8> {
    let mut lines = Lines::default();
    lines.line(format!("ERR {message}\n"));
    lines.0
}

/// One framed line of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'b> {
    Text(&'b str),
    Flush,
    Delimiter,
}

impl<'b> Line<'b> {
    pub(super) fn text(&self) -> Option<&'b str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Flush | Self::Delimiter => None,
        }
    }
}

/// Takes a request apart; none if a length does not fit.
pub(super) fn read(mut body: &[u8]) -> Option<Vec<Line<'_>>> {
    let mut lines = Vec::new();
    while !body.is_empty() {
        let length = std::str::from_utf8(body.get(..4)?).ok()?;
        let (line, length) = match usize::from_str_radix(length, 16).ok()? {
            0 => (Line::Flush, 4),
            1 => (Line::Delimiter, 4),
            length => {
                let text = std::str::from_utf8(body.get(4..length)?).ok()?;
                (Line::Text(text.trim_end_matches('\n')), length)
            }
        };
        lines.push(line);
        body = body.get(length..)?;
    }
    Some(lines)
}

/// An answer in the making, framed line by line.
#[derive(Default)]
pub(super) struct Lines(pub(super) Vec<u8>);

impl Lines {
    pub(super) fn line(&mut self, line: impl AsRef<[u8]>) {
        let line = line.as_ref();
        let length = format!("{:04x}", line.len() + 4);
        self.0.extend_from_slice(length.as_bytes());
        self.0.extend_from_slice(line);
    }

    pub(super) fn flush(&mut self) {
        self.0.extend_from_slice(b"0000");
    }

    pub(super) fn delimiter(&mut self) {
        self.0.extend_from_slice(b"0001");
    }
}
