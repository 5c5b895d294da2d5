//! Where a federated query runs: a real PostgreSQL, in the wrapper that BigQuery puts around it.

use std::pin::pin;

use futures::TryStreamExt as _;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::values;

/// What the query answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// Names, OIDs.
    pub(super) columns: Vec<(String, u32)>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) forgotten: Forgotten,
}

/// Rows that were read to their end, counted, and not kept.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Forgotten {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// Whether rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Columns,
    /// All are read, and this many kept.
    Rows {
        most: usize,
    },
}

/// Runs `query` on the PostgreSQL at `config` and gives back `columns`.
///
/// # Errors
/// In BigQuery's words.
pub(super) async fn ask(
    mut config: Config,
    query: &str,
    columns: &[String],
    want: Want,
) -> Result<Answer, String> {
    // Text must not depend on how the server is set up, and BigQuery only reads.
    config.options(
        "-c default_transaction_read_only=on -c TimeZone=UTC -c DateStyle=ISO \
         -c extra_float_digits=3 -c bytea_output=hex",
    );
    let connected = config.connect(NoTls).await;
    let (client, connection) = connected.map_err(|error| unreachable(&error))?;
    let running = tokio::spawn(connection);
    let answer = run(&client, query, columns, want).await;
    running.abort();
    answer
}

async fn run(
    client: &Client,
    query: &str,
    columns: &[String],
    want: Want,
) -> Result<Answer, String> {
    let list: Vec<String> = columns
        .iter()
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect();
    let wrapped = format!("SELECT {} FROM ({query}) t;", list.join(","));
    let prepared = client.prepare(&wrapped).await.map_err(|error| {
        format!(
            "Invalid table-valued function EXTERNAL_QUERY PostgreSQL prepare statement failed. Error: {}",
            said(&error)
        )
    })?;
    let columns: Vec<(String, u32)> = prepared
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), column.type_().oid()))
        .collect();
    if let Some((_, oid)) = columns.iter().find(|(_, oid)| values::kind(*oid).is_none()) {
        return Err(format!(
            "Invalid table-valued function EXTERNAL_QUERY Postgres type (OID = {oid}) isn't supported now"
        ));
    }
    let mut answer = Answer {
        columns,
        ..Answer::default()
    };
    let Want::Rows { most } = want else {
        return Ok(answer);
    };
    let failed = |error: tokio_postgres::Error| {
        format!(
            "Failed to fetch row from PostgreSQL server. Error: {}",
            said(&error)
        )
    };
    let mut messages = pin!(client.simple_query_raw(&wrapped).await.map_err(failed)?);
    while let Some(message) = messages.try_next().await.map_err(failed)? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let cells = (0..row.len()).map(|at| row.try_get(at).ok().flatten());
        if answer.rows.len() < most {
            answer
                .rows
                .push(cells.map(|cell| cell.map(str::to_owned)).collect());
        } else {
            answer.forgotten.rows += 1;
            answer.forgotten.bytes += cells.flatten().map(str::len).sum::<usize>();
        }
    }
    Ok(answer)
}

pub(super) fn unreachable(error: &tokio_postgres::Error) -> String {
    format!(
        "Invalid table-valued function EXTERNAL_QUERY Connect to PostgreSQL server failed: {}",
        said(error)
    )
}

/// As the server writes it.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("ERROR: {}", error.message()),
        None => error.to_string(),
    }
}
