//! From files to an approved plan: the promises of the core, one story each.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::name::{CommitSha, Digest, PipelineName};
use pipewright::plan::approval::{ApprovingReview, Memberships, Pushers, Reviewed};
use pipewright::plan::approve::{Approval, ApprovedPlan, Held, Mandate, Refusal, approve};
use pipewright::plan::{Action, Intent, Plan};
use pipewright::proposal::{Proposal, propose};

use crate::common::{house, proposal_of, repository, snapshot_of};
use crate::model::World;

pub type Files = BTreeMap<String, String>;

pub fn name(text: &str) -> PipelineName {
    text.parse().unwrap()
}

pub fn commit(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

pub fn default_branch(files: &Files) -> Proposal {
    propose(&snapshot_of(files), &house())
}

pub fn world() -> World {
    World::default().with_connections(&default_branch(&repository()))
}

/// Pull requests are merged in the order of their numbers.
pub fn merged_at(number: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap()
}

fn reviewed_by(pull: u64) -> Approval {
    Approval::Reviewed {
        pull,
        merged_at: Some(merged_at(pull)),
    }
}

/// A merged pull request by `author`, who alone pushed to it, that showed `digests`.
pub fn merged(number: u64, author: &str, digests: &[(&str, &Digest)]) -> Reviewed {
    let head = commit(char::from_digit(u32::try_from(number).unwrap() % 10, 10).unwrap());
    Reviewed {
        number,
        author: author.into(),
        pushers: Pushers::Known([author.to_lowercase()].into()),
        head,
        merge_commit: None,
        merged_at: Some(merged_at(number)),
        digests: digests
            .iter()
            .map(|(one, digest)| (name(one), (*digest).clone()))
            .collect(),
        approvals: BTreeSet::new(),
    }
}

pub fn approved_by(mut pull: Reviewed, login: &str) -> Reviewed {
    let (commit, shown) = (pull.head.clone(), pull.digests.clone());
    pull.approvals.insert(ApprovingReview {
        login: login.into(),
        commit,
        shown,
    });
    pull
}

pub fn memberships() -> Memberships {
    let team = |team: &str, login: &str| (team.parse().unwrap(), login.to_owned());
    Memberships {
        members: [
            team("@acme/orders", "olga"),
            team("@acme/billing", "bert"),
            team("@acme/data-platform", "dana"),
        ]
        .into(),
    }
}

fn mandate(reviewed: Vec<Reviewed>) -> Mandate {
    Mandate::Apply {
        contended: Default::default(),
        commit: commit('f'),
        reviewed,
        commanded: Vec::new(),
        memberships: memberships(),
    }
}

/// Reviews, merges and applies everything that `files` ask for.
pub fn settle(world: &mut World, files: &Files) -> ApprovedPlan {
    let plan = world.plan(&default_branch(files));
    let digests: Vec<(&str, &Digest)> = plan
        .pipelines
        .iter()
        .map(|(one, plan)| (one.as_str(), &plan.digest))
        .collect();
    let pull = approved_by(approved_by(merged(1, "olga", &digests), "bert"), "dana");
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert_eq!(approved.held(), &BTreeMap::new());
    world.apply(&approved, usize::MAX);
    approved
}

pub fn digest_of(plan: &Plan, pipeline: &str) -> Digest {
    plan.pipelines[&name(pipeline)].digest.clone()
}

fn keys(plan: &Plan, wanted: fn(&Action) -> bool) -> Vec<String> {
    plan.changes
        .iter()
        .filter(|(_, change)| wanted(&change.action))
        .map(|(key, _)| key.to_string())
        .collect()
}

#[test]
fn the_articles_example_plans_to_exactly_these_objects() {
    let mut files = repository();
    files.retain(|path, _| path.starts_with("policies/"));
    let base = files.clone();
    files.insert(
        "pipelines/db1.yaml".into(),
        "## Required
bq_project_id: acme-orders
bq_connection_id: orders-db
bq_dataset_name: dataplatform_db1_schema1
service_name: some_service
db_catalog_name: orders
db_schema_name: schema1
## Optional
## Table configuration
target_tables:
  - table1
"
        .into(),
    );
    let plan = world().plan(&propose(&proposal_of(&base, &files), &house()));
    assert_eq!(plan.findings, vec![]);
    assert_eq!(
        keys(&plan, |action| *action == Action::Create),
        [
            "service account pw-orders-bf46b846@acme-identities.iam.gserviceaccount.com",
            "dataset acme-orders.dataplatform_db1_schema1",
            "roles/iam.workloadIdentityUser for pipelines/pw-orders-bf46b846 on service account pw-orders-bf46b846@acme-identities.iam.gserviceaccount.com",
            "roles/bigquery.jobUser for pw-orders-bf46b846@acme-identities.iam.gserviceaccount.com on project acme-orders",
            "roles/bigquery.connectionUser for pw-orders-bf46b846@acme-identities.iam.gserviceaccount.com on connection acme-orders.asia-northeast1.orders-db",
            "WRITER for pw-orders-bf46b846@acme-identities.iam.gserviceaccount.com on dataset acme-orders.dataplatform_db1_schema1",
            "ServiceAccount pw-orders-bf46b846",
            "Role pipewright-taskresults",
            "RoleBinding pw-orders-bf46b846",
            "ConfigMap pw-orders-bf46b846-semaphore",
            "CronWorkflow db1",
        ]
    );
    assert_eq!(plan.changes.len(), 11);
    assert_eq!(plan.access.isolation.violations, vec![]);
}

#[test]
fn after_an_apply_there_is_nothing_left_to_plan() {
    let mut world = world();
    settle(&mut world, &repository());
    let plan = world.plan(&default_branch(&repository()));
    assert_eq!(keys(&plan, Action::is_write), Vec::<String>::new());
    for pipeline in plan.pipelines.keys() {
        assert!(!plan.is_pending(pipeline), "{pipeline}");
        assert_eq!(plan.pipelines[pipeline].intent, Intent::Keep);
    }
    let again = approve(&plan, &mandate(vec![])).unwrap();
    assert!(again.steps().is_empty() && again.held().is_empty());
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let files = repository();
    let one = format!("{:?}", world().plan(&default_branch(&files)));
    let two = format!("{:?}", world().plan(&default_branch(&files.clone())));
    assert_eq!(one, two);
}

#[test]
fn a_neighbours_merge_does_not_change_a_digest() {
    let mut world = world();
    let base = repository();
    let mut ours = base.clone();
    ours.insert(
        "pipelines/orders/orders.yaml".into(),
        base["pipelines/orders/orders.yaml"].clone() + "readers: ['group:bi@acme.example']\n",
    );
    let shown = digest_of(
        &world.plan(&propose(&proposal_of(&base, &ours), &house())),
        "orders",
    );
    // Meanwhile a pipeline of the same instance and one of another are merged and applied,
    // and one of them leaves again.
    settle(&mut world, &base);
    let mut later = ours.clone();
    later.remove("pipelines/orders/returns.yaml");
    later.remove("pipelines/billing/invoices.yaml");
    assert_eq!(
        digest_of(&world.plan(&default_branch(&later)), "orders"),
        shown
    );
}

#[test]
fn a_pull_request_plans_only_what_it_changes() {
    let base = repository();
    let mut ours = base.clone();
    ours.remove("pipelines/billing/invoices.yaml");
    let mut world = world();
    settle(&mut world, &base);
    let plan = world.plan(&propose(&proposal_of(&base, &ours), &house()));
    assert_eq!(
        plan.pipelines
            .keys()
            .map(PipelineName::as_str)
            .collect::<Vec<_>>(),
        ["invoices"]
    );
    assert_eq!(plan.pipelines[&name("invoices")].intent, Intent::Remove);
    assert_eq!(
        keys(&plan, |action| matches!(action, Action::Release(_))),
        [
            "dataset acme-billing.dataplatform_billing_public",
            "Role pipewright-taskresults"
        ],
        "data stays, and so does what other pipelines need",
    );
}

#[test]
fn a_held_neighbour_holds_nobody_and_is_applied_once_its_owner_agrees() {
    let mut world = world();
    let plan = world.plan(&default_branch(&repository()));
    let (orders, invoices) = (digest_of(&plan, "orders"), digest_of(&plan, "invoices"));
    let without = merged(1, "stranger", &[("orders", &orders)]);
    let with = approved_by(merged(2, "stranger", &[("invoices", &invoices)]), "bert");
    let approved = approve(&plan, &mandate(vec![without.clone(), with.clone()])).unwrap();
    assert_eq!(
        approved.approved(),
        &[(name("invoices"), reviewed_by(2))].into()
    );
    let Held::NoConsent { pull: 1, missing } = &approved.held()[&name("orders")] else {
        panic!("{:?}", approved.held())
    };
    assert_eq!(
        missing.keys().map(ToString::to_string).collect::<Vec<_>>(),
        ["acme-orders"]
    );
    assert_eq!(approved.held()[&name("returns")], Held::Unreviewed);
    world.apply(&approved, usize::MAX);
    assert_eq!(
        world
            .records()
            .keys()
            .map(PipelineName::as_str)
            .collect::<Vec<_>>(),
        ["invoices"]
    );

    let plan = world.plan(&default_branch(&repository()));
    let now = vec![approved_by(without, "Olga"), with];
    let approved = approve(&plan, &mandate(now)).unwrap();
    assert_eq!(
        approved.approved(),
        &[(name("orders"), reviewed_by(1))].into()
    );
}

#[test]
fn consent_is_not_taken_from_anyone_else() {
    let world = world();
    let plan = world.plan(&default_branch(&repository()));
    let orders = digest_of(&plan, "orders");
    let other = Digest::of(b"another plan");
    let held = |pull: Reviewed| {
        approve(&plan, &mandate(vec![pull])).unwrap().held()[&name("orders")].clone()
    };
    // Owners of another project, and of the house, where the project has its own.
    for login in ["bert", "dana", "stranger"] {
        let pull = approved_by(merged(1, "stranger", &[("orders", &orders)]), login);
        assert!(matches!(held(pull), Held::NoConsent { .. }), "{login}");
    }
    // The owner approved when something else was shown, be it at another head or at this one.
    let olga = |digest: &Digest| {
        let mut pull = merged(1, "stranger", &[("orders", &orders)]);
        let shown = [(name("orders"), digest.clone())].into();
        pull.approvals.insert(ApprovingReview {
            login: "olga".into(),
            commit: commit('e'),
            shown,
        });
        pull
    };
    assert!(matches!(held(olga(&other)), Held::NoConsent { .. }));
    // At an older head, but the same was shown.
    assert_eq!(
        approve(&plan, &mandate(vec![olga(&orders)]))
            .unwrap()
            .approved()[&name("orders")],
        reviewed_by(1)
    );
    // Reviewed as something else.
    let pull = approved_by(merged(1, "olga", &[("orders", &other)]), "olga");
    assert_eq!(
        held(pull),
        Held::OtherDigest {
            pull: 1,
            reviewed: other
        }
    );
    // The author is an owner.
    let pull = merged(1, "olga", &[("orders", &orders)]);
    assert!(
        approve(&plan, &mandate(vec![pull]))
            .unwrap()
            .approved()
            .contains_key(&name("orders"))
    );
}

#[test]
fn nobody_elses_push_rides_on_an_authors_consent() {
    let world = world();
    let plan = world.plan(&default_branch(&repository()));
    let orders = digest_of(&plan, "orders");
    let decided = |pushers: Pushers, review: Option<&str>| {
        let mut pull = merged(1, "Olga", &[("orders", &orders)]);
        pull.pushers = pushers;
        let pull = review.into_iter().fold(pull, approved_by);
        let approved = approve(&plan, &mandate(vec![pull])).unwrap();
        approved.approved().contains_key(&name("orders"))
    };
    let known =
        |logins: &[&str]| Pushers::Known(logins.iter().map(|login| (*login).to_owned()).collect());
    assert!(decided(known(&["olga"]), None));
    for others in [
        known(&["olga", "mallory"]),
        known(&["mallory"]),
        known(&[]),
        Pushers::Unknown,
    ] {
        assert!(!decided(others.clone(), None), "{others:?}");
        assert!(
            decided(others, Some("olga")),
            "a review is one all the same"
        );
    }
}

#[test]
fn an_old_approval_does_not_come_back_with_a_revert() {
    let mut world = world();
    let files = repository();
    let before = world.plan(&default_branch(&files));
    let old = digest_of(&before, "orders");
    let first = merged(1, "olga", &[("orders", &old)]);
    let approved = approve(&before, &mandate(vec![first.clone()])).unwrap();
    world.apply(&approved, usize::MAX);
    let mut hidden = files.clone();
    let text = files["pipelines/orders/orders.yaml"].clone() + "excluded_tables: [salaries]\n";
    hidden.insert("pipelines/orders/orders.yaml".into(), text);
    let plan = world.plan(&default_branch(&hidden));
    let second = merged(2, "olga", &[("orders", &digest_of(&plan, "orders"))]);
    let approved = approve(&plan, &mandate(vec![first.clone(), second.clone()])).unwrap();
    assert_eq!(approved.approved()[&name("orders")], reviewed_by(2));
    world.apply(&approved, usize::MAX);
    // Somebody pushes the revert, which renders what the owner once approved.
    let plan = world.plan(&default_branch(&files));
    assert_eq!(digest_of(&plan, "orders"), old);
    let held = |pulls: Vec<Reviewed>| {
        approve(&plan, &mandate(pulls)).unwrap().held()[&name("orders")].clone()
    };
    assert!(matches!(
        held(vec![first.clone(), second.clone()]),
        Held::OtherDigest { pull: 2, .. }
    ));
    assert_eq!(
        held(vec![first.clone()]),
        Held::Unreviewed,
        "even if the later one is not seen"
    );
    let third = merged(3, "stranger", &[("orders", &old)]);
    assert!(matches!(
        held(vec![first, second, third]),
        Held::NoConsent { pull: 3, .. }
    ));
}

#[test]
fn a_deny_holds_what_everybody_approved() {
    let mut files = repository();
    let wrong = files["pipelines/orders/orders.yaml"].replace("dataplatform_", "");
    files.insert("pipelines/orders/orders.yaml".into(), wrong);
    let plan = world().plan(&default_branch(&files));
    let (orders, invoices) = (digest_of(&plan, "orders"), digest_of(&plan, "invoices"));
    let pull = merged(1, "olga", &[("orders", &orders), ("invoices", &invoices)]);
    let pull = approved_by(approved_by(pull, "olga"), "bert");
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert_eq!(
        approved.held()[&name("orders")],
        Held::Denied { findings: 1 }
    );
    assert!(approved.approved().contains_key(&name("invoices")));
}

#[test]
fn looking_writes_nothing() {
    let plan = world().plan(&default_branch(&repository()));
    assert_eq!(approve(&plan, &Mandate::ReadOnly), Err(Refusal::ReadOnly));
}

#[test]
fn stopped_after_any_step_it_ends_the_same_without_another_review() {
    let mut files = repository();
    let mut start = world();
    settle(&mut start, &files);
    // One change of everything: a reader leaves, a table's schedule goes, one pipeline is new.
    files.insert(
        "pipelines/billing/invoices.yaml".into(),
        files["pipelines/billing/invoices.yaml"]
            .replace("group:finance@acme.example", "group:audit@acme.example")
            .replace("    schedule: \"@hourly\"\n", "    schedule: \"@daily\"\n"),
    );
    files.remove("pipelines/orders/returns.yaml");
    let plan = start.plan(&default_branch(&files));
    let digests: Vec<(&str, &Digest)> = plan
        .pipelines
        .iter()
        .map(|(one, plan)| (one.as_str(), &plan.digest))
        .collect();
    let pull = approved_by(merged(3, "olga", &digests), "bert");
    let approved = approve(&plan, &mandate(vec![pull.clone()])).unwrap();
    assert_eq!(approved.held(), &BTreeMap::new());
    let mut end = start.clone();
    end.apply(&approved, usize::MAX);

    for stop in 0..=approved.steps().len() + approved.closing().len() {
        let mut world = start.clone();
        world.apply(&approved, stop);
        // From the second pass on nobody reads the review again: the Records say it.
        for pass in 0..2 {
            let plan = world.plan(&default_branch(&files));
            let reviews = if pass == 0 && stop < 3 {
                vec![pull.clone()]
            } else {
                vec![]
            };
            let resumed = approve(&plan, &mandate(reviews)).unwrap();
            assert_eq!(resumed.held(), &BTreeMap::new(), "stopped after {stop}");
            world.apply(&resumed, usize::MAX);
        }
        assert_eq!(world.observed, end.observed, "stopped after {stop}");
    }
}

#[test]
fn an_adoption_stopped_after_any_step_goes_on_without_another_review() {
    let files = repository();
    let mut other = world();
    settle(&mut other, &files);
    // Everything of Google exists already, and no Record knows of it.
    let mut start = world();
    start.observed.google = other.observed.google.clone();
    let plan = start.plan(&default_branch(&files));
    let digests: Vec<(&str, &Digest)> = plan
        .pipelines
        .iter()
        .map(|(one, plan)| (one.as_str(), &plan.digest))
        .collect();
    let pull = approved_by(approved_by(merged(3, "olga", &digests), "bert"), "olga");
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert_eq!(approved.held(), &BTreeMap::new());
    let mut end = start.clone();
    end.apply(&approved, usize::MAX);
    let begun = approved.steps().iter();
    let begun =
        begun.filter(|step| matches!(step.write, pipewright::plan::steps::Write::BeginRecord(_)));
    for stop in begun.count()..=approved.steps().len() + approved.closing().len() {
        let mut world = start.clone();
        world.apply(&approved, stop);
        let plan = world.plan(&default_branch(&files));
        let resumed = approve(&plan, &mandate(vec![])).unwrap();
        assert_eq!(resumed.held(), &BTreeMap::new(), "stopped after {stop}");
        world.apply(&resumed, usize::MAX);
        assert_eq!(world.observed, end.observed, "stopped after {stop}");
    }
}

#[test]
fn an_unreadable_file_prunes_nothing_and_a_strangers_typo_holds_nobody() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    files.insert(
        "pipelines/orders/orders.yaml".into(),
        "bq_project_id: [".into(),
    );
    files.remove("pipelines/billing/invoices.yaml");
    let plan = world.plan(&default_branch(&files));
    assert_eq!(plan.pipelines[&name("orders")].intent, Intent::Blocked);
    let going = keys(&plan, |action| *action == Action::Prune);
    assert!(going.contains(&"CronWorkflow invoices".to_owned()));
    // Neither pruned nor let go: of what the file may claim nothing is said at all.
    let all = keys(&plan, |_| true);
    assert!(!all.contains(&"CronWorkflow orders".to_owned()), "{all:?}");
    let shown = digest_of(&plan, "invoices");
    let pull = merged(4, "bert", &[("invoices", &shown)]);
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert!(approved.approved().contains_key(&name("invoices")));
    assert!(matches!(
        approved.held()[&name("orders")],
        Held::Blocked { .. }
    ));
    let before = world.records()[&name("orders")].clone();
    world.apply(&approved, usize::MAX);
    assert_eq!(world.records()[&name("orders")], before);
    assert!(!world.records().contains_key(&name("invoices")));
}

