//! `/rerun`: a run now, of what the schedules run at night.
//!
//! The run's name follows from the command, so the API server refuses a second one. Runs
//! are forgotten, or deleted by somebody who wants to stop one, so what is begun is claimed
//! in the cluster before, and noted as made after: a run that was made once and is gone is
//! called unknown, and one that was surely never made is made up for. At most once always,
//! exactly once within retention.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::command::{AuthorizedCommand, Claim, CommandKey};
use crate::edges::cluster::{Cluster, ClusterError, Phase, Run};
use crate::name::{PgName, PipelineName};
use crate::render::{Cron, crons, rerun_name};
use crate::report;
use crate::sync::RunReport;

use super::commands::End;
use super::ground::Ground;
use super::worker::Worker;

/// When a run that has not ended is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// How long a claim that does not say that its run was made means that it was not. Later it
/// may have been made, ended and forgotten.
const CERTAIN: Duration = Duration::from_secs(3600);

/// How far one pipeline's part of the command is.
enum Part {
    Ended(Vec<report::Run>),
    /// It runs, or waits for its turn.
    UnderWay,
}

impl Worker {
    pub(super) async fn rerun(
        &self,
        ground: &Ground,
        command: &AuthorizedCommand,
        (pipelines, tables): (&BTreeSet<PipelineName>, &BTreeSet<PgName>),
        line: &str,
    ) -> anyhow::Result<End> {
        let (mut ended, mut under_way) = (Vec::new(), false);
        for name in pipelines {
            match self.rerun_one(ground, command.key(), name, tables).await? {
                Part::Ended(runs) => ended.extend(runs),
                Part::UnderWay => under_way = true,
            }
        }
        if under_way {
            return Ok(End::Waits(LOOK_AGAIN));
        }
        let reply = report::rerun_reply(line, &ended);
        self.answer(command.pull(), command.key(), &reply).await
    }

    async fn rerun_one(
        &self,
        ground: &Ground,
        key: CommandKey,
        name: &PipelineName,
        tables: &BTreeSet<PgName>,
    ) -> anyhow::Result<Part> {
        let Some(rendered) = ground.proposal.desired.pipelines.get(name) else {
            return Ok(Part::Ended(vec![told_of(
                name,
                String::new(),
                report::Phase::NotApplied,
            )]));
        };
        let wanted = wanted(&crons(&rendered.bound), tables);
        match self.carry_on(key, name, &wanted).await {
            Ok(part) => Ok(part),
            // No Record, or no schedule in the cluster.
            Err(ClusterError::NotFound { .. }) => {
                let none = told_of(name, String::new(), report::Phase::NotApplied);
                Ok(Part::Ended(vec![none]))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn carry_on(
        &self,
        key: CommandKey,
        name: &PipelineName,
        wanted: &[(String, BTreeSet<PgName>)],
    ) -> Result<Part, ClusterError> {
        let cluster = &self.edges.cluster;
        let now = self.clock.now();
        let claims = cluster.claims(name).await?;
        let claim = claims.into_iter().find(|claim| claim.key == key);
        if claim.is_none() && is_busy(cluster, wanted).await? {
            return Ok(Part::UnderWay);
        }
        let claim = match claim {
            Some(claim) => claim,
            None => {
                let claim = Claim {
                    key,
                    claimed_at: now,
                    made_at: None,
                };
                cluster.claim(name, &claim).await?
            }
        };
        let may_make = claim.made_at.is_none() && now < claim.claimed_at + CERTAIN;
        let (mut ended, mut under_way) = (Vec::new(), false);
        for (cron, tables) in wanted {
            let workflow = rerun_name(cron, key);
            match cluster.run(&workflow).await? {
                Some(run) if run.phase.is_final() => ended.push(told(name, &run)),
                Some(_) => under_way = true,
                None if may_make => match cluster.submit(cron, &workflow, tables, now).await {
                    Ok(_) => under_way = true,
                    Err(ClusterError::NotFound { .. }) => {
                        ended.push(told_of(name, workflow, report::Phase::NotApplied));
                    }
                    Err(error) => return Err(error),
                },
                None => ended.push(told_of(name, workflow, report::Phase::Gone)),
            }
        }
        if claim.made_at.is_none() {
            cluster.note_made(name, key, now).await?;
        }
        Ok(if under_way {
            Part::UnderWay
        } else {
            Part::Ended(ended)
        })
    }
}

/// The schedules that copy one of the tables, each with those of them; all of them with no
/// choice if no table was named.
fn wanted(crons: &[Cron], tables: &BTreeSet<PgName>) -> Vec<(String, BTreeSet<PgName>)> {
    crons
        .iter()
        .map(|cron| {
            let chosen: BTreeSet<PgName> = tables
                .iter()
                .filter(|table| cron.tables.contains(table))
                .cloned()
                .collect();
            (cron.name.clone(), chosen)
        })
        .filter(|(_, chosen)| tables.is_empty() || !chosen.is_empty())
        .collect()
}

/// Whether one of the schedules has a run that has not ended: then the command waits for
/// its turn.
async fn is_busy(
    cluster: &Cluster,
    wanted: &[(String, BTreeSet<PgName>)],
) -> Result<bool, ClusterError> {
    for (cron, _) in wanted {
        if !cluster.active(cron).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn told(pipeline: &PipelineName, run: &Run) -> report::Run {
    // A runner of another version is taken at Argo's word.
    let text = run.report.as_deref().unwrap_or_default();
    let report = RunReport::from_json(text).ok();
    let said = report.as_ref().map(|report| report.message.clone());
    report::Run {
        pipeline: pipeline.clone(),
        workflow: run.name.clone(),
        phase: match &run.phase {
            Phase::Pending | Phase::Unknown(_) => report::Phase::Pending,
            Phase::Running => report::Phase::Running,
            Phase::Succeeded => report::Phase::Succeeded,
            Phase::Failed => report::Phase::Failed,
            Phase::Error => report::Phase::Error,
        },
        message: said.or_else(|| run.message.clone()),
        started: run.started_at,
        finished: run.finished_at,
        report,
    }
}

/// A run that is not there to tell.
fn told_of(pipeline: &PipelineName, workflow: String, phase: report::Phase) -> report::Run {
    report::Run {
        pipeline: pipeline.clone(),
        workflow,
        phase,
        message: None,
        started: None,
        finished: None,
        report: None,
    }
}
