//! Applying: the Steps of an approved plan, in order, each handed to its plane's writer.
//!
//! No choices are made here. A failed Step takes along what only its pipelines wanted;
//! everything else goes on. Every write is safe to repeat. Steps that stand together and are of
//! one kind go side by side: none of them needs another, because no two write the same thing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::edges::cluster::{ClusterError, Deleted, Wait};
use crate::edges::google::{AccessEntry, DatasetRole, GoogleError, Grantee, NewDataset};
use crate::name::PipelineName;
use crate::object::{Kind, Member, Resource, Role};
use crate::plan::approve::ApprovedPlan;
use crate::plan::outcome::{Outcome, Outcomes};
use crate::plan::steps::{Force, Step, Write};
use crate::retry::Backoff;

use super::Edges;
use super::google::{Target, borrowed, entries, pairs, target};
use super::pace::{Heard, Pace};

/// What stands in the descriptions of what we make at Google.
const MADE_BY: &str = "Made by Pipewright";
/// How long what is deleted may be kept before it is a failure. Finalizers take seconds; the
/// clocks of the server and of the bot may differ by some.
const LONGEST_DELETION: SignedDuration = SignedDuration::from_mins(10);

/// Carries out every Step.
pub async fn apply(edges: &Edges, approved: &ApprovedPlan, clock: &Clock) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut stopped: BTreeSet<PipelineName> = BTreeSet::new();
    for together in approved.steps().chunk_by(are_alike) {
        let is_stopped = |step: &&Step| step.pipelines.iter().all(|name| stopped.contains(name));
        let going: Vec<&Step> = together.iter().filter(|step| !is_stopped(step)).collect();
        let mut written = side_by_side(edges, &going, clock).await.into_iter();
        let ended: Vec<Outcome> = together
            .iter()
            .map(|step| match is_stopped(&step) {
                true => Outcome::NotAttempted,
                false => written.next().map_or(Outcome::NotAttempted, outcome),
            })
            .collect();
        for (step, outcome) in together.iter().zip(ended) {
            if outcome != Outcome::Applied {
                stopped.extend(step.pipelines.iter().cloned());
            }
            outcomes.steps.push((step.clone(), outcome));
        }
    }
    outcomes
}

fn outcome(written: anyhow::Result<Outcome>) -> Outcome {
    written.unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "a step failed");
        Outcome::Failed(format!("{error:#}"))
    })
}

/// Whether two Steps may go side by side.
fn are_alike(one: &Step, other: &Step) -> bool {
    match (&one.write, &other.write) {
        (Write::Apply { kind: one, .. }, Write::Apply { kind: other, .. })
        | (Write::Replace { kind: one, .. }, Write::Replace { kind: other, .. })
        | (Write::Delete { kind: one, .. }, Write::Delete { kind: other, .. }) => one == other,
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// Carries out Steps that do not need each other, as many at once as their plane takes; what
/// each came to, in their order.
async fn side_by_side(
    edges: &Edges,
    steps: &[&Step],
    clock: &Clock,
) -> Vec<anyhow::Result<Outcome>> {
    let mut waiting = steps.iter().enumerate();
    let mut under_way = FuturesUnordered::new();
    let mut ended = BTreeMap::new();
    loop {
        let room = steps
            .first()
            .map_or(1, |step| pace(edges, &step.write).limit());
        while under_way.len() < room
            && let Some((index, step)) = waiting.next()
        {
            under_way.push(async move { (index, write_again(edges, step, clock).await) });
        }
        match under_way.next().await {
            Some((index, written)) => ended.insert(index, written),
            None => return ended.into_values().collect(),
        };
    }
}

fn pace<'e>(edges: &'e Edges, write: &Write) -> &'e Pace {
    match write {
        Write::BeginRecord(_)
        | Write::EndRecord(_)
        | Write::RemoveRecord { .. }
        | Write::Apply { .. }
        | Write::Replace { .. }
        | Write::Delete { .. } => &edges.cluster_pace,
        Write::CreateServiceAccount { .. }
        | Write::DeleteServiceAccount { .. }
        | Write::CreateDataset { .. }
        | Write::AddGrants { .. }
        | Write::RemoveGrants { .. } => &edges.google_pace,
    }
}

/// Ends the Records of the pipelines that are done. Called when the outcome was reported:
/// until then a pipeline counts as unfinished, so a lost report is made up for.
///
/// # Errors
/// With the first Record that can not be written.
pub async fn close(
    edges: &Edges,
    approved: &ApprovedPlan,
    outcomes: &Outcomes,
    clock: &Clock,
) -> anyhow::Result<()> {
    let ending: Vec<&Step> = approved.ended(outcomes).collect();
    let ended = side_by_side(edges, &ending, clock).await;
    ended.into_iter().try_for_each(|one| one.map(|_| ()))
}

