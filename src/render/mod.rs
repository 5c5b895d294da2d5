//! Rendering: from bound pipelines to the objects that shall exist.
//!
//! Infallible, and the same input gives the same bytes. What pipelines of one instance
//! share is rendered from the estate and the house alone, so it is the same whichever of
//! them exist: the first approved one brings it, the last one takes it away.

mod cron_workflow;
mod google;
mod identity;
mod labels;
mod rerun;

use std::collections::BTreeMap;

use crate::name::{InstanceName, PipelineName, ProjectId};
use crate::object::{Object, ObjectKey};
use crate::pipeline::Bound;
use crate::policy::Defaults;
use crate::snapshot::RepoPath;

pub use cron_workflow::{Cron, REPORT_PARAMETER, RUN_UID_ENVIRONMENT, crons, run_spec};
pub use identity::Identity;
pub use labels::{APPLY_SET_LABEL, MANAGER, PIPELINE_LABEL, SERVICE_LABEL, apply_set};
pub use rerun::{TABLES_ENVIRONMENT, TABLES_PARAMETER, rerun_name, tables_value};

/// Settings of the installation that shape objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct House {
    pub namespace: String,
    /// The image that runs `pipewright sync`, by digest.
    pub runner_image: String,
    /// Project of the service accounts.
    pub identity_project: ProjectId,
    /// `CLUSTER_PROJECT.svc.id.goog`.
    pub workload_pool: String,
}

/// What shall exist, by pipeline. Shared objects are there once for each pipeline that needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    pub pipelines: BTreeMap<PipelineName, Rendered>,
    /// Names that a file of the tree has or may claim, although it could not be rendered,
    /// each with that file. What they hold is left as it is.
    pub blocked: BTreeMap<PipelineName, RepoPath>,
}

/// One pipeline's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub bound: Bound,
    pub identity: Identity,
    pub objects: BTreeMap<ObjectKey, Object>,
}

impl Desired {
    /// Every object once.
    pub fn objects(&self) -> BTreeMap<&ObjectKey, &Object> {
        self.pipelines
            .values()
            .flat_map(|rendered| &rendered.objects)
            .collect()
    }
}

/// Renders every pipeline.
pub fn render(
    bound: &BTreeMap<PipelineName, Bound>,
    defaults: &Defaults,
    house: &House,
) -> Desired {
    // Once for each instance: the copies that its pipelines have are of one text.
    let mut shared = BTreeMap::new();
    let render_one = |(name, bound): (&PipelineName, &Bound)| {
        let (identity, objects) = shared.entry(bound.instance.clone()).or_insert_with(|| {
            let identity = Identity::of(&bound.instance, house);
            let objects = identity.objects(defaults, house);
            (identity, objects)
        });
        let mut objects = objects.clone();
        objects.extend(google::objects(bound, identity));
        objects.extend(cron_workflow::objects(bound, identity, defaults, house));
        let rendered = Rendered {
            bound: bound.clone(),
            identity: identity.clone(),
            objects,
        };
        (name.clone(), rendered)
    };
    Desired {
        pipelines: bound.iter().map(render_one).collect(),
        blocked: BTreeMap::new(),
    }
}

/// The first `digits` hexadecimal digits of the text's SHA-256.
fn short_hash(text: &str, digits: usize) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = hex::encode(Sha256::digest(text.as_bytes()));
    hash.truncate(digits);
    hash
}

/// The account that every workload of `instance` runs as; also the Kubernetes name of what
/// the instance's pipelines share. At most 30 characters, IAM's limit for account ids.
fn account_of(instance: &InstanceName) -> String {
    let short = instance
        .as_str()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .chars()
        .take(18)
        .collect::<String>();
    let hash = short_hash(instance.as_str(), 8);
    format!("pw-{}-{hash}", short.trim_end_matches('-'))
}
