//! What a run shall do, as the CronWorkflow carries it in its environment.
//!
//! Written by `render`, read by `pipewright sync`: one type, so that they can not differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::name::{
    ConnectionName, DatasetId, InstanceName, Location, PgName, PipelineName, ProjectId, ServiceName,
};
use crate::pipeline::{Arrival, SchemaChanges, TableOptions, TableSelection, is_default};

/// The variable that carries a run's spec to `pipewright sync`.
pub const RUN_SPEC_ENVIRONMENT: &str = "PIPEWRIGHT_RUN_SPEC";
/// Version of the spec's format.
pub const RUN_SPEC_VERSION: u64 = 1;

/// One schedule of one pipeline: from where, to where, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    pub pipeline: PipelineName,
    pub service: ServiceName,
    /// Project of the dataset and of the query jobs.
    pub project: ProjectId,
    #[serde(with = "connection")]
    pub connection: ConnectionName,
    /// What the connection must lead to; compared before the first read.
    pub instance: InstanceName,
    pub location: Location,
    pub dataset: DatasetId,
    pub database: PgName,
    pub schema: PgName,
    pub tables: TableSelection,
    /// Tables that are not simply copied whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<PgName, TableOptions>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub schema_changes: SchemaChanges,
    #[serde(default, skip_serializing_if = "is_default")]
    pub new_tables: Arrival,
    #[serde(default, skip_serializing_if = "is_default")]
    pub new_columns: Arrival,
}

/// Why a text is not a run's spec.
#[derive(Debug, thiserror::Error)]
pub enum RunSpecError {
    #[error("{RUN_SPEC_ENVIRONMENT} is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    #[error(
        "{RUN_SPEC_ENVIRONMENT} has version {0}, and this runner knows version {RUN_SPEC_VERSION}: run an image as new as the bot"
    )]
    Version(String),
    #[error("{RUN_SPEC_ENVIRONMENT} can not be read: {0}")]
    Fields(#[source] serde_json::Error),
    #[error("the tables of the run are not a JSON array of PostgreSQL names: {0}")]
    Tables(#[source] serde_json::Error),
}

impl RunSpec {
    /// The environment's text: JSON with sorted keys, without `{{`, which Argo expands wherever
    /// it stands, and without `$`, which the kubelet does: `$$` would come as `$`. In JSON both
    /// occur inside strings only, and there they may be written as escapes.
    pub fn to_environment(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("version".to_owned(), RUN_SPEC_VERSION.into());
        }
        let text = value.to_string();
        text.replace("{{", "\\u007b\\u007b").replace('$', "\\u0024")
    }

    /// Reads what [`RunSpec::to_environment`] wrote.
    pub fn from_environment(text: &str) -> Result<Self, RunSpecError> {
        let mut value: Value = serde_json::from_str(text).map_err(RunSpecError::NotJson)?;
        let version = value
            .as_object_mut()
            .and_then(|fields| fields.remove("version"));
        match version {
            Some(version) if version.as_u64() == Some(RUN_SPEC_VERSION) => {}
            Some(version) => return Err(RunSpecError::Version(version.to_string())),
            None => return Err(RunSpecError::Version("none".to_owned())),
        }
        serde_json::from_value(value).map_err(RunSpecError::Fields)
    }

    /// How `table` is copied; whole, unless the spec says otherwise.
    pub fn options(&self, table: &PgName) -> TableOptions {
        self.options.get(table).cloned().unwrap_or_default()
    }
}

/// The tables that a rerun is about: a JSON array, or nothing for all tables of the schedule.
pub fn rerun_tables(text: &str) -> Result<BTreeSet<PgName>, RunSpecError> {
    if text.trim().is_empty() {
        return Ok(BTreeSet::new());
    }
    serde_json::from_str(text).map_err(RunSpecError::Tables)
}

/// A connection by its full name, as BigQuery writes it.
mod connection {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        name: &ConnectionName,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ConnectionName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut parts = text.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let (projects, project) = (next(), next());
        let (locations, location) = (next(), next());
        let (connections, id) = (next(), next());
        if (projects, locations, connections) != ("projects", "locations", "connections")
            || parts.next().is_some()
        {
            return Err(de::Error::custom(
                "a connection is `projects/P/locations/L/connections/C`",
            ));
        }
        Ok(ConnectionName {
            project: project.parse().map_err(de::Error::custom)?,
            location: location.parse().map_err(de::Error::custom)?,
            id: id.parse().map_err(de::Error::custom)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SPEC as PLAIN, spec};
    use super::*;
    use crate::pipeline::{ColumnSelection, Mode};

    #[test]
    fn what_is_written_is_read() {
        let mut spec = spec();
        assert_eq!(spec.to_environment(), PLAIN);
        let table: PgName = "a{{b}}\"".parse().unwrap();
        spec.tables = TableSelection::Only([table.clone()].into());
        spec.new_columns = Arrival::Hold;
        spec.options.insert(
            table.clone(),
            TableOptions {
                mode: Mode::Incremental {
                    key: vec![table.clone()],
                    cursor: table.clone(),
                    lookback_seconds: Some(60),
                    full_every_seconds: 604_800,
                },
                filter: Some("x = '{{' OR x = '$$(PATH)'".to_owned()),
                columns: ColumnSelection::Exclude([table].into()),
            },
        );
        let text = spec.to_environment();
        assert!(!text.contains("{{") && !text.contains('$'), "{text}");
        assert_eq!(RunSpec::from_environment(&text).unwrap(), spec);
    }

    #[test]
    fn what_it_does_not_know_it_does_not_run() {
        let said = |from: &str, to: &str| {
            RunSpec::from_environment(&PLAIN.replace(from, to))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            said("\"version\":1", "\"version\":2"),
            "PIPEWRIGHT_RUN_SPEC has version 2, and this runner knows version 1: run an image as new as the bot"
        );
        assert!(said(",\"version\":1", "").contains("version none"));
        assert!(said("\"schema\"", "\"where\":\"\",\"schema\"").contains("unknown field `where`"));
        assert!(said("connections/main", "connections/main/x").contains("a connection is"));
        assert!(said("{", "").contains("is not JSON"));
    }

    #[test]
    fn a_rerun_names_tables_or_none() {
        assert_eq!(rerun_tables(" ").unwrap(), BTreeSet::new());
        let names = rerun_tables(r#"["a,b","\u007b\u007b"]"#).unwrap();
        assert_eq!(
            names,
            ["a,b", "{{"].map(|name| name.parse().unwrap()).into()
        );
        assert!(rerun_tables("a,b").is_err());
    }
}
