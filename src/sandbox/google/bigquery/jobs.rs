//! Query jobs: inserted under an id that is used up at once, run on their own, watched and read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::Shared;
use super::super::caller::Caller;
use super::super::reply::{Answer, Kind, Refusal, parse};
use super::run::{Outcome, Work, run};
use super::source::Want;
use super::tables::Column;
use crate::clock::Clock;

/// Project, location in lower case, id.
type Name = (String, String, String);

/// Everything about jobs.
#[derive(Default)]
pub(in super::super) struct Jobs {
    all: BTreeMap<Name, Job>,
    /// What becomes of the next ones instead of running.
    pub(super) failures: VecDeque<(String, String)>,
}

struct Job {
    /// As it was sent.
    configuration: Value,
    created: String,
    ended: Option<(String, Outcome)>,
    done: watch::Sender<bool>,
}

impl Jobs {
    /// Of those that have ended.
    pub(super) fn times(&self) -> Vec<(i64, i64)> {
        let ended = self.all.values().filter_map(|job| {
            let (ended, _) = job.ended.as_ref()?;
            Some((job.created.parse().ok()?, ended.parse().ok()?))
        });
        ended.collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    job_reference: Reference,
    configuration: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    project_id: String,
    job_id: String,
    location: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Where {
    location: Option<String>,
    page_token: Option<String>,
    max_results: Option<usize>,
    timeout_ms: Option<u64>,
}

/// Multi-regions are looked into where no location is sent.
const EVERYWHERE: [&str; 2] = ["us", "eu"];

pub(in super::super) async fn insert(
    State(world): State<Shared>,
    Path(project): Path<String>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let sent: Sent = parse(&body)?;
    let id = sent.job_reference.job_id;
    let invalid = |message: String| Err(Refusal::new(Kind::BigQueryInvalid, message));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.is_empty()
        || id.len() > 1024
        || !id.chars().all(plain)
        || sent.job_reference.project_id != project
    {
        return invalid(format!("Invalid job ID \"{id}\""));
    }
    let location = sent
        .job_reference
        .location
        .unwrap_or_else(|| "US".to_owned());
    let query = sent.configuration.get("query").cloned().unwrap_or_default();
    if query.get("useLegacySql") != Some(&json!(false)) {
        return invalid("This simulator runs GoogleSQL only, and useLegacySql is true unless it is sent as false".to_owned());
    }
    let work = match Work::read(caller, &location, &query) {
        Ok(work) => work,
        Err(message) => return invalid(message),
    };
    if sent.configuration.get("dryRun") == Some(&json!(true)) {
        let outcome = run(&world, &work, Want::Columns).await;
        if let Err((_, message)) = &outcome.result {
            return invalid(message.clone());
        }
        let created = world.lock().time();
        let job = Job {
            configuration: sent.configuration,
            created: created.clone(),
            ended: Some((created, outcome)),
            done: watch::Sender::new(true),
        };
        return Ok(Json(job.view(&(project, location, id))));
    }
    let name = (project.clone(), location.to_ascii_lowercase(), id.clone());
    let view = {
        let mut world = world.lock();
        if world.jobs.all.contains_key(&name) {
            let message = format!("Already Exists: Job {project}:{location}.{id}");
            return Err(Refusal::new(Kind::BigQueryDuplicate, message));
        }
        let created = world.time();
        let job = Job {
            configuration: sent.configuration,
            created,
            ended: None,
            done: watch::Sender::new(false),
        };
        let view = job.view(&name);
        world.jobs.all.insert(name.clone(), job);
        view
    };
    tokio::spawn(carry_out(world, name, work));
    Ok(Json(view))
}

async fn carry_out(world: Shared, name: Name, work: Work) {
    let failure = world.lock().jobs.failures.pop_front();
    let outcome = match failure {
        Some((reason, message)) => Outcome::failed(&reason, message),
        None => {
            let most = match work.writes() {
                true => world.lock().options.most_rows,
                false => usize::MAX,
            };
            run(&world, &work, Want::Rows { most }).await
        }
    };
    let mut world = world.lock();
    let ended = world.time();
    let Some(job) = world.jobs.all.get_mut(&name) else {
        return;
    };
    // One that was cancelled stays so; what it wrote until then is written, as in the real one.
    if job.ended.is_none() {
        job.ended = Some((ended, outcome));
    }
    job.done.send_replace(true);
}

pub(in super::super) async fn get(
    State(world): State<Shared>,
    Path((project, id)): Path<(String, String)>,
    Query(place): Query<Where>,
) -> Answer {
    let world = world.lock();
    let (name, job) = find(&world.jobs, &project, &id, place.location.as_deref())?;
    Ok(Json(job.view(name)))
}

pub(in super::super) async fn cancel(
    State(world): State<Shared>,
    Path((project, id)): Path<(String, String)>,
    Query(place): Query<Where>,
) -> Answer {
    let mut world = world.lock();
    let name = find(&world.jobs, &project, &id, place.location.as_deref())?
        .0
        .clone();
    let now = world.time();
    let job = world.jobs.all.get_mut(&name);
    if let Some(job) = job
        && job.ended.is_none()
    {
        let message = "Job execution was cancelled: User requested cancellation";
        job.ended = Some((now, Outcome::failed("stopped", message.to_owned())));
        job.done.send_replace(true);
    }
    let (name, job) = find(&world.jobs, &project, &id, place.location.as_deref())?;
    Ok(Json(
        json!({"kind": "bigquery#jobCancelResponse", "job": job.view(name)}),
    ))
}

/// Waits for the job, and answers a page of its rows.
pub(in super::super) async fn results(
    State(world): State<Shared>,
    Path((project, id)): Path<(String, String)>,
    Query(place): Query<Where>,
) -> Answer {
    let (mut done, clock) = {
        let world = world.lock();
        let job = find(&world.jobs, &project, &id, place.location.as_deref())?.1;
        let clock = world.options.clock.clone();
        (job.done.subscribe(), clock.unwrap_or_else(Clock::system))
    };
    let patience = Duration::from_millis(place.timeout_ms.unwrap_or(10_000).min(200_000));
    tokio::select! {
        // A job that is gone is as done as one can be.
        _ = done.wait_for(|done| *done) => {}
        () = clock.sleep(patience) => {}
    }
    let world = world.lock();
    let (name, job) = find(&world.jobs, &project, &id, place.location.as_deref())?;
    let Some((_, outcome)) = &job.ended else {
        return Ok(Json(
            json!({"kind": "bigquery#getQueryResultsResponse", "jobComplete": false}),
        ));
    };
    if let Err((_, message)) = &outcome.result {
        return Err(Refusal::new(Kind::BigQueryInvalid, message.clone()));
    }
    let from: usize = place
        .page_token
        .as_deref()
        .and_then(|token| token.parse().ok())
        .unwrap_or_default();
    let most = place.max_results.unwrap_or(100_000);
    let rows: Vec<Value> = outcome
        .rows
        .iter()
        .skip(from)
        .take(most)
        .map(|row| {
            let cells: Vec<Value> = row.iter().map(|cell| json!({"v": cell})).collect();
            json!({"f": cells})
        })
        .collect();
    let fields: Vec<Value> = outcome.columns.iter().map(Column::view).collect();
    let total = outcome.rows.len();
    let mut body = json!({
        "kind": "bigquery#getQueryResultsResponse",
        "jobComplete": true,
        "jobReference": {"projectId": name.0, "location": name.1, "jobId": name.2},
        "schema": {"fields": fields},
        "totalRows": outcome.total.to_string(),
        "rows": rows,
    });
    if from + most < total
        && let Some(body) = body.as_object_mut()
    {
        body.insert("pageToken".to_owned(), json!((from + most).to_string()));
    }
    Ok(Json(body))
}

fn find<'j>(
    jobs: &'j Jobs,
    project: &str,
    id: &str,
    location: Option<&str>,
) -> Result<(&'j Name, &'j Job), Refusal> {
    let found = jobs.all.iter().find(|((of, place, name), _)| {
        let here = match location {
            Some(location) => place.eq_ignore_ascii_case(location),
            None => EVERYWHERE.contains(&place.as_str()),
        };
        of == project && name == id && here
    });
    found.ok_or_else(|| Refusal::new(Kind::NotFound, format!("Not found: Job {project}:{id}")))
}

impl Job {
    fn view(&self, (project, location, id): &Name) -> Value {
        let mut status = json!({"state": if self.ended.is_some() { "DONE" } else { "RUNNING" }});
        let mut query = json!({"statementType": "SELECT"});
        let mut statistics = json!({"creationTime": self.created, "startTime": self.created});
        if let Some((ended, outcome)) = &self.ended {
            if let (Some(times), Some(query)) = (statistics.as_object_mut(), query.as_object_mut())
            {
                times.insert("endTime".to_owned(), json!(ended));
                times.insert("totalSlotMs".to_owned(), json!(outcome.total.to_string()));
                query.insert(
                    "totalBytesProcessed".to_owned(),
                    json!(outcome.bytes.to_string()),
                );
                let fields: Vec<Value> = outcome.columns.iter().map(Column::view).collect();
                query.insert("schema".to_owned(), json!({"fields": fields}));
                if let Some(changed) = outcome.changed {
                    query.insert("numDmlAffectedRows".to_owned(), json!(changed.to_string()));
                }
            }
            if let (Err((reason, message)), Some(status)) =
                (&outcome.result, status.as_object_mut())
            {
                let error = json!({"reason": reason, "message": message});
                status.insert("errorResult".to_owned(), error.clone());
                status.insert("errors".to_owned(), json!([error]));
            }
        }
        if let Some(statistics) = statistics.as_object_mut() {
            statistics.insert("query".to_owned(), query);
        }
        json!({
            "kind": "bigquery#job",
            "id": format!("{project}:{location}.{id}"),
            "jobReference": {"projectId": project, "jobId": id, "location": location},
            "configuration": self.configuration,
            "status": status,
            "statistics": statistics,
        })
    }
}
