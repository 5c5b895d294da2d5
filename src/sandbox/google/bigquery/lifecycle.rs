//! Tables that are made and deleted by themselves. When one expires it is not taken away here:
//! no clock runs.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::super::Shared;
use super::super::reply::{Answer, Kind, Refusal, parse};
use super::statement::TableName;
use super::tables::{Table, known, missing};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    table_reference: Reference,
    expiration_time: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reference {
    project_id: String,
    dataset_id: String,
    table_id: String,
}

/// Makes a table without columns and rows.
pub(super) async fn insert(
    State(world): State<Shared>,
    Path((project, dataset)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let Sent {
        table_reference: reference,
        expiration_time: expires,
        labels,
    } = parse(&body)?;
    let mut world = world.lock();
    known(&world, &project, &dataset)?;
    let expires_at = expires.as_deref().map(str::parse::<i64>).transpose();
    if (&reference.project_id, &reference.dataset_id) != (&project, &dataset) || expires_at.is_err()
    {
        let message = "Invalid table reference or expiration time".to_owned();
        return Err(Refusal::new(Kind::BigQueryInvalid, message));
    }
    let name = TableName {
        project,
        dataset,
        table: reference.table_id,
    };
    if world.tables.contains_key(&name) {
        let message = format!(
            "Already Exists: Table {}:{}.{}",
            name.project, name.dataset, name.table
        );
        return Err(Refusal::new(Kind::BigQueryDuplicate, message));
    }
    let table = Table {
        labels,
        expires,
        created: world.time(),
        ..Table::default()
    };
    let view = table.view(&name);
    world.tables.insert(name, table);
    Ok(Json(view))
}

pub(super) async fn delete(
    State(world): State<Shared>,
    Path((project, dataset, table)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let mut world = world.lock();
    known(&world, &project, &dataset)?;
    let name = TableName {
        project,
        dataset,
        table,
    };
    match world.tables.remove(&name) {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(missing(&name)),
    }
}
