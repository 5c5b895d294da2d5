//! Who calls: the bot, or a service account that a workload acts as, and what the latter may.
//!
//! The bot's rights are what [`super::Options`] says. An account may what the policies and
//! access lists grant it, and nothing else: to read a connection, to run jobs, to use a
//! connection in one, to read and write tables. Left out: groups, domains, conditions, custom
//! and basic roles, and rights that come from a folder or an organisation.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Shared;
use super::bigquery::TableName;
use super::reply::{Kind, Refusal};
use super::world::{World, canonical};

/// Whose token came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    Bot,
    /// By e-mail address.
    Account(String),
}

const CONNECTION_USER: &str = "roles/bigquery.connectionUser";
const JOB_USER: &str = "roles/bigquery.jobUser";
const WORKLOAD_USER: &str = "roles/iam.workloadIdentityUser";
const TOKEN: &str = "ya29.as.";

impl World {
    /// A token of `account` for a workload (an IAM member), if that may act as it.
    pub(super) fn act_as(&self, project: &str, account: &str, member: &str) -> Option<String> {
        let resource = format!("projects/{project}/serviceAccounts/{account}");
        let may = self.has_account(account) && self.holds(&resource, WORKLOAD_USER, member);
        may.then(|| format!("{TOKEN}{account}"))
    }

    fn holds(&self, resource: &str, role: &str, member: &str) -> bool {
        self.policy(&canonical(resource)).holds(role, member)
    }

    fn may(&self, email: &str, resource: &str, role: &str) -> bool {
        self.holds(resource, role, &format!("serviceAccount:{email}"))
    }

    /// Whether the account stands in the dataset's list with one of these roles.
    fn reaches(&self, email: &str, project: &str, dataset: &str, roles: &[&str]) -> bool {
        self.dataset(project, dataset).is_some_and(|dataset| {
            dataset.access.iter().any(|entry| {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                text("userByEmail") == Some(email)
                    && text("role").is_some_and(|role| roles.contains(&role))
            })
        })
    }

    /// Refuses a connection that the caller may not use, in the words of a job.
    pub(super) fn lets_use(&self, caller: &Caller, connection: &str) -> Result<(), String> {
        match caller {
            Caller::Account(email) if !self.may(email, connection, CONNECTION_USER) => {
                Err(format!(
                    "Access Denied: Connection {connection}: User does not have bigquery.connections.use permission for connection {connection}."
                ))
            }
            Caller::Bot | Caller::Account(_) => Ok(()),
        }
    }

    /// Refuses a table that the caller may not read (or write), in the words of a job.
    pub(super) fn lets_reach(
        &self,
        caller: &Caller,
        table: &TableName,
        roles: &[&str],
    ) -> Result<(), String> {
        let TableName {
            project,
            dataset,
            table,
        } = table;
        match caller {
            Caller::Account(email) if !self.reaches(email, project, dataset, roles) => {
                Err(format!(
                    "Access Denied: Table {project}:{dataset}.{table}: User does not have the permission for table {project}:{dataset}.{table}."
                ))
            }
            Caller::Bot | Caller::Account(_) => Ok(()),
        }
    }

    /// What an account may ask for at all.
    fn lets_in(&self, email: &str, method: &Method, path: &str) -> bool {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let read = ["READER", "WRITER", "OWNER"];
        match (method, parts.as_slice()) {
            (&Method::GET, ["v1", connection @ ..])
                if connection.get(4) == Some(&"connections") =>
            {
                self.may(email, &connection.join("/"), CONNECTION_USER)
            }
            (
                _,
                [
                    "bigquery",
                    "v2",
                    "projects",
                    project,
                    "jobs" | "queries",
                    ..,
                ],
            ) => self.may(email, &format!("projects/{project}"), JOB_USER),
            (
                &Method::GET,
                [
                    "bigquery",
                    "v2",
                    "projects",
                    project,
                    "datasets",
                    dataset,
                    "tables",
                    ..,
                ],
            ) => self.reaches(email, project, dataset, &read),
            (
                _,
                [
                    "bigquery",
                    "v2",
                    "projects",
                    project,
                    "datasets",
                    dataset,
                    "tables",
                    ..,
                ],
            ) => self.reaches(email, project, dataset, &read[1..]),
            _ => false,
        }
    }
}

/// Lets in who has a token, and an account only where it may go.
pub(super) async fn authenticate(
    State(world): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let sent = request.headers().get(AUTHORIZATION);
    let sent = sent.and_then(|sent| sent.to_str().ok()?.strip_prefix("Bearer "));
    let caller = {
        let world = world.lock();
        let account = sent.and_then(|sent| sent.strip_prefix(TOKEN));
        match (sent, account) {
            (Some(sent), _) if sent == world.options.token => Ok(Caller::Bot),
            (_, Some(email)) if world.has_account(email) => {
                if world.lets_in(email, request.method(), request.uri().path()) {
                    Ok(Caller::Account(email.to_owned()))
                } else {
                    Err(Refusal::new(
                        Kind::BigQueryDenied,
                        "Access Denied: User does not have the permission that this needs.",
                    ))
                }
            }
            _ => Err(Refusal::new(
                Kind::Unauthenticated,
                "Request had invalid authentication credentials.",
            )),
        }
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}
