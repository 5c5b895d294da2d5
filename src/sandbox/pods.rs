//! Pods on the stage: what Argo begins runs as a process, and what it leaves comes back.

use std::path::PathBuf;

use serde_json::json;

use super::kubelet::{Kubelet, PodNews};
use super::kubernetes::Ending;
use super::stage::{NAMESPACE, Stage};

impl Stage {
    /// From now on `program` runs what Argo begins, and reads from this PostgreSQL (a
    /// connection string) or from a small fixed database.
    ///
    /// # Errors
    /// If there is no folder for it.
    pub fn run_pods(&mut self, program: PathBuf, postgres: Option<&str>) -> anyhow::Result<()> {
        self.google.set_source(postgres);
        let given = vec![
            ("PIPEWRIGHT_BIGQUERY_URL", self.google.url()),
            ("PIPEWRIGHT_BIGQUERY_CONNECTION_URL", self.google.url()),
        ];
        self.kubelet = Some(Kubelet::new(program, given)?);
        Ok(())
    }

    /// Starts the pods of what Argo began, and ends the Workflows whose pods have ended, with
    /// what they left. Says what happened.
    pub fn turn_pods(&mut self) -> Vec<PodNews> {
        let Some(kubelet) = &mut self.kubelet else {
            return Vec::new();
        };
        let now = self.worker.clock.now();
        let mut workflows = self.kubernetes.objects();
        workflows.retain(|object| object.get("kind") == Some(&json!("Workflow")));
        let (kubernetes, google) = (&self.kubernetes, &self.google);
        let house = &self.worker.house;
        let token = |account: &str| {
            let object = kubernetes.get("ServiceAccount", NAMESPACE, account);
            let email = object.as_ref().and_then(|object| {
                let annotations = object.pointer("/metadata/annotations")?;
                annotations.get("iam.gke.io/gcp-service-account")?.as_str()
            });
            let member = format!(
                "serviceAccount:{}[{NAMESPACE}/{account}]",
                house.workload_pool
            );
            let project = house.identity_project.as_str();
            let token = email.and_then(|email| google.act_as(project, email, &member));
            // Nobody's: Google refuses it.
            token.unwrap_or_else(|| "ya29.nobody".to_owned())
        };
        let news = kubelet.turn(&workflows, now, token);
        for one in &news {
            let PodNews::Ended(ended) = one else { continue };
            let ending = match ended.code {
                0 => Ending::Succeeded,
                _ => Ending::Failed,
            };
            let (run, report) = (&ended.run, ended.report.as_deref());
            // Deleted just now, or stopped: there is nothing left to end.
            if let Err(error) = kubernetes.finish_run(NAMESPACE, run, ending, &ended.why, report) {
                tracing::warn!(run, error = format!("{error:#}"), "not ended");
            }
        }
        news
    }
}
