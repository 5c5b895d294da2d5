//! The laws: what holds after every step of the bot, and what holds once it has come to rest.
//!
//! They are read off the simulated world, with the bot's own types only where its Records
//! are read. Who agreed to what is worked out anew from GitHub's side.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::edges::git::SnapshotRead;
use pipewright::name::Digest;
use pipewright::object::{Grant, ObjectKey, Resource};
use pipewright::plan::approval::Memberships;
use pipewright::plan::approve::{Held, Mandate, approve};
use pipewright::plan::record::{By, Record};
use pipewright::plan::{Plan, plan};
use pipewright::proposal::propose;
use pipewright::sandbox::github::{PullRequest, PullState, ReviewState};
use pipewright::sandbox::stage::{NAMESPACE, Stage};
use pipewright::shell::observe::observe;
use pipewright::snapshot::Revisions;
use serde_json::Value;

use super::land::{DATASETS, instance, labelled, policies};
use super::people::People;

/// What the laws remember from one look to the next.
#[derive(Default)]
pub struct Laws {
    approved: BTreeMap<String, Value>,
    datasets: BTreeSet<(String, String)>,
    /// How many things were looked at, so that an empty look does not pass for a good one.
    pub grants: usize,
    pub approvals: usize,
}

/// Whether somebody may have done something since the bot looked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    Nothing,
    Something,
}

type Law = Result<(), String>;

impl Laws {
    /// What must hold at any moment.
    pub fn at_any_moment(&mut self, stage: &Stage, people: &People, meanwhile: Meanwhile) -> Law {
        let records = records(stage)?;
        self.every_write_was_allowed(stage, people, &records, meanwhile)?;
        self.every_grant_is_recorded(stage, &records)?;
        self.no_data_is_deleted(stage)?;
        everything_of_ours_is_recorded(stage, &records)?;
        isolation(stage)?;
        nothing_is_said_twice(stage, people)
    }

    fn every_write_was_allowed(
        &mut self,
        stage: &Stage,
        people: &People,
        records: &BTreeMap<String, Record>,
        meanwhile: Meanwhile,
    ) -> Law {
        self.approved.retain(|name, _| records.contains_key(name));
        for (name, record) in records {
            let approved = serde_json::to_value(&record.approved).unwrap();
            if self.approved.get(name) == Some(&approved) {
                continue;
            }
            self.approvals += 1;
            let digest = record.approved.digest.to_string();
            let given = allowed(stage, people, record, &digest, meanwhile);
            given.map_err(|why| format!("the Record of {name} approves {digest}: {why}"))?;
            self.approved.insert(name.clone(), approved);
        }
        Ok(())
    }

    fn every_grant_is_recorded(
        &mut self,
        stage: &Stage,
        records: &BTreeMap<String, Record>,
    ) -> Law {
        let held: BTreeSet<(String, String, String)> = keys(records)
            .filter_map(|key| match key {
                ObjectKey::Grant(grant) => Some(triple(grant)),
                _ => None,
            })
            .collect();
        for grant in grants(stage) {
            self.grants += 1;
            if !held.contains(&grant) {
                return Err(format!("a grant that no Record holds: {grant:?}"));
            }
        }
        Ok(())
    }

    fn no_data_is_deleted(&mut self, stage: &Stage) -> Law {
        for (project, dataset) in &self.datasets {
            if stage.google.dataset(project, dataset).is_none() {
                return Err(format!("the dataset {project}.{dataset} is gone"));
            }
        }
        self.datasets.extend(datasets(stage));
        Ok(())
    }
}

fn records(stage: &Stage) -> Result<BTreeMap<String, Record>, String> {
    let objects = stage.kubernetes.objects();
    let maps = objects
        .iter()
        .filter_map(|object| object.pointer("/data/record")?.as_str());
    maps.map(|text| {
        let record: Record = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok((record.pipeline.to_string(), record))
    })
    .collect()
}

fn keys(records: &BTreeMap<String, Record>) -> impl Iterator<Item = &ObjectKey> {
    records
        .values()
        .flat_map(|record| record.keys.iter().map(|given| &given.key))
}

fn datasets(stage: &Stage) -> Vec<(String, String)> {
    ["acme-orders", "acme-billing"]
        .into_iter()
        .flat_map(|project| {
            DATASETS
                .iter()
                .chain(&["dataplatform_orders_shop"])
                .map(move |dataset| (project, *dataset))
        })
        .filter(|(project, dataset)| stage.google.dataset(project, dataset).is_some())
        .map(|(project, dataset)| (project.to_owned(), dataset.to_owned()))
        .collect()
}

