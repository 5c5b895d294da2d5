//! IAM policies: read whole, changed by a few members, written back under the etag they were read with.

use std::fmt;

use reqwest::{Method, Url};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::GoogleError;
use super::http::{Call, below};
use super::{GoogleClient, PolicyWrite, REWRITES, Removal, Rewrite};

/// The only version that shows conditions; writing an older one back would lose them.
const VERSION: u64 = 3;

/// What a policy is on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyTarget {
    Project(String),
    Connection {
        project: String,
        location: String,
        id: String,
    },
    ServiceAccount {
        project: String,
        email: String,
    },
}

impl fmt::Display for PolicyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "projects/{project}"),
            Self::Connection {
                project,
                location,
                id,
            } => write!(
                f,
                "projects/{project}/locations/{location}/connections/{id}"
            ),
            Self::ServiceAccount { project, email } => {
                write!(f, "projects/{project}/serviceAccounts/{email}")
            }
        }
    }
}

/// One binding of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub role: String,
    #[serde(default)]
    pub members: Vec<String>,
    /// Bindings with a condition are never ours.
    #[serde(default)]
    pub condition: Option<Value>,
}

/// A policy as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    bindings: Vec<Binding>,
    /// As it came, so that what we do not know goes back untouched.
    document: Map<String, Value>,
}

impl Policy {
    fn parse(document: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let bindings = document.get("bindings").cloned().unwrap_or(json!([]));
        Ok(Self {
            bindings: serde_json::from_value(bindings)?,
            document,
        })
    }

    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Whether the member has the role without any condition.
    pub fn holds(&self, role: &str, member: &str) -> bool {
        self.bindings.iter().any(|binding| {
            binding.condition.is_none()
                && binding.role == role
                && binding.members.iter().any(|held| held == member)
        })
    }

    fn etag(&self) -> Option<&str> {
        let etag = self.document.get("etag").and_then(Value::as_str);
        etag.filter(|etag| !etag.is_empty())
    }

    /// The document with these members added, or nothing if all are there.
    fn with(&self, grants: &[(&str, &str)]) -> Option<Map<String, Value>> {
        let missing: Vec<_> = grants
            .iter()
            .filter(|(role, member)| !self.holds(role, member))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let mut document = self.document.clone();
        let bindings = document.entry("bindings").or_insert_with(|| json!([]));
        for (role, member) in missing {
            let bindings = bindings.as_array_mut()?;
            match bindings.iter_mut().find_map(|held| members(held, role)) {
                Some(members) if members.iter().any(|held| held == member) => {}
                Some(members) => members.push(json!(member)),
                None => bindings.push(json!({"role": role, "members": [member]})),
            }
        }
        Some(document)
    }

    /// The document without these members, or nothing if none is there.
    fn without(&self, grants: &[(&str, &str)]) -> Option<Map<String, Value>> {
        if !grants.iter().any(|(role, member)| self.holds(role, member)) {
            return None;
        }
        let mut document = self.document.clone();
        let bindings = document.get_mut("bindings")?.as_array_mut()?;
        bindings.retain_mut(|binding| {
            let mut emptied = false;
            for (role, member) in grants {
                if let Some(members) = members(binding, role) {
                    let before = members.len();
                    members.retain(|held| held != member);
                    emptied |= members.is_empty() && before > 0;
                }
            }
            !emptied
        });
        Some(document)
    }
}

/// The members of a binding, if it is of the role and has no condition.
fn members<'a>(binding: &'a mut Value, role: &str) -> Option<&'a mut Vec<Value>> {
    let fields = binding.as_object_mut()?;
    let ours = fields.get("role").and_then(Value::as_str) == Some(role)
        && fields.get("condition").is_none_or(Value::is_null);
    if !ours {
        return None;
    }
    fields
        .entry("members")
        .or_insert_with(|| json!([]))
        .as_array_mut()
}

