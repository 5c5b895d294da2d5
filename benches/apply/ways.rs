//! The three ways: ours, a bare driver's, and kubectl's.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use futures::{StreamExt as _, stream};
use http::Method;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use pipewright::clock::Clock;
use pipewright::render::MANAGER;
use pipewright::sandbox::stage::Stage;
use pipewright::shell::apply::{apply, close};
use serde_json::{Value, json};

use crate::CASES;
use crate::api::Api;
use crate::meter::{Spent, measure};
use crate::place::Place;
use crate::world::{Bare, approved, edges, leave, objects, wanted, writes};

const APPLY: &str = "application/apply-patch+yaml";

/// All cases, one after the other, in one namespace.
pub async fn ours(
    stage: &Stage,
    pipelines: usize,
    all: &mut BTreeMap<(&'static str, &'static str), Vec<Spent>>,
) {
    let place = Place::real().await;
    let edges = edges(stage, &place);
    for (number, case) in CASES.into_iter().enumerate() {
        let proposal = wanted(case, pipelines, &place.namespace);
        let mut count = 0;
        let spent = measure(async || {
            let approved = approved(&edges, &proposal, number as u64 + 1).await;
            let outcomes = apply(&edges, &approved, &Clock::system()).await;
            let left = outcomes.unfinished();
            assert!(left.is_empty(), "{left:?}");
            close(&edges, &approved, &outcomes, &Clock::system())
                .await
                .unwrap();
            count = objects(&writes(&approved));
        })
        .await;
        // What did not change is all that there is.
        let concerned = match count {
            0 => pipelines * 2,
            count => count,
        };
        all.entry((case, "ours"))
            .or_default()
            .push(spent.over(concerned));
    }
    leave(place).await;
}

/// The writes alone, so many at once; each Record's second after everything else, as ours.
pub async fn floor(place: &Place, writes: &[Vec<Bare>; 2], at_once: usize) -> Spent {
    // The bot's own account, and as little help from the library as it has.
    let file = Kubeconfig::from_yaml(&place.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.unwrap();
    config.default_retry = false;
    let api = Api::new(Client::try_from(config).unwrap(), &place.namespace);
    let spent = measure(async || {
        // Of one kind at once: the server refuses a binding whose role is not there.
        let kind = |write: &Bare| match write {
            Bare::Put { kind, .. } => (0, kind.clone()),
            Bare::Gone { kind, .. } => (1, kind.clone()),
        };
        let phases = writes.iter();
        for writes in phases.flat_map(|one| one.chunk_by(|one, other| kind(one) == kind(other))) {
            let ended = stream::iter(writes).map(|write| bare(&api, write));
            ended.buffer_unordered(at_once).collect::<Vec<()>>().await;
        }
    });
    spent.await.over(objects(writes).max(1))
}

pub async fn bare(api: &Api, write: &Bare) {
    let answer = match write {
        Bare::Put {
            kind,
            name,
            manifest,
        } => {
            let path = format!(
                "{}?fieldManager={MANAGER}&force=true&fieldValidation=Strict",
                api.path(kind, name)
            );
            api.ask(Method::PATCH, &path, APPLY, manifest).await
        }
        Bare::Gone { kind, name } => {
            api.ask(Method::DELETE, &api.path(kind, name), "", &Value::Null)
                .await
        }
    };
    answer.unwrap();
}

/// The floor of all cases. What it writes is what ours would: planned beforehand, in a namespace
/// where ours was applied up to there, and not measured.
pub async fn floors(
    stage: &Stage,
    pipelines: usize,
    at_once: usize,
    all: &mut BTreeMap<(&'static str, &'static str), Vec<Spent>>,
) {
    let place = Place::real().await;
    let shadow = Place::real().await;
    let edges = edges(stage, &shadow);
    for (number, case) in CASES.into_iter().enumerate() {
        let proposal = wanted(case, pipelines, &shadow.namespace);
        let approved = approved(&edges, &proposal, number as u64 + 1).await;
        let mut writes = writes(&approved);
        for write in writes.iter_mut().flatten() {
            if let Bare::Put { manifest, .. } = write {
                manifest["metadata"]["namespace"] = json!(place.namespace);
                let subjects = manifest.get_mut("subjects").and_then(Value::as_array_mut);
                for subject in subjects.into_iter().flatten() {
                    subject["namespace"] = json!(place.namespace);
                }
            }
        }
        let spent = floor(&place, &writes, at_once).await;
        all.entry((case, "floor")).or_default().push(spent);
        let outcomes = apply(&edges, &approved, &Clock::system()).await;
        close(&edges, &approved, &outcomes, &Clock::system())
            .await
            .unwrap();
    }
    leave(place).await;
    leave(shadow).await;
}

/// kubectl, on the same manifests.
pub async fn kubectl(
    stage: &Stage,
    pipelines: usize,
    way: &'static str,
    options: &[&str],
    all: &mut BTreeMap<(&'static str, &'static str), Vec<Spent>>,
) {
    let place = Place::real().await;
    let edges = edges(stage, &place);
    let folder = tempfile::tempdir().unwrap();
    for (number, case) in CASES.into_iter().enumerate().take(4) {
        let proposal = wanted(case, pipelines, &place.namespace);
        if case != "unchanged" {
            let approved = approved(&edges, &proposal, number as u64 + 1).await;
            for write in writes(&approved).into_iter().flatten() {
                if let Bare::Put {
                    kind,
                    name,
                    manifest,
                } = write
                {
                    let file = folder.path().join(format!("{kind}-{name}.json"));
                    std::fs::write(file, manifest.to_string()).unwrap();
                }
            }
        }
        let count = std::fs::read_dir(folder.path()).unwrap().count();
        let spent = measure(async || {
            let status = Command::new("kubectl")
                .args(["apply", "--server-side", "--force-conflicts", "--namespace"])
                .arg(&place.namespace)
                .args(options)
                .arg("--filename")
                .arg(folder.path())
                .stdout(Stdio::null())
                .status();
            assert!(tokio::task::block_in_place(|| status).unwrap().success());
        })
        .await;
        all.entry((case, way)).or_default().push(spent.over(count));
    }
    leave(place).await;
}
