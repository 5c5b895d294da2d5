//! Properties of the core over generated estates, trees, reviews and crashes.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::name::PipelineName;
use pipewright::object::{Kind, ObjectKey, Resource};
use pipewright::plan::approval::{ApprovingReview, Memberships, Pushers, Reviewed};
use pipewright::plan::approve::{Mandate, approve};
use pipewright::plan::observed::Seen;
use pipewright::proposal::{Proposal, propose};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;

use crate::common::{house, snapshot_of};
use crate::model::World;

type Files = BTreeMap<String, String>;

const PROJECTS: usize = 3;
const CONNECTIONS: usize = 2;
const PIPELINES: usize = 5;

/// What one file asks for, in numbers.
#[derive(Debug, Clone)]
struct Wish {
    project: usize,
    /// Project and number of the connection: often another project's.
    connection: (usize, usize),
    reader: Option<u8>,
    hourly: bool,
    suspend: bool,
}

/// One state of the branch: which pipelines exist, which of them are reviewed when it is
/// merged, and after how many Steps the bot dies.
#[derive(Debug, Clone)]
struct Merge {
    wishes: Vec<Option<Wish>>,
    reviewed: Vec<bool>,
    crash: Option<usize>,
}

fn wish() -> impl Strategy<Value = Wish> {
    (
        0..PROJECTS,
        (0..PROJECTS, 0..CONNECTIONS),
        proptest::option::of(0..3_u8),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(project, connection, reader, hourly, suspend)| Wish {
            project,
            connection,
            reader,
            hourly,
            suspend,
        })
}

fn merge() -> impl Strategy<Value = Merge> {
    (
        proptest::collection::vec(proptest::option::weighted(0.7, wish()), PIPELINES),
        proptest::collection::vec(any::<bool>(), PIPELINES),
        proptest::option::of(0..30_usize),
    )
        .prop_map(|(wishes, reviewed, crash)| Merge {
            wishes,
            reviewed,
            crash,
        })
}

/// Connections 0 of all projects lead to one shared instance; the others each to their own.
fn estate() -> String {
    let mut text = "owners: ['@house']\nprojects:\n".to_owned();
    for project in 0..PROJECTS {
        text +=
            &format!("  project-{project}:\n    owners: ['@owner-{project}']\n    connections:\n");
        for connection in 0..CONNECTIONS {
            let instance = match connection {
                0 => "project-0:europe-west1:shared".to_owned(),
                _ => format!("project-{project}:europe-west1:own"),
            };
            text += &format!(
                "      c{connection}: {{location: europe-west1, instance: '{instance}'}}\n"
            );
        }
    }
    text
}

fn files(merge: &Merge) -> Files {
    let mut files: Files = [("policies/estate.yaml".to_owned(), estate())].into();
    for (index, wish) in merge.wishes.iter().enumerate() {
        let Some(wish) = wish else { continue };
        let (owner, connection) = wish.connection;
        let mut text = format!(
            "bq_project_id: project-{}\nbq_connection_id: projects/project-{owner}/locations/europe-west1/connections/c{connection}\n\
             bq_dataset_name: d{index}\nservice_name: s{index}\ndb_catalog_name: db\ndb_schema_name: s{index}\n",
            wish.project
        );
        if let Some(reader) = wish.reader {
            text += &format!("readers: ['group:g{reader}@x.example']\n");
        }
        if wish.hourly {
            text += "tables: {t: {schedule: '@hourly'}}\n";
        }
        if wish.suspend {
            text += "suspend: true\n";
        }
        files.insert(format!("pipelines/p{index}.yaml"), text);
    }
    // One pipeline that never changes: a tree without any is never pruned.
    files.insert(
        "pipelines/always.yaml".into(),
        "bq_project_id: project-0\nbq_connection_id: c1\nbq_dataset_name: always\nservice_name: a\n\
         db_catalog_name: db\ndb_schema_name: always\n"
            .into(),
    );
    files
}

fn read(merge: &Merge) -> Proposal {
    let proposal = propose(&snapshot_of(&files(merge)), &house());
    assert_eq!(proposal.findings, vec![]);
    proposal
}

