//! `pipewright render`: every object as it would be applied.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
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
#[command(after_help = "\
Examples:
  pipewright render                          every object, as YAML documents
  pipewright render --pipeline orders        one pipeline's objects
  pipewright render | grep -c '^kind:'       how many there are")]
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

/// Renders. The denies go to `err`, so that `out` holds objects only.
///
/// # Errors
/// If the files can not be read, or there is no such pipeline.
pub fn run(arguments: &Render, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Ended> {
    let mut folder = Folder::read(&arguments.path, arguments.policies.as_deref())?;
    let mut proposal = propose(&folder.snapshot(), &arguments.house.house()?);
    if let Some(only) = &arguments.pipeline {
        let desired = &proposal.desired;
        let rendered = desired.pipelines.get(only);
        let path = rendered
            .map(|rendered| &rendered.bound.pipeline.origin.path)
            .or_else(|| desired.blocked.get(only))
            .filter(|path| folder.is_asked(path))
            .with_context(|| {
                format!(
                    "there is no pipeline `{only}` in {}",
                    arguments.path.display()
                )
            })?;
        folder.narrow(path.clone());
    }
    proposal
        .desired
        .pipelines
        .retain(|_, rendered| folder.is_asked(&rendered.bound.pipeline.origin.path));
    let objects = proposal.desired.objects();
    let documents: Vec<Value> = objects
        .iter()
        .map(|(key, object)| document(key, object))
        .collect();
    match arguments.format {
        Format::Human => {
            for document in &documents {
                writeln!(out, "---")?;
                let yaml = serde_yaml::to_string(document)?;
                if yaml.chars().any(print::is_harmful) {
                    // JSON is YAML, and has an escape for every character.
                    print::json(document, out)?;
                } else {
                    write!(out, "{yaml}")?;
                }
            }
        }
        Format::Json => print::json(&json!({ "version": 1, "objects": documents }), out)?,
    }
    let denies: Vec<&Finding> = proposal
        .findings
        .iter()
        .filter(|finding| finding.is_deny() && folder.concerns(finding))
        .collect();
    let shown = |path: &str| folder.shown(path);
    let renderer = print::renderer(&io::stderr());
    print::findings(&denies, |_| Some(&folder.tree), &shown, &renderer, err)?;
    Ok(Ended::by(denies))
}

/// A manifest as it is; what goes to Google in the same form, told apart by its version.
fn document(key: &ObjectKey, object: &Object) -> Value {
    let google =
        |kind: &str, spec: Value| json!({ "apiVersion": "google", "kind": kind, "spec": spec });
    match (key, object) {
        (_, Object::Kubernetes(manifest)) => manifest.value(),
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
