//! One table: from what the catalog says of it to rows that stand in BigQuery.

use std::collections::BTreeMap;

use crate::edges::google::{
    self, CreateDisposition, FieldMode, Purpose, SchemaUpdate, TableKind, TableReference,
};
use crate::sync::{
    ColumnMode, CopyMode, Destination, DestinationColumn, EMPTY_SOURCE, Failure, Incremental,
    LONGEST_STATEMENT, Outcome, Rows, SchemaDecision, SchemaWrite, Table, TableReport,
    UpdateOption, WriteDisposition, compare, copy_of, filter, fingerprint, inner_select,
    merge_statement, select_statement, select_unless_empty_statement,
};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::changes::{self, Extent};
use super::discover::Discovered;
use super::watch::{Settled, Work};

/// The label that says as of when a table's rows are, in seconds since 1970: it outlives
/// every restart, and whoever reads the table sees it.
const SNAPSHOT_LABEL: &str = "pipewright_snapshot";

/// A table that is ready to be written.
pub(super) struct Planned {
    pub(super) statement: String,
    pub(super) table: TableReference,
    pub(super) way: Way,
    /// Rows of the destination before; none, if it is to be made.
    pub(super) rows_before: u64,
    /// What people should know.
    pub(super) notes: Vec<String>,
}

/// How the rows come into the table.
pub(super) enum Way {
    Whole {
        destination: google::Destination,
        /// Labels that the table has to carry before.
        before: Option<BTreeMap<String, String>>,
        /// Of an incremental table: what its rows have in common.
        fingerprint: Option<String>,
    },
    Changes,
}

impl Way {
    pub(super) fn mode(&self) -> CopyMode {
        match self {
            Self::Whole { .. } => CopyMode::Full,
            Self::Changes => CopyMode::Incremental,
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Whole { .. } => changes::WHOLE,
            Self::Changes => changes::CHANGES,
        }
    }

    fn purpose(&self) -> Purpose {
        match self {
            Self::Whole { destination, .. } => Purpose::Write(destination.clone()),
            Self::Changes => Purpose::Change,
        }
    }
}

impl Runner {
    /// Decides what is written where.
    pub(super) async fn plan(
        &self,
        table: &Table,
        discovered: &Discovered,
    ) -> Result<Planned, Failure> {
        let spec = &self.spec;
        let options = spec.options(&table.name);
        let copy = copy_of(table, &options.columns).map_err(permanent)?;
        if let Some(names) = discovered.together.get(&copy.table_id) {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            return Err(permanent(format!(
                "{} would all be written to `{}`: exclude all but one, or rename",
                names.join(" and "),
                copy.table_id
            )));
        }
        let condition = options.filter.as_deref();
        let condition = condition.map(|text| filter(text, table)).transpose();
        let mut rows = Rows {
            filter: condition.map_err(permanent)?,
            ..Rows::default()
        };
        let reference = TableReference {
            project: spec.project.to_string(),
            dataset: spec.dataset.to_string(),
            table: copy.table_id.clone(),
        };
        let existing = self.existing(&reference, discovered).await?;
        let rows_before = existing.as_ref().map_or(0, |existing| existing.rows);
        let columns = existing.as_ref().map(|existing| columns(&existing.schema));
        let decision = compare(
            columns.as_deref(),
            &copy,
            spec.schema_changes,
            spec.new_columns,
        );
        let write = match decision {
            SchemaDecision::Write(write) => write,
            SchemaDecision::Refused(reasons) => return Err(permanent(reasons.join(" "))),
        };
        let copy = copy.without(&write.held.iter().cloned().collect());
        let incremental = Incremental::of(table, &copy, &options.mode).map_err(permanent)?;
        let fingerprint = incremental
            .as_ref()
            .map(|incremental| fingerprint(&copy, rows.filter.as_ref(), incremental));
        let into = Destination {
            project: spec.project.clone(),
            dataset: spec.dataset.clone(),
            table: copy.table_id.clone(),
        };
        if let (Some(incremental), Some(print)) = (&incremental, &fingerprint) {
            let name = table.name.as_str();
            let extent = self.extent(name, incremental, print, existing.as_ref(), &into);
            if let Extent::Changes(since) = extent.await? {
                rows.since = Some(since);
            }
        }
        let (connection, schema) = (&spec.connection, &spec.schema);
        let statement = if let (Some(_), Some(incremental)) = (&rows.since, &incremental) {
            let inner = inner_select(schema, &copy, &rows);
            merge_statement(connection, &inner, &copy, &into, &incremental.key)
        } else if rows_before > 0 {
            select_unless_empty_statement(connection, schema, &copy, &rows, &write.nulls)
        } else {
            let inner = inner_select(schema, &copy, &rows);
            select_statement(connection, &inner, &copy, &write.nulls)
        }
        .to_string();
        if statement.len() > LONGEST_STATEMENT {
            return Err(permanent(format!(
                "its statement has {} bytes, and BigQuery takes {LONGEST_STATEMENT}: leave columns out",
                statement.len()
            )));
        }
        let mut notes = copy.notes();
        if table.row_security {
            notes.push(
                "Row-level security leaves out rows that the connection's role may not see."
                    .to_owned(),
            );
        }
        notes.extend(write.notes());
        let way = match rows.since {
            Some(_) => Way::Changes,
            None => Way::Whole {
                destination: destination(reference.clone(), &write),
                before: changes::before(existing.as_ref(), fingerprint.as_deref()),
                fingerprint,
            },
        };
        Ok(Planned {
            statement,
            table: reference,
            way,
            rows_before,
            notes,
        })
    }

