//! `/apply <digest>`: what is held is approved by those who name it, and by nobody else.

use pipewright::command::CommandKey;
use pipewright::plan::Plan;
use pipewright::plan::approval::Reviewed;
use pipewright::plan::approve::{Approval, ApprovedPlan, Held, Mandate, approve};
use pipewright::plan::commanded::{Commanded, Names};

use crate::common::repository;
use crate::planning::{
    Files, approved_by, commit, default_branch, digest_of, memberships, merged, merged_at, name,
    settle, world,
};

fn apply(second: u64, actor: &str, plan: &Plan, pipeline: &str) -> Commanded {
    Commanded {
        key: CommandKey {
            comment: second,
            line: 1,
        },
        names: Names::Pipeline,
        pull: 9,
        actor: actor.into(),
        at: merged_at(second),
        digest: digest_of(plan, pipeline),
    }
}

fn mandate(reviewed: Vec<Reviewed>, commanded: Vec<Commanded>) -> Mandate {
    Mandate::Apply {
        contended: Default::default(),
        commit: commit('f'),
        reviewed,
        commanded,
        memberships: memberships(),
    }
}

fn decided(plan: &Plan, reviewed: Vec<Reviewed>, commanded: Vec<Commanded>) -> ApprovedPlan {
    approve(plan, &mandate(reviewed, commanded)).unwrap()
}

fn by_command(second: u64) -> Approval {
    Approval::Commanded {
        pull: 9,
        at: merged_at(second),
    }
}

/// The example as it was applied, and then pushed directly with another reader.
fn pushed_directly() -> Files {
    let mut files = repository();
    let file = files.get_mut("pipelines/billing/invoices.yaml").unwrap();
    *file = file.replace("group:", "group:audit-");
    files
}

#[test]
fn what_was_pushed_directly_is_applied_once_its_owner_names_the_digest() {
    let mut world = world();
    settle(&mut world, &repository());
    let plan = world.plan(&default_branch(&pushed_directly()));
    let invoices = name("invoices");

    let held = decided(&plan, vec![], vec![]);
    assert_eq!(held.held()[&invoices], Held::Unreviewed);
    for nobody in ["olga", "dana", "stranger"] {
        let held = decided(&plan, vec![], vec![apply(50, nobody, &plan, "invoices")]);
        assert!(
            matches!(held.held()[&invoices], Held::NoConsent { pull: 9, .. }),
            "{nobody}: {:?}",
            held.held()
        );
    }
    let another = Commanded {
        digest: digest_of(&plan, "orders"),
        ..apply(50, "bert", &plan, "invoices")
    };
    let held = decided(&plan, vec![], vec![another]);
    assert_eq!(held.held()[&invoices], Held::Unreviewed);

    let approved = decided(&plan, vec![], vec![apply(50, "bert", &plan, "invoices")]);
    assert_eq!(approved.approved()[&invoices], by_command(50));
    world.apply(&approved, usize::MAX);
    let again = world.plan(&default_branch(&pushed_directly()));
    assert!(!again.is_pending(&invoices));
}

