//! Google as the bot meets it: service accounts, IAM policies, BigQuery connections and dataset metadata.
//!
//! One port serves all four APIs, whose paths do not collide.
//! No clock: ids, etags and times come from one counter, so two equal runs give equal bytes.
//!
//! Checked against recorded traffic: bodies of service accounts, datasets and connections, their 404s.
//! From documentation and public reports: the other errors, how conditions hide from old policy versions.
//! Guessed, and so not to be relied on: that a stale etag is refused before the caller's own condition is asked,
//! that deleting an account leaves the etags of the policies that name it, that a forbidden project and an unknown
//! one look alike, that a dataset created with a list that has no OWNER gets its creator as one, and where a deleted
//! account appears in a dataset's access list (`iamMember`).
//!
//! Left out: who may do what (but for forbidden projects and the condition on project policies), keys, undelete,
//! disabled accounts, audit configurations, role existence, quotas per minute, workload pools. Of tables and jobs, see
//! `bigquery`.
//! Accounts of projects that the simulator does not hold are taken to exist.

mod access;
mod bigquery;
mod caller;
mod connection;
mod dataset;
mod iam;
mod look;
mod policy;
mod project;
mod reply;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

use axum::middleware::from_fn_with_state;

use axum::routing::{get, post};
use serde_json::Value;

use crate::clock::Clock;
use crate::sandbox::server::{Server, Wire};
pub use bigquery::{Column, Stored};
pub use look::Opens;
use reply::{Kind, Refusal};
use world::World;

/// What the simulated Google starts from.
#[derive(Clone)]
pub struct Options {
    /// The only bearer token that is let in.
    pub token: String,
    /// Every project that exists.
    pub projects: Vec<String>,
    /// Whose token it is: becomes OWNER of datasets created without an access list.
    pub bot_email: String,
    /// How many policy writes that name a fresh account are refused before the account is seen.
    pub propagation: usize,
    /// Projects that exist, but where the bot may do nothing.
    pub forbidden_projects: Vec<String>,
    /// Quota of service accounts in one project.
    pub accounts_per_project: usize,
    /// By instance (`project:location:instance`), the PostgreSQL that federated queries run on:
    /// a connection string. A connection's own database is read, unless the string names one.
    pub postgres: BTreeMap<String, String>,
    /// Whether a small fixed database answers where no PostgreSQL is named.
    pub fixed: bool,
    /// Rows that a table keeps. More are read to their end and counted, for loads that no
    /// memory holds; a query over such a table sees the
    /// first ones only.
    pub most_rows: usize,
    /// For limits of a day, and the times of jobs.
    pub clock: Option<Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: "sandbox-token".into(),
            projects: Vec::new(),
            bot_email: "pipewright@bot-project.iam.gserviceaccount.com".into(),
            propagation: 0,
            forbidden_projects: Vec::new(),
            accounts_per_project: 100,
            postgres: BTreeMap::new(),
            fixed: false,
            most_rows: usize::MAX,
            clock: None,
        }
    }
}

/// A running simulated Google: what tests look at, and what people do behind the bot's back.
///
/// Clones share one world; the server stops with the last of them.
#[derive(Clone)]
pub struct Google {
    world: Shared,
    server: Arc<Server>,
}

