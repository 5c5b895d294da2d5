//! Runs that end when they are told to, on either server.

use std::time::Duration;

use pipewright::sandbox::kubernetes::{Ending, Kubernetes};
use serde_json::Value;

use crate::api::text;
use crate::kubelet::{Image, Kubelet, script};
use crate::place::{Place, Server};

/// How often the simulated controller looks at everything.
const LOOK: Duration = Duration::from_millis(20);

pub struct Controller<'p> {
    place: &'p Place,
    hand: Hand,
}

enum Hand {
    /// Argo's own controller is at work, and pods wait for a file.
    Real {
        folder: tempfile::TempDir,
        _kubelet: Kubelet,
    },
    Simulated {
        kubernetes: Kubernetes,
        turning: tokio::task::JoinHandle<()>,
    },
}

impl Drop for Hand {
    fn drop(&mut self) {
        if let Self::Simulated { turning, .. } = self {
            turning.abort();
        }
    }
}

impl<'p> Controller<'p> {
    pub fn of(place: &'p Place) -> Self {
        let hand = match &place.server {
            Server::Real { .. } => {
                let folder = tempfile::tempdir().unwrap();
                let lines = format!(
                    "end={}/$PIPEWRIGHT_RUN_UID\n\
                     while ! [ -e $end ]; do sleep 0.05; done\n\
                     cp $end.report $PIPEWRIGHT_REPORT\n\
                     exit $(cat $end)",
                    folder.path().display()
                );
                let image: Image = script(folder.path(), &lines);
                Hand::Real {
                    _kubelet: Kubelet::start(place, image),
                    folder,
                }
            }
            Server::Simulated(kubernetes) => {
                let turned = kubernetes.clone();
                let turning = tokio::spawn(async move {
                    loop {
                        turned.argo_step().unwrap();
                        tokio::time::sleep(LOOK).await;
                    }
                });
                Hand::Simulated {
                    kubernetes: kubernetes.clone(),
                    turning,
                }
            }
        };
        Self { place, hand }
    }

    /// Ends every pod of the run with this exit code, which leaves this report.
    pub async fn finish(&self, run: &str, code: i32, report: &str) {
        match &self.hand {
            Hand::Real { folder, .. } => {
                let live: Value = self.place.api.get("Workflow", run).await;
                let end = folder.path().join(text(&live, "/metadata/uid"));
                std::fs::write(end.with_extension("report"), report).unwrap();
                // Whole at once: it is looked for all the time.
                let whole = end.with_extension("code");
                std::fs::write(&whole, code.to_string()).unwrap();
                std::fs::rename(whole, end).unwrap();
            }
            Hand::Simulated { kubernetes, .. } => {
                let ending = match code {
                    0 => Ending::Succeeded,
                    _ => Ending::Failed,
                };
                let namespace = &self.place.namespace;
                kubernetes
                    .finish_run(namespace, run, ending, "", Some(report))
                    .unwrap();
            }
        }
    }
}
