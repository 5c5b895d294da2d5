//! Pods on the stage: what Argo begins runs as a process, and what it leaves comes back.

use std::path::PathBuf;

use serde_json::json;

use super::kubelet::{Ended, Kubelet};
use super::kubernetes::Ending;
use super::stage::{NAMESPACE, Stage};

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNews {
    /// Of the Workflow of this name.
    Started(String),
    Ended(String),
}

impl Stage {
    /// From now on `program` runs what Argo begins, and reads from this PostgreSQL (a connection
    /// string without a database) or from a small fixed database.
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
    ///
    /// # Errors
    /// If a process or a Workflow can not be handled.
    pub fn turn_pods(&mut self) -> anyhow::Result<Vec<PodNews>> {
        let Some(kubelet) = &mut self.kubelet else {
            return Ok(Vec::new());
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
        let started = kubelet.start(&workflows, now, token)?.into_iter();
        let mut news: Vec<PodNews> = started.map(PodNews::Started).collect();
        for Ended { run, code, report } in kubelet.look(now)? {
            // Argo's words for the two ways in which attempts come to an end.
            let (ending, why) = match code {
                Some(0) => (Ending::Succeeded, ""),
                Some(2) => (
                    Ending::Failed,
                    "retryStrategy.expression evaluated to false",
                ),
                _ => (Ending::Failed, "No more retries left"),
            };
            kubernetes.finish_run(NAMESPACE, &run, ending, why, report.as_deref())?;
            news.push(PodNews::Ended(run));
        }
        Ok(news)
    }
}
