//! Query jobs and tables, against answers as the API documents them.

use std::time::Duration;

use axum::Router;

use super::*;
use crate::sandbox::server::{Exchange, Server};

/// A server that gives these answers, one after the other.
async fn answering(answers: Vec<(u16, Value)>) -> (Server, GoogleClient) {
    let server = Server::start(Router::new()).await.unwrap();
    let mut answers = answers.into_iter();
    server.wire().fail_with(move |_, _| {
        let (code, answer) = answers.next()?;
        let code = StatusCode::from_u16(code).unwrap();
        Some(Fault::Refuse(code, answer.to_string()))
    });
    let client = GoogleClient::new(
        &endpoints(&server.url()),
        TokenSource::Fixed(TOKEN.into()),
        Clock::system(),
    );
    (server, client.unwrap())
}

fn reference() -> JobReference {
    JobReference {
        project: "team-a".into(),
        location: "europe-west1".into(),
        id: "pw_run_table_1".into(),
    }
}

fn table() -> TableReference {
    TableReference {
        project: "team-a".into(),
        dataset: "orders".into(),
        table: "Größe x".into(),
    }
}

fn query(purpose: Purpose) -> QueryJob {
    QueryJob {
        reference: reference(),
        query: "SELECT 1".into(),
        labels: [("service".to_owned(), "orders".to_owned())].into(),
        timeout: Duration::from_secs(3600),
        purpose,
    }
}

fn sent(exchange: &Exchange) -> Value {
    serde_json::from_slice(&exchange.request).unwrap()
}

fn google_error(reason: &str, message: &str) -> Value {
    json!({"error": {"message": message, "errors": [{"reason": reason, "message": message}]}})
}

#[tokio::test]
async fn a_write_says_all_that_it_depends_on() {
    let running = json!({"jobReference": {}, "status": {"state": "RUNNING"}});
    let checked = json!({
        "status": {"state": "DONE"},
        "statistics": {"query": {"schema": {"fields": [{"name": "id", "type": "INTEGER"}]}}},
    });
    let (server, client) = answering(vec![(200, running), (200, checked)]).await;
    let destination = Destination {
        table: table(),
        write: WriteDisposition::TruncateData,
        create: CreateDisposition::Never,
        schema_update: vec![SchemaUpdate::FieldAddition],
    };
    let write = Purpose::Write(destination.clone());
    let job = client.insert_job(&query(write)).await.unwrap();
    assert_eq!(job.state, JobState::Running);
    let check = Purpose::Check(Some(destination));
    let job = client.insert_job(&query(check)).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(job.schema.unwrap()[0].kind, "INTEGER");

    let traffic = server.wire().traffic();
    assert_eq!(traffic[0].uri, "/bigquery/v2/projects/team-a/jobs");
    let mut expected = json!({
        "jobReference": {
            "projectId": "team-a", "jobId": "pw_run_table_1", "location": "europe-west1",
        },
        "configuration": {
            "labels": {"service": "orders"},
            "jobTimeoutMs": "3600000",
            "dryRun": false,
            "query": {
                "query": "SELECT 1",
                "useLegacySql": false,
                "destinationTable": {
                    "projectId": "team-a", "datasetId": "orders", "tableId": "Größe x",
                },
                "writeDisposition": "WRITE_TRUNCATE_DATA",
                "createDisposition": "CREATE_NEVER",
                "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"],
            },
        },
    });
    assert_eq!(sent(&traffic[0]), expected);
    expected["configuration"]["dryRun"] = json!(true);
    assert_eq!(sent(&traffic[1]), expected);
}

