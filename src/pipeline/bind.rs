//! Binding: a pipeline together with what the estate and the defaults say about it.
//!
//! After this nothing about a pipeline is optional: its connection, instance, location and
//! schedules are known, and so are the owners whose consent it needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, rule};
use crate::name::{ConnectionName, InstanceName, Location, PgName, PipelineName, ProjectId};
use crate::policy::Policies;

use super::{Pipeline, Schedule, TimeZoneName};

/// A pipeline that can be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub pipeline: Pipeline,
    pub connection: ConnectionName,
    /// The instance behind the connection, as its owner declared it.
    pub instance: InstanceName,
    pub location: Location,
    pub schedule: Schedule,
    pub timezone: TimeZoneName,
}

impl Bound {
    /// The projects whose owners must consent: the connection's and the dataset's.
    pub fn consenting_projects(&self) -> BTreeSet<ProjectId> {
        [
            self.connection.project.clone(),
            self.pipeline.project.clone(),
        ]
        .into()
    }

    /// The pipeline's schedules, each with the tables it alone copies. The first one has
    /// `None`: it copies every selected table that no other one does.
    pub fn schedules(&self) -> Vec<(Schedule, Option<BTreeSet<PgName>>)> {
        let mut further: BTreeMap<&Schedule, BTreeSet<PgName>> = BTreeMap::new();
        for (table, schedule) in &self.pipeline.table_schedules {
            if *schedule != self.schedule {
                further.entry(schedule).or_default().insert(table.clone());
            }
        }
        std::iter::once((self.schedule.clone(), None))
            .chain(
                further
                    .into_iter()
                    .map(|(schedule, tables)| (schedule.clone(), Some(tables))),
            )
            .collect()
    }
}

/// Binds every pipeline that can be bound, and says why the others can not.
pub fn bind(
    pipelines: &BTreeMap<PipelineName, Pipeline>,
    policies: &Policies,
) -> (BTreeMap<PipelineName, Bound>, Vec<Finding>) {
    let mut bound = BTreeMap::new();
    let mut findings = Vec::new();
    for (name, pipeline) in pipelines {
        match bind_one(pipeline, policies) {
            Ok(one) => {
                bound.insert(name.clone(), one);
            }
            Err(found) => findings.extend(found),
        }
    }
    for found in [
        shared_datasets(&bound),
        too_many_schedules(&bound, policies),
        renames(pipelines),
    ] {
        findings.extend(found);
    }
    (bound, findings)
}