#[test]
fn an_empty_tree_prunes_nothing() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    files.retain(|path, _| path.starts_with("policies/"));
    let plan = world.plan(&default_branch(&files));
    let digests: Vec<(&str, &Digest)> = plan
        .pipelines
        .iter()
        .map(|(one, plan)| (one.as_str(), &plan.digest))
        .collect();
    let pull = approved_by(merged(5, "olga", &digests), "bert");
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert!(approved.steps().is_empty());
    assert!(
        approved
            .held()
            .values()
            .all(|held| *held == Held::EmptyTree)
    );
}

/// A removal that was reviewed when the pipeline held less does not take away what it was
/// given since.
#[test]
fn a_removal_takes_what_was_reviewed_and_no_more() {
    let mut world = world();
    settle(&mut world, &repository());
    let path = "pipelines/billing/invoices.yaml";
    let without = |mut files: BTreeMap<String, String>| {
        files.remove(path);
        files
    };
    let removal = world.plan(&default_branch(&without(repository())));
    let pull = approved_by(
        merged(6, "bert", &[("invoices", &digest_of(&removal, "invoices"))]),
        "bert",
    );
    let mut shared = repository();
    let reader = "  - group:finance@acme.example\n";
    let text = shared[path].replace(reader, &format!("{reader}  - group:bi@acme.example\n"));
    assert_ne!(text, shared[path]);
    shared.insert(path.into(), text);
    settle(&mut world, &shared);
    let plan = world.plan(&default_branch(&without(shared)));
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert!(matches!(
        approved.held()[&name("invoices")],
        Held::OtherDigest { .. }
    ));
}