impl Google {
    /// Starts one on a free loopback port.
    ///
    /// # Errors
    /// If no loopback port can be bound.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let world = Shared(Arc::new(Mutex::new(World::new(options))));
        let server = Server::start(router(world.clone())).await?;
        Ok(Self {
            world,
            server: Arc::new(server),
        })
    }

    /// Base address of all four APIs.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Traffic and faults.
    pub fn wire(&self) -> &Wire {
        self.server.wire()
    }

    /// A PostgreSQL connection, as its owner makes it. `instance` is `project:location:instance`.
    pub fn add_connection(
        &self,
        project: &str,
        location: &str,
        id: &str,
        instance: &str,
        database: &str,
    ) {
        self.lock()
            .add_connection(project, location, id, instance, database);
    }

    /// The token that a workload (an IAM member) gets for acting as a service account; none if
    /// it may not.
    pub fn act_as(&self, project: &str, account: &str, member: &str) -> Option<String> {
        self.lock().act_as(project, account, member)
    }

    /// Where federated queries run from now on: on this PostgreSQL (a connection string, with a
    /// database if that is read whatever a connection says), whatever the instance, or on the small fixed database.
    pub fn set_source(&self, postgres: Option<&str>) {
        let mut world = self.lock();
        world.options.fixed = postgres.is_none();
        let instances: Vec<String> = world
            .connections
            .values()
            .map(|connection| connection.instance.clone())
            .collect();
        if let Some(postgres) = postgres {
            let all = instances.into_iter().map(|one| (one, postgres.to_owned()));
            world.options.postgres.extend(all);
        }
    }

    /// The connections that exist, by name, each with its database.
    pub fn connections(&self) -> Vec<(String, String)> {
        let world = self.lock();
        let named = world.connections.iter();
        named
            .map(|(name, connection)| (name.clone(), connection.database.clone()))
            .collect()
    }

    /// Points an existing connection at another database; unknown ones stay unknown.
    pub fn repoint_connection(&self, project: &str, location: &str, id: &str, database: &str) {
        self.lock()
            .repoint_connection(project, location, id, database);
    }

    /// Emails of all service accounts, sorted.
    pub fn service_accounts(&self) -> Vec<String> {
        self.lock().accounts.keys().cloned().collect()
    }

    /// The whole policy of `projects/P`, `projects/P/locations/L/connections/C` or
    /// `projects/P/serviceAccounts/E`, conditions included. Empty but for its etag if nothing was ever set.
    pub fn policy(&self, resource: &str) -> Value {
        self.lock().policy(&world::canonical(resource)).view(3)
    }

    /// Adds a member by another hand than the bot's: no checks, a new etag.
    pub fn grant(&self, resource: &str, role: &str, member: &str) {
        let mut world = self.lock();
        let etag = world.etag();
        world
            .policy_mut(&world::canonical(resource))
            .grant(etag, role, member, None);
    }

    /// Adds a member under a condition (an object with `title` and `expression`).
    pub fn grant_if(&self, resource: &str, role: &str, member: &str, condition: Value) {
        let mut world = self.lock();
        let etag = world.etag();
        world
            .policy_mut(&world::canonical(resource))
            .grant(etag, role, member, Some(condition));
    }

    /// Takes a member out of every binding of the role, conditional ones included.
    pub fn revoke(&self, resource: &str, role: &str, member: &str) {
        let mut world = self.lock();
        let etag = world.etag();
        world
            .policy_mut(&world::canonical(resource))
            .revoke(etag, role, member);
    }

    /// A dataset as `datasets.get` shows it with access policy version 3.
    pub fn dataset(&self, project: &str, dataset: &str) -> Option<Value> {
        self.lock()
            .dataset(project, dataset)
            .map(|dataset| dataset.view(3))
    }

    /// Replaces a dataset's access list by another hand than the bot's: no checks, a new etag.
    pub fn set_dataset_access(&self, project: &str, dataset: &str, access: Vec<Value>) {
        self.lock().set_dataset_access(project, dataset, access);
    }

    /// Says how many tables a dataset holds: with any, it is not deleted without `deleteContents`.
    pub fn set_dataset_tables(&self, project: &str, dataset: &str, tables: usize) {
        self.lock().set_dataset_tables(project, dataset, tables);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock()
    }
}

/// The world, as handlers hold it.
#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// A poisoned lock only means that another test thread failed; the data is still whole.
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn router(world: Shared) -> Router {
    // A verb follows the last segment after a colon, which a route cannot say: handlers split it off.
    Router::new()
        .route(
            "/v1/projects/{project}/serviceAccounts",
            get(iam::list).post(iam::create),
        )
        .route(
            "/v1/projects/{project}/serviceAccounts/{account}",
            get(iam::get)
                .patch(iam::patch)
                .delete(iam::delete)
                .post(iam::verb),
        )
        .route(
            "/v1/projects/{project}/locations/{location}/connections/{connection}",
            get(connection::get).post(connection::verb),
        )
        .route("/v1/projects/{project}", post(project::verb))
        .route("/v3/projects/{project}", post(project::verb))
        .route(
            "/bigquery/v2/projects/{project}/datasets",
            get(dataset::list).post(dataset::insert),
        )
        .route(
            "/bigquery/v2/projects/{project}/datasets/{dataset}",
            get(dataset::get)
                .patch(dataset::patch)
                .delete(dataset::delete),
        )
        .merge(bigquery::routes())
        .fallback(async || Refusal::new(Kind::NotFound, "Method not found."))
        .layer(from_fn_with_state(world.clone(), caller::authenticate))
        .with_state(world)
}