fn bind_one(pipeline: &Pipeline, policies: &Policies) -> Result<Bound, Vec<Finding>> {
    let estate = &policies.estate;
    let deny = |rule, pointer: &str, message: String| {
        let span = pipeline.origin.span(pointer);
        Finding::deny(rule, &pipeline.origin.path, span, message).about(&pipeline.name)
    };
    let mut findings = Vec::new();
    if !estate.projects.contains_key(&pipeline.project) {
        let message = format!(
            "the estate does not list the project `{}`",
            pipeline.project
        );
        findings
            .push(deny(rule::UNKNOWN_PROJECT, "/bq_project_id", message).help(
                "ask the house's owners to add it, with its owners, to policies/estate.yaml",
            ));
    }
    let project = pipeline
        .connection
        .project
        .as_ref()
        .unwrap_or(&pipeline.project);
    let id = &pipeline.connection.id;
    let declared = estate
        .projects
        .get(project)
        .and_then(|project| project.connections.get(id));
    let Some(declared) = declared else {
        // An unknown project is said once, unless the connection's is another one.
        if findings.is_empty() || project != &pipeline.project {
            let message = format!("the estate does not list a connection `{id}` in `{project}`");
            findings.push(
                deny(rule::UNKNOWN_CONNECTION, "/bq_connection_id", message).help(
                    "ask the project's owners to add it, with its instance, to policies/estate.yaml",
                ),
            );
        }
        return Err(findings);
    };
    let written = [
        ("/bq_connection_id", pipeline.connection.location.as_ref()),
        ("/location", pipeline.location.as_ref()),
    ];
    for (pointer, location) in written {
        if let Some(location) = location.filter(|location| **location != declared.location) {
            let message = format!(
                "`{location}` is not the connection's location, which is `{}`",
                declared.location
            );
            findings.push(
                deny(rule::LOCATION, pointer, message)
                    .help("connection, dataset and jobs share one location"),
            );
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let (from, until) = policies.defaults.schedule_hours;
    Ok(Bound {
        connection: ConnectionName {
            project: project.clone(),
            location: declared.location.clone(),
            id: id.clone(),
        },
        instance: declared.instance.clone(),
        location: declared.location.clone(),
        schedule: pipeline
            .schedule
            .clone()
            .unwrap_or_else(|| Schedule::spread(pipeline.name.as_str(), from, until)),
        timezone: pipeline
            .timezone
            .clone()
            .unwrap_or_else(|| policies.defaults.timezone.clone()),
        pipeline: pipeline.clone(),
    })
}

/// Two pipelines may write one dataset only from one schema, and never the same table.
fn shared_datasets(bound: &BTreeMap<PipelineName, Bound>) -> Vec<Finding> {
    let mut datasets: BTreeMap<_, Vec<&Bound>> = BTreeMap::new();
    for one in bound.values() {
        let key = (&one.pipeline.project, &one.pipeline.dataset);
        datasets.entry(key).or_default().push(one);
    }
    let mut findings = Vec::new();
    for together in datasets.values().filter(|together| together.len() > 1) {
        for one in together {
            for other in together {
                let (ours, theirs) = (&one.pipeline, &other.pipeline);
                if ours.name == theirs.name {
                    continue;
                }
                let why = if one.connection != other.connection {
                    "from another connection"
                } else if (&ours.database, &ours.schema) != (&theirs.database, &theirs.schema) {
                    "from another schema"
                } else if !ours.tables.is_disjoint(&theirs.tables) {
                    "with tables that both of them copy"
                } else {
                    continue;
                };
                let message = format!(
                    "`{}` is also written by `{}`, {why}",
                    ours.dataset, theirs.name
                );
                findings.push(
                    Finding::deny(
                        rule::SHARED_DATASET,
                        &ours.origin.path,
                        ours.origin.span("/bq_dataset_name"),
                        message,
                    )
                    .help(
                        "give each schema a dataset of its own, or each file its own target_tables",
                    )
                    .about(&ours.name),
                );
            }
        }
    }
    findings
}

fn too_many_schedules(bound: &BTreeMap<PipelineName, Bound>, policies: &Policies) -> Vec<Finding> {
    let limit = policies.defaults.schedules_per_pipeline;
    bound
        .values()
        .filter_map(|one| {
            let count = one.schedules().len();
            let allowed = usize::try_from(limit).unwrap_or(usize::MAX);
            (count > allowed).then(|| {
                Finding::deny(
                    rule::TOO_MANY_SCHEDULES,
                    &one.pipeline.origin.path,
                    one.pipeline.origin.span("/tables"),
                    format!("{count} distinct schedules; the house allows {limit}"),
                )
                .about(&one.pipeline.name)
            })
        })
        .collect()
}

/// An old name must be free, and can be claimed by one pipeline only.
fn renames(pipelines: &BTreeMap<PipelineName, Pipeline>) -> Vec<Finding> {
    let mut claimed: BTreeMap<&PipelineName, &Pipeline> = BTreeMap::new();
    let mut findings = Vec::new();
    for pipeline in pipelines.values() {
        let Some(old) = &pipeline.previously else {
            continue;
        };
        let why = if pipelines.contains_key(old) {
            Some(format!("`{old}` still exists"))
        } else {
            claimed
                .insert(old, pipeline)
                .map(|first| format!("`{}` also says that it was `{old}`", first.name))
        };
        if let Some(message) = why {
            findings.push(
                Finding::deny(
                    rule::DUPLICATE_NAME,
                    &pipeline.origin.path,
                    pipeline.origin.span("/previously"),
                    message,
                )
                .about(&pipeline.name),
            );
        }
    }
    findings
}
