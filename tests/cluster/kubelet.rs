//! A kubelet for pods that Argo made: it runs the main container's command as a process of this
//! machine, and reports as a kubelet and the pod's `wait` container would.
//!
//! There is no image, so the programs in it and its environment are given. There is no
//! container, so the files that Argo takes outputs from lie in a private folder; the program
//! is told by `PIPEWRIGHT_REPORT`. Of the rest of the pod's spec only its deadline is looked at.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use crate::api::{Api, MERGE, client, items, kubeconfig, text};
use crate::place::{Place, token};

/// What stands in for the image.
#[derive(Clone, Default)]
pub struct Image {
    /// The path of each program on this machine.
    pub programs: BTreeMap<String, String>,
    pub environment: Vec<(String, String)>,
}

/// An image whose program does what a shell does.
pub fn script(folder: &Path, lines: &str) -> Image {
    let path = folder.join("pipewright");
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    Image {
        programs: [("pipewright".to_owned(), path)].into(),
        environment: Vec::new(),
    }
}

/// Works until it is dropped.
pub struct Kubelet {
    watching: tokio::task::JoinHandle<()>,
    running: Arc<Mutex<Running>>,
}

/// The processes by their pods' uids; nothing once the kubelet has stopped, so that none is
/// started after that.
type Running = Option<BTreeMap<String, Child>>;

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.watching.abort();
        let running = self.running.lock().unwrap().take();
        for mut child in running.into_iter().flat_map(BTreeMap::into_values) {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Kubelet {
    /// Serves the place's namespace.
    pub fn start(place: &Place, image: Image) -> Self {
        let running = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let node = Node {
            api: place.api.clone(),
            cluster: place.cluster.clone(),
            image,
            running: running.clone(),
        };
        let watching = tokio::spawn(async move {
            let mut known = std::collections::BTreeSet::new();
            let selector = "labelSelector=workflows.argoproj.io%2Fworkflow";
            let api = node.api.clone();
            api.watch("Pod", selector, |what, pod| {
                let uid = text(&pod, "/metadata/uid").to_owned();
                let is_gone =
                    what == "DELETED" || pod["metadata"].get("deletionTimestamp").is_some();
                if is_gone {
                    let mut running = node.running.lock().unwrap();
                    let child = running.as_mut().and_then(|running| running.remove(&uid));
                    if let Some(mut child) = child {
                        terminate(&child);
                        std::thread::spawn(move || child.wait());
                    }
                } else if text(&pod, "/status/phase") == "Pending" && known.insert(uid) {
                    let node = node.clone();
                    tokio::spawn(async move { node.run(&pod).await });
                }
                false
            })
            .await;
        });
        Self { watching, running }
    }

    /// What kills everything that runs now, as a node without memory would.
    pub fn killer(&self) -> impl Fn() + Send + 'static {
        let running = self.running.clone();
        move || {
            let mut running = running.lock().unwrap();
            for child in running.iter_mut().flat_map(BTreeMap::values_mut) {
                // It may have ended already.
                let _ = child.kill();
            }
        }
    }
}

#[derive(Clone)]
struct Node {
    api: Api,
    /// The server, as a kubeconfig says it.
    cluster: Value,
    image: Image,
    running: Arc<Mutex<Running>>,
}

impl Node {
    async fn run(&self, pod: &Value) {
        let folder = tempfile::tempdir().unwrap();
        let containers = items(&pod["spec"]["containers"]).iter();
        let main = containers
            .clone()
            .find(|one| one["name"] == "main")
            .unwrap();
        let results = Results::of(self, pod).await;
        let began = Timestamp::now();
        self.report(pod, "Running", &json!({"running": {"startedAt": began}}))
            .await;
        let code = self.execute(pod, main, folder.path()).await;
        // Deleted or stopped meanwhile: nobody is left to report to.
        let Some(code) = code else { return };
        results.leave(code, &outputs(pod, folder.path())).await;
        let (phase, reason) = match code {
            0 => ("Succeeded", "Completed"),
            _ => ("Failed", "Error"),
        };
        let state = json!({"terminated": {
            "exitCode": code, "reason": reason,
            "startedAt": began, "finishedAt": Timestamp::now(),
        }});
        self.report(pod, phase, &state).await;
    }

