//! The answers to commands: as people read them, whole, and never commands themselves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::whole::{assert_whole, hostile, many, poison};
use crate::command::testing::comment as written;
use crate::command::{CommandLine, Refused, parse};
use crate::name::PipelineName;
use crate::plan::Plan;
use crate::plan::approve::{ApprovedPlan, Mandate, Refusal, approve};
use crate::plan::commanded::Names;
use crate::plan::outcome::{Outcome, Outcomes};
use crate::sync::{
    CopyMode, Failure, LONGEST_REPORT, Outcome as TableOutcome, Persistence, RunReport, RunResult,
    TableReport,
};

fn line(text: &str) -> CommandLine {
    parse(&written("alice", text)).pop().unwrap()
}

/// Panics unless the reply is whole and is no command, even if a person posted it again or
/// quoted it. The one line that is made to be copied stands in a block of code.
fn assert_reply(text: &str) {
    let copied = |line: &&str| !line.starts_with("/apply ");
    assert_whole(&text.lines().filter(copied).collect::<Vec<_>>().join("\n"));
    let quoted: String = text.lines().map(|line| format!("> {line}\n")).collect();
    for body in [text, &quoted] {
        assert_eq!(parse(&written("alice", body)), [], "{body}");
    }
}

fn run(pipeline: &str, phase: Phase, message: Option<&str>) -> Run {
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    Run {
        pipeline: pipeline.parse().unwrap(),
        workflow: format!("{pipeline}-7-1"),
        phase,
        message: message.map(ToOwned::to_owned),
        started: at(1_767_225_600).filter(|_| phase != Phase::Gone),
        finished: at(1_767_225_725).filter(|_| phase == Phase::Failed),
        report: None,
    }
}

#[test]
fn a_run_tells_of_its_tables_and_nothing_of_theirs_is_a_command() {
    let hostile = "x |</details>\n/rerun `a` <b>";
    let table = |name: &str, result| TableReport {
        table: name.to_owned(),
        mode: CopyMode::Full,
        result,
        rows: Some(3),
        bytes: Some(40),
        slot_ms: None,
        duration_ms: None,
        notes: vec![hostile.to_owned()],
    };
    let failed = TableOutcome::Failed(Failure {
        persistence: Persistence::Permanent,
        error: hostile.to_owned(),
    });
    let tables = vec![
        table("a|b\n/rerun", failed),
        table("paid", TableOutcome::Copied),
    ];
    let result = RunResult {
        tables,
        ..RunResult::default()
    };
    let name: PipelineName = "orders".parse().unwrap();
    let mut ended = run("orders", Phase::Failed, None);
    let report = RunReport::new(name, "orders".parse().unwrap(), result);
    ended.report = RunReport::from_json(&report.to_json(LONGEST_REPORT)).ok();
    let reply = rerun_reply("/rerun orders", &[ended]);
    assert_reply(&reply);
    assert!(
        reply.contains("<summary><code>orders-7-1</code>: 1 copied, 0 skipped, 1 failed</summary>"),
        "{reply}"
    );
    assert!(
        reply.contains("| `paid` | copied | full | 3 | 40 |"),
        "{reply}"
    );
}

/// The default branch with two changes of which one was approved by its owner.
fn decided() -> (Plan, ApprovedPlan) {
    let (base, proposed) = two();
    let plan = merged(&base, &proposed);
    let approved = approve_as(&plan, &reviewed(&base, &proposed), "olga").unwrap();
    (plan, approved)
}

fn digest(plan: &Plan, name: &str) -> crate::name::Digest {
    plan.pipelines[&name.parse::<PipelineName>().unwrap()]
        .digest
        .clone()
}

fn applied_at(plan: &Plan, approved: &ApprovedPlan, name: &str, end: &Outcome) -> String {
    let steps = approved.steps().iter();
    apply_reply(&Asked {
        names: Names::Pipeline,
        pull: 12,
        digest: &digest(plan, name),
        commit: &commit('c'),
        plan,
        approved: Ok(approved),
        outcomes: &Outcomes {
            steps: steps.map(|step| (step.clone(), end.clone())).collect(),
        },
    })
}

fn status_of(
    plan: &Plan,
    approved: Result<&ApprovedPlan, &Refusal>,
    failed: &BTreeMap<PipelineName, String>,
    pipelines: &[&str],
    runs: &[Run],
) -> String {
    status_reply(&Status {
        pull: 12,
        commit: &commit('c'),
        plan,
        approved,
        failed,
        pipelines: &names(pipelines),
        runs,
    })
}

