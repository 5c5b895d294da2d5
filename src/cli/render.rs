//! `pipewright render`: every object as it would be applied.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::finding::Finding;
use crate::name::PipelineName;
use crate::object::{Object, ObjectKey};
use crate::proposal::propose;

use super::folder::Folder;
use super::house::HouseArguments;
use super::{Ended, Format, print};

/// Print every object that the pipelines ask for.
///
/// Exit codes: 0 no deny finding, 1 some (what renders is printed), 2 could not run.
#[derive(Debug, Args)]
pub struct Render {
    /// A file or a folder of pipelines.
    #[arg(default_value = "pipelines")]
    path: PathBuf,
    /// Folder of policies; otherwise `policies` beside the pipelines, or here.
    #[arg(long)]
    policies: Option<PathBuf>,
    /// Only this pipeline.
    #[arg(long)]
    pipeline: Option<PipelineName>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    house: HouseArguments,
}

/// Renders.
///
/// # Errors
/// If the files can not be read, or there is no such pipeline.
pub fn run(arguments: &Render, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let folder = Folder::read(&arguments.path, arguments.policies.as_deref())?;
    let mut proposal = propose(&folder.snapshot(), &arguments.house.house()?);
    if let Some(only) = &arguments.pipeline {
        let known = proposal.desired.blocked.contains_key(only);
        anyhow::ensure!(
            known || proposal.desired.pipelines.contains_key(only),
            "there is no pipeline `{only}` in {}",
            arguments.path.display()
        );
        proposal.desired.pipelines.retain(|name, _| name == only);
    }
    if let Some(only) = &folder.only {
        proposal
            .desired
            .pipelines
            .retain(|_, rendered| rendered.bound.pipeline.origin.path == *only);
    }
    let objects = proposal.desired.objects();
    let documents: Vec<Value> = objects
        .iter()
        .map(|(key, object)| document(key, object))
        .collect();
    match arguments.format {
        Format::Human => {
            for document in &documents {
                write!(out, "---\n{}", serde_yaml::to_string(document)?)?;
            }
        }
        Format::Json => writeln!(out, "{:#}", json!({ "version": 1, "objects": documents }))?,
    }
    let denies: Vec<&Finding> = proposal
        .findings
        .iter()
        .filter(|finding| finding.is_deny())
        .collect();
    print::findings(
        &denies,
        &folder.tree,
        &|path| folder.shown(path),
        &mut std::io::stderr().lock(),
    )?;
    Ok(if denies.is_empty() {
        Ended::Well
    } else {
        Ended::Denied
    })
}

/// A manifest as it is; what goes to Google in the same form, told apart by its version.
fn document(key: &ObjectKey, object: &Object) -> Value {
    let google =
        |kind: &str, spec: Value| json!({ "apiVersion": "google", "kind": kind, "spec": spec });
    match (key, object) {
        (_, Object::Kubernetes(manifest)) => manifest.clone(),
        (ObjectKey::ServiceAccount(account), Object::ServiceAccount { display_name }) => google(
            "ServiceAccount",
            json!({ "email": account.email(), "displayName": display_name }),
        ),
        (ObjectKey::Dataset { project, dataset }, Object::Dataset { location }) => google(
            "Dataset",
            json!({ "project": project, "dataset": dataset, "location": location }),
        ),
        (ObjectKey::Grant(grant), _) => google(
            "Grant",
            json!({
                "resource": grant.resource.to_string(),
                "role": grant.role.as_str(),
                "member": grant.member.iam(),
            }),
        ),
        (key, _) => google("Unknown", json!({ "key": key.to_string() })),
    }
}