    async fn existing(
        &self,
        reference: &TableReference,
        discovered: &Discovered,
    ) -> Result<Option<google::Table>, Failure> {
        if !discovered.present.contains_key(&reference.table) {
            return Ok(None);
        }
        let read = async || self.google.table(reference).await;
        let existing = again(&self.clock, &reference.table, read).await;
        match existing.map_err(failure)? {
            Some(google::Table {
                kind: TableKind::Other(kind),
                ..
            }) => Err(permanent(format!(
                "{reference} is a {kind} and no table: rename it, or exclude the table"
            ))),
            existing => Ok(existing),
        }
    }

    /// Plans a table, writes it, and says what became of it.
    pub(super) async fn copy(&self, table: &Table, discovered: &Discovered) -> TableReport {
        let mut report = TableReport {
            table: table.name.to_string(),
            mode: CopyMode::Full,
            result: Outcome::Copied,
            rows: None,
            bytes: None,
            slot_ms: None,
            duration_ms: None,
            notes: Vec::new(),
        };
        self.progress.send_modify(|progress| {
            progress.running.insert(report.table.clone());
        });
        if let Err(failure) = self.write(table, discovered, &mut report).await {
            report.result = Outcome::Failed(failure);
        }
        self.progress.send_modify(|progress| {
            progress.running.remove(&report.table);
        });
        report
    }

    async fn write(
        &self,
        table: &Table,
        discovered: &Discovered,
        report: &mut TableReport,
    ) -> Result<(), Failure> {
        let planned = self.plan(table, discovered).await?;
        report.notes = planned.notes;
        report.mode = planned.way.mode();
        let written = &planned.table;
        if let Way::Whole {
            before: Some(labels),
            ..
        } = &planned.way
        {
            self.label(written, labels).await?;
        }
        let settled = self
            .settle(&Work {
                about: &[planned.way.about(), table.name.as_str()],
                query: &planned.statement,
                purpose: planned.way.purpose(),
            })
            .await
            .map_err(|failure| match failure.error.contains(EMPTY_SOURCE) {
                true => permanent(emptied(written, planned.rows_before)),
                false => failure,
            })?;
        let statistics = &settled.job.statistics;
        report.rows = match planned.way {
            Way::Whole { .. } => Some(settled.rows),
            Way::Changes => statistics.dml_rows,
        };
        report.bytes = statistics.bytes_processed;
        report.slot_ms = statistics.slot_ms;
        report.duration_ms = statistics
            .started
            .zip(statistics.ended)
            .and_then(|(from, to)| u64::try_from(to.duration_since(from).as_millis()).ok());
        if let Err(failure) = self.date(written, &planned.way, &settled).await {
            report
                .notes
                .push(format!("The table's label is old: {}", failure.error));
        }
        Ok(())
    }

    /// Says on a table as of when its rows are, and what was copied of it.
    async fn date(
        &self,
        table: &TableReference,
        way: &Way,
        settled: &Settled,
    ) -> Result<(), Failure> {
        let Some(started) = settled.job.statistics.started else {
            return Ok(());
        };
        let mut labels = match way {
            Way::Whole {
                fingerprint: Some(print),
                ..
            } => changes::labels(print, started),
            Way::Whole { .. } | Way::Changes => BTreeMap::new(),
        };
        labels.insert(SNAPSHOT_LABEL.to_owned(), started.as_second().to_string());
        self.label(table, &labels).await
    }

    pub(super) async fn label(
        &self,
        table: &TableReference,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let write = async || self.google.label_table(table, labels).await;
        again(&self.clock, &table.table, write)
            .await
            .map_err(failure)
    }
}

fn emptied(destination: &TableReference, rows: u64) -> String {
    let TableReference {
        project,
        dataset,
        table,
    } = destination;
    format!(
        "the source has no rows, and BigQuery holds {rows}, which are kept: if they are to go, run TRUNCATE TABLE `{project}.{dataset}.{table}` in BigQuery, and the next run goes through"
    )
}

fn columns(schema: &google::Schema) -> Vec<DestinationColumn> {
    let column = |field: &google::Field| DestinationColumn {
        name: field.name.clone(),
        type_name: field.kind.clone(),
        mode: match field.mode {
            FieldMode::Nullable => ColumnMode::Nullable,
            FieldMode::Required => ColumnMode::Required,
            FieldMode::Repeated => ColumnMode::Repeated,
        },
    };
    schema.iter().map(column).collect()
}

fn destination(table: TableReference, write: &SchemaWrite) -> google::Destination {
    let (disposition, create) = match write.disposition {
        WriteDisposition::WriteEmpty => {
            (google::WriteDisposition::Empty, CreateDisposition::IfNeeded)
        }
        WriteDisposition::WriteTruncateData => (
            google::WriteDisposition::TruncateData,
            CreateDisposition::Never,
        ),
    };
    let update = |option: &UpdateOption| match option {
        UpdateOption::AllowFieldAddition => SchemaUpdate::FieldAddition,
        UpdateOption::AllowFieldRelaxation => SchemaUpdate::FieldRelaxation,
    };
    google::Destination {
        table,
        write: disposition,
        create,
        schema_update: write.options.iter().map(update).collect(),
    }
}