/// Writes; what fails for a reason that passes is tried again, a few times and not at once.
async fn write_again(edges: &Edges, step: &Step, clock: &Clock) -> anyhow::Result<Outcome> {
    let backoff = Backoff::new(format!("{:?}", step.pipelines));
    let mut attempt = 1;
    loop {
        let began = clock.now();
        let written = write(edges, &step.write, began).await;
        let took = Duration::try_from(clock.now().duration_since(began)).unwrap_or_default();
        pace(edges, &step.write).note(
            took,
            match &written {
                Ok(_) => Heard::Done,
                Err(error) if passes(error) => Heard::Busy,
                Err(_) => Heard::Refused,
            },
        );
        match (written, backoff.delay(attempt)) {
            (Err(error), Some(delay)) if passes(&error) => {
                tracing::info!(
                    error = format!("{error:#}"),
                    ?delay,
                    "a step is tried again"
                );
                clock.sleep(delay).await;
                attempt += 1;
            }
            (written, _) => return written,
        }
    }
}

fn passes(error: &anyhow::Error) -> bool {
    let cluster = error.downcast_ref().is_some_and(ClusterError::is_transient);
    let google = error.downcast_ref().is_some_and(GoogleError::is_transient);
    cluster || google
}

/// What is kept although it is deleted is waited for; after a while a person is asked for, and
/// it is still looked at with every apply.
fn waiting(kind: Kind, name: &str, Wait { why, since }: Wait, now: Timestamp) -> Outcome {
    let Some(since) = since else {
        return Outcome::Waiting(why);
    };
    if now.duration_since(since) < LONGEST_DELETION {
        return Outcome::Waiting(format!("{why} since {since}"));
    }
    Outcome::Failed(format!(
        "{why} since {since}, and whoever shall let it go does not: ask them, or take the \
         finalizer away with `kubectl edit {} {name}`",
        kind.as_str().to_lowercase()
    ))
}

async fn write(edges: &Edges, write: &Write, now: Timestamp) -> anyhow::Result<Outcome> {
    let (cluster, google) = (&edges.cluster, &edges.google);
    match write {
        Write::BeginRecord(record) | Write::EndRecord(record) => cluster.put_record(record).await?,
        Write::RemoveRecord { pipeline } => cluster.remove_record(pipeline).await?,
        Write::CreateServiceAccount {
            account,
            display_name,
        } => {
            let made = google
                .create_service_account(
                    account.project.as_str(),
                    &account.account,
                    display_name,
                    MADE_BY,
                )
                .await;
            already_there(made)?;
        }
        Write::DeleteServiceAccount { account } => {
            google
                .delete_service_account(account.project.as_str(), &account.email())
                .await?;
        }
        Write::CreateDataset {
            dataset,
            location,
            access,
        } => {
            create_dataset(edges, dataset, location.as_str(), access).await?;
        }
        Write::AddGrants { resource, grants } => match target(resource) {
            Target::Policy(target) => {
                google
                    .add_members(&target, &borrowed(&pairs(grants)))
                    .await?;
            }
            Target::Dataset { project, id } => {
                google
                    .add_dataset_access(project, id, &entries(grants))
                    .await?;
            }
        },
        Write::RemoveGrants { resource, grants } => match target(resource) {
            Target::Policy(target) => {
                gone(
                    google
                        .remove_members(&target, &borrowed(&pairs(grants)))
                        .await,
                )?;
            }
            Target::Dataset { project, id } => {
                gone(
                    google
                        .remove_dataset_access(project, id, &entries(grants))
                        .await,
                )?;
            }
        },
        Write::Apply {
            kind,
            name,
            manifest,
            force,
        } => cluster.apply(*kind, name, manifest, force).await?,
        Write::Replace {
            kind,
            name,
            manifest,
        } => match cluster.delete(*kind, name).await? {
            Deleted::Gone => cluster.apply(*kind, name, manifest, &Force::No).await?,
            Deleted::Waiting(wait) => return Ok(waiting(*kind, name, wait, now)),
        },
        Write::Delete { kind, name } => {
            if let Deleted::Waiting(wait) = cluster.delete(*kind, name).await? {
                return Ok(waiting(*kind, name, wait, now));
            }
        }
    }
    Ok(Outcome::Applied)
}

/// Its project's owners stay its owners; the bot is not among them, though Google would
/// make its creator one.
async fn create_dataset(
    edges: &Edges,
    dataset: &Resource,
    location: &str,
    access: &BTreeSet<(Role, Member)>,
) -> anyhow::Result<()> {
    let Target::Dataset { project, id } = target(dataset) else {
        anyhow::bail!("{dataset} is no dataset");
    };
    let owners = Grantee::SpecialGroup("projectOwners".to_owned());
    let granted = entries(access);
    let made = edges
        .google
        .create_dataset(&NewDataset {
            project: project.to_owned(),
            id: id.to_owned(),
            location: location.to_owned(),
            description: MADE_BY.to_owned(),
            labels: [("managed-by".to_owned(), "pipewright".to_owned())].into(),
            access: std::iter::once(AccessEntry::new(DatasetRole::Owner, &owners))
                .chain(granted.iter().cloned())
                .collect(),
        })
        .await;
    match made {
        Ok(_) => Ok(()),
        // An answer was lost, or somebody was faster: what matters is who may use it.
        Err(GoogleError::AlreadyExists { .. }) => {
            edges
                .google
                .add_dataset_access(project, id, &granted)
                .await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn already_there<T>(made: Result<T, GoogleError>) -> Result<(), GoogleError> {
    match made {
        Ok(_) | Err(GoogleError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A grant on something that no longer exists is gone.
fn gone<T>(removed: Result<T, GoogleError>) -> Result<(), GoogleError> {
    match removed {
        Ok(_) | Err(GoogleError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
