//! Who agreed to a pipeline's plan, and whose agreement is missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Digest, Owner, PipelineName, ProjectId};

use super::Plan;
use super::approval::{Memberships, Reviewed};

/// The projects whose owners have not agreed, with those who could.
pub(super) fn missing_consent(
    plan: &Plan,
    name: &PipelineName,
    voices: &BTreeSet<&str>,
    memberships: &Memberships,
) -> BTreeMap<ProjectId, BTreeSet<Owner>> {
    let estate = &plan.policies.estate;
    let projects = plan
        .pipelines
        .get(name)
        .map(|pipeline| &pipeline.consenting);
    projects
        .into_iter()
        .flatten()
        .filter_map(|project| {
            let owners = estate.consenting_owners(project);
            let agreed = voices.iter().any(|login| {
                owners
                    .iter()
                    .any(|owner| memberships.speaks_for(login, owner))
            });
            (!agreed).then(|| (project.clone(), owners))
        })
        .collect()
}

/// Who agreed: the author of what nobody else pushed to, and those who approved when they
/// were shown this very digest. Merging is not agreeing.
pub(super) fn voices<'a>(
    name: &PipelineName,
    digest: &Digest,
    pull: &'a Reviewed,
) -> BTreeSet<&'a str> {
    pull.approvals
        .iter()
        .filter(|review| review.shown.get(name) == Some(digest))
        .map(|review| review.login.as_str())
        .chain(pull.speaking_author())
        .collect()
}
