//! The keys of a pipeline's file: each read, checked, and said to be wrong on its line.

use std::collections::BTreeMap;

use crate::finding::{Finding, rule};
use crate::name::{ConnectionId, Digest, Location, NameError, PgName, PipelineName, ProjectId};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::reader::Reader;

use super::options::{arrival, is_default, schema_changes, table_options};
use super::{
    Arrival, ConnectionRef, Origin, Pipeline, Schedule, TableOptions, TableSelection, TimeZoneName,
};

/// Reads the keys. `None` if a required one is missing or illegal; optional ones that are
/// illegal are findings, which hold the pipeline up just the same.
/// The places of the keys are the reader's, and follow when it is done.
pub(super) fn read(
    reader: &mut Reader<'_>,
    path: &str,
    bytes: &[u8],
    name: Option<&PipelineName>,
) -> Option<Pipeline> {
    let tree = reader.tree(bytes)?;
    let mut fields = reader.root(&tree)?;
    let project = required(reader, &mut fields, "bq_project_id");
    let connection = fields
        .require(reader, "bq_connection_id")
        .and_then(|field| connection(reader, &field));
    let dataset = required(reader, &mut fields, "bq_dataset_name");
    let service = required(reader, &mut fields, "service_name");
    let database = required(reader, &mut fields, "db_catalog_name");
    let schema = required(reader, &mut fields, "db_schema_name");
    let tables = tables(reader, &mut fields);
    let schedule = fields.take("schedule").and_then(|f| schedule(reader, &f));
    let timezone = fields.take("timezone").and_then(|f| timezone(reader, &f));
    let location = fields.take("location").and_then(|f| location(reader, &f));
    let owners = fields
        .take("owners")
        .and_then(|f| reader.names(&f))
        .unwrap_or_default();
    let readers = fields
        .take("readers")
        .and_then(|f| reader.names(&f))
        .unwrap_or_default();
    let settings = fields
        .take("tables")
        .and_then(|f| table_settings(reader, &f, &tables))
        .unwrap_or_default();
    // What somebody else can read is not joined by what nobody has looked at.
    let unseen = if readers.is_empty() {
        Arrival::Copy
    } else {
        Arrival::Hold
    };
    let new_tables = fields.take("new_tables").and_then(|f| arrival(reader, &f));
    let new_columns = fields.take("new_columns").and_then(|f| arrival(reader, &f));
    let schema_changes = fields
        .take("schema_changes")
        .and_then(|f| schema_changes(reader, &f))
        .unwrap_or_default();
    let previously = fields.take("previously").and_then(|f| reader.name(&f));
    let suspend = fields
        .take("suspend")
        .and_then(|f| reader.boolean(&f))
        .unwrap_or(false);
    let description = fields
        .take("description")
        .and_then(|f| description(reader, &f));
    let labels = fields
        .take("labels")
        .and_then(|f| labels(reader, &f))
        .unwrap_or_default();
    reader.end(fields);
    Some(Pipeline {
        name: name?.clone(),
        origin: Origin {
            path: path.to_owned(),
            source: Digest::of(bytes),
            spans: BTreeMap::new(),
        },
        project: project?,
        connection: connection?,
        dataset: dataset?,
        service: service?,
        database: database?,
        schema: schema?,
        tables,
        schedule,
        timezone,
        location,
        owners,
        readers,
        table_schedules: settings.schedules,
        table_options: settings.options,
        new_tables: new_tables.unwrap_or(unseen),
        new_columns: new_columns.unwrap_or(unseen),
        schema_changes,
        previously,
        suspend,
        description,
        labels,
    })
}

fn required<T: std::str::FromStr<Err = NameError>>(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    key: &'static str,
) -> Option<T> {
    fields
        .require(reader, key)
        .and_then(|field| reader.name(&field))
}

