//! IAM policies: how they are read at a version, and the checked read-modify-write on them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::reply::{Kind, Refusal};
use super::world::World;

/// What Google answers for a policy that was never set.
const NEVER_SET: &str = "ACAB";
const MOST_PRINCIPALS: usize = 1500;
/// The only role whose project grants the bot may change.
const BOT_MAY_GRANT: &str = "roles/bigquery.jobUser";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binding {
    role: String,
    #[serde(default)]
    members: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
}

impl Binding {
    /// Two bindings of one role are one, unless their conditions differ.
    fn key(&self) -> (String, String) {
        let condition = self.condition.as_ref().map(Value::to_string);
        (self.role.clone(), condition.unwrap_or_default())
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    etag: Option<String>,
    bindings: Vec<Binding>,
}

impl Policy {
    fn etag(&self) -> &str {
        self.etag.as_deref().unwrap_or(NEVER_SET)
    }

    fn is_conditional(&self) -> bool {
        self.bindings
            .iter()
            .any(|binding| binding.condition.is_some())
    }

    /// The policy as a reader of this version sees it: before 3, a condition hides behind a made-up role.
    pub(super) fn view(&self, version: u64) -> Value {
        if self.bindings.is_empty() {
            return json!({"etag": self.etag()});
        }
        let whole = version >= 3;
        let bindings: Vec<Value> = self
            .bindings
            .iter()
            .map(|binding| match &binding.condition {
                Some(condition) if !whole => json!({
                    "role": hidden_role(&binding.role, condition),
                    "members": binding.members,
                }),
                _ => json!(binding),
            })
            .collect();
        let version = if whole && self.is_conditional() { 3 } else { 1 };
        json!({"version": version, "etag": self.etag(), "bindings": bindings})
    }

    /// Whether the member has the role, whatever else stands there; conditions count as not.
    pub(super) fn holds(&self, role: &str, member: &str) -> bool {
        self.bindings.iter().any(|binding| {
            binding.role == role
                && binding.condition.is_none()
                && binding.members.iter().any(|one| one == member)
        })
    }

    /// Adds one member, unchecked.
    pub(super) fn grant(
        &mut self,
        etag: String,
        role: &str,
        member: &str,
        condition: Option<Value>,
    ) {
        let mut bindings = std::mem::take(&mut self.bindings);
        bindings.push(Binding {
            role: role.to_owned(),
            members: vec![member.to_owned()],
            condition,
        });
        self.bindings = tidy(bindings);
        self.etag = Some(etag);
    }

    /// Removes one member from every binding of the role, unchecked.
    pub(super) fn revoke(&mut self, etag: String, role: &str, member: &str) {
        for binding in &mut self.bindings {
            if binding.role == role {
                binding.members.retain(|held| held != member);
            }
        }
        self.bindings = tidy(std::mem::take(&mut self.bindings));
        self.etag = Some(etag);
    }

    /// Shows a member under another name; the etag stays.
    pub(super) fn rename_member(&mut self, from: &str, to: &str) {
        for binding in &mut self.bindings {
            for member in &mut binding.members {
                if member == from {
                    to.clone_into(member);
                }
            }
            binding.members.sort();
        }
    }
}

/// Body of a `setIamPolicy`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SetRequest {
    policy: Written,
    #[serde(default)]
    update_mask: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default)]
    bindings: Vec<Binding>,
    /// Outside the default mask, so ignored here as there.
    #[serde(default, rename = "auditConfigs")]
    _audit_configs: Option<Value>,
}

/// Body of a `getIamPolicy` where the API takes one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GetRequest {
    #[serde(default)]
    options: GetOptions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetOptions {
    #[serde(default)]
    requested_policy_version: u64,
}

/// Reads a policy at the version asked for.
pub(super) fn read(world: &World, resource: &str, request: &GetRequest) -> Result<Value, Refusal> {
    let version = request.options.requested_policy_version;
    check_version(version)?;
    Ok(world.policy(resource).view(version))
}

/// What the bot's own condition says about a resource.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// `modifiedGrantsByRole` must hold only the job user's role.
    JobUserOnly,
    None,
}

/// Writes a policy whole, as `setIamPolicy` does: guarded by the etag only if the body carries one.
pub(super) fn write(
    world: &mut World,
    resource: &str,
    request: SetRequest,
    guard: Guard,
) -> Result<Value, Refusal> {
    let SetRequest {
        policy,
        update_mask,
    } = request;
    check_mask(update_mask.as_deref())?;
    check_version(policy.version)?;
    for binding in &policy.bindings {
        check_binding(binding)?;
    }
    let old = world.policy(resource);
    let conditional = policy.bindings.iter().any(|held| held.condition.is_some());
    // Without an etag even the conditions of others are lost: Google warns of it and lets it happen.
    let guarded = policy.etag.is_some();
    if policy.version < 3 && (conditional || (guarded && old.is_conditional())) {
        return Err(Refusal::new(
            Kind::Invalid,
            "A policy with conditional role bindings must be written with version 3.",
        ));
    }
    if policy
        .etag
        .as_deref()
        .is_some_and(|etag| etag != old.etag())
    {
        return Err(Refusal::new(
            Kind::Aborted,
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
        ));
    }
    let bindings = tidy(policy.bindings);
    let principals: usize = bindings.iter().map(|binding| binding.members.len()).sum();
    if principals > MOST_PRINCIPALS {
        return Err(Refusal::new(
            Kind::Invalid,
            format!(
                "The number of members in the policy ({principals}) is larger than the maximum allowed size {MOST_PRINCIPALS}."
            ),
        ));
    }
    if guard == Guard::JobUserOnly
        && modified_roles(&old.bindings, &bindings)
            .iter()
            .any(|role| role != BOT_MAY_GRANT)
    {
        return Err(Refusal::new(Kind::Denied, "Policy update access denied."));
    }
    let emails = bindings
        .iter()
        .flat_map(|binding| &binding.members)
        .filter_map(|member| member.strip_prefix("serviceAccount:"))
        .filter(|email| !is_workload(email))
        .map(str::to_owned)
        .collect();
    if let Some(email) = world.first_missing_account(&emails) {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("Service account {email} does not exist."),
        ));
    }
    let etag = world.etag();
    let stored = world.policy_mut(resource);
    *stored = Policy {
        etag: Some(etag),
        bindings,
    };
    Ok(stored.view(policy.version))
}

