//! Posting: a passage's report goes to the pull request. A failure here undoes nothing and
//! repeats nothing: the run is tried again, and ends in the same comment and check.

use std::collections::BTreeSet;

use crate::edges::forge::Forge;
use crate::edges::forge::check::{
    Annotation, AnnotationLevel, CheckRun, CheckState, Conclusion, NAME,
};
use crate::edges::forge::comment::IfMissing;
use crate::edges::forge::digest::digest_block;
use crate::event::PullNumber;
use crate::finding::Severity;
use crate::name::{CommitSha, PipelineName};
use crate::plan::Plan;
use crate::plan::approval::Digests;
use crate::plan::approve::{Approval, Held};
use crate::plan::commanded::Commanded;
use crate::report;

use super::commands::answer_marker;
use super::reconcile::{Passage, Planned};

/// Marks the one comment that is edited in place.
const MARKER: &str = "plan";

/// Shows a plan on its pull request: the comment, and the check with the digests.
/// Where there is nothing to do, no comment is made; one that exists says so.
///
/// # Errors
/// If GitHub does not take it.
pub(super) async fn review(
    forge: &Forge,
    number: PullNumber,
    head: &CommitSha,
    passage: &Passage,
) -> anyhow::Result<()> {
    let (body, if_missing) = match passage {
        Passage::Superseded => return Ok(()),
        Passage::Conflict { files } => (report::conflict_comment(head, files), IfMissing::Create),
        Passage::Planned(planned) => {
            let plan = &planned.plan;
            let silent = plan.pipelines.is_empty() && plan.findings.is_empty();
            let body = report::review_comment(&report::Review { head, plan });
            (
                body,
                if silent {
                    IfMissing::Leave
                } else {
                    IfMissing::Create
                },
            )
        }
    };
    // The digests first: an approval that follows the comment at once must find them.
    check(forge, head, passage).await?;
    forge
        .put_sticky_comment(number, MARKER, &body, if_missing)
        .await?;
    Ok(())
}

/// Puts the check on a commit.
///
/// # Errors
/// If GitHub does not take it.
pub(super) async fn check(
    forge: &Forge,
    head: &CommitSha,
    passage: &Passage,
) -> anyhow::Result<()> {
    let run = match passage {
        Passage::Superseded => return Ok(()),
        Passage::Conflict { files } => CheckRun {
            name: NAME.to_owned(),
            head: head.clone(),
            state: CheckState::Completed(Conclusion::Failure),
            title: "conflicts with the base branch".to_owned(),
            summary: report::conflict_comment(head, files),
            text: digest_block(&Digests::new()),
            annotations: Vec::new(),
            external_id: String::new(),
        },
        Passage::Planned(planned) => check_run(head, &planned.plan),
    };
    forge.put_check_run(&run).await?;
    Ok(())
}

fn check_run(head: &CommitSha, plan: &Plan) -> CheckRun {
    let check = report::check_summary(plan);
    let digests: Digests = plan
        .pipelines
        .iter()
        .map(|(name, pipeline)| (name.clone(), pipeline.digest.clone()))
        .collect();
    let annotations: Vec<Annotation> = check
        .annotations
        .into_iter()
        .map(|note| Annotation {
            path: note.path,
            start_line: note.span.map_or(1, |span| count(span.line)),
            end_line: note.span.map_or(1, |span| count(span.end_line)),
            start_column: note.span.map(|span| count(span.column)),
            // Ours is exclusive, GitHub's is not.
            end_column: note
                .span
                .map(|span| count(span.end_column.saturating_sub(1).max(span.column))),
            level: match note.severity {
                Severity::Deny => AnnotationLevel::Failure,
                Severity::Warn => AnnotationLevel::Warning,
            },
            title: note.title,
            message: note.message,
        })
        .collect();
    let block = digest_block(&digests);
    // A new id makes a new run: what an earlier one showed stays readable, because an
    // approval counts for what was shown when it was given.
    let shown = format!("{:?}{block}", annotations);
    CheckRun {
        name: NAME.to_owned(),
        head: head.clone(),
        state: CheckState::Completed(match check.conclusion {
            report::Conclusion::Success => Conclusion::Success,
            report::Conclusion::Failure => Conclusion::Failure,
        }),
        title: check.title,
        summary: check.summary,
        text: format!("What a review approves, by pipeline:\n\n{block}"),
        annotations,
        external_id: crate::name::Digest::of(shown.as_bytes()).short().to_owned(),
    }
}

