//! What a job does: asks the sources, computes the result, and writes it whole or not at all.

use serde_json::Value;
use tokio_postgres::Config;

use super::super::Shared;
use super::super::caller::Caller;
use super::evaluate::{holds_max, kind_of, needed, value};
use super::fixed;
use super::merge::merged;
use super::source::{self, Forgotten, Want};
use super::statement::{Select, Source, Statement, TableName, parse};
use super::tables::{Column, Failed, Write, written};
use super::values::{kind, stored};

/// A job's work.
pub(super) struct Work {
    caller: Caller,
    location: String,
    statement: Result<Statement, String>,
    destination: Option<Destination>,
}

struct Destination {
    table: TableName,
    disposition: String,
    may_create: bool,
    may_add: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<(), (String, String)>,
    pub(super) columns: Vec<Column>,
    /// Of a query without a destination.
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) total: usize,
    pub(super) bytes: usize,
    pub(super) changed: Option<usize>,
}

impl Outcome {
    pub(super) fn failed(reason: &str, message: String) -> Self {
        Self {
            result: Err((reason.to_owned(), message)),
            columns: Vec::new(),
            rows: Vec::new(),
            total: 0,
            bytes: 0,
            changed: None,
        }
    }
}

impl Work {
    /// Whether the result goes into a table.
    pub(super) fn writes(&self) -> bool {
        self.destination.is_some()
    }

    /// Reads `configuration.query`.
    ///
    /// # Errors
    /// If a field that is needed is missing.
    pub(super) fn read(caller: Caller, location: &str, query: &Value) -> Result<Self, String> {
        let text =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let statement = text(query, "query").ok_or("Required parameter is missing: query")?;
        let destination = query.get("destinationTable").map(|table| {
            let part = |key: &str| text(table, key).unwrap_or_default();
            let updates = query.get("schemaUpdateOptions").and_then(Value::as_array);
            Destination {
                table: TableName {
                    project: part("projectId"),
                    dataset: part("datasetId"),
                    table: part("tableId"),
                },
                disposition: text(query, "writeDisposition")
                    .unwrap_or_else(|| "WRITE_EMPTY".to_owned()),
                may_create: text(query, "createDisposition").as_deref() != Some("CREATE_NEVER"),
                may_add: updates
                    .is_some_and(|all| all.iter().any(|one| one == "ALLOW_FIELD_ADDITION")),
            }
        });
        Ok(Self {
            caller,
            location: location.to_ascii_lowercase(),
            statement: parse(&statement),
            destination,
        })
    }
}

/// A result with the columns that it has.
struct Found {
    columns: Vec<Column>,
    rows: Vec<Vec<Option<String>>>,
    forgotten: Forgotten,
}

/// Does the work. With [`Want::Columns`] nothing is read or written but what is needed to know
/// the result's columns.
pub(super) async fn run(world: &Shared, work: &Work, want: Want) -> Outcome {
    match attempt(world, work, want).await {
        Ok(outcome) => outcome,
        Err((reason, message)) => Outcome::failed(reason, message),
    }
}

async fn attempt(world: &Shared, work: &Work, want: Want) -> Result<Outcome, Failed> {
    let statement = work.statement.as_ref();
    let statement = statement.map_err(|message| ("invalidQuery", message.clone()))?;
    let (selects, merge) = match statement {
        Statement::Query(selects) => (selects, None),
        Statement::Merge(merge) => (&merge.from, Some(merge)),
    };
    let mut whole: Option<Found> = None;
    for select in selects {
        let part = of_select(world, work, select, want).await?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.rows.extend(part.rows);
                whole.forgotten.rows += part.forgotten.rows;
                whole.forgotten.bytes += part.forgotten.bytes;
            }
        }
    }
    let Some(Found {
        columns,
        rows,
        forgotten,
    }) = whole
    else {
        return Err((
            "invalidQuery",
            "Syntax error: Unexpected end of statement".to_owned(),
        ));
    };
    let bytes: usize = rows.iter().flatten().flatten().map(String::len).sum();
    let mut outcome = Outcome {
        result: Ok(()),
        columns: columns.clone(),
        rows: Vec::new(),
        total: rows.len() + forgotten.rows,
        bytes: bytes + forgotten.bytes,
        changed: None,
    };
    if want == Want::Columns {
        return Ok(outcome);
    }
    if let Some(merge) = merge {
        outcome.changed = Some(merged(world, work, merge, &columns, rows)?);
        return Ok(outcome);
    }
    let Some(destination) = &work.destination else {
        outcome.rows = rows;
        return Ok(outcome);
    };
    let mut world = world.lock();
    let table = &destination.table;
    place(&world, work, table, &WRITE)?;
    let day = today(&world);
    let write = Write {
        disposition: &destination.disposition,
        may_create: destination.may_create,
        may_add: destination.may_add,
        columns,
        rows,
        forgotten: forgotten.rows,
        day,
    };
    let mut next = written(world.tables.get(table), write)?;
    if next.created.is_empty() {
        next.created = world.time();
    }
    world.tables.insert(table.clone(), next);
    let tables = world
        .tables
        .keys()
        .filter(|name| name.project == table.project && name.dataset == table.dataset);
    let tables = tables.count();
    world.set_dataset_tables(&table.project, &table.dataset, tables);
    Ok(outcome)
}

/// Days since 1970, by the clock that was given.
fn today(world: &super::super::world::World) -> i64 {
    let now = world
        .options
        .clock
        .as_ref()
        .map(|clock| clock.now().as_second());
    now.unwrap_or_default().div_euclid(86_400)
}