/// As it stands in a policy, or in an access list.
fn triple(grant: &Grant) -> (String, String, String) {
    let member = grant.member.iam();
    match &grant.resource {
        Resource::Dataset { project, dataset } => {
            let (_, address) = member.split_once(':').unwrap_or(("", &member));
            (
                format!("{project}.{dataset}"),
                grant.role.as_str().into(),
                address.into(),
            )
        }
        Resource::Project(project) => (
            format!("projects/{project}"),
            grant.role.as_str().into(),
            member,
        ),
        Resource::Connection(connection) => {
            (connection.to_string(), grant.role.as_str().into(), member)
        }
        Resource::ServiceAccount(account) => (
            format!(
                "projects/{}/serviceAccounts/{}",
                account.project,
                account.email()
            ),
            grant.role.as_str().into(),
            member,
        ),
    }
}

/// Every grant at Google, but for those of people who let somebody in themselves.
fn grants(stage: &Stage) -> Vec<(String, String, String)> {
    let mut grants = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for resource in policies(&stage.google) {
        let policy = stage.google.policy(&resource);
        for binding in policy["bindings"].as_array().into_iter().flatten() {
            for member in binding["members"].as_array().into_iter().flatten() {
                // What begins so is somebody of the land, let in by hand.
                if !text(member).starts_with("user:") {
                    grants.push((resource.clone(), text(&binding["role"]), text(member)));
                }
            }
        }
    }
    for (project, dataset) in datasets(stage) {
        let found = stage.google.dataset(&project, &dataset).unwrap();
        for entry in found["access"].as_array().into_iter().flatten() {
            let address = entry["userByEmail"]
                .as_str()
                .or(entry["groupByEmail"].as_str());
            if let Some(address) = address {
                grants.push((
                    format!("{project}.{dataset}"),
                    text(&entry["role"]),
                    address.to_owned(),
                ));
            }
        }
    }
    grants
}

fn everything_of_ours_is_recorded(stage: &Stage, records: &BTreeMap<String, Record>) -> Law {
    let mut held = BTreeSet::new();
    for key in keys(records) {
        match key {
            ObjectKey::Kubernetes { kind, name } => {
                held.insert((kind.as_str().to_owned(), name.clone()))
            }
            ObjectKey::ServiceAccount(account) => {
                held.insert(("account".to_owned(), account.email()))
            }
            _ => false,
        };
    }
    let objects = stage.kubernetes.objects().into_iter().filter(|object| {
        let bookkeeping = object.pointer("/data/record").is_some() || object["kind"] == "Workflow";
        labelled(object) && !bookkeeping
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let there = objects
        .map(|object| (text(&object["kind"]), text(&object["metadata"]["name"])))
        .chain(
            stage
                .google
                .service_accounts()
                .into_iter()
                .map(|email| ("account".to_owned(), email)),
        );
    for one in there {
        if !held.contains(&one) {
            return Err(format!("no Record holds {one:?}"));
        }
    }
    Ok(())
}

/// Nobody's identity uses connections of two instances.
fn isolation(stage: &Stage) -> Law {
    let mut reach: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (resource, _, member) in grants(stage) {
        if resource.contains("/connections/") {
            reach.entry(member).or_default().insert(instance(&resource));
        }
    }
    match reach.into_iter().find(|(_, instances)| instances.len() > 1) {
        Some((member, instances)) => Err(format!("{member} reaches {instances:?}")),
        None => Ok(()),
    }
}

fn nothing_is_said_twice(stage: &Stage, people: &People) -> Law {
    for number in people.pulls() {
        let mut said = BTreeSet::new();
        for comment in stage.github.comments(number) {
            let marker = comment.body.lines().next().unwrap_or_default().to_owned();
            if comment.login.ends_with("[bot]") && !said.insert(marker.clone()) {
                return Err(format!("two comments on #{number} begin with {marker}"));
            }
        }
    }
    Ok(())
}

/// The runs of our check on a commit that are finished, oldest first: when, and the digests.
fn shown(stage: &Stage, commit: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let runs = stage.github.check_runs(commit).into_iter();
    runs.filter(|run| run.status == "completed")
        .map(|run| {
            let digests = run.text.unwrap_or_default();
            let digests = digests.lines().filter_map(|line| {
                let (name, digest) = line.strip_prefix("digest ")?.split_once(' ')?;
                Some((name.to_owned(), digest.to_owned()))
            });
            (run.completed_at.unwrap_or_default(), digests.collect())
        })
        .collect()
}

/// Who approved when they were shown this digest, and has not taken it back.
fn approvers(stage: &Stage, pull: &PullRequest, name: &str, digest: &str) -> BTreeSet<String> {
    let mut last = BTreeMap::new();
    for review in &pull.reviews {
        if review.state != ReviewState::Commented {
            last.insert(review.login.clone(), review);
        }
    }
    last.into_values()
        .filter(|review| review.state == ReviewState::Approved)
        .filter(|review| {
            let at = jiff::Timestamp::from_second(review.submitted_at).unwrap();
            let runs = shown(stage, &review.commit);
            let before = runs.iter().rfind(|(completed, _)| {
                completed
                    .parse::<jiff::Timestamp>()
                    .is_ok_and(|completed| completed <= at)
            });
            let seen = before.or(runs.first());
            seen.is_some_and(|(_, digests)| digests.get(name).is_some_and(|one| one == digest))
        })
        .map(|review| review.login.clone())
        .collect()
}

fn merged_at(pull: &PullRequest) -> Option<i64> {
    match pull.state {
        PullState::Merged { at, .. } => Some(at),
        _ => None,
    }
}

/// The pull request that was merged last of those that showed the pipeline, and what it showed.
fn newest(stage: &Stage, people: &People, name: &str) -> Option<(PullRequest, String)> {
    people
        .pulls()
        .filter_map(|number| stage.github.pull_request(number))
        .filter_map(|pull| {
            merged_at(&pull)?;
            let digest = shown(stage, &pull.head_sha).last()?.1.get(name)?.clone();
            Some((pull, digest))
        })
        .max_by_key(|(pull, _)| (merged_at(pull), pull.number))
}

/// Who named the digest in a command that nobody touched.
fn commanders(stage: &Stage, people: &People, digest: &str) -> BTreeSet<String> {
    let of = |number| stage.github.comments(number);
    people
        .commands
        .iter()
        .flat_map(|(number, id)| {
            of(*number)
                .into_iter()
                .filter(move |comment| comment.id == *id)
        })
        .filter(|comment| comment.body.contains(digest))
        .map(|comment| comment.login)
        .collect()
}

/// Leads of the projects whose consent a Record's keys need.
fn consenting<'a>(keys: impl Iterator<Item = &'a ObjectKey>) -> BTreeSet<&'static str> {
    keys.filter_map(|key| match key {
        ObjectKey::Dataset { project, .. }
        | ObjectKey::Grant(Grant {
            resource: Resource::Dataset { project, .. },
            ..
        }) => Some(project),
        ObjectKey::Grant(Grant {
            resource: Resource::Connection(connection),
            ..
        }) => Some(&connection.project),
        _ => None,
    })
    .map(|project| match project.as_str() {
        "acme-orders" => "lead-of-orders",
        _ => "lead-of-billing",
    })
    .collect()
}