/// Lines and columns are far below the limit: files are.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Says on each pull request that the run concerns what became of its pipelines.
///
/// # Errors
/// If GitHub does not take it.
pub(super) async fn applied(
    forge: &Forge,
    commit: &CommitSha,
    planned: &Planned,
) -> anyhow::Result<()> {
    for (pull, pipelines) in concerned(planned) {
        let body = report::applied_comment(&report::Applied {
            pull,
            commit,
            plan: &planned.plan,
            approved: planned.approved.as_ref(),
            outcomes: &planned.outcomes,
            pipelines: &pipelines,
        });
        forge
            .put_sticky_comment(pull, MARKER, &body, IfMissing::Create)
            .await?;
    }
    Ok(())
}

/// The pull requests that brought a pipeline that moved or is held, and which.
fn concerned(planned: &Planned) -> Vec<(PullNumber, BTreeSet<PipelineName>)> {
    let mut concerned: std::collections::BTreeMap<PullNumber, BTreeSet<PipelineName>> =
        std::collections::BTreeMap::new();
    let mut add = |pull: PullNumber, name: &PipelineName| {
        concerned.entry(pull).or_default().insert(name.clone());
    };
    if let Ok(approved) = &planned.approved {
        for (name, approval) in approved.approved() {
            match approval {
                Approval::Reviewed { pull, .. } | Approval::Commanded { pull, .. } => {
                    add(*pull, name);
                }
                // Resumed or mended: the pull request that allowed it hears of it.
                Approval::Recorded => {
                    let record = planned.plan.records.get(name);
                    if let Some(pull) = record.and_then(|record| record.approved.pull) {
                        add(pull, name);
                    }
                }
            }
        }
        for (name, held) in approved.held() {
            match held {
                Held::OtherDigest { pull, .. } | Held::NoConsent { pull, .. } => add(*pull, name),
                Held::Drifted(_) => {
                    let record = planned.plan.records.get(name);
                    if let Some(pull) = record.and_then(|record| record.approved.pull) {
                        add(pull, name);
                    }
                }
                // The newest one that showed it: an older one was answered in its own time.
                _ => {
                    let mut newest_first = planned.shown.iter().rev();
                    if let Some((pull, _)) = newest_first.find(|(_, shown)| shown.contains(name)) {
                        add(*pull, name);
                    }
                }
            }
        }
    } else {
        for (pull, digests) in &planned.shown {
            for name in digests {
                add(*pull, name);
            }
        }
    }
    // Where one pipeline of a pull request moved, the others of it are told as well.
    for (pull, names) in &mut concerned {
        if let Some(shown) = planned.shown.get(pull) {
            names.extend(shown.iter().cloned());
        }
    }
    concerned.into_iter().collect()
}

/// Answers every `/apply` that the run was asked for by.
///
/// # Errors
/// If GitHub does not take it.
pub(super) async fn commanded(
    forge: &Forge,
    commit: &CommitSha,
    planned: &Planned,
    commanded: &BTreeSet<Commanded>,
) -> anyhow::Result<()> {
    for one in commanded {
        let reply = report::apply_reply(&report::Asked {
            pull: one.pull,
            names: one.names,
            digest: &one.digest,
            commit,
            plan: &planned.plan,
            approved: planned.approved.as_ref(),
            outcomes: &planned.outcomes,
        });
        forge
            .put_sticky_comment(one.pull, &answer_marker(one.key), &reply, IfMissing::Create)
            .await?;
    }
    Ok(())
}