#[test]
fn too_many_removals_wait() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    files.remove("pipelines/billing/invoices.yaml");
    files.insert(
        "policies/defaults.yaml".into(),
        "limits: {prunes_per_apply: 2}\n".into(),
    );
    let plan = world.plan(&default_branch(&files));
    let shown = digest_of(&plan, "invoices");
    let pull = merged(6, "bert", &[("invoices", &shown)]);
    let approved = approve(&plan, &mandate(vec![pull])).unwrap();
    assert!(matches!(
        approved.held()[&name("invoices")],
        Held::PruneBudget {
            prunes: 10..,
            limit: 2
        }
    ));
}

#[test]
fn a_renamed_pipeline_keeps_its_grants() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    let text = files.remove("pipelines/orders/orders.yaml").unwrap();
    files.insert(
        "pipelines/orders/shop.yaml".into(),
        text + "previously: orders\n",
    );
    let plan = world.plan(&default_branch(&files));
    assert_eq!(
        keys(&plan, Action::is_write),
        ["CronWorkflow orders", "CronWorkflow shop"],
    );
    let shown = digest_of(&plan, "shop");
    let approved = approve(
        &plan,
        &mandate(vec![merged(7, "olga", &[("shop", &shown)])]),
    )
    .unwrap();
    assert_eq!(approved.held(), &BTreeMap::new());
    world.apply(&approved, usize::MAX);
    assert!(!world.records().contains_key(&name("orders")));
    let plan = world.plan(&default_branch(&files));
    assert!(!plan.is_pending(&name("shop")));
}