#[tokio::test]
async fn what_became_of_a_job_is_told_from_whether_it_could_be_asked() {
    let failed = json!({
        "status": {
            "state": "DONE",
            "errorResult": {"reason": "invalidQuery", "message": "no such column"},
        },
        "statistics": {
            "startTime": "1767225600000", "endTime": "1767225601500", "totalSlotMs": "77",
            "query": {"totalBytesProcessed": "1024"},
        },
    });
    let duplicate = google_error("duplicate", "Already Exists: Job team-a:pw_run_table_1");
    let limited = google_error("jobRateLimitExceeded", "slow down");
    let (server, client) = answering(vec![
        (200, failed),
        (404, google_error("notFound", "Not found: Job")),
        (409, duplicate),
        (403, limited),
        (403, google_error("quotaExceeded", "too much for today")),
        (400, google_error("jobBackendError", "try again")),
    ])
    .await;
    let job = client.job(&reference()).await.unwrap().unwrap();
    assert_eq!(
        job.state,
        JobState::Failed(JobError {
            reason: "invalidQuery".into(),
            message: "no such column".into(),
        })
    );
    let statistics = job.statistics;
    let took = statistics.ended.unwrap() - statistics.started.unwrap();
    assert_eq!(took.get_milliseconds() + took.get_seconds() * 1000, 1500);
    assert_eq!(
        (statistics.slot_ms, statistics.bytes_processed),
        (Some(77), Some(1024))
    );
    assert_eq!(client.job(&reference()).await.unwrap(), None);
    let insert = || async { client.insert_job(&query(Purpose::Read)).await.unwrap_err() };
    assert!(matches!(insert().await, GoogleError::AlreadyExists { .. }));
    assert!(insert().await.is_transient());
    assert!(matches!(insert().await, GoogleError::Forbidden { .. }));
    let error = client.query_page(&reference(), 0, None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let traffic = server.wire().traffic();
    assert_eq!(
        traffic[0].uri,
        "/bigquery/v2/projects/team-a/jobs/pw_run_table_1?location=europe-west1"
    );
}

#[tokio::test]
async fn a_result_is_read_page_by_page() {
    let columns = json!({"fields": [
        {"name": "n", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "t", "type": "STRING"},
    ]});
    let page = |rows: Value, next: &str| {
        json!({
            "jobComplete": true, "schema": columns, "totalRows": "2", "rows": rows,
            "pageToken": next,
        })
    };
    let (server, client) = answering(vec![
        (200, json!({"jobComplete": false})),
        (
            200,
            page(json!([{"f": [{"v": "1"}, {"v": null}]}]), "next/page"),
        ),
        (200, page(json!([{"f": [{"v": "2"}, {"v": "x"}]}]), "")),
        (200, json!({})),
    ])
    .await;
    let poll = client.query_page(&reference(), 1000, None).await.unwrap();
    assert_eq!(poll, Poll::Running);
    let Poll::Complete(first) = client.query_page(&reference(), 1000, None).await.unwrap() else {
        panic!("it is complete");
    };
    assert_eq!((first.total_rows, first.schema.len()), (2, 2));
    assert_eq!(first.rows, [vec![Some("1".to_owned()), None]]);
    assert_eq!(first.next.as_deref(), Some("next/page"));
    let next = first.next.as_deref();
    let Poll::Complete(last) = client.query_page(&reference(), 1000, next).await.unwrap() else {
        panic!("it is complete");
    };
    assert_eq!(last.next, None);
    client.cancel_job(&reference()).await.unwrap();
    let traffic = server.wire().traffic();
    let polled = "/bigquery/v2/projects/team-a/queries/pw_run_table_1\
                  ?location=europe-west1&maxResults=1000&timeoutMs=20000";
    assert_eq!(traffic[0].uri, polled);
    assert_eq!(traffic[2].uri, format!("{polled}&pageToken=next%2Fpage"));
    assert_eq!(
        (traffic[3].method.as_str(), traffic[3].uri.as_str()),
        (
            "POST",
            "/bigquery/v2/projects/team-a/jobs/pw_run_table_1/cancel?location=europe-west1"
        )
    );
}

#[tokio::test]
async fn tables_are_listed_read_and_labelled() {
    let item = |name: &str| json!({"tableReference": {"tableId": name}});
    let read = json!({
        "type": "TABLE", "numRows": "12", "numBytes": "900", "labels": {"team": "a"},
        "schema": {"fields": [
            {"name": "id", "type": "INTEGER", "mode": "REQUIRED", "description": "the key"},
            {"name": "mail", "type": "STRING", "policyTags": {"names": ["projects/p/t"]}},
        ]},
    });
    let (server, client) = answering(vec![
        (
            200,
            json!({"tables": [item("a"), item("b")], "nextPageToken": "2"}),
        ),
        (
            200,
            json!({"tables": [{
                "tableReference": {"tableId": "c"}, "creationTime": "1767225600001",
            }]}),
        ),
        (200, read),
        (404, google_error("notFound", "Not found: Table")),
        (200, json!({})),
        (404, google_error("notFound", "Not found: Dataset")),
    ])
    .await;
    let tables = client.tables("team-a", "orders").await.unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let created = "2026-01-01T00:00:00.001Z".parse().unwrap();
    assert_eq!(tables[2].created, Some(created));
    let seen = client.table(&table()).await.unwrap().unwrap();
    assert_eq!((seen.rows, seen.bytes), (12, 900));
    assert_eq!(seen.schema[0].mode, FieldMode::Required);
    assert!(!seen.schema[0].is_guarded && seen.schema[1].is_guarded);
    assert_eq!(client.table(&table()).await.unwrap(), None);
    let labels = [("pipewright", Some("x".to_owned())), ("old", None)];
    let labels = labels.map(|(key, value)| (key.to_owned(), value)).into();
    client.label_table(&table(), &labels).await.unwrap();
    let error = client.tables("team-a", "gone").await.unwrap_err();
    assert!(matches!(error, GoogleError::NotFound { .. }));
    let traffic = server.wire().traffic();
    assert_eq!(
        sent(&traffic[4]),
        json!({"labels": {"pipewright": "x", "old": null}})
    );
    assert!(traffic[4].uri.ends_with("/tables/Gr%C3%B6%C3%9Fe%20x"));
}
