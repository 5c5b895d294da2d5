//! `/status`: how a pull request's pipelines are, with nothing written.

use std::collections::BTreeMap;

use crate::name::PipelineName;
use crate::plan::approve::approve;
use crate::plan::plan;
use crate::render::crons;
use crate::report;

use super::consent;
use super::ground::Ground;
use super::observe::observe;
use super::reconcile::Run;
use super::rerun::told;
use super::worker::Worker;

/// The last runs that are shown of each schedule.
const RUNS: usize = 3;

impl Worker {
    /// The reply: the line up to the apply, and the last runs.
    pub(super) async fn status(&self, ground: &Ground) -> anyhow::Result<String> {
        let observed = observe(&self.edges, &ground.proposal).await?;
        let plan = plan(&ground.proposal, &observed);
        let run = Run {
            contended: self.memory.contended(self.clock.now()),
            ..ground.as_run()
        };
        let mandate = consent::read(&self.edges, &plan, &ground.commit, &run).await?;
        let approved = approve(&plan, &mandate);
        let mut runs = Vec::new();
        for name in &ground.about {
            runs.extend(self.last_runs(ground, name).await?);
        }
        Ok(report::status_reply(&report::Status {
            pull: ground.pull.number,
            commit: &ground.commit,
            plan: &plan,
            approved: approved.as_ref(),
            failed: &BTreeMap::new(),
            pipelines: &ground.about,
            runs: &runs,
        }))
    }

    async fn last_runs(
        &self,
        ground: &Ground,
        name: &PipelineName,
    ) -> anyhow::Result<Vec<report::Run>> {
        let rendered = ground.proposal.desired.pipelines.get(name);
        let mut last = Vec::new();
        for cron in rendered.iter().flat_map(|rendered| crons(&rendered.bound)) {
            let runs = self.edges.cluster.runs(&cron.name).await?;
            last.extend(runs.iter().rev().take(RUNS).map(|run| told(name, run)));
        }
        Ok(last)
    }
}