/// Everybody's approval of what `plan` shows of `reviewed`.
fn mandate(plan: &pipewright::plan::Plan, reviewed: &BTreeSet<PipelineName>) -> Mandate {
    let digests: BTreeMap<_, _> = plan
        .pipelines
        .iter()
        .filter(|(name, _)| reviewed.contains(*name))
        .map(|(name, pipeline)| (name.clone(), pipeline.digest.clone()))
        .collect();
    let head: pipewright::name::CommitSha = "a".repeat(40).parse().unwrap();
    let approvals = (0..PROJECTS)
        .map(|project| ApprovingReview {
            login: format!("owner-{project}"),
            commit: head.clone(),
            shown: digests.clone(),
        })
        .collect();
    Mandate::Apply {
        contended: Default::default(),
        commit: head.clone(),
        reviewed: vec![Reviewed {
            number: 1,
            author: "stranger".into(),
            pushers: Pushers::Unknown,
            head,
            merge_commit: None,
            merged_at: None,
            digests,
            approvals,
        }],
        commanded: Vec::new(),
        memberships: Memberships::default(),
    }
}

fn run(
    world: &mut World,
    proposal: &Proposal,
    reviewed: &BTreeSet<PipelineName>,
    crash: Option<usize>,
) {
    *world = std::mem::take(world).with_connections(proposal);
    let plan = world.plan(proposal);
    let approved = approve(&plan, &mandate(&plan, reviewed)).unwrap();
    world.apply(&approved, crash.unwrap_or(usize::MAX));
}

fn everything(proposal: &Proposal, world: &World) -> BTreeSet<PipelineName> {
    proposal
        .desired
        .pipelines
        .keys()
        .chain(world.records().keys())
        .cloned()
        .collect()
}

/// What must not depend on the way: objects, grants that exist, accounts that exist.
fn essence(world: &World) -> BTreeSet<String> {
    let observed = &world.observed;
    let objects = observed
        .kubernetes
        .objects
        .iter()
        .map(|((kind, name), live)| format!("{kind:?} {name} {}", live.value()));
    let grants = observed
        .google
        .policies
        .iter()
        .flat_map(|(resource, seen)| match seen {
            Seen::Found(pairs) => pairs
                .iter()
                .map(|pair| format!("{resource} {pair:?}"))
                .collect::<Vec<_>>(),
            _ => vec![],
        });
    let accounts = observed
        .google
        .accounts
        .iter()
        .filter(|(_, seen)| **seen == Seen::Found(()));
    objects
        .chain(grants)
        .chain(accounts.map(|(account, _)| account.email()))
        .collect()
}

/// From the world's policies alone: who may use connections of which instances.
fn is_isolated(world: &World, proposal: &Proposal) -> bool {
    let mut reach: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (resource, seen) in &world.observed.google.policies {
        let (Resource::Connection(connection), Seen::Found(pairs)) = (resource, seen) else {
            continue;
        };
        let declared =
            &proposal.policies.estate.projects[&connection.project].connections[&connection.id];
        for (_, member) in pairs {
            reach
                .entry(member)
                .or_default()
                .insert(declared.instance.to_string());
        }
    }
    reach.values().all(|instances| instances.len() == 1)
}

