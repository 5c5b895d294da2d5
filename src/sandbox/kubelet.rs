//! A node: what a Workflow that Argo began is to run, runs here, as a process with the pod's
//! command and environment and nothing else, one for each attempt.
//!
//! It takes the part of Argo's `wait` container too: the exit code, and the file that is the
//! output parameter. Attempts follow each other as `retryStrategy` says, until the Workflow's
//! deadline. A process is killed when its Workflow ends or goes without it, after a quarter of an
//! hour, and with the node. It leaves out images (the program stands for the runner's), limits of
//! memory, volumes (the report's path is one in a folder of its own), and the end of a token.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

/// Processes at a time; what is due beyond them waits.
const MOST: usize = 4;
/// How long one may take. What it is asked to copy here is small.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// As a shell counts a process that was killed, and a command that can not be started.
const KILLED: i32 = 128 + 9;
const NOT_STARTED: i32 = 126;
/// More than any report has, in bytes.
const LONGEST_REPORT: u64 = 1 << 20;

/// Where pods are run.
pub struct Kubelet {
    program: PathBuf,
    /// What the node gives to every pod: where Google is here.
    given: Vec<(&'static str, String)>,
    /// By the uid of their Workflow: a name may come again.
    pods: BTreeMap<String, Pod>,
    folder: TempDir,
}

/// A Workflow's pods: all of its attempts.
struct Pod {
    run: String,
    template: Value,
    environment: Vec<(String, String)>,
    began: Timestamp,
    until: Timestamp,
    /// How many have ended.
    attempts: u32,
    now: Now,
}

enum Now {
    Runs(Process),
    WaitsUntil(Timestamp),
}

/// What happened to a Workflow's pods.
#[derive(Debug, PartialEq, Eq)]
pub enum PodNews {
    /// The first attempt of the Workflow of this name.
    Started(String),
    /// An attempt ended with this exit code, and another one comes, not before then.
    Again(String, i32, Timestamp),
    Ended(Ended),
    /// Its process was killed, because the Workflow has ended or is gone.
    Killed(String),
}

/// How the last attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub run: String,
    /// As a shell counts it.
    pub code: i32,
    /// Why there is no other attempt, in Argo's words; nothing after a success.
    pub why: String,
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

    /// Looks after the pods of all `workflows`: starts what is due, and tells what ended.
    /// `token` is what the metadata server gives to a Kubernetes service account.
    pub fn turn(
        &mut self,
        workflows: &[Value],
        now: Timestamp,
        token: impl Fn(&str) -> String,
    ) -> Vec<PodNews> {
        let running: BTreeMap<&str, &Value> = workflows
            .iter()
            .filter(|run| text(run, "/status/phase") == "Running")
            .map(|run| (text(run, "/metadata/uid"), run))
            .collect();
        let mut news = Vec::new();
        self.pods.retain(|uid, pod| {
            let wanted = running.contains_key(uid.as_str());
            if !wanted && matches!(pod.now, Now::Runs(_)) {
                news.push(PodNews::Killed(pod.run.clone()));
            }
            wanted
        });
        for (uid, run) in running {
            if !self.pods.contains_key(uid) {
                let token = token(text(run, "/spec/serviceAccountName"));
                self.pods.insert(uid.to_owned(), Pod::of(run, now, token));
            }
        }
        let mut free = MOST.saturating_sub(self.processes());
        let (program, given, folder) = (&self.program, &self.given, self.folder.path());
        self.pods.retain(|uid, pod| {
            if let Some(code) = pod.ended(now) {
                let again = match now < pod.until {
                    true => pod.again(code, now),
                    false => Err("Step exceeded its deadline".to_owned()),
                };
                match again {
                    Ok(due) => {
                        pod.now = Now::WaitsUntil(due);
                        news.push(PodNews::Again(pod.run.clone(), code, due));
                    }
                    Err(why) => {
                        news.push(PodNews::Ended(pod.end(code, why)));
                        return false;
                    }
                }
            }
            if pod.is_due(now) && free > 0 {
                if pod.attempts == 0 {
                    news.push(PodNews::Started(pod.run.clone()));
                }
                let place = folder.join(format!("{uid}-{}", pod.attempts));
                free -= 1;
                pod.now = Now::Runs(pod.process(program, given, &place, now));
            }
            true
        });
        news
    }

    fn processes(&self) -> usize {
        let runs = |pod: &&Pod| matches!(pod.now, Now::Runs(_));
        self.pods.values().filter(runs).count()
    }
}

