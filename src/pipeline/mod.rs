//! A pipeline: what one file under `pipelines/` asks for, once every word of it is legal.

mod bind;
mod keys;
mod parse;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use bind::{Bound, bind};
pub use parse::{Parsed, Unreadable, parse};
pub use schedule::{Schedule, TimeZoneName};

use crate::finding::Span;
use crate::name::{
    ConnectionId, DatasetId, Digest, Location, Owner, PgName, PipelineName, ProjectId, Reader,
    ServiceName,
};
use crate::snapshot::RepoPath;

/// The folder of pipelines.
pub const FOLDER: &str = "pipelines/";

/// One validated file. Nothing downstream refuses it for its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub name: PipelineName,
    pub origin: Origin,
    /// Project of the dataset and of the query jobs.
    pub project: ProjectId,
    pub connection: ConnectionRef,
    pub dataset: DatasetId,
    pub service: ServiceName,
    pub database: PgName,
    pub schema: PgName,
    pub tables: TableSelection,
    pub schedule: Option<Schedule>,
    pub timezone: Option<TimeZoneName>,
    pub location: Option<Location>,
    /// Who may command the pipeline. Never authorises a source.
    pub owners: BTreeSet<Owner>,
    pub readers: BTreeSet<Reader>,
    /// Tables with a schedule of their own.
    pub table_schedules: BTreeMap<PgName, Schedule>,
    /// The old name of a renamed pipeline.
    pub previously: Option<PipelineName>,
    pub suspend: bool,
    pub description: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// A connection as a file names it: by id alone, or in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRef {
    /// Absent: the pipeline's own project.
    pub project: Option<ProjectId>,
    /// Absent: the pipeline's location.
    pub location: Option<Location>,
    pub id: ConnectionId,
}

/// Which tables of the schema are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableSelection {
    /// Every table, found at run time.
    All,
    Only(BTreeSet<PgName>),
    Except(BTreeSet<PgName>),
}

impl TableSelection {
    /// Whether the table is copied, if the schema has it.
    pub fn contains(&self, table: &PgName) -> bool {
        match self {
            Self::All => true,
            Self::Only(tables) => tables.contains(table),
            Self::Except(tables) => !tables.contains(table),
        }
    }

    /// Whether no schema could hold a table that both select.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(ours), Self::Only(theirs)) => ours.is_disjoint(theirs),
            (Self::Only(named), Self::Except(excluded))
            | (Self::Except(excluded), Self::Only(named)) => named.is_subset(excluded),
            // Both take every table that appears tomorrow.
            _ => false,
        }
    }
}

/// Where a pipeline was written, so that any later finding lands on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub path: RepoPath,
    /// SHA-256 of the file.
    pub source: Digest,
    /// The place of every key, by JSON pointer.
    pub spans: BTreeMap<String, Span>,
}

impl Origin {
    /// The place of the key at `pointer`; of the nearest key above it, if it is absent.
    pub fn span(&self, pointer: &str) -> Option<Span> {
        let mut pointer = pointer;
        loop {
            if let Some(span) = self.spans.get(pointer) {
                return Some(*span);
            }
            let (parent, _) = pointer.rsplit_once('/')?;
            pointer = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<PgName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn selections_are_disjoint_only_if_no_table_can_be_in_both() {
        use TableSelection::{All, Except, Only};
        assert!(Only(names(&["a"])).is_disjoint(&Only(names(&["b"]))));
        assert!(Only(names(&["a"])).is_disjoint(&Except(names(&["a", "b"]))));
        assert!(!Only(names(&["a", "c"])).is_disjoint(&Except(names(&["a"]))));
        assert!(!Except(names(&["a"])).is_disjoint(&Except(names(&["b"]))));
        assert!(!All.is_disjoint(&Only(names(&["a"]))));
    }

    #[test]
    fn an_absent_key_has_its_parents_place() {
        let at = |line| Span {
            line,
            column: 1,
            end_line: line,
            end_column: 2,
        };
        let origin = Origin {
            path: "pipelines/a.yaml".into(),
            source: Digest::of(b""),
            spans: [(String::new(), at(1)), ("/tables".into(), at(4))].into(),
        };
        assert_eq!(origin.span("/tables/x/schedule"), Some(at(4)));
        assert_eq!(origin.span("/readers/0"), Some(at(1)));
    }
}
