//! The `input` of the house's rules: one pipeline, with what the estate adds and its objects.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::name::{
    ConnectionId, DatasetId, InstanceName, Location, Owner, PgName, PipelineName, ProjectId,
    Reader, ServiceName,
};
use crate::object::{Object, ObjectKey};
use crate::pipeline::{Schedule, TableSelection, TimeZoneName};
use crate::render::Rendered;

/// What the rules can look at, beyond the few words of the pipeline that they are asked about.
/// The rest is most of the work, so it is left out where nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LooksAt {
    /// At the objects of a pipeline.
    pub objects: bool,
    /// At all pipelines.
    pub all: bool,
}

impl LooksAt {
    /// Read off the words of the rules, strings and comments among them: rather too much than
    /// too little.
    pub(super) fn of<'t>(rules: impl IntoIterator<Item = &'t str>) -> Self {
        let mut looks_at = Self {
            objects: false,
            all: false,
        };
        for text in rules {
            let mut rest = text;
            while let Some(start) = rest.find(is_of_word) {
                let word = rest.get(start..).unwrap_or_default();
                let end = word.find(|c| !is_of_word(c)).unwrap_or(word.len());
                let (word, after) = word.split_at(end);
                looks_at.all |= word == "data";
                // Whatever is not asked for by its name can be anything.
                looks_at.objects |= match word {
                    "input" => !after.starts_with('.'),
                    word => word == "objects" || word == "data",
                };
                rest = after;
            }
        }
        looks_at
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a rule sees of one pipeline: the article's keys, what the estate adds, and the objects.
#[derive(Serialize)]
pub(super) struct Input<'a> {
    name: &'a PipelineName,
    path: &'a str,
    bq_project_id: &'a ProjectId,
    bq_connection_id: &'a ConnectionId,
    connection: String,
    instance: &'a InstanceName,
    identity: String,
    bq_dataset_name: &'a DatasetId,
    service_name: &'a ServiceName,
    db_catalog_name: &'a PgName,
    db_schema_name: &'a PgName,
    target_tables: Option<&'a BTreeSet<PgName>>,
    excluded_tables: Option<&'a BTreeSet<PgName>>,
    schedule: &'a Schedule,
    timezone: &'a TimeZoneName,
    location: &'a Location,
    owners: &'a BTreeSet<Owner>,
    readers: &'a BTreeSet<Reader>,
    suspend: bool,
    description: &'a Option<String>,
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Vec<Placed<'a>>>,
}

#[derive(Serialize)]
struct Placed<'a> {
    key: &'a ObjectKey,
    object: &'a Object,
}

impl<'a> Input<'a> {
    pub(super) fn of(rendered: &'a Rendered, looks_at: LooksAt) -> Self {
        let (bound, pipeline) = (&rendered.bound, &rendered.bound.pipeline);
        let (target, excluded) = match &pipeline.tables {
            TableSelection::All => (None, None),
            TableSelection::Only(tables) => (Some(tables), None),
            TableSelection::Except(tables) => (None, Some(tables)),
        };
        let placed = |(key, object)| Placed { key, object };
        let objects = || rendered.objects.iter().map(placed).collect();
        Self {
            name: &pipeline.name,
            path: &pipeline.origin.path,
            bq_project_id: &pipeline.project,
            bq_connection_id: &pipeline.connection.id,
            connection: bound.connection.to_string(),
            instance: &bound.instance,
            identity: rendered.identity.google.email(),
            bq_dataset_name: &pipeline.dataset,
            service_name: &pipeline.service,
            db_catalog_name: &pipeline.database,
            db_schema_name: &pipeline.schema,
            target_tables: target,
            excluded_tables: excluded,
            schedule: &bound.schedule,
            timezone: &bound.timezone,
            location: &bound.location,
            owners: &pipeline.owners,
            readers: &pipeline.readers,
            suspend: pipeline.suspend,
            description: &pipeline.description,
            labels: &pipeline.labels,
            objects: looks_at.objects.then(objects),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_rule_can_reach_is_left_out() {
        for (text, objects, all) in [
            ("not startswith(input.bq_dataset_name, \"x\")", false, false),
            ("# of the database and the dataset: metadata", false, false),
            ("some o in input.objects", true, false),
            ("some o in input[\"objects\"]", true, false),
            ("import input.objects as all", true, false),
            ("walk(input, [path, value])", true, false),
            ("it := input\nit.name == \"a\"", true, false),
            ("input [key]", true, false),
            ("input", true, false),
            ("some name in data.pipelines", true, true),
            ("x := data [\"pipelines\"]", true, true),
            ("import data.pipewright.lib", true, true),
            ("größe := input.name", false, false),
        ] {
            assert_eq!(LooksAt::of([text]), LooksAt { objects, all }, "{text}");
        }
    }
}