fn connection(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ConnectionRef> {
    let text = reader.text(field)?;
    let parts: Vec<&str> = text.split('/').collect();
    let parsed: Result<ConnectionRef, NameError> = match parts.as_slice() {
        [
            "projects",
            project,
            "locations",
            location,
            "connections",
            id,
        ] => project.parse::<ProjectId>().and_then(|project| {
            let location = location.to_ascii_lowercase().parse::<Location>()?;
            let id = id.parse::<ConnectionId>()?;
            Ok(ConnectionRef {
                project: Some(project),
                location: Some(location),
                id,
            })
        }),
        _ => text.parse::<ConnectionId>().map(|id| ConnectionRef {
            project: None,
            location: None,
            id,
        }),
    };
    match parsed {
        Ok(connection) => Some(connection),
        Err(error) => {
            reader.push(
                Finding::deny(
                    rule::ILLEGAL_NAME,
                    "",
                    Some(field.span()),
                    error.to_string(),
                )
                .help("write its id alone, or `projects/P/locations/L/connections/C`"),
            );
            None
        }
    }
}

fn tables(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> TableSelection {
    let target = fields.take("target_tables");
    let excluded = fields.take("excluded_tables");
    if let (Some(_), Some(excluded)) = (&target, &excluded) {
        let finding = Finding::deny(
            rule::BOTH_TABLE_LISTS,
            "",
            Some(excluded.place),
            "`target_tables` and `excluded_tables` are both set",
        );
        reader.push(finding.help(
            "keep `target_tables` to copy only those, or `excluded_tables` to copy all but those; \
             with neither, every table is copied",
        ));
    }
    let target = target.and_then(|field| reader.names(&field));
    let excluded = excluded.and_then(|field| reader.names(&field));
    match (target, excluded) {
        (Some(tables), _) => TableSelection::Only(tables),
        (None, Some(tables)) => TableSelection::Except(tables),
        (None, None) => TableSelection::All,
    }
}

/// What stands under `tables`.
#[derive(Default)]
struct TableSettings {
    schedules: BTreeMap<PgName, Schedule>,
    options: BTreeMap<PgName, TableOptions>,
}

fn table_settings(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    tables: &TableSelection,
) -> Option<TableSettings> {
    let mut found = TableSettings::default();
    for (table, settings) in reader.named::<PgName>(field)? {
        if !tables.contains(&table) {
            reader.deny(
                rule::TABLE_SETTINGS,
                Some(settings.place),
                format!("`{table}` has settings, and is not copied"),
            );
        }
        let Some(mut keys) = reader.fields(&settings) else {
            continue;
        };
        let schedule = keys.take("schedule").and_then(|f| schedule(reader, &f));
        let options = table_options(reader, &mut keys);
        reader.end(keys);
        // A table without any setting is named all the same: that ends `new_tables: hold`.
        if !is_default(&options) || schedule.is_none() {
            found.options.insert(table.clone(), options);
        }
        if let Some(schedule) = schedule {
            found.schedules.insert(table, schedule);
        }
    }
    Some(found)
}

fn schedule(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Schedule> {
    let text = reader.text(field)?;
    Schedule::parse(&text)
        .map_err(|message| reader.deny(rule::SCHEDULE, Some(field.span()), message))
        .ok()
}

fn timezone(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<TimeZoneName> {
    let text = reader.text(field)?;
    TimeZoneName::parse(&text)
        .map_err(|message| reader.deny(rule::SCHEDULE, Some(field.span()), message))
        .ok()
}

/// Locations ignore case at Google; one spelling here, so that equal ones compare equal.
fn location(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Location> {
    let text = reader.text(field)?;
    text.to_ascii_lowercase()
        .parse::<Location>()
        .map_err(|error| reader.deny(rule::ILLEGAL_NAME, Some(field.span()), error.to_string()))
        .ok()
}

fn description(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if text.chars().count() > 1000 {
        reader.deny(
            rule::ILLEGAL_VALUE,
            Some(field.span()),
            "a description has at most 1000 characters",
        );
        return None;
    }
    Some(text)
}

/// Labels go to Google, whose rule is the stricter one.
fn labels(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BTreeMap<String, String>> {
    let legal = |text: &str, min: usize| {
        (min..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    };
    let mut fields = reader.fields(field)?;
    let mut labels = BTreeMap::new();
    for (key, value) in fields.rest() {
        let first = key
            .text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase());
        if !first || !legal(&key.text, 1) {
            reader.deny(
                rule::ILLEGAL_NAME,
                Some(key.span),
                "a label's key has 1 to 63 lowercase letters, digits, `_` and `-`, and begins with a letter",
            );
            continue;
        }
        let Some(text) = reader.text(&value) else {
            continue;
        };
        if legal(&text, 0) {
            labels.insert(key.text.clone(), text);
        } else {
            reader.deny(
                rule::ILLEGAL_VALUE,
                Some(value.span()),
                "a label's value has at most 63 lowercase letters, digits, `_` and `-`",
            );
        }
    }
    Some(labels)
}
