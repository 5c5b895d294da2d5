//! Service accounts and the policies on them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::policy::{self, GetRequest, Guard, SetRequest};
use super::reply::{Answer, Kind, Refusal, page, parse};
use super::world::{Account, World, account_domain};

const LONGEST_DISPLAY_NAME: usize = 100;
const LONGEST_DESCRIPTION: usize = 256;

impl Account {
    fn view(&self) -> Value {
        let mut body = Map::new();
        body.insert("name".into(), json!(self.name()));
        body.insert("projectId".into(), json!(self.project));
        body.insert("uniqueId".into(), json!(self.unique_id));
        body.insert("email".into(), json!(self.email));
        body.insert("etag".into(), json!(self.etag));
        body.insert("oauth2ClientId".into(), json!(self.unique_id));
        // Empty texts are left out, as in every answer of Google's.
        for (key, text) in [
            ("displayName", &self.display_name),
            ("description", &self.description),
        ] {
            if !text.is_empty() {
                body.insert(key.into(), json!(text));
            }
        }
        Value::Object(body)
    }

    fn name(&self) -> String {
        format!("projects/{}/serviceAccounts/{}", self.project, self.email)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Creation {
    #[serde(default)]
    account_id: String,
    #[serde(default)]
    service_account: Texts,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Texts {
    display_name: Option<String>,
    description: Option<String>,
    etag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[serde(default)]
    service_account: Texts,
    #[serde(default)]
    update_mask: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing {
    page_size: Option<usize>,
    page_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PolicyQuery {
    #[serde(rename = "options.requestedPolicyVersion")]
    version: Option<u64>,
}

pub(super) async fn create(
    State(world): State<Shared>,
    Path(project): Path<String>,
    body: Bytes,
) -> Answer {
    let mut world = world.lock();
    let project = enter(&world, "create", &project)?;
    let Creation {
        account_id,
        service_account: texts,
    } = parse(&body)?;
    if !is_account_id(&account_id) {
        return Err(Refusal::new(
            Kind::Invalid,
            format!(
                "Invalid service account id {account_id:?}: 6 to 30 lowercase letters, digits and hyphens."
            ),
        ));
    }
    check_texts(&texts)?;
    let email = format!("{account_id}@{}", account_domain(&project));
    if world.accounts.contains_key(&email) {
        return Err(Refusal::new(
            Kind::AlreadyExists,
            format!(
                "Service account {account_id} already exists within project projects/{project}."
            ),
        ));
    }
    let held = in_project(&world, &project).count();
    if held >= world.options.accounts_per_project {
        return Err(Refusal::new(
            Kind::Exhausted,
            "Maximum number of service accounts on project reached.",
        ));
    }
    let account = Account {
        unique_id: world.unique_id(),
        etag: world.etag(),
        unseen: world.options.propagation,
        display_name: texts.display_name.unwrap_or_default(),
        description: texts.description.unwrap_or_default(),
        project,
        email,
    };
    let view = account.view();
    world.accounts.insert(account.email.clone(), account);
    Ok(Json(view))
}

pub(super) async fn list(
    State(world): State<Shared>,
    Path(project): Path<String>,
    Query(listing): Query<Listing>,
) -> Answer {
    let world = world.lock();
    let project = enter(&world, "list", &project)?;
    let all = in_project(&world, &project)
        .map(|account| (account.email.clone(), account.view()))
        .collect();
    let size = listing
        .page_size
        .filter(|size| *size > 0)
        .map_or(20, |size| size.min(100));
    let (accounts, next) = page(all, listing.page_token.as_deref(), size);
    let mut body = Map::new();
    if !accounts.is_empty() {
        body.insert("accounts".into(), Value::Array(accounts));
    }
    if let Some(next) = next {
        body.insert("nextPageToken".into(), json!(next));
    }
    Ok(Json(Value::Object(body)))
}

pub(super) async fn get(
    State(world): State<Shared>,
    Path((project, account)): Path<(String, String)>,
) -> Answer {
    let world = world.lock();
    Ok(Json(find(&world, "get", &project, &account)?.view()))
}

pub(super) async fn patch(
    State(world): State<Shared>,
    Path((project, account)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let mut world = world.lock();
    let email = find(&world, "update", &project, &account)?.email.clone();
    let Change {
        service_account: texts,
        update_mask,
    } = parse(&body)?;
    check_texts(&texts)?;
    let etag = world.etag();
    let Some(account) = world.accounts.get_mut(&email) else {
        return Err(unknown());
    };
    if texts.etag.is_some_and(|etag| etag != account.etag) {
        return Err(Refusal::new(
            Kind::Aborted,
            "There were concurrent changes of the service account.",
        ));
    }
    let mut answer = Map::new();
    for path in update_mask.split(',') {
        let (key, slot, text) = match path {
            "displayName" | "display_name" => (
                "displayName",
                &mut account.display_name,
                &texts.display_name,
            ),
            "description" => ("description", &mut account.description, &texts.description),
            _ => {
                return Err(Refusal::new(
                    Kind::Invalid,
                    format!("Invalid field mask path: {path:?}"),
                ));
            }
        };
        *slot = text.clone().unwrap_or_default();
        answer.insert(key.into(), json!(slot));
    }
    account.etag = etag;
    // Only the changed fields and the name come back: as recorded.
    answer.insert("name".into(), json!(account.name()));
    Ok(Json(Value::Object(answer)))
}

pub(super) async fn delete(
    State(world): State<Shared>,
    Path((project, account)): Path<(String, String)>,
) -> Answer {
    let mut world = world.lock();
    let email = find(&world, "delete", &project, &account)?.email.clone();
    world.forget_account(&email);
    Ok(Json(json!({})))
}

/// `serviceAccounts/{account}:getIamPolicy` and `:setIamPolicy`.
pub(super) async fn verb(
    State(world): State<Shared>,
    Path((project, target)): Path<(String, String)>,
    Query(query): Query<PolicyQuery>,
    body: Bytes,
) -> Answer {
    let (account, verb) = target.rsplit_once(':').unwrap_or((&target, ""));
    let mut world = world.lock();
    let resource = find(&world, verb, &project, account)?.name();
    match verb {
        "getIamPolicy" => {
            // Of all the APIs this one takes the version in the query, and no body.
            if !body.is_empty() {
                parse::<NoFields>(&body)?;
            }
            let version = query.version.unwrap_or(0);
            let options = json!({"options": {"requestedPolicyVersion": version}}).to_string();
            let request: GetRequest = parse(options.as_bytes())?;
            policy::read(&world, &resource, &request).map(Json)
        }
        "setIamPolicy" => {
            let request: SetRequest = parse(&body)?;
            policy::write(&mut world, &resource, request, Guard::None).map(Json)
        }
        _ => Err(Refusal::new(Kind::NotFound, "Method not found.")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

fn enter(world: &World, verb: &str, project: &str) -> Result<String, Refusal> {
    world.project(project).ok_or_else(|| denied(verb))
}

/// The account of that email or unique id; `-` stands for whichever project it is in.
fn find<'a>(
    world: &'a World,
    verb: &str,
    project: &str,
    account: &str,
) -> Result<&'a Account, Refusal> {
    let within = match project {
        "-" => None,
        named => Some(enter(world, verb, named)?),
    };
    let found = world
        .accounts
        .values()
        .find(|held| held.email == account || held.unique_id == account)
        .filter(|held| within.as_ref().is_none_or(|within| held.project == *within))
        .ok_or_else(unknown)?;
    if world.project(&found.project).is_none() {
        return Err(denied(verb));
    }
    Ok(found)
}

fn in_project<'a>(world: &'a World, project: &'a str) -> impl Iterator<Item = &'a Account> {
    world
        .accounts
        .values()
        .filter(move |account| account.project == project)
}

fn denied(verb: &str) -> Refusal {
    Refusal::new(
        Kind::Denied,
        format!(
            "Permission 'iam.serviceAccounts.{verb}' denied on resource (or it may not exist)."
        ),
    )
}

fn unknown() -> Refusal {
    Refusal::new(Kind::NotFound, "Unknown service account")
}

fn is_account_id(id: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (6..=30).contains(&id.len())
        && id.chars().all(legal)
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && !id.ends_with('-')
}

fn check_texts(texts: &Texts) -> Result<(), Refusal> {
    for (field, text, longest) in [
        ("display name", &texts.display_name, LONGEST_DISPLAY_NAME),
        ("description", &texts.description, LONGEST_DESCRIPTION),
    ] {
        if text.as_ref().is_some_and(|text| text.len() > longest) {
            return Err(Refusal::new(
                Kind::Invalid,
                format!("The {field} is longer than {longest} bytes."),
            ));
        }
    }
    Ok(())
}