fn check_version(version: u64) -> Result<(), Refusal> {
    if matches!(version, 0 | 1 | 3) {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::Invalid,
        format!("Invalid policy version {version}."),
    ))
}

fn check_mask(mask: Option<&str>) -> Result<(), Refusal> {
    let unknown = mask
        .into_iter()
        .flat_map(|mask| mask.split(','))
        .find(|path| !matches!(*path, "bindings" | "etag" | "version"));
    match unknown {
        Some(path) => Err(Refusal::new(
            Kind::Invalid,
            format!("Invalid field mask path: {path}"),
        )),
        None => Ok(()),
    }
}

fn check_binding(binding: &Binding) -> Result<(), Refusal> {
    let role = &binding.role;
    let well_formed = match role.split('/').collect::<Vec<_>>().as_slice() {
        ["roles", name] | ["projects" | "organizations", _, "roles", name] => {
            !name.is_empty() && !name.contains("_withcond_")
        }
        _ => false,
    };
    if !well_formed {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("Role ({role}) does not exist in the resource's hierarchy."),
        ));
    }
    if let Some(condition) = &binding.condition {
        let text = |key| condition.get(key).and_then(Value::as_str).unwrap_or("");
        if text("title").is_empty() || text("expression").is_empty() {
            return Err(Refusal::new(
                Kind::Invalid,
                "A condition needs a title and an expression.",
            ));
        }
    }
    for member in &binding.members {
        check_member(member)?;
    }
    Ok(())
}

fn check_member(member: &str) -> Result<(), Refusal> {
    let (kind, rest) = member.split_once(':').unwrap_or((member, ""));
    let email = |text: &str| {
        text.split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
    };
    let well_formed = match kind {
        "allUsers" | "allAuthenticatedUsers" => member == kind,
        "user" | "group" => email(rest),
        "serviceAccount" => email(rest) || is_workload(rest),
        "domain" => rest.contains('.') && !rest.contains('@'),
        "deleted" => rest.contains("?uid="),
        "projectOwner" | "projectEditor" | "projectViewer" => !rest.is_empty(),
        "principal" | "principalSet" => rest.starts_with("//iam.googleapis.com/"),
        _ => {
            return Err(Refusal::new(
                Kind::Invalid,
                format!("The member {member} is of an unknown type."),
            ));
        }
    };
    if well_formed && !member.contains(char::is_whitespace) {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::Invalid,
        format!("Invalid {kind} ({rest})."),
    ))
}

/// `POOL.svc.id.goog[namespace/account]`: a Kubernetes service account as a member.
fn is_workload(name: &str) -> bool {
    let Some((pool, subject)) = name.strip_suffix(']').and_then(|name| name.split_once('[')) else {
        return false;
    };
    let whole = |(namespace, account): (&str, &str)| !namespace.is_empty() && !account.is_empty();
    pool.ends_with(".svc.id.goog") && subject.split_once('/').is_some_and(whole)
}

/// Merges bindings of one role and condition, sorts, drops the empty.
fn tidy(bindings: Vec<Binding>) -> Vec<Binding> {
    let mut merged: BTreeMap<(String, String), Binding> = BTreeMap::new();
    for binding in bindings {
        merged
            .entry(binding.key())
            .and_modify(|held| held.members.extend(binding.members.iter().cloned()))
            .or_insert(binding);
    }
    let mut tidy: Vec<Binding> = merged.into_values().collect();
    for binding in &mut tidy {
        binding.members.sort();
        binding.members.dedup();
    }
    tidy.retain(|binding| !binding.members.is_empty());
    tidy
}

/// The roles in which a member comes or goes, under any condition.
fn modified_roles(old: &[Binding], new: &[Binding]) -> BTreeSet<String> {
    let grants = |bindings: &[Binding]| -> BTreeSet<(String, String, String)> {
        bindings
            .iter()
            .flat_map(|binding| {
                let (role, condition) = binding.key();
                binding
                    .members
                    .iter()
                    .map(move |member| (role.clone(), condition.clone(), member.clone()))
            })
            .collect()
    };
    grants(old)
        .symmetric_difference(&grants(new))
        .map(|(role, _, _)| role.clone())
        .collect()
}

/// How a conditional role looks to a reader who asked for no conditions.
pub(super) fn hidden_role(role: &str, condition: &Value) -> String {
    let hash = hex::encode(Sha256::digest(condition.to_string()));
    let short: String = hash.chars().take(20).collect();
    format!("{role}_withcond_{short}")
}