    /// Runs the command; its exit code, or nothing if its pod was deleted or the kubelet
    /// has stopped.
    async fn execute(&self, pod: &Value, container: &Value, folder: &Path) -> Option<i32> {
        let words = [&container["command"], &container["args"]];
        let words: Vec<&str> = words
            .iter()
            .flat_map(|words| items(words))
            .map(|word| word.as_str().unwrap())
            .collect();
        // Argo's own program runs what comes after.
        let at = words.iter().position(|word| *word == "--").unwrap();
        let [program, arguments @ ..] = &words[at + 1..] else {
            panic!("{words:?} runs nothing");
        };
        let Some(program) = self.image.programs.get(*program) else {
            // What a shell and containerd say of a program that is not there.
            return Some(127);
        };
        let mut variables: BTreeMap<&str, String> = BTreeMap::new();
        for variable in items(&container["env"]) {
            assert!(
                variable.get("valueFrom").is_none(),
                "{variable} is not known here"
            );
            // An empty value comes as none.
            let value = variable["value"].as_str().unwrap_or_default();
            let value = expanded(value, &variables);
            variables.insert(variable["name"].as_str().unwrap(), value);
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(
                self.image
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("stderr")).unwrap());
        if let Some(output) = declared(pod).first() {
            let path = inside(folder, text(output, "/valueFrom/path"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            command.env("PIPEWRIGHT_REPORT", path);
        }
        let uid = text(pod, "/metadata/uid").to_owned();
        {
            let mut running = self.running.lock().unwrap();
            let child = |running: &mut BTreeMap<_, _>| {
                running.insert(uid.clone(), command.spawn().unwrap());
            };
            running.as_mut().map(child)?;
        }
        let mut deadline = pod["spec"]["activeDeadlineSeconds"].as_u64();
        let began = Instant::now();
        loop {
            let status = {
                let mut running = self.running.lock().unwrap();
                let running = running.as_mut()?;
                let child = running.get_mut(&uid)?;
                if deadline.is_some_and(|seconds| began.elapsed().as_secs() >= seconds) {
                    terminate(child);
                    deadline = None;
                }
                let status = child.try_wait().unwrap();
                if status.is_some() {
                    running.remove(&uid);
                }
                status
            };
            if let Some(status) = status {
                let killed = || 128 + status.signal().unwrap_or(0);
                return Some(status.code().unwrap_or_else(killed));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn report(&self, pod: &Value, phase: &str, state: &Value) {
        let statuses: Vec<Value> = items(&pod["spec"]["containers"])
            .iter()
            .map(|container| {
                json!({
                    "name": container["name"], "image": container["image"], "imageID": "",
                    "ready": phase == "Running", "restartCount": 0, "state": state,
                })
            })
            .collect();
        let condition = |kind: &str| json!({"type": kind, "status": "True"});
        let status = json!({"status": {
            "phase": phase,
            "conditions": [condition("PodScheduled"), condition("Initialized")],
            "containerStatuses": statuses,
        }});
        let path = format!(
            "{}/status",
            self.api.path("Pod", text(pod, "/metadata/name"))
        );
        // It may be gone, and its kubelet is the last to hear of it.
        let _ = self.api.ask(Method::PATCH, &path, MERGE, &status).await;
    }
}

/// What the `wait` container does about outputs, with the rights of the pod's own account.
struct Results {
    own: Api,
    name: String,
}

impl Results {
    /// It is made first, so that nobody takes a pod's end for the end of its outputs.
    async fn of(node: &Node, pod: &Value) -> Self {
        let token = token(&node.api, text(pod, "/spec/serviceAccountName")).await;
        let own: Client = client(&kubeconfig(&node.cluster, &token)).await;
        let own = Api::new(own, &node.api.namespace);
        let name = text(pod, "/metadata/annotations/workflows.argoproj.io~1node-id");
        let workflow = text(pod, "/metadata/labels/workflows.argoproj.io~1workflow");
        let result = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskResult",
            "metadata": {
                "name": name,
                "labels": {
                    "workflows.argoproj.io/workflow": workflow,
                    "workflows.argoproj.io/report-outputs-completed": "false",
                },
                // They go with the Workflow.
                "ownerReferences": pod["metadata"]["ownerReferences"],
            },
        });
        own.create(&result).await.unwrap();
        Self {
            own,
            name: name.to_owned(),
        }
    }

    async fn leave(&self, code: i32, outputs: &[Value]) {
        let outputs = json!({"outputs": {"exitCode": code.to_string(), "parameters": outputs}});
        let completed = json!({"metadata": {"labels": {
            "workflows.argoproj.io/report-outputs-completed": "true",
        }}});
        let path = self.own.path("WorkflowTaskResult", &self.name);
        for patch in [outputs, completed] {
            match self.own.ask(Method::PATCH, &path, MERGE, &patch).await {
                Ok(_) => {}
                // Argo deletes it when the Workflow has ended, which a deadline does before its
                // pods. The pod ends like any other.
                Err(status) if status.code == 404 => return,
                Err(status) => panic!("{path}: {status:?}"),
            }
        }
    }
}

/// The output parameters of the pod's template, which Argo hands to its first container.
fn declared(pod: &Value) -> Vec<Value> {
    let containers = items(&pod["spec"]["initContainers"]).iter();
    let template = containers
        .flat_map(|container| items(&container["env"]))
        .find(|variable| variable["name"] == "ARGO_TEMPLATE")
        .unwrap();
    let template: Value = serde_json::from_str(template["value"].as_str().unwrap()).unwrap();
    items(&template["outputs"]["parameters"]).to_vec()
}

/// The same parameters with the values that the process has left in their files.
fn outputs(pod: &Value, folder: &Path) -> Vec<Value> {
    let with_value = |mut output: Value| {
        let path = inside(folder, text(&output, "/valueFrom/path"));
        let value = std::fs::read_to_string(path).ok();
        let default = || {
            output
                .pointer("/valueFrom/default")?
                .as_str()
                .map(str::to_owned)
        };
        let value = value.or_else(default);
        output["value"] = json!(value);
        output
    };
    declared(pod).into_iter().map(with_value).collect()
}

/// What a pod's end begins with.
fn terminate(child: &Child) {
    // It may have ended already.
    let _ = Command::new("kill").arg(child.id().to_string()).status();
}

/// What a kubelet makes of a variable's value: `$(NAME)` becomes what a variable before it is,
/// if there is one, and `$$` becomes `$`.
fn expanded(value: &str, before: &BTreeMap<&str, String>) -> String {
    let mut whole = String::new();
    let mut rest = value;
    while let Some((plain, after)) = rest.split_once('$') {
        whole += plain;
        let named = after
            .strip_prefix('(')
            .and_then(|name| name.split_once(')'));
        let known = named.and_then(|(name, after)| Some((before.get(name)?, after)));
        (whole, rest) = match (known, after.strip_prefix('$')) {
            (Some((value, after)), _) => (whole + value, after),
            (None, Some(after)) => (whole + "$", after),
            (None, None) => (whole + "$", after),
        };
    }
    whole + rest
}

fn inside(folder: &Path, path: &str) -> std::path::PathBuf {
    folder.join(path.trim_start_matches('/'))
}
