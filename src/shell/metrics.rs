//! What the last runs did, for Prometheus: read from the cluster when it is asked, so that
//! it is as true after a restart as before, and every replica says the same.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::edges::cluster::{Cluster, Phase, Run};
use crate::sync::{Outcome, RunReport};

/// As OpenMetrics names itself.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(super) fn router(cluster: Cluster) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(cluster)
}

async fn metrics(State(cluster): State<Cluster>) -> Response {
    let runs = match cluster.last_runs().await {
        Ok(runs) => runs,
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "the last runs could not be read");
            return (
                StatusCode::SERVICE_UNAVAILABLE,
                "the runs can not be read\n",
            )
                .into_response();
        }
    };
    match text(&runs) {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    service: String,
    pipeline: String,
    schedule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTable {
    service: String,
    pipeline: String,
    table: String,
}

type Float = Gauge<f64, AtomicU64>;

/// One registry for each answer: what is no longer there is no longer told.
#[derive(Default)]
struct Told {
    succeeded: Family<OfRun, Gauge>,
    ended: Family<OfRun, Float>,
    duration: Family<OfRun, Float>,
    table_succeeded: Family<OfTable, Gauge>,
    rows: Family<OfTable, Gauge>,
    bytes: Family<OfTable, Gauge>,
    slot: Family<OfTable, Float>,
    table_duration: Family<OfTable, Float>,
}

/// The metrics' text, in OpenMetrics' format.
fn text(runs: &BTreeMap<String, Run>) -> Result<String, std::fmt::Error> {
    let told = Told::default();
    for run in runs.values() {
        told.run(run);
    }
    let mut registry = Registry::with_prefix("pipewright_sync");
    told.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Told {
    fn run(&self, run: &Run) {
        let labels = OfRun {
            service: run.service.clone(),
            pipeline: run.pipeline.clone(),
            schedule: run.cron.clone(),
        };
        let succeeded = i64::from(run.phase == Phase::Succeeded);
        self.succeeded.get_or_create(&labels).set(succeeded);
        if let Some(ended) = run.finished_at {
            self.ended
                .get_or_create(&labels)
                .set(ended.as_second() as f64);
            if let Some(started) = run.started_at {
                let took = ended.duration_since(started).as_secs_f64();
                self.duration.get_or_create(&labels).set(took);
            }
        }
        let text = run.report.as_deref().unwrap_or_default();
        let Ok(report) = RunReport::from_json(text) else {
            return;
        };
        for table in &report.tables {
            let labels = OfTable {
                service: run.service.clone(),
                pipeline: run.pipeline.clone(),
                table: table.table.clone(),
            };
            let succeeded = match table.result {
                Outcome::Copied => 1,
                Outcome::Failed(_) => 0,
                // Nobody wanted it copied.
                Outcome::Skipped(_) => continue,
            };
            self.table_succeeded.get_or_create(&labels).set(succeeded);
            let whole = |family: &Family<OfTable, Gauge>, number: Option<u64>| {
                if let Some(number) = number {
                    let number = i64::try_from(number).unwrap_or(i64::MAX);
                    family.get_or_create(&labels).set(number);
                }
            };
            let seconds = |family: &Family<OfTable, Float>, milliseconds: Option<u64>| {
                if let Some(milliseconds) = milliseconds {
                    let seconds = milliseconds as f64 / 1000.0;
                    family.get_or_create(&labels).set(seconds);
                }
            };
            whole(&self.rows, table.rows);
            whole(&self.bytes, table.bytes);
            seconds(&self.slot, table.slot_ms);
            seconds(&self.table_duration, table.duration_ms);
        }
    }

    fn register(self, registry: &mut Registry) {
        let of_run = "of the run that ended last";
        let of_table = "in the run that ended last";
        registry.register(
            "run_succeeded",
            format!("1 if it succeeded, {of_run}"),
            self.succeeded,
        );
        registry.register_with_unit(
            "run_ended_timestamp",
            format!("When it ended, {of_run}"),
            Unit::Seconds,
            self.ended,
        );
        registry.register_with_unit(
            "run_duration",
            format!("How long it took, {of_run}"),
            Unit::Seconds,
            self.duration,
        );
        registry.register(
            "table_succeeded",
            format!("1 if the table was copied, {of_table}"),
            self.table_succeeded,
        );
        registry.register(
            "table_rows",
            format!("Rows of the table, {of_table}"),
            self.rows,
        );
        registry.register_with_unit(
            "table_billed",
            format!("What BigQuery bills for the table, {of_table}"),
            Unit::Bytes,
            self.bytes,
        );
        registry.register_with_unit(
            "table_slot",
            format!("Slot time of the table, {of_table}"),
            Unit::Seconds,
            self.slot,
        );
        registry.register_with_unit(
            "table_duration",
            format!("How long the table took, {of_table}"),
            Unit::Seconds,
            self.table_duration,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{CopyMode, Failure, LONGEST_REPORT, Persistence, RunResult, TableReport};

    fn table(name: &str, result: Outcome) -> TableReport {
        TableReport {
            table: name.to_owned(),
            mode: CopyMode::Full,
            result,
            rows: Some(12),
            bytes: Some(4096),
            slot_ms: Some(1500),
            duration_ms: Some(250),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_last_runs_as_prometheus_reads_them() {
        let failed = Outcome::Failed(Failure {
            persistence: Persistence::Permanent,
            error: "no".to_owned(),
        });
        let tables = vec![
            table("a\"b\n", failed),
            table("paid", Outcome::Copied),
            table("seen", Outcome::Skipped("a view".to_owned())),
        ];
        let result = RunResult {
            tables,
            ..RunResult::default()
        };
        let report = RunReport::new("orders".parse().unwrap(), "shop".parse().unwrap(), result);
        let run = Run {
            name: "orders-1".to_owned(),
            cron: "orders".to_owned(),
            pipeline: "orders".to_owned(),
            service: "shop".to_owned(),
            phase: Phase::Failed,
            message: None,
            started_at: "2026-01-01T00:00:00Z".parse().ok(),
            finished_at: "2026-01-01T00:01:30Z".parse().ok(),
            report: Some(report.to_json(LONGEST_REPORT)),
        };
        let text = text(&[("orders".to_owned(), run)].into()).unwrap();
        for line in [
            r#"pipewright_sync_run_succeeded{service="shop",pipeline="orders",schedule="orders"} 0"#,
            r#"pipewright_sync_run_ended_timestamp_seconds{service="shop",pipeline="orders",schedule="orders"} 1767225690.0"#,
            r#"pipewright_sync_run_duration_seconds{service="shop",pipeline="orders",schedule="orders"} 90.0"#,
            r#"pipewright_sync_table_succeeded{service="shop",pipeline="orders",table="paid"} 1"#,
            r#"pipewright_sync_table_rows{service="shop",pipeline="orders",table="paid"} 12"#,
            r#"pipewright_sync_table_billed_bytes{service="shop",pipeline="orders",table="paid"} 4096"#,
            r#"pipewright_sync_table_slot_seconds{service="shop",pipeline="orders",table="paid"} 1.5"#,
            r#"pipewright_sync_table_duration_seconds{service="shop",pipeline="orders",table="paid"} 0.25"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(!text.contains("seen"), "{text}");
        let hostile = text.lines().find(|line| line.contains("a\\\"b"));
        assert!(hostile.is_some_and(|line| line.ends_with(" 0")), "{text}");
    }
}