#[test]
fn a_copied_label_makes_nothing_ours() {
    let mut other = world();
    settle(&mut other, &repository());
    // Somebody made the objects, from what they saw elsewhere: labels and all, but nobody
    // can say of a server that another one has applied them.
    let mut copied = other.observed.kubernetes.objects.clone();
    for live in copied.values_mut() {
        let mut object = live.value().into_owned();
        object["metadata"]["managedFields"][0]["manager"] = "kubectl-create".into();
        *live = object.into();
    }
    let mut world = world();
    world.observed.kubernetes.objects = copied;
    let plan = world.plan(&default_branch(&repository()));
    let adopted = keys(&plan, |action| matches!(action, Action::Adopt { .. }));
    assert_eq!(adopted.len(), other.observed.kubernetes.objects.len());
    settle(&mut world, &repository());
    let mut files = repository();
    files.remove("pipelines/billing/invoices.yaml");
    settle(&mut world, &files);
    assert_eq!(
        world.observed.kubernetes.objects.len(),
        other.observed.kubernetes.objects.len()
    );
    // What we applied ourselves, and whose Record is lost, is ours by its label.
    world.observed.kubernetes = other.observed.kubernetes;
    world.observed.kubernetes.records.clear();
    let plan = world.plan(&default_branch(&repository()));
    let adopted = keys(&plan, |action| matches!(action, Action::Adopt { .. }));
    assert!(adopted.iter().all(|key| !key.starts_with("CronWorkflow")));
}

#[test]
fn what_was_there_before_is_adopted_and_never_removed() {
    let mut other = world();
    settle(&mut other, &repository());
    // Everything of Google exists already, and no Record knows of it.
    let mut world = world();
    world.observed.google = other.observed.google.clone();
    let plan = world.plan(&default_branch(&repository()));
    let adopted = keys(&plan, |action| matches!(action, Action::Adopt { .. }));
    assert_eq!(
        adopted.len(),
        plan.changes.len() - keys(&plan, |a| *a == Action::Create).len()
    );
    settle(&mut world, &repository());
    let mut files = repository();
    files.remove("pipelines/billing/invoices.yaml");
    settle(&mut world, &files);
    assert_eq!(
        world.observed.google.policies,
        other.observed.google.policies
    );
    assert_eq!(
        world.observed.google.accounts,
        other.observed.google.accounts
    );
}
