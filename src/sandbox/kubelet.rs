//! A node of one pod after the other: what a Workflow that Argo began is to run, runs here, as
//! a process of its own with the pod's command and environment and nothing else.
//!
//! It takes the part of Argo's `wait` container too: the exit code, and the file that is the
//! output parameter. Attempts follow each other as `retryStrategy` says. It leaves out images
//! (the program stands for the runner's), limits of memory and time, volumes (the report's path
//! is one in a folder of its own), and the end of a token.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

/// Where pods are run.
pub struct Kubelet {
    program: PathBuf,
    /// What the node gives to every pod: where Google is here.
    given: Vec<(&'static str, String)>,
    pods: BTreeMap<String, Pod>,
    folder: TempDir,
}

/// A Workflow's pod, over all of its attempts.
struct Pod {
    template: Value,
    environment: Vec<(String, String)>,
    attempt: u32,
    now: Now,
}

enum Now {
    Runs(Child),
    WaitsUntil(Timestamp),
}

/// What became of a Workflow's pod.
#[derive(Debug)]
pub struct Ended {
    pub run: String,
    pub code: Option<i32>,
    /// The output parameter, if the process left one.
    pub report: Option<String>,
}

impl Kubelet {
    /// A node that runs `program` where a pod asks for `pipewright`.
    ///
    /// # Errors
    /// If it gets no folder.
    pub fn new(program: PathBuf, given: Vec<(&'static str, String)>) -> anyhow::Result<Self> {
        Ok(Self {
            program,
            given,
            pods: BTreeMap::new(),
            folder: tempfile::tempdir().context("make a folder for the pods")?,
        })
    }

    /// Starts the pod of each running Workflow that has none, and says which. `token` is what
    /// the metadata server gives to a Kubernetes service account.
    ///
    /// # Errors
    /// If one can not be started.
    pub fn start(
        &mut self,
        workflows: &[Value],
        now: Timestamp,
        token: impl Fn(&str) -> String,
    ) -> anyhow::Result<Vec<String>> {
        let mut started = Vec::new();
        for run in workflows {
            let name = text(run, "/metadata/name");
            if text(run, "/status/phase") != "Running" || self.pods.contains_key(name) {
                continue;
            }
            let template = entry(run).with_context(|| format!("{name} has no entry template"))?;
            let mut environment = environment(run, template);
            let account = text(run, "/spec/serviceAccountName");
            environment.push(("PIPEWRIGHT_GOOGLE_TOKEN".to_owned(), token(account)));
            let pod = Pod {
                template: template.clone(),
                environment,
                attempt: 0,
                now: Now::WaitsUntil(now),
            };
            self.pods.insert(name.to_owned(), pod);
            started.push(name.to_owned());
        }
        Ok(started)
    }

    /// Starts attempts that are due, and tells the pods that have ended for good.
    ///
    /// # Errors
    /// If a process can not be started or looked at.
    pub fn look(&mut self, now: Timestamp) -> anyhow::Result<Vec<Ended>> {
        let mut ended = Vec::new();
        for (name, pod) in &mut self.pods {
            let report = self.folder.path().join(name);
            match &mut pod.now {
                Now::WaitsUntil(due) if *due > now => {}
                Now::WaitsUntil(_) => {
                    let child = pod.process(&self.program, &self.given, &report)?;
                    pod.now = Now::Runs(child);
                }
                Now::Runs(child) => {
                    let status = child.try_wait().context("look at a pod's process")?;
                    let Some(status) = status else { continue };
                    pod.attempt += 1;
                    match pod.again(status.code(), now) {
                        Some(due) => pod.now = Now::WaitsUntil(due),
                        None => ended.push(Ended {
                            run: name.clone(),
                            code: status.code(),
                            report: std::fs::read_to_string(&report).ok(),
                        }),
                    }
                }
            }
        }
        for one in &ended {
            self.pods.remove(&one.run);
        }
        Ok(ended)
    }
}

/// What still runs is killed: nobody would look after it.
impl Drop for Kubelet {
    fn drop(&mut self) {
        for pod in self.pods.values_mut() {
            if let Now::Runs(child) = &mut pod.now {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Pod {
    fn process(
        &self,
        program: &PathBuf,
        given: &[(&'static str, String)],
        report: &PathBuf,
    ) -> anyhow::Result<Child> {
        let texts = |pointer: &str| -> Vec<&str> {
            let list = self.template.pointer(pointer).and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect()
        };
        ensure!(
            texts("/container/command") == ["pipewright"],
            "the image holds `pipewright` and nothing else"
        );
        Command::new(program)
            .args(texts("/container/args"))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(given.iter().map(|(name, value)| (name, value)))
            .env("PIPEWRIGHT_REPORT", report)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program.display()))
    }

    /// When the next attempt is due, if there is one.
    fn again(&self, code: Option<i32>, now: Timestamp) -> Option<Timestamp> {
        let strategy = self.template.get("retryStrategy")?;
        let number = |pointer: &str| text(strategy, pointer).parse::<u32>().ok();
        let permanent = text(strategy, "/expression")
            .strip_prefix("asInt(lastRetry.exitCode) != ")?
            .parse::<i32>()
            .ok()?;
        if code == Some(0) || code == Some(permanent) || self.attempt > number("/limit")? {
            return None;
        }
        let factor = number("/backoff/factor").unwrap_or(1);
        let wait =
            number("/backoff/duration")?.checked_mul(factor.checked_pow(self.attempt - 1)?)?;
        now.checked_add(SignedDuration::from_secs(wait.into())).ok()
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn entry(run: &Value) -> Option<&Value> {
    let entry = run.pointer("/spec/entrypoint")?;
    let templates = run.pointer("/spec/templates")?.as_array()?;
    templates
        .iter()
        .find(|template| template.get("name") == Some(entry))
}

/// The container's variables, with what Argo fills in.
fn environment(run: &Value, template: &Value) -> Vec<(String, String)> {
    let mut filled = vec![(
        "{{workflow.uid}}".to_owned(),
        text(run, "/metadata/uid").to_owned(),
    )];
    let parameters = run.pointer("/spec/arguments/parameters");
    for parameter in parameters.and_then(Value::as_array).into_iter().flatten() {
        let name = text(parameter, "/name");
        let value = text(parameter, "/value").to_owned();
        filled.push((format!("{{{{workflow.parameters.{name}}}}}"), value));
    }
    let variables = template.pointer("/container/env").and_then(Value::as_array);
    let variables = variables.into_iter().flatten();
    variables
        .map(|variable| {
            let mut value = text(variable, "/value").to_owned();
            for (placeholder, with) in &filled {
                value = value.replace(placeholder, with);
            }
            (text(variable, "/name").to_owned(), value)
        })
        .collect()
}
