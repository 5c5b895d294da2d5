//! What is written where: decided for one table, before anything of it is.

use jiff::Timestamp;

use crate::edges::google::{
    self, CreateDisposition, FieldMode, SchemaUpdate, TableKind, TableReference,
};
use crate::pipeline::Mode;
use crate::sync::{
    ColumnMode, CopyMode, Destination, DestinationColumn, Failure, GoogleText, Incremental,
    LONGEST_STATEMENT, LabelChanges, Marks, Rows, SchemaDecision, SchemaWrite, Since, Table,
    TableCopy, UpdateOption, WhyFull, WriteDisposition, chunk_count, chunk_key, compare, copy_of,
    filter, fingerprint, inner_select, merge_statement, select_statement,
    select_unless_empty_statement, watermark_statement,
};

use super::calls::{again, failure, permanent};
use super::chunks::Cut;
use super::discover::Discovered;
use super::watch::Refusal;
use super::{Runner, label};

/// A table that is ready to be written.
pub(super) struct Planned {
    pub(super) statement: String,
    pub(super) table: TableReference,
    pub(super) write: Write,
    /// What people should know.
    pub(super) notes: Vec<String>,
}

/// How a table is written.
pub(super) enum Write {
    /// All of its rows.
    Full(Box<Full>),
    /// Those that changed.
    Merge,
}

/// A copy of all rows.
pub(super) struct Full {
    pub(super) destination: google::Destination,
    /// Rows of the destination before; none, if it is to be made.
    pub(super) rows_before: u64,
    /// Labels to change before anything is written.
    pub(super) before: Option<LabelChanges>,
    /// If it is too large for one statement.
    pub(super) cut: Option<Cut>,
    /// Of an incremental table: what the next copies must have in common with this one.
    fingerprint: Option<String>,
}

impl Write {
    pub(super) fn mode(&self) -> CopyMode {
        match self {
            Self::Full(_) => CopyMode::Full,
            Self::Merge => CopyMode::Incremental,
        }
    }

    /// What is put on the table once it is written.
    pub(super) fn labels(&self, snapshot: Timestamp, run: &str) -> LabelChanges {
        let fingerprint = match self {
            Self::Full(full) => full.fingerprint.as_deref(),
            Self::Merge => None,
        };
        match fingerprint {
            Some(fingerprint) => Marks::after_full(snapshot, fingerprint, &label(run)),
            None => Marks::after_copy(snapshot),
        }
    }
}