#[test]
fn help() {
    assert_reply(&help_reply());
    insta::assert_snapshot!(help_reply(), @r##"
    ### Commands

    | Command | What it does | Who may |
    |---|---|---|
    | `/plan` | plans this open pull request again | its author, and people with write access |
    | `/apply <digest>` | approves what is held at exactly this digest, on a merged pull request | the owners whose consent it needs |
    | `/confirm <digest>` | lets through what would prune more than the house allows at once, if it is exactly this, on a merged pull request | the house's owners |
    | `/rerun [pipeline ...] [tables=a,b]` | runs now what is on the default branch: the named pipelines, or those of this pull request; all tables, or the named ones | the pipeline's owners: those in its file, else its code owners with write access, else the owners of its connection's project; the house's owners |
    | `/status` | says how the pipelines of this pull request are, and how they ran last | people with read access |
    | `/help` | shows this | people with read access |

    A command is a line of its own in a new comment, outside of quotes, lists and code; after a quote, leave a line empty. An edited comment commands nothing.
    "##);
}

#[test]
fn what_is_not_done() {
    for (text, said) in [
        (
            "/apply 12ab",
            "`/apply 12ab`: not understood: `12ab` is only a part of a digest; copy the whole one, 64 hexadecimal digits. Write it as `/apply <digest>`.",
        ),
        (
            "/pln @acme/orders",
            "`/pln @acme/orders`: not understood: `/pln` is not a command; did you mean `/plan`? Write it as `/plan`.",
        ),
    ] {
        let line = line(text);
        let reply = misread_reply(&line.text, &line.asked.unwrap_err());
        assert_reply(&reply);
        assert_eq!(reply, said);
    }
    let reply = refused_reply("/plan", &Refused::NotOpen);
    assert_eq!(
        reply,
        "`/plan`: not done: `/plan` is for open pull requests, and this one is not open."
    );
}

#[test]
fn a_rerun_tells_how_each_run_ended() {
    let reply = rerun_reply(
        "/rerun stock orders",
        &[
            run(
                "orders",
                Phase::Failed,
                Some("3 tables copied, `x` failed | see @acme/orders"),
            ),
            run("stock", Phase::Gone, None),
        ],
    );
    assert_reply(&reply);
    insta::assert_snapshot!(reply, @r##"
    `/rerun stock orders`: 2 runs, 1 failed, 1 unknown

    | Pipeline | Run | Phase | What it says | Started | Ended |
    |---|---|---|---|---|---|
    | `orders` | `orders-7-1` | **Failed** | 3 tables copied, `x` failed `\|` see `@acme/orders` | `2026-01-01 00:00:00 UTC` | `2026-01-01 00:02:05 UTC` |
    | `stock` | `stock-7-1` | **unknown**, its run is gone |  |  |  |
    "##);
    assert_reply(&rerun_reply("/rerun", &[]));
}

#[test]
fn an_apply_tells_what_became_of_the_digest() {
    let (plan, approved) = decided();
    let reply = applied_at(&plan, &approved, "stock", &Outcome::Applied);
    assert_reply(&reply);
    insta::assert_snapshot!(reply, @r##"
    `/apply dd59ef0fdc5cf7b51563b1f85737fc92df07dd736047de5f68fc112c34b63ba7`

    ### Nothing applied: 1 pipeline, 1 held

    | Pipeline | Outcome | Next step |
    |---|---|---|
    | `stock` | **held:** owners have not agreed | ask `@acme/stock` or `@carol` (owners of `acme-stock`) for an approving review on this pull request: it is taken up as soon as it is given |

    <details>
    <summary>Approve it as it is now, by an owner's comment on a merged pull request</summary>

    `stock`:

    ```
     /apply dd59ef0fdc5cf7b51563b1f85737fc92df07dd736047de5f68fc112c34b63ba7
    ```

    </details>

    As of commit `cccccccc`.
    "##);
    let reply = applied_at(
        &plan,
        &approved,
        "orders",
        &Outcome::Failed("no @quota".into()),
    );
    assert!(reply.contains("| `orders` | **failed:**"), "{reply}");
    let other = crate::name::Digest::of(b"other");
    let reply = apply_reply(&Asked {
        names: Names::Pipeline,
        pull: 12,
        digest: &other,
        commit: &commit('c'),
        plan: &plan,
        approved: Ok(&approved),
        outcomes: &Outcomes::default(),
    });
    assert_reply(&reply);
    assert!(reply.contains("no pipeline on the default branch has this digest now"));
}

/// A prune is part of the digest, and once it is done the digest is another one.
#[test]
fn what_was_applied_at_a_digest_is_not_forgotten() {
    let base = two().1;
    let mut plan = merged(&base, &base);
    let name: PipelineName = "stock".parse().unwrap();
    let named = crate::name::Digest::of(b"with a prune");
    plan.records.get_mut(&name).unwrap().approved.digest = named.clone();
    let mandate = Mandate::Apply {
        contended: Default::default(),
        commit: commit('c'),
        reviewed: Vec::new(),
        commanded: Vec::new(),
        memberships: Default::default(),
    };
    let approved = approve(&plan, &mandate).unwrap();
    let reply = apply_reply(&Asked {
        names: Names::Pipeline,
        pull: 12,
        digest: &named,
        commit: &commit('c'),
        plan: &plan,
        approved: Ok(&approved),
        outcomes: &Outcomes::default(),
    });
    assert!(reply.contains(": applied: `stock`."), "{reply}");
}

#[test]
fn a_status_tells_each_pipeline_and_the_way_out() {
    let (plan, approved) = decided();
    let runs = [
        run("stock", Phase::Succeeded, None),
        run("stock", Phase::Running, None),
    ];
    let reply = status_of(
        &plan,
        Ok(&approved),
        &BTreeMap::new(),
        &["orders", "stock", "gone"],
        &runs,
    );
    assert_reply(&reply);
    insta::assert_snapshot!(reply, @r##"
    ### Status: 3 pipelines, 1 about to be applied, 1 waiting, 1 not on the default branch

    | Pipeline | State | Next step |
    |---|---|---|
    | `orders` | approved, and not yet applied whole | none: the next apply takes it up by itself |
    | `stock` | **waiting:** owners have not agreed | ask `@acme/stock` or `@carol` (owners of `acme-stock`) for an approving review on this pull request: it is taken up as soon as it is given |
    | `gone` | not on the default branch |  |

    <details>
    <summary>Approve it as it is now, by an owner's comment on a merged pull request</summary>

    `stock`:

    ```
     /apply dd59ef0fdc5cf7b51563b1f85737fc92df07dd736047de5f68fc112c34b63ba7
    ```

    </details>

    **Last runs**

    | Pipeline | Run | Phase | What it says | Started | Ended |
    |---|---|---|---|---|---|
    | `stock` | `stock-7-1` | Succeeded |  | `2026-01-01 00:00:00 UTC` |  |
    | `stock` | `stock-7-1` | Running |  | `2026-01-01 00:00:00 UTC` |  |

    As of commit `cccccccc`.
    "##);
    let copied = format!("\n```\n /apply {}\n```\n", digest(&plan, "stock"));
    assert!(reply.contains(&copied), "{reply}");

    let failed = [("orders".parse().unwrap(), "quota of `x`".to_owned())].into();
    let reply = status_of(&plan, Ok(&approved), &failed, &["orders"], &[]);
    assert!(
        reply.contains("| `orders` | **failed:** quota of `x` |"),
        "{reply}"
    );

    let base = two().0;
    let calm = merged(&base, &base);
    let refusal = Refusal::BrokenPolicies { findings: 1 };
    let reply = status_of(&calm, Err(&refusal), &BTreeMap::new(), &["stock"], &[]);
    assert!(reply.contains("| `stock` | in order |"), "{reply}");
    let reply = status_of(&plan, Err(&refusal), &BTreeMap::new(), &["stock"], &[]);
    assert!(
        reply.contains("| `stock` | **waiting:** nothing at all"),
        "{reply}"
    );
    assert_reply(&status_of(&plan, Ok(&approved), &BTreeMap::new(), &[], &[]));
}

#[test]
fn thousands_of_pipelines_fit() {
    let plan = many(2_000);
    let approved = approve_as(&plan, &plan, "nobody").unwrap();
    let all: Vec<String> = plan.pipelines.keys().map(ToString::to_string).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let runs: Vec<Run> = all
        .iter()
        .map(|name| run(name, Phase::Failed, Some("no")))
        .collect();
    let reply = status_of(&plan, Ok(&approved), &BTreeMap::new(), &all, &runs);
    assert_reply(&reply);
    assert!(reply.contains("### Status: 2000 pipelines, 2000 waiting"));
    assert!(reply.matches("/apply ").count() > 10 && reply.contains("more."));
    assert_reply(&rerun_reply("/rerun", &runs));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn replies_stay_whole_and_command_nothing(text in hostile()) {
        let (mut plan, approved) = decided();
        poison(&mut plan, &text);
        let runs = [run("stock", Phase::Error, Some(&text))];
        assert_reply(&rerun_reply(&text, &runs));
        assert_reply(&refused_reply(&text, &Refused::Edited));
        for verb in ["/plan", "/apply", "/rerun", "/rerun tables=", "/pla"] {
            let flat = text.replace(['\n', '\r'], " ");
            for line in parse(&written("alice", &format!("{verb} {flat}"))) {
                if let Err(misread) = &line.asked {
                    assert_reply(&misread_reply(&line.text, misread));
                }
            }
        }
        assert_reply(&applied_at(&plan, &approved, "orders", &Outcome::Failed(text.clone())));
        let failed = [("orders".parse().unwrap(), text.clone())].into();
        let refusal = Refusal::BrokenPolicies { findings: 1 };
        for approved in [Ok(&approved), Err(&refusal)] {
            assert_reply(&status_of(&plan, approved, &failed, &["orders", "stock"], &runs));
        }
    }
}