fn allowed(
    stage: &Stage,
    people: &People,
    record: &Record,
    digest: &str,
    meanwhile: Meanwhile,
) -> Law {
    let name = record.pipeline.as_str();
    let needed = consenting(record.keys.iter().map(|given| &given.key));
    let mut voices = commanders(stage, people, digest);
    if record.approved.by == By::Command {
        let owns =
            |login: &String| needed.contains(login.as_str()) || login == "lead-of-data-platform";
        return match voices.iter().any(owns) {
            true => Ok(()),
            // Edited or removed since: it stood when it was obeyed.
            false if meanwhile == Meanwhile::Something => Ok(()),
            false => Err("no owner commanded it".to_owned()),
        };
    }
    let number = record.approved.pull.ok_or("no pull request allowed it")?;
    let pull = stage
        .github
        .pull_request(number)
        .ok_or("there is no such pull request")?;
    if merged_at(&pull).is_none() {
        return Err(format!("#{number} is not merged"));
    }
    if meanwhile == Meanwhile::Something {
        return Ok(());
    }
    match newest(stage, people, name) {
        Some((last, shown)) if last.number == number && shown == digest => {}
        Some((last, shown)) => {
            return Err(format!(
                "#{number} allowed it, and #{} spoke last, for {shown}",
                last.number
            ));
        }
        None => return Err("no merged pull request showed it".to_owned()),
    }
    voices.extend(approvers(stage, &pull, name, digest));
    voices.insert(pull.author.clone());
    match needed.iter().find(|lead| !voices.contains(**lead)) {
        Some(lead) => Err(format!("{lead} did not agree on #{number}, but {voices:?}")),
        None => Ok(()),
    }
}

/// What must hold once the bot has come to rest in good weather.
pub fn at_rest(stage: &Stage, people: &People, now: &Plan) -> Law {
    every_pull_request_is_answered(stage, people)?;
    every_command_is_answered(stage, people)?;
    what_may_be_is(stage, people, now)
}