impl GoogleClient {
    /// Reads a policy, conditions included.
    ///
    /// # Errors
    /// [`GoogleError::NotFound`] if what it is on does not exist.
    pub async fn policy(&self, target: &PolicyTarget) -> Result<Policy, GoogleError> {
        let attempt = format!("read policy of {target}");
        let mut url = self.policy_url(target, "getIamPolicy", &attempt)?;
        let mut call = None;
        match target {
            // Of the three this one takes its options in the query.
            PolicyTarget::ServiceAccount { .. } => {
                url.query_pairs_mut()
                    .append_pair("options.requestedPolicyVersion", &VERSION.to_string());
            }
            PolicyTarget::Project(_) | PolicyTarget::Connection { .. } => {
                call = Some(json!({"options": {"requestedPolicyVersion": VERSION}}));
            }
        }
        let call = Call {
            body: call,
            ..Call::new(attempt.clone(), Method::POST, url)
        };
        Policy::parse(self.http.call(call).await?).map_err(|_| GoogleError::Decode {
            attempt,
            message: "its bindings".into(),
        })
    }

    /// Gives roles to members, in one write, without conditions.
    ///
    /// # Errors
    /// [`GoogleError::Conflict`] if others kept writing meanwhile.
    pub async fn add_members(
        &self,
        target: &PolicyTarget,
        grants: &[(&str, &str)],
    ) -> Result<PolicyWrite, GoogleError> {
        match self.rewrite(target, |policy| policy.with(grants)).await? {
            Rewrite::Changed => Ok(PolicyWrite::Written),
            Rewrite::Unchanged => Ok(PolicyWrite::AlreadyThere),
        }
    }

    /// Takes roles from members, in one write, and reads back that they are gone. What they hold under a
    /// condition stays: it is not ours.
    ///
    /// # Errors
    /// [`GoogleError::NotRemoved`] if one is still there, [`GoogleError::Conflict`] if others kept writing.
    pub async fn remove_members(
        &self,
        target: &PolicyTarget,
        grants: &[(&str, &str)],
    ) -> Result<Removal, GoogleError> {
        match self
            .rewrite(target, |policy| policy.without(grants))
            .await?
        {
            Rewrite::Unchanged => return Ok(Removal::AlreadyGone),
            Rewrite::Changed => {}
        }
        let left = self.policy(target).await?;
        if grants.iter().any(|(role, member)| left.holds(role, member)) {
            return Err(GoogleError::NotRemoved {
                attempt: format!("remove members from the policy of {target}"),
            });
        }
        Ok(Removal::Removed)
    }

    async fn rewrite(
        &self,
        target: &PolicyTarget,
        change: impl Fn(&Policy) -> Option<Map<String, Value>>,
    ) -> Result<Rewrite, GoogleError> {
        let attempt = format!("write policy of {target}");
        let url = self.policy_url(target, "setIamPolicy", &attempt)?;
        let mut tries = 1;
        loop {
            let policy = self.policy(target).await?;
            let Some(mut document) = change(&policy) else {
                return Ok(Rewrite::Unchanged);
            };
            // Without it Google would overwrite whatever is there by then.
            if policy.etag().is_none() {
                return Err(GoogleError::Decode {
                    attempt,
                    message: "the policy came without an etag".into(),
                });
            }
            document.insert("version".into(), json!(VERSION));
            let call = Call::new(attempt.clone(), Method::POST, url.clone())
                .json(json!({"policy": document}));
            match self.http.call::<IgnoredAny>(call).await {
                Ok(_) => return Ok(Rewrite::Changed),
                Err(GoogleError::Conflict { .. }) if tries < REWRITES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn policy_url(
        &self,
        target: &PolicyTarget,
        verb: &str,
        attempt: &str,
    ) -> Result<Url, GoogleError> {
        let verb = |name: &str| format!("{name}:{verb}");
        match target {
            PolicyTarget::Project(project) => below(
                &self.bases.resource_manager,
                &["v3", "projects", &verb(project)],
                attempt,
            ),
            PolicyTarget::Connection {
                project,
                location,
                id,
            } => below(
                &self.bases.bigquery_connection,
                &[
                    "v1",
                    "projects",
                    project,
                    "locations",
                    location,
                    "connections",
                    &verb(id),
                ],
                attempt,
            ),
            PolicyTarget::ServiceAccount { project, email } => below(
                &self.bases.iam,
                &["v1", "projects", project, "serviceAccounts", &verb(email)],
                attempt,
            ),
        }
    }
}
