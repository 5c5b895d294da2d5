//! A proposal: all that follows from Git alone. What `validate` and `render` show on a
//! laptop, and what the bot starts from.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, sorted};
use crate::name::PipelineName;
use crate::object::{Kind, Object, ObjectKey};
use crate::pipeline::{self, Parsed};
use crate::policy::{self, Policies};
use crate::render::{Desired, House, Rendered, render};
use crate::snapshot::{RepoPath, Snapshot, Tree};
use crate::sync;

/// What a snapshot asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The base's: a pull request can not loosen the rules it is checked by.
    pub policies: Policies,
    pub desired: Desired,
    pub findings: Vec<Finding>,
    pub scope: Scope,
}

/// Which pipelines a run is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole default branch.
    All,
    /// These alone. Of a pull request: the pipelines whose Desired differs between base and
    /// proposed, and those whose file does.
    Only(BTreeSet<PipelineName>),
}

impl Scope {
    pub fn contains(&self, name: &PipelineName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

impl Proposal {
    /// The same about the pipelines alone that want one of these objects, if any are given.
    pub fn about(mut self, objects: Option<&BTreeSet<(Kind, String)>>) -> Self {
        let Some(objects) = objects else {
            return self;
        };
        let wants = |rendered: &Rendered| {
            objects.iter().any(|(kind, name)| {
                let (kind, name) = (*kind, name.clone());
                let key = ObjectKey::Kubernetes { kind, name };
                rendered.objects.contains_key(&key)
            })
        };
        let pipelines = self.desired.pipelines.iter();
        let wanting = pipelines.filter(|(_, rendered)| wants(rendered));
        self.scope = Scope::Only(wanting.map(|(name, _)| name.clone()).collect());
        self
    }
}

/// Reads a snapshot whole: parse, bind, render, rules. Total.
pub fn propose(snapshot: &Snapshot, house: &House) -> Proposal {
    let policies = Policies::parse(&snapshot.base);
    let (desired, mut findings) = desire(pipeline::parse(snapshot.tree()), &policies, house);
    findings.extend(policy::check(&policies, &desired));
    let Some(proposed) = &snapshot.proposed else {
        findings.extend(policies.findings.iter().cloned());
        return Proposal {
            policies,
            desired,
            findings: sorted(findings),
            scope: Scope::All,
        };
    };
    let (before, _) = desire(pipeline::parse(&snapshot.base), &policies, house);
    let files = changed_files(&snapshot.base, proposed);
    let scope = changed(&before, &desired, &files);
    findings.retain(|finding| {
        files.contains(&finding.path)
            || finding
                .pipeline
                .as_ref()
                .is_some_and(|name| scope.contains(name))
    });
    let proposed = Policies::parse(proposed);
    findings.extend(
        policies.findings.iter().cloned().chain(
            proposed
                .findings
                .into_iter()
                .filter(|f| files.contains(&f.path)),
        ),
    );
    Proposal {
        policies,
        desired,
        findings: sorted(findings),
        scope: Scope::Only(scope),
    }
}

/// Binds and renders what could be parsed; the rest is blocked under every name it may claim.
fn desire(parsed: Parsed, policies: &Policies, house: &House) -> (Desired, Vec<Finding>) {
    let mut findings = parsed.findings;
    let (bound, found) = pipeline::bind(&parsed.pipelines, policies);
    findings.extend(found);
    findings.extend(
        bound
            .values()
            .flat_map(|bound| sync::review(&bound.pipeline)),
    );
    let mut desired = render(&bound, &policies.defaults, house);
    let unbound = parsed
        .pipelines
        .values()
        .filter(|pipeline| !bound.contains_key(&pipeline.name))
        .flat_map(|pipeline| {
            let names = pipeline.previously.iter().chain([&pipeline.name]);
            names.map(|name| (name.clone(), pipeline.origin.path.clone()))
        });
    let unreadable = parsed.unreadable.iter().flat_map(|file| {
        file.claims
            .iter()
            .map(|name| (name.clone(), file.path.clone()))
    });
    let blocked: BTreeMap<PipelineName, RepoPath> = unbound
        .chain(unreadable)
        .filter(|(name, _)| !desired.pipelines.contains_key(name))
        .collect();
    desired.blocked = blocked;
    (desired, findings)
}

fn changed_files(base: &Tree, proposed: &Tree) -> BTreeSet<RepoPath> {
    let (base, proposed) = (&base.entries, &proposed.entries);
    base.keys()
        .chain(proposed.keys())
        .filter(|path| base.get(*path) != proposed.get(*path))
        .cloned()
        .collect()
}

fn changed(
    before: &Desired,
    after: &Desired,
    files: &BTreeSet<RepoPath>,
) -> BTreeSet<PipelineName> {
    let objects = |desired: &Desired, name: &PipelineName| -> Option<BTreeMap<ObjectKey, Object>> {
        desired
            .pipelines
            .get(name)
            .map(|rendered| rendered.objects.clone())
    };
    let in_changed_file = |rendered: Option<&Rendered>| {
        rendered.is_some_and(|rendered| files.contains(&rendered.bound.pipeline.origin.path))
    };
    let names = [before, after]
        .into_iter()
        .flat_map(|desired| desired.pipelines.keys().chain(desired.blocked.keys()));
    names
        .filter(|name| {
            objects(before, name) != objects(after, name)
                || before.blocked.get(*name) != after.blocked.get(*name)
                || in_changed_file(after.pipelines.get(*name))
        })
        .cloned()
        .collect()
}