/// Roles of a dataset that let read its tables, and write them.
const READ: [&str; 3] = ["READER", "WRITER", "OWNER"];
pub(super) const WRITE: [&str; 2] = ["WRITER", "OWNER"];

/// The dataset must be there, and where the job is, and be the caller's.
pub(super) fn place(
    world: &super::super::world::World,
    work: &Work,
    table: &TableName,
    roles: &[&str],
) -> Result<(), Failed> {
    let TableName {
        project, dataset, ..
    } = table;
    let here = world.dataset(project, dataset).and_then(|dataset| {
        let view = dataset.view(3);
        view.get("location")
            .and_then(Value::as_str)
            .map(str::to_ascii_lowercase)
    });
    if here.is_some_and(|location| location == work.location) {
        let lets = world.lets_reach(&work.caller, table, roles);
        return lets.map_err(|message| ("accessDenied", message));
    }
    let message = format!(
        "Not found: Dataset {project}:{dataset} was not found in location {}",
        work.location
    );
    Err(("notFound", message))
}

async fn of_select(
    world: &Shared,
    work: &Work,
    select: &Select,
    want: Want,
) -> Result<Found, Failed> {
    // Names, kinds and cells of what the SELECT reads.
    let (columns, rows, forgotten) = match &select.source {
        Source::External {
            connection,
            query,
            options,
        } => {
            if options.is_some() {
                return Err(("invalidQuery", "this simulator takes no options".to_owned()));
            }
            let address = address(world, work, connection)?;
            let needed = needed(select);
            let answer = match address {
                Some(config) => source::ask(config, query, &needed, want).await,
                None => fixed::ask(query, &needed, want),
            };
            let answer = answer.map_err(|message| ("invalidQuery", message))?;
            let columns: Vec<Column> = answer
                .columns
                .iter()
                .map(|(name, oid)| Column {
                    name: name.clone(),
                    kind: kind(*oid).unwrap_or("STRING").to_owned(),
                    description: None,
                })
                .collect();
            let oids: Vec<u32> = answer.columns.iter().map(|(_, oid)| *oid).collect();
            let mut rows = Vec::new();
            for row in answer.rows {
                let cells = row.into_iter().zip(&oids);
                let cells =
                    cells.map(|(cell, oid)| cell.map(|text| stored(*oid, &text)).transpose());
                let cells: Result<Vec<_>, String> = cells.collect();
                rows.push(cells.map_err(|message| ("invalidQuery", message))?);
            }
            (columns, rows, answer.forgotten)
        }
        Source::Table(name) => {
            let world = world.lock();
            place(&world, work, name, &READ)?;
            let Some(table) = world.tables.get(name) else {
                let TableName {
                    project,
                    dataset,
                    table,
                } = name;
                return Err((
                    "notFound",
                    format!("Not found: Table {project}:{dataset}.{table}"),
                ));
            };
            let forgotten = Forgotten {
                rows: table.forgotten,
                bytes: 0,
            };
            (table.columns.clone(), table.rows.clone(), forgotten)
        }
    };
    let column = |name: &str| {
        let at = columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name));
        at.ok_or_else(|| ("invalidQuery", format!("Unrecognized name: {name}")))
    };
    if let Some((name, text)) = &select.fails_if {
        let at = column(name)?;
        let fails = |row: &Vec<Option<String>>| {
            row.get(at)
                .is_some_and(|cell| cell.as_deref() == Some("true"))
        };
        if rows.iter().any(fails) {
            return Err(("invalidQuery", text.clone()));
        }
    }
    let mut result = Vec::new();
    for item in &select.items {
        result.push(Column {
            name: item.name.clone(),
            kind: kind_of(&item.what, &columns, &column)?,
            description: None,
        });
    }
    let grouped = select.items.iter().any(|item| holds_max(&item.what));
    // One row for all, if there is a MAX.
    let mut all = Vec::new();
    let parts: Vec<&[Vec<Option<String>>]> = if grouped {
        vec![&rows]
    } else {
        rows.chunks(1).collect()
    };
    for part in parts {
        let mut cells = Vec::new();
        for item in &select.items {
            cells.push(value(&item.what, part, &columns, &column)?);
        }
        all.push(cells);
    }
    Ok(Found {
        columns: result,
        rows: all,
        forgotten,
    })
}

/// The PostgreSQL behind a connection; none if the fixed database answers.
fn address(world: &Shared, work: &Work, name: &str) -> Result<Option<Config>, Failed> {
    let world = world.lock();
    let parts: Vec<&str> = name.split('/').collect();
    let ["projects", _, "locations", location, "connections", _] = parts.as_slice() else {
        return Err(("invalidQuery", format!("Invalid connection ID: {name}")));
    };
    let Some(connection) = world.connections.get(&super::super::world::canonical(name)) else {
        return Err(("notFound", format!("Not found: Connection {name}")));
    };
    let lets = world.lets_use(&work.caller, name);
    lets.map_err(|message| ("accessDenied", message))?;
    if !location.eq_ignore_ascii_case(&work.location) {
        let message = format!("Cannot use connection {name} in location {}", work.location);
        return Err(("invalidQuery", message));
    }
    let address = world.options.postgres.get(&connection.instance);
    if let Some(address) = address {
        let unreadable = |error| ("invalidQuery", source::unreachable(&error));
        let mut config: Config = address.parse().map_err(unreadable)?;
        if config.get_dbname().is_none() {
            config.dbname(&connection.database);
        }
        return Ok(Some(config));
    }
    if world.options.fixed {
        return Ok(None);
    }
    let message = format!(
        "Invalid table-valued function EXTERNAL_QUERY Connect to PostgreSQL server failed: this simulator knows no PostgreSQL for the instance {}",
        connection.instance
    );
    Err(("invalidQuery", message))
}