#[test]
fn one_of_the_house_confirms_what_is_over_its_budget() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    files.remove("pipelines/billing/invoices.yaml");
    let limits = "limits: {prunes_per_apply: 2}\n";
    files.insert("policies/defaults.yaml".into(), limits.into());
    let plan = world.plan(&default_branch(&files));
    let invoices = name("invoices");
    let shown = digest_of(&plan, "invoices");
    let pull = merged(6, "bert", &[("invoices", &shown)]);
    let held = decided(&plan, vec![pull.clone()], vec![]);
    assert!(matches!(held.held()[&invoices], Held::PruneBudget { .. }));
    let over = held.over_budget().unwrap().clone();
    assert_eq!(over.pipelines, [invoices.clone()].into());
    let digest = over.digest.clone();
    let confirm = |actor: &str, names, digest| Commanded {
        names,
        digest,
        ..apply(50, actor, &plan, "invoices")
    };
    for not_enough in [
        confirm("bert", Names::Prunes, digest.clone()),
        confirm("dana", Names::Prunes, shown),
        confirm("dana", Names::Pipeline, digest.clone()),
    ] {
        let held = decided(&plan, vec![pull.clone()], vec![not_enough]);
        assert!(held.held().contains_key(&invoices), "{held:?}");
    }
    let confirmed = confirm("dana", Names::Prunes, digest.clone());
    // It is no consent.
    let held = decided(&plan, vec![], vec![confirmed.clone()]);
    assert_eq!(held.held()[&invoices], Held::Unreviewed);

    let approved = decided(&plan, vec![pull.clone()], vec![confirmed]);
    assert_eq!(approved.held().get(&invoices), None);
    let confirmed = approved.over_budget().unwrap();
    assert_eq!(
        (&confirmed.keys, confirmed.is_confirmed),
        (&over.keys, true)
    );
    // What was begun goes on, although nobody is there who says it again.
    world.apply(&approved, 4);
    let plan = world.plan(&default_branch(&files));
    assert!(plan.is_pending(&invoices));
    let approved = decided(&plan, vec![pull], vec![]);
    assert_eq!(approved.approved()[&invoices], Approval::Recorded);
    world.apply(&approved, usize::MAX);
    assert!(!world.plan(&default_branch(&files)).is_pending(&invoices));
}

#[test]
fn a_command_from_before_the_last_word_does_not_count() {
    let mut world = world();
    settle(&mut world, &repository());
    let pushed = world.plan(&default_branch(&pushed_directly()));
    let old = apply(50, "bert", &pushed, "invoices");
    let approved = decided(&pushed, vec![], vec![old.clone()]);
    world.apply(&approved, usize::MAX);

    // A reviewed pull request takes the reader away again, and a direct push brings it back.
    let plan = world.plan(&default_branch(&repository()));
    let shown = digest_of(&plan, "invoices");
    let pull = approved_by(merged(60, "nina", &[("invoices", &shown)]), "bert");
    let approved = decided(&plan, vec![pull.clone()], vec![old.clone()]);
    assert!(approved.approved().contains_key(&name("invoices")));
    world.apply(&approved, usize::MAX);
    let plan = world.plan(&default_branch(&pushed_directly()));
    assert_eq!(digest_of(&plan, "invoices"), old.digest);
    let held = decided(&plan, vec![pull.clone()], vec![old.clone()]);
    assert!(held.held().contains_key(&name("invoices")), "{held:?}");
    // Even where the pull request can not be read any more, the Record remembers.
    let held = decided(&plan, vec![], vec![old]);
    assert!(held.held().contains_key(&name("invoices")), "{held:?}");

    let new = apply(70, "bert", &plan, "invoices");
    let approved = decided(&plan, vec![pull], vec![new]);
    assert_eq!(approved.approved()[&name("invoices")], by_command(70));
}

#[test]
fn the_houses_owners_speak_for_all_where_only_the_house_changed_what_is_rendered() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    let defaults = files.get_mut("policies/defaults.yaml").unwrap();
    *defaults = defaults.replace("run_hours: 6", "run_hours: 7");
    let plan = world.plan(&default_branch(&files));
    assert_eq!(plan.findings, vec![]);
    let commands: Vec<Commanded> = ["orders", "returns", "invoices"]
        .iter()
        .map(|one| apply(50, "dana", &plan, one))
        .collect();
    let approved = decided(&plan, vec![], commands.clone());
    assert_eq!(approved.approved().len(), 3, "{:?}", approved.held());

    // Not where the file changed as well, and not where somebody else gains access.
    files
        .get_mut("pipelines/billing/invoices.yaml")
        .unwrap()
        .push_str("description: something else\n");
    let plan = world.plan(&default_branch(&files));
    let approved = decided(&plan, vec![], vec![apply(50, "dana", &plan, "invoices")]);
    assert!(matches!(
        approved.held()[&name("invoices")],
        Held::NoConsent { .. }
    ));
}