fn every_pull_request_is_answered(stage: &Stage, people: &People) -> Law {
    for number in people.pulls() {
        let pull = stage.github.pull_request(number).unwrap();
        if pull.state != PullState::Open {
            continue;
        }
        let runs = stage.github.check_runs(&pull.head_sha);
        let newest = runs.iter().max_by_key(|run| run.id);
        let Some(run) = newest.filter(|run| run.status == "completed") else {
            return Err(format!("#{number} has no finished check"));
        };
        let marked = |body: &str| body.starts_with("<!-- pipewright:plan -->");
        let comments = stage.github.comments(number);
        let said = comments
            .iter()
            .filter(|one| one.login.ends_with("[bot]") && marked(&one.body));
        if said.count() != 1 && run.conclusion.as_deref() == Some("failure") {
            return Err(format!("#{number} failed its check and has no comment"));
        }
    }
    Ok(())
}

fn every_command_is_answered(stage: &Stage, people: &People) -> Law {
    for (number, id) in &people.commands {
        let comments = stage.github.comments(*number);
        let comment = comments.iter().find(|comment| comment.id == *id).unwrap();
        let last = |content: &str| content == "rocket" || content == "confused";
        let answered = comment
            .reactions
            .iter()
            .filter(|one| last(&one.content))
            .count();
        if answered != 1 {
            return Err(format!(
                "`{}` on #{number} has {answered} last reactions: {:?}",
                comment.body, comment.reactions
            ));
        }
    }
    Ok(())
}

/// The parent says what the Records hold, wherever there is or was one.
fn the_inventory_is_told(stage: &Stage) -> Law {
    let applied: BTreeMap<String, String> = records(stage)?
        .into_iter()
        .filter_map(|(name, record)| Some((name, record.applied?.digest.to_string())))
        .collect();
    let is = Digest::of(serde_json::to_string(&applied).unwrap().as_bytes());
    let parent = stage.kubernetes.get("ConfigMap", NAMESPACE, "pipewright");
    let annotations = parent.map(|parent| parent["metadata"]["annotations"].clone());
    match annotations {
        None if applied.is_empty() => Ok(()),
        Some(says)
            if says["pipewright.dev/digest"] == is.as_str()
                && says["applyset.kubernetes.io/tooling"].is_string() =>
        {
            Ok(())
        }
        says => Err(format!(
            "{applied:?} is applied, and its parent says {says:?}"
        )),
    }
}

/// What the core says about the default branch and the world as they are.
pub async fn plan_of(stage: &Stage) -> Result<Plan, String> {
    let worker = &stage.worker;
    let commit = stage.github.default_head().parse().unwrap();
    let revisions = Revisions::Default { commit };
    let snapshot = worker.edges.git.snapshot(&revisions).await;
    let Ok(SnapshotRead::Snapshot(snapshot)) = snapshot else {
        return Err("the default branch is not in the mirror".to_owned());
    };
    let proposal = propose(&snapshot, &worker.house);
    let observed = observe(&worker.edges, &proposal).await;
    let observed = observed.map_err(|error| format!("{error:#}"))?;
    Ok(plan(&proposal, &observed))
}

/// Nothing that is approved is left to do, and nothing that everybody agreed to is held.
fn what_may_be_is(stage: &Stage, people: &People, plan: &Plan) -> Law {
    let mandate = Mandate::Apply {
        contended: Default::default(),
        commit: stage.github.default_head().parse().unwrap(),
        reviewed: Vec::new(),
        commanded: Vec::new(),
        memberships: Memberships::default(),
    };
    let Ok(approved) = approve(plan, &mandate) else {
        return Ok(());
    };
    if let Some(step) = approved.steps().iter().chain(approved.closing()).next() {
        return Err(format!("approved, and not done: {:?}", step.write));
    }
    the_inventory_is_told(stage)?;
    for (name, _) in approved
        .held()
        .iter()
        .filter(|(_, why)| **why == Held::Unreviewed)
    {
        let pipeline = &plan.pipelines[name];
        let digest = pipeline.digest.to_string();
        let Some((pull, shown)) = newest(stage, people, name.as_str()) else {
            continue;
        };
        let since = pipeline
            .record
            .as_ref()
            .and_then(|record| record.approved.since);
        let too_old = since.is_some_and(|since| merged_at(&pull) < Some(since.as_second()));
        if shown != digest || too_old {
            continue;
        }
        let needed = consenting(pipeline.desired.keys().chain(pipeline.recorded.keys()));
        let voices = approvers(stage, &pull, name.as_str(), &digest);
        if needed.iter().all(|lead| voices.contains(*lead)) {
            return Err(format!(
                "{name} is held, and everybody agreed on #{} to {digest}",
                pull.number
            ));
        }
    }
    Ok(())
}