/// How much of an incremental table a run copies.
enum Extent {
    Full(WhyFull),
    Since(Since),
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
        let marks = existing
            .as_ref()
            .map(|existing| Marks::of(&existing.labels));
        let marks = marks.unwrap_or_default();
        let is_guarded = existing
            .as_ref()
            .is_some_and(|existing| is_guarded(&existing.schema));
        let columns = existing.map(|existing| columns(existing.schema));
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
        let mut notes = copy.notes();
        if table.row_security {
            notes.push(
                "Row-level security leaves out rows that the connection's role may not see."
                    .to_owned(),
            );
        }
        notes.extend(write.notes());
        let incremental = incremental(table, &copy, &options.mode)?;
        let mut print = None;
        if let Some(incremental) = &incremental {
            let of = fingerprint(spec, &copy, rows.filter.as_ref(), incremental);
            let run = label(&self.settings.uid);
            let why = marks.why_full(incremental, &of, &run, discovered.began);
            // A MERGE changes no schema.
            let why = why.or((!write.options.is_empty()).then_some(WhyFull::Schema));
            let extent = match why {
                Some(why) => Extent::Full(why),
                None => self.extent(table, &copy, incremental).await?,
            };
            match extent {
                Extent::Full(why) => notes.push(why.sentence().to_owned()),
                Extent::Since(since) => rows.since = Some(since),
            }
            print = Some(of);
        }
        let (connection, schema) = (&spec.connection, &spec.schema);
        let inner = inner_select(schema, &copy, &rows);
        let statement = match &incremental {
            Some(incremental) if rows.since.is_some() => self.merge(&copy, &rows, incremental),
            _ if rows_before > 0 => {
                select_unless_empty_statement(connection, schema, &copy, &rows, &write.nulls)
            }
            _ => select_statement(connection, &inner, &copy, &write.nulls),
        }
        .to_string();
        if statement.len() > LONGEST_STATEMENT {
            return Err(permanent(format!(
                "its statement has {} bytes, and BigQuery takes {LONGEST_STATEMENT}: leave columns out",
                statement.len()
            )));
        }
        let write = if rows.since.is_some() {
            Write::Merge
        } else {
            let cut = self.cut_by(table, &copy, is_guarded, &mut notes);
            Write::Full(Box::new(Full {
                destination: destination(reference.clone(), &write),
                rows_before,
                before: marks.before_full(),
                fingerprint: print,
                cut: cut.map(|(key, count)| Cut {
                    key,
                    count,
                    copy,
                    rows,
                    nulls: write.nulls,
                    incremental,
                }),
            }))
        };
        Ok(Planned {
            statement,
            table: reference,
            write,
            notes,
        })
    }

    /// The key that a large table is cut by, and into how many chunks; with a note on either.
    fn cut_by(
        &self,
        table: &Table,
        copy: &TableCopy,
        is_guarded: bool,
        notes: &mut Vec<String>,
    ) -> Option<(String, u32)> {
        let count = chunk_count(table.bytes, self.settings.chunk_bytes);
        if count < 2 {
            return None;
        }
        let key = chunk_key(table, copy).filter(|_| !is_guarded);
        let Some(key) = key.map(|key| key.column.name.clone()) else {
            let why = match is_guarded {
                true => "policy tags guard its columns, and would not guard staging tables",
                false => "no unique key begins with a whole number that is copied",
            };
            notes.push(format!("Large, and copied by one statement: {why}."));
            return None;
        };
        notes.push(format!(
            "Read in up to {count} chunks by `{key}`, each of them its own snapshot."
        ));
        Some((key, count))
    }

    /// Asks how far the destination goes. The job that is asked is the same for every attempt
    /// of the run, and so is its answer, whatever was merged since.
    async fn extent(
        &self,
        table: &Table,
        copy: &TableCopy,
        incremental: &Incremental,
    ) -> Result<Extent, Failure> {
        let statement = watermark_statement(&self.destination(copy), &incremental.cursor);
        let about = ["watermark", table.name.as_str()];
        let since = self.since(&about, &statement, incremental).await?;
        Ok(since.map_or(Extent::Full(WhyFull::Empty), Extent::Since))
    }

    /// From where on a MERGE reads, by the highest cursor that a statement answers; nothing
    /// without one.
    pub(super) async fn since(
        &self,
        about: &[&str],
        statement: &GoogleText,
        incremental: &Incremental,
    ) -> Result<Option<Since>, Failure> {
        let query = statement.as_str();
        let answer = self.read(about, query, Refusal::Lasts).await?;
        let highest = answer.rows.first().and_then(|row| row.get("highest"));
        let Some(highest) = highest.and_then(Option::as_deref) else {
            return Ok(None);
        };
        let since = incremental.since(highest);
        since.map(Some).ok_or_else(|| {
            permanent(format!(
                "the highest `{}` is `{highest}`, which is no such value",
                incremental.cursor.name
            ))
        })
    }

    pub(super) fn merge(
        &self,
        copy: &TableCopy,
        rows: &Rows,
        incremental: &Incremental,
    ) -> GoogleText {
        let inner = inner_select(&self.spec.schema, copy, rows);
        let (into, key) = (self.destination(copy), &incremental.key);
        merge_statement(&self.spec.connection, &inner, copy, &into, key)
    }

    fn destination(&self, copy: &TableCopy) -> Destination {
        Destination {
            project: self.spec.project.clone(),
            dataset: self.spec.dataset.clone(),
            table: copy.table_id.clone(),
        }
    }

    async fn existing(
        &self,
        reference: &TableReference,
        discovered: &Discovered,
    ) -> Result<Option<google::Table>, Failure> {
        if !discovered.present.contains(&reference.table) {
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
}

fn is_guarded(schema: &google::Schema) -> bool {
    let guarded = |field: &google::Field| field.is_guarded || is_guarded(&field.fields);
    schema.iter().any(guarded)
}

fn incremental(
    table: &Table,
    copy: &TableCopy,
    mode: &Mode,
) -> Result<Option<Incremental>, Failure> {
    Incremental::of(table, copy, mode).map_err(permanent)
}

fn columns(schema: google::Schema) -> Vec<DestinationColumn> {
    let column = |field: google::Field| DestinationColumn {
        name: field.name,
        type_name: field.kind,
        mode: match field.mode {
            FieldMode::Nullable => ColumnMode::Nullable,
            FieldMode::Required => ColumnMode::Required,
            FieldMode::Repeated => ColumnMode::Repeated,
        },
    };
    schema.into_iter().map(column).collect()
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
