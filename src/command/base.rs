//! What the base branch says about who owns what.

use std::collections::{BTreeMap, BTreeSet};

use crate::estate;
use crate::name::{Owner, PipelineName};
use crate::pipeline::Pipeline;
use crate::policy::Policies;

use super::CodeOwners;
use super::authorize::Refused;
use super::nearest::nearest;

/// What the base branch says.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    pub policies: &'a Policies,
    pub pipelines: &'a BTreeMap<PipelineName, Pipeline>,
    pub code_owners: &'a CodeOwners,
    /// The pipelines that the pull request is about, on the base branch or not.
    pub about: &'a BTreeSet<PipelineName>,
}

/// Where it is written whose a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnedBy {
    File,
    CodeOwners,
    Estate,
}

impl<'a> Base<'a> {
    /// The pipelines that are meant: those named, or the pull request's without those that
    /// are gone.
    pub(super) fn resolve(
        &self,
        named: &BTreeSet<PipelineName>,
    ) -> Result<Vec<&'a Pipeline>, Refused> {
        if named.is_empty() {
            let found: Vec<&Pipeline> = self
                .about
                .iter()
                .filter_map(|name| self.pipelines.get(name))
                .collect();
            return match found.is_empty() {
                true => Err(Refused::NoPipeline),
                false => Ok(found),
            };
        }
        named
            .iter()
            .map(|name| {
                self.pipelines
                    .get(name)
                    .ok_or_else(|| Refused::NoSuchPipeline {
                        name: name.clone(),
                        meant: self.meant(name),
                    })
            })
            .collect()
    }

    fn meant(&self, name: &PipelineName) -> Option<PipelineName> {
        let known = self.pipelines.keys().map(PipelineName::as_str);
        nearest(name.as_str(), known, 2)?.parse().ok()
    }

    /// Whether the estate has a mistake: then nothing of it gives anybody a right.
    pub(super) fn has_no_estate(&self) -> bool {
        let mut findings = self.policies.findings.iter();
        findings.any(|finding| finding.is_deny() && finding.path == estate::PATH)
    }

    pub(super) fn house(&self) -> BTreeSet<Owner> {
        match self.has_no_estate() {
            true => BTreeSet::new(),
            false => self.policies.estate.owners.clone(),
        }
    }

    /// Everybody who can agree to anything.
    pub(super) fn voices(&self) -> BTreeSet<Owner> {
        let projects = self.policies.estate.projects.values();
        projects
            .flat_map(|project| project.owners.iter().cloned())
            .chain(self.house())
            .collect()
    }

    /// Whose the pipeline is: the first of the file, CODEOWNERS and the estate that names
    /// anybody.
    pub(super) fn owners_of(&self, pipeline: &Pipeline) -> (OwnedBy, BTreeSet<Owner>) {
        if !pipeline.owners.is_empty() {
            return (OwnedBy::File, pipeline.owners.clone());
        }
        let owners = self.code_owners.owners_of(&pipeline.origin.path);
        if !owners.is_empty() {
            return (OwnedBy::CodeOwners, owners.iter().cloned().collect());
        }
        let connection = &pipeline.connection;
        let project = connection.project.as_ref().unwrap_or(&pipeline.project);
        let owners = match self.has_no_estate() {
            true => BTreeSet::new(),
            false => self.policies.estate.consenting_owners(project),
        };
        (OwnedBy::Estate, owners)
    }
}
