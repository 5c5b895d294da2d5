//! Against the simulated Google.

mod jobs;
mod objects;
mod policies;
mod refusals;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::sandbox::google::{Google, Options};
use crate::sandbox::server::Fault;

const TOKEN: &str = "ya29.very-secret";
const EMAIL: &str = "sync-a@team-a.iam.gserviceaccount.com";
const MEMBER: &str = "serviceAccount:sync-a@team-a.iam.gserviceaccount.com";
const RESOURCE: &str = "projects/team-a/locations/eu/connections/orders";
const USER: &str = "roles/bigquery.connectionUser";
const JOB_USER: &str = "roles/bigquery.jobUser";

async fn start() -> (Google, GoogleClient) {
    let google = Google::start(Options {
        token: TOKEN.into(),
        projects: vec!["team-a".into(), "secret".into()],
        forbidden_projects: vec!["secret".into()],
        ..Options::default()
    })
    .await
    .unwrap();
    google.add_connection("team-a", "eu", "orders", "team-a:europe-west1:main", "shop");
    let client = client(&google, TokenSource::Fixed(TOKEN.into()));
    (google, client)
}

fn client(google: &Google, token: TokenSource) -> GoogleClient {
    GoogleClient::new(&endpoints(&google.url()), token, Clock::system()).unwrap()
}

fn endpoints(url: &str) -> Endpoints {
    Endpoints {
        iam: url.into(),
        // A slash at the end changes nothing.
        resource_manager: format!("{url}/"),
        bigquery: url.into(),
        bigquery_connection: url.into(),
    }
}

fn connection() -> PolicyTarget {
    PolicyTarget::Connection {
        project: "team-a".into(),
        location: "eu".into(),
        id: "orders".into(),
    }
}

fn writer() -> AccessEntry {
    AccessEntry::new(DatasetRole::Writer, &Grantee::User(EMAIL.into()))
}

fn owners() -> AccessEntry {
    AccessEntry::new(
        DatasetRole::Owner,
        &Grantee::SpecialGroup("projectOwners".into()),
    )
}

fn new_dataset(access: Vec<AccessEntry>) -> NewDataset {
    NewDataset {
        project: "team-a".into(),
        id: "orders".into(),
        location: "EU".into(),
        description: "Orders".into(),
        labels: [("service".to_owned(), "orders".to_owned())].into(),
        access,
    }
}

/// Runs `between` before each of the first `times` requests whose path ends so: between a read and its write.
fn before_writes(
    google: &Google,
    is_write: fn(&Method, &str) -> bool,
    times: usize,
    between: impl Fn(&Google) + Send + 'static,
) -> Arc<AtomicUsize> {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let world = google.clone();
    google.wire().fail_with(move |method, uri| {
        if is_write(method, uri.path()) && counted.fetch_add(1, Ordering::SeqCst) < times {
            between(&world);
        }
        None
    });
    seen
}

fn sets_policy(_: &Method, path: &str) -> bool {
    path.ends_with(":setIamPolicy")
}

fn patches(method: &Method, _: &str) -> bool {
    method == Method::PATCH
}

/// The whole chain of an error, as a log would show it.
fn chain(error: &GoogleError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text.push_str(&format!(" {source} {source:?}"));
        next = source.source();
    }
    text
}
