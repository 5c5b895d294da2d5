//! BigQuery tables as they stand: schema, size and labels. Their rows are never read here, and none of
//! them is ever deleted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::GoogleClient;
use super::answer::{SchemaAnswer, moment, number};
use super::error::GoogleError;
use super::http::{Call, below};

/// As many as one page of a list may hold.
const PAGE: &str = "1000";

/// A table's full name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableReference {
    pub project: String,
    pub dataset: String,
    pub table: String,
}

impl TableReference {
    pub(super) fn json(&self) -> Value {
        json!({"projectId": self.project, "datasetId": self.dataset, "tableId": self.table})
    }
}

impl std::fmt::Display for TableReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// Columns, in order.
pub type Schema = Vec<Field>;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// By the older of its two names, as the API answers: `INTEGER`, `FLOAT`, `BOOLEAN`, `RECORD`.
    pub kind: String,
    pub mode: FieldMode,
    pub description: Option<String>,
    /// Whether a policy tag guards it.
    pub is_guarded: bool,
    /// Of a record.
    pub fields: Schema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldMode {
    Nullable,
    Required,
    Repeated,
}

impl Field {
    pub(super) fn all(raw: Option<Vec<Value>>) -> Schema {
        raw.unwrap_or_default()
            .into_iter()
            .map(Self::read)
            .collect()
    }

    fn read(raw: Value) -> Self {
        let text = |name: &str| raw.get(name).and_then(Value::as_str).map(str::to_owned);
        let guards = |tags: &Value| {
            tags.get("names")
                .and_then(Value::as_array)
                .is_some_and(|names| !names.is_empty())
        };
        Self {
            name: text("name").unwrap_or_default(),
            kind: text("type").unwrap_or_default(),
            mode: match raw.get("mode").and_then(Value::as_str) {
                Some("REQUIRED") => FieldMode::Required,
                Some("REPEATED") => FieldMode::Repeated,
                _ => FieldMode::Nullable,
            },
            description: text("description").filter(|text| !text.is_empty()),
            is_guarded: raw.get("policyTags").is_some_and(guards),
            fields: Self::all(raw.get("fields").and_then(Value::as_array).cloned()),
        }
    }
}

/// A table as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub kind: TableKind,
    pub schema: Schema,
    /// Without what is still on its way in by streaming.
    pub rows: u64,
    pub bytes: u64,
    pub labels: BTreeMap<String, String>,
}

/// What a table's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    Table,
    /// A view, an external table, a snapshot: as Google calls it.
    Other(String),
}

/// What a list of tables says of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTable {
    pub name: String,
    pub created: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(rename = "type", default)]
    kind: String,
    schema: Option<SchemaAnswer>,
    #[serde(default)]
    num_rows: Value,
    #[serde(default)]
    num_bytes: Value,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAnswer {
    #[serde(default)]
    tables: Vec<ItemAnswer>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemAnswer {
    table_reference: ReferenceAnswer,
    #[serde(default)]
    creation_time: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferenceAnswer {
    table_id: String,
}

impl GoogleClient {
    /// The table of that name, if it exists.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn table(&self, table: &TableReference) -> Result<Option<Table>, GoogleError> {
        let attempt = format!("read table {table}");
        let url = self.tables_url(&table.project, &table.dataset, Some(&table.table))?;
        match self
            .http
            .call::<Answer>(Call::new(attempt, Method::GET, url))
            .await
        {
            Ok(answer) => Ok(Some(answer.into())),
            Err(GoogleError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything in a dataset, views included.
    ///
    /// # Errors
    /// [`GoogleError::NotFound`] without the dataset.
    pub async fn tables(
        &self,
        project: &str,
        dataset: &str,
    ) -> Result<Vec<ListedTable>, GoogleError> {
        let mut tables = Vec::new();
        let mut page: Option<String> = None;
        loop {
            let mut url = self.tables_url(project, dataset, None)?;
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("maxResults", PAGE);
                if let Some(page) = &page {
                    query.append_pair("pageToken", page);
                }
            }
            let attempt = format!("list the tables of {project}.{dataset}");
            let answer: ListAnswer = self.http.call(Call::new(attempt, Method::GET, url)).await?;
            tables.extend(answer.tables.into_iter().map(|item| ListedTable {
                name: item.table_reference.table_id,
                created: moment(&item.creation_time),
            }));
            match answer.next_page_token.filter(|token| !token.is_empty()) {
                Some(next) => page = Some(next),
                None => return Ok(tables),
            }
        }
    }

    /// Puts labels on a table, or (`None`) takes them away; those it has under other keys stay.
    ///
    /// # Errors
    /// [`GoogleError::NotFound`] without the table.
    pub async fn label_table(
        &self,
        table: &TableReference,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), GoogleError> {
        let attempt = format!("label table {table}");
        let url = self.tables_url(&table.project, &table.dataset, Some(&table.table))?;
        let call = Call::new(attempt, Method::PATCH, url).json(json!({"labels": labels}));
        self.http.call::<IgnoredAny>(call).await.map(|_| ())
    }

    pub(super) fn tables_url(
        &self,
        project: &str,
        dataset: &str,
        table: Option<&str>,
    ) -> Result<Url, GoogleError> {
        let mut path = vec![
            "bigquery", "v2", "projects", project, "datasets", dataset, "tables",
        ];
        path.extend(table);
        below(
            &self.bases.bigquery,
            &path,
            &format!("name a table of {project}.{dataset}"),
        )
    }
}

impl From<Answer> for Table {
    fn from(answer: Answer) -> Self {
        let Answer {
            kind,
            schema,
            num_rows,
            num_bytes,
            labels,
        } = answer;
        Self {
            kind: match kind.as_str() {
                "TABLE" | "" => TableKind::Table,
                _ => TableKind::Other(kind),
            },
            schema: Field::all(schema.map(|schema| schema.fields)),
            rows: number(&num_rows).unwrap_or_default(),
            bytes: number(&num_bytes).unwrap_or_default(),
            labels,
        }
    }
}