impl Pod {
    fn of(run: &Value, now: Timestamp, token: String) -> Self {
        let template = entry(run).cloned().unwrap_or_default();
        let mut environment = environment(run, &template);
        environment.push(("PIPEWRIGHT_GOOGLE_TOKEN".to_owned(), token));
        let seconds = run.pointer("/spec/activeDeadlineSeconds");
        let seconds = seconds.and_then(Value::as_i64).unwrap_or(i64::MAX);
        let until = now.checked_add(SignedDuration::from_secs(seconds));
        Self {
            run: text(run, "/metadata/name").to_owned(),
            template,
            environment,
            began: now,
            until: until.unwrap_or(Timestamp::MAX),
            attempts: 0,
            now: Now::WaitsUntil(now),
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        matches!(self.now, Now::WaitsUntil(due) if due <= now)
    }

    /// The exit code, if its process has ended, or ends now.
    fn ended(&mut self, now: Timestamp) -> Option<i32> {
        let code = match &mut self.now {
            Now::WaitsUntil(_) => return (now >= self.until).then_some(KILLED),
            Now::Runs(process) => process.code(now, self.until)?,
        };
        self.attempts += 1;
        Some(code)
    }

    fn end(&self, code: i32, why: String) -> Ended {
        Ended {
            run: self.run.clone(),
            code,
            why,
            report: match &self.now {
                Now::Runs(process) => process.report(),
                Now::WaitsUntil(_) => None,
            },
        }
    }

    /// Starts the next attempt. What can not be started has ended.
    fn process(
        &self,
        program: &Path,
        given: &[(&'static str, String)],
        place: &Path,
        now: Timestamp,
    ) -> Process {
        let child = self.spawn(program, given, place).map_err(|error| {
            tracing::warn!(run = self.run, error = format!("{error:#}"), "not started");
        });
        Process {
            child: child.ok(),
            report: place.join("report.json"),
            until: now.checked_add(LONGEST).unwrap_or(Timestamp::MAX),
        }
    }

    fn spawn(
        &self,
        program: &Path,
        given: &[(&'static str, String)],
        place: &Path,
    ) -> anyhow::Result<Child> {
        let texts = |pointer: &str| -> Vec<&str> {
            let list = self.template.pointer(pointer).and_then(Value::as_array);
            let texts = list.into_iter().flatten().filter_map(Value::as_str);
            texts.collect()
        };
        ensure!(
            texts("/container/command") == ["pipewright"],
            "the image holds `pipewright` and nothing else"
        );
        std::fs::create_dir_all(place).context("make a folder for the pod")?;
        let mut child = Command::new(program)
            .args(texts("/container/args"))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(given.iter().map(|(name, value)| (name, value)))
            .env("PIPEWRIGHT_REPORT", place.join("report.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        if let Some(said) = child.stderr.take() {
            let run = self.run.clone();
            // Ends with the process, which closes the other end.
            std::thread::spawn(move || {
                for line in BufReader::new(said).lines().map_while(Result::ok) {
                    tracing::debug!(run, "{line}");
                }
            });
        }
        Ok(child)
    }

    /// When the next attempt is due, or why there is none.
    fn again(&self, code: i32, now: Timestamp) -> Result<Timestamp, String> {
        if code == 0 {
            return Err(String::new());
        }
        let strategy = self.template.get("retryStrategy");
        let strategy = strategy.ok_or_else(|| format!("Error (exit code {code})"))?;
        let text = |pointer: &str| text(strategy, pointer);
        let number = |pointer: &str| {
            let read = text(pointer).parse::<u32>();
            read.map_err(|_| format!("the sandbox does not read retryStrategy{pointer}"))
        };
        let permanent = text("/expression").strip_prefix("asInt(lastRetry.exitCode) != ");
        let permanent = permanent.and_then(|number| number.parse::<i32>().ok());
        match permanent {
            Some(permanent) if permanent == code => {
                return Err("retryStrategy.expression evaluated to false".to_owned());
            }
            Some(_) => {}
            None => return Err("the sandbox does not evaluate this expression".to_owned()),
        }
        if self.attempts > number("/limit")? {
            return Err("No more retries left".to_owned());
        }
        let before = self.attempts.saturating_sub(1);
        let factor = number("/backoff/factor")?.saturating_pow(before);
        let wait = number("/backoff/duration")?.saturating_mul(factor);
        let wait = SignedDuration::from_secs(wait.into());
        let longest = SignedDuration::from_secs(number("/backoff/maxDuration")?.into());
        let due = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        if due.duration_since(self.began) > longest || due >= self.until {
            return Err("Max duration limit exceeded".to_owned());
        }
        Ok(due)
    }
}

/// A process, if it could be started; killed when it is dropped.
struct Process {
    child: Option<Child>,
    report: PathBuf,
    until: Timestamp,
}

impl Process {
    /// The exit code, if it has ended; one that is late ends now.
    fn code(&mut self, now: Timestamp, until: Timestamp) -> Option<i32> {
        let Some(child) = &mut self.child else {
            return Some(NOT_STARTED);
        };
        match child.try_wait() {
            Ok(Some(status)) => Some(code(status)),
            Ok(None) if now < self.until.min(until) => None,
            Ok(None) => {
                tracing::warn!("a run's process is killed: it took too long");
                Some(KILLED)
            }
            Err(error) => {
                tracing::warn!(%error, "a run's process is lost");
                Some(KILLED)
            }
        }
    }

    fn report(&self) -> Option<String> {
        let file = std::fs::File::open(&self.report).ok()?;
        let mut text = String::new();
        file.take(LONGEST_REPORT).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended can not be killed, and needs only be waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    let killed = || status.signal().map_or(KILLED, |signal| 128 + signal);
    status.code().unwrap_or_else(killed)
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

#[cfg(test)]
mod tests;