/// The same cases on every machine, so that a red run is red for everybody.
/// `PROPTEST_CASES` asks for more, `PROPTEST_RNG_SEED` for others.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(4711);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 96;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// Whatever was merged, reviewed and interrupted on the way: once all is reviewed, the
    /// world is the one that a fresh start would give, and nothing is left to plan. At no
    /// moment does an identity reach two instances.
    #[test]
    fn every_way_ends_in_the_same_world(merges in proptest::collection::vec(merge(), 1..5)) {
        let mut world = World::default();
        for merge in &merges {
            let proposal = read(merge);
            let reviewed = (0..PIPELINES)
                .filter(|index| merge.reviewed[*index])
                .map(|index| format!("p{index}").parse().unwrap())
                .collect();
            run(&mut world, &proposal, &reviewed, merge.crash);
            prop_assert!(is_isolated(&world, &proposal));
        }
        let last = read(merges.last().unwrap());
        let reviewed = everything(&last, &world);
        run(&mut world, &last, &reviewed, None);
        let mut fresh = World::default();
        let all = everything(&last, &fresh);
        run(&mut fresh, &last, &all, None);
        let (ours, theirs) = (essence(&world), essence(&fresh));
        let differ: Vec<&String> = ours.symmetric_difference(&theirs).collect();
        prop_assert!(differ.is_empty(), "{:#?}", differ);
        let plan = world.plan(&last);
        let again = approve(&plan, &mandate(&plan, &BTreeSet::new())).unwrap();
        prop_assert!(again.steps().is_empty() && again.held().is_empty(), "{:?}", again);
    }

    /// Without a review nothing is written, whatever is merged.
    #[test]
    fn nothing_without_a_review(merge in merge()) {
        let proposal = read(&merge);
        let world = World::default().with_connections(&proposal);
        let plan = world.plan(&proposal);
        let approved = approve(&plan, &mandate(&plan, &BTreeSet::new())).unwrap();
        prop_assert!(approved.steps().is_empty());
        prop_assert_eq!(approved.held().len(), proposal.desired.pipelines.len());
    }

    /// What somebody else made is never removed and never changed without being adopted.
    #[test]
    fn a_strangers_objects_stay(merges in proptest::collection::vec(merge(), 1..4)) {
        let mut world = World::default();
        let theirs = (Kind::CronWorkflow, "theirs".to_owned());
        world.observed.kubernetes.objects.insert(theirs.clone(), json!({"metadata": {"name": "theirs"}}).into());
        let project = Resource::Project("project-0".parse().unwrap());
        let pair = ("roles/bigquery.jobUser".to_owned(), "user:somebody@x.example".to_owned());
        world.observed.google.policies.insert(project.clone(), Seen::Found([pair.clone()].into()));
        for merge in &merges {
            let proposal = read(merge);
            let reviewed = everything(&proposal, &world);
            run(&mut world, &proposal, &reviewed, merge.crash);
        }
        prop_assert!(world.observed.kubernetes.objects.contains_key(&theirs));
        let Seen::Found(pairs) = &world.observed.google.policies[&project] else { panic!() };
        prop_assert!(pairs.contains(&pair));
    }

    /// The parser is total: any bytes are a pipeline or a finding, never a panic.
    #[test]
    fn any_bytes_are_a_pipeline_or_a_finding(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut tree = crate::common::tree_of(&files(&Merge { wishes: vec![], reviewed: vec![], crash: None }));
        tree.entries.insert("pipelines/x.yaml".into(), pipewright::snapshot::Entry::File(bytes));
        let parsed = pipewright::pipeline::parse(&tree);
        let name: PipelineName = "x".parse().unwrap();
        let said = parsed.findings.iter().any(|finding| finding.path == "pipelines/x.yaml" && finding.is_deny());
        prop_assert!(parsed.pipelines.contains_key(&name) != said);
    }

    /// The same for text that is nearly right.
    #[test]
    fn nearly_right_text_is_a_pipeline_or_a_finding(
        lines in proptest::collection::vec(
            ("(bq_project_id|bq_connection_id|bq_dataset_name|service_name|db_catalog_name|db_schema_name|readers|tables|x)", "[ -~]{0,20}"),
            0..9,
        ),
    ) {
        let text: String = lines.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        let tree = crate::common::tree_of(&[("pipelines/x.yaml".to_owned(), text)].into());
        let parsed = pipewright::pipeline::parse(&tree);
        let said = parsed.findings.iter().any(pipewright::finding::Finding::is_deny);
        prop_assert!(parsed.pipelines.is_empty() == said);
    }
}

/// An object key is what Records hold: it must come back as it was written.
#[test]
fn keys_survive_a_record() {
    let merge = Merge {
        wishes: vec![Some(Wish {
            project: 1,
            connection: (0, 0),
            reader: Some(1),
            hourly: true,
            suspend: false,
        })],
        reviewed: vec![],
        crash: None,
    };
    for rendered in read(&merge).desired.pipelines.values() {
        for key in rendered.objects.keys() {
            let text = serde_json::to_string(key).unwrap();
            assert_eq!(serde_json::from_str::<ObjectKey>(&text).unwrap(), *key);
        }
    }
}
