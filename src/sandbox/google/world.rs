//! Everything the simulated Google remembers, and the counter that stands for chance and time.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Options;
use super::bigquery::{Jobs, Table, TableName};
use super::connection::Connection;
use super::dataset::Dataset;
use super::policy::Policy;

/// One service account, alive.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) project: String,
    pub(super) email: String,
    pub(super) unique_id: String,
    pub(super) display_name: String,
    pub(super) description: String,
    pub(super) etag: String,
    /// Policy writes that still miss it.
    pub(super) unseen: usize,
}

pub(super) struct World {
    pub(super) options: Options,
    ticks: u64,
    /// By email.
    pub(super) accounts: BTreeMap<String, Account>,
    /// By canonical resource name.
    policies: BTreeMap<String, Policy>,
    /// By canonical resource name.
    pub(super) connections: BTreeMap<String, Connection>,
    /// By project and id.
    pub(super) datasets: BTreeMap<(String, String), Dataset>,
    pub(super) tables: BTreeMap<TableName, Table>,
    pub(super) jobs: Jobs,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let mut world = Self {
            options,
            ticks: 0,
            accounts: BTreeMap::new(),
            policies: BTreeMap::new(),
            connections: BTreeMap::new(),
            datasets: BTreeMap::new(),
            tables: BTreeMap::new(),
            jobs: Jobs::default(),
        };
        // A real project always has an owner: somebody whom a blind overwrite would throw out.
        for project in world.options.projects.clone() {
            let etag = world.etag();
            world.policy_mut(&format!("projects/{project}")).grant(
                etag,
                "roles/owner",
                "user:owner@example.com",
                None,
            );
        }
        world
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Never the same twice.
    pub(super) fn etag(&mut self) -> String {
        let tick = self.tick();
        STANDARD.encode((0x0706_u64 << 48 | tick).to_be_bytes())
    }

    /// 21 digits, as Google's, never the same twice.
    pub(super) fn unique_id(&mut self) -> String {
        format!("1{:020}", self.tick())
    }

    /// Milliseconds since 1970: by the clock, or one second later at each call.
    pub(super) fn time(&mut self) -> String {
        if let Some(clock) = &self.options.clock {
            return clock.now().as_millisecond().to_string();
        }
        (1_700_000_000_000 + self.tick() * 1000).to_string()
    }

    /// The id of a project that the bot may use, named by its id or number.
    pub(super) fn project(&self, name: &str) -> Option<String> {
        self.options
            .projects
            .iter()
            .find(|id| *id == name || self.project_number(id) == name)
            .filter(|id| !self.options.forbidden_projects.contains(id))
            .cloned()
    }

    pub(super) fn project_number(&self, id: &str) -> String {
        let position = self.options.projects.iter().position(|known| known == id);
        position.map_or_else(String::new, |position| {
            (100_000_000_001 + position as u64).to_string()
        })
    }

    pub(super) fn policy(&self, resource: &str) -> Policy {
        self.policies.get(resource).cloned().unwrap_or_default()
    }

    pub(super) fn policy_mut(&mut self, resource: &str) -> &mut Policy {
        self.policies.entry(resource.to_owned()).or_default()
    }

    pub(super) fn has_account(&self, email: &str) -> bool {
        self.accounts.contains_key(email)
    }

    /// Removes an account: everything that named it now names the deleted one.
    pub(super) fn forget_account(&mut self, email: &str) {
        let Some(account) = self.accounts.remove(email) else {
            return;
        };
        let own = format!("projects/{}/serviceAccounts/{email}", account.project);
        self.policies.remove(&own);
        let member = format!("serviceAccount:{email}");
        let deleted = format!("deleted:{member}?uid={}", account.unique_id);
        for policy in self.policies.values_mut() {
            policy.rename_member(&member, &deleted);
        }
        for dataset in self.datasets.values_mut() {
            for entry in &mut dataset.access {
                let names_it = entry.get("userByEmail").is_some_and(|user| user == email);
                if let Some(entry) = entry.as_object_mut().filter(|_| names_it) {
                    entry.remove("userByEmail");
                    entry.insert("iamMember".into(), json!(deleted));
                }
            }
        }
    }

    /// The first of these emails whose service account a policy write cannot see.
    ///
    /// Asking wears down the delay of fresh accounts, by one for each write that names them.
    pub(super) fn first_missing_account(&mut self, emails: &BTreeSet<String>) -> Option<String> {
        let mut missing = None;
        for email in emails {
            let seen = match self.accounts.get_mut(email) {
                Some(account) if account.unseen > 0 => {
                    account.unseen -= 1;
                    false
                }
                Some(_) => true,
                None => *email == self.options.bot_email || !self.is_own_account(email),
            };
            if !seen && missing.is_none() {
                missing = Some(email.clone());
            }
        }
        missing
    }

    fn is_own_account(&self, email: &str) -> bool {
        let Some((_, domain)) = email.split_once('@') else {
            return false;
        };
        self.options
            .projects
            .iter()
            .any(|project| domain == account_domain(project))
    }
}

/// What follows the `@` in the emails of a project's service accounts.
pub(super) fn account_domain(project: &str) -> String {
    match project.split_once(':') {
        Some((organisation, id)) => format!("{id}.{organisation}.iam.gserviceaccount.com"),
        None => format!("{project}.iam.gserviceaccount.com"),
    }
}

/// The name under which a resource's policy is kept: locations match in any case.
pub(super) fn canonical(resource: &str) -> String {
    let mut after_locations = false;
    let segments: Vec<String> = resource
        .split('/')
        .map(|segment| {
            let location = std::mem::replace(&mut after_locations, segment == "locations");
            if location {
                segment.to_ascii_lowercase()
            } else {
                segment.to_owned()
            }
        })
        .collect();
    segments.join("/")
}
