//! Observing: both planes in one read step, before any thinking.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;

use crate::edges::google::{DatabaseKind, GoogleClient, GoogleError};
use crate::name::{ConnectionName, DatasetId, NameError, ProjectId};
use crate::object::{Resource, ServiceAccount};
use crate::plan::observed::{Google, LiveConnection, LiveDataset, Observed, Questions, Seen};
use crate::plan::questions;
use crate::proposal::Proposal;

use super::Edges;
use super::google::{Target, seen, target};

/// Requests in flight at Google. Its quotas are per minute; this is only politeness.
const IN_FLIGHT: usize = 8;

/// Reads what a plan of this proposal needs.
///
/// # Errors
/// If the cluster can not be read: without the Records there is no inventory. What can not
/// be read at Google is said by the plan, for the pipeline it concerns.
pub async fn observe(edges: &Edges, proposal: &Proposal) -> anyhow::Result<Observed> {
    let kubernetes = edges.cluster.observe().await?;
    let questions = questions(proposal, &kubernetes.records);
    let google = ask(&edges.google, &questions).await;
    Ok(Observed { kubernetes, google })
}

async fn ask(client: &GoogleClient, questions: &Questions) -> Google {
    Google {
        accounts: stream::iter(&questions.accounts)
            .map(async |key| (key.clone(), account(client, key).await))
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await,
        datasets: stream::iter(&questions.datasets)
            .map(async |key| (key.clone(), dataset(client, key).await))
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await,
        policies: stream::iter(&questions.policies)
            .map(async |key| (key.clone(), policy(client, key).await))
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await,
        connections: stream::iter(&questions.connections)
            .map(async |key| (key.clone(), connection(client, key).await))
            .buffer_unordered(IN_FLIGHT)
            .collect()
            .await,
    }
}

async fn account(client: &GoogleClient, account: &ServiceAccount) -> Seen<()> {
    let read = client
        .service_account(account.project.as_str(), &account.email())
        .await;
    answer(read.map(|found| found.map(|_| ())))
}

async fn dataset(
    client: &GoogleClient,
    (project, dataset): &(ProjectId, DatasetId),
) -> Seen<LiveDataset> {
    let read = client.dataset(project.as_str(), dataset.as_str()).await;
    answer(read).and_then(|found| {
        let location = found.location.to_ascii_lowercase().parse();
        location
            .map(|location| LiveDataset { location })
            .map_err(|error| error.to_string())
    })
}

/// Unconditional grants only: a binding with a condition is somebody else's.
async fn policy(client: &GoogleClient, resource: &Resource) -> Seen<BTreeSet<(String, String)>> {
    match target(resource) {
        Target::Dataset { project, id } => answer(client.dataset(project, id).await)
            .map(|found| found.access.iter().flat_map(seen).collect()),
        Target::Policy(target) => answer(client.policy(&target).await.map(Some).or_else(missing))
            .map(|policy| {
                policy
                    .bindings()
                    .iter()
                    .filter(|binding| binding.condition.is_none())
                    .flat_map(|binding| {
                        let role = &binding.role;
                        binding
                            .members
                            .iter()
                            .map(move |member| (role.clone(), member.clone()))
                    })
                    .collect()
            }),
    }
}

async fn connection(client: &GoogleClient, name: &ConnectionName) -> Seen<LiveConnection> {
    let (project, location) = (name.project.as_str(), name.location.as_str());
    let read = client.connection(project, location, name.id.as_str()).await;
    answer(read).and_then(|found| {
        if found.kind != DatabaseKind::Postgres {
            return Err("it does not lead to PostgreSQL".to_owned());
        }
        let instance = found
            .instance
            .parse()
            .map_err(|error: NameError| error.to_string())?;
        let database = found
            .database
            .parse()
            .map_err(|error: NameError| error.to_string())?;
        Ok(LiveConnection { instance, database })
    })
}

fn missing<T>(error: GoogleError) -> Result<Option<T>, GoogleError> {
    match error {
        GoogleError::NotFound { .. } => Ok(None),
        error => Err(error),
    }
}

fn answer<T>(read: Result<Option<T>, GoogleError>) -> Seen<T> {
    match read {
        Ok(Some(found)) => Seen::Found(found),
        Ok(None) => Seen::Missing,
        Err(error) => Seen::Unreadable(error.to_string()),
    }
}
