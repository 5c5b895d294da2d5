//! What the example's pipeline `orders` reads and writes: a real PostgreSQL, and the simulated
//! BigQuery that is connected to it.

use std::sync::{Arc, Mutex};

use pipewright::sandbox::google::{Google, Options};
use serde_json::json;

use crate::kubelet::Image;
use crate::postgres;

const TOKEN: &str = "ya29.a-token";

/// What the example's pipeline `orders` reads.
const SHOP: &str = "
CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO reader; SET search_path TO shop;
CREATE TABLE items (id bigint PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a'), (2, 'b'),
    (3, 'b$$');
CREATE TABLE paid (id bigint PRIMARY KEY); INSERT INTO paid VALUES (7);
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader;";

/// BigQuery, connected to a database of the name that the example gives.
pub async fn bigquery(server: &postgres::Server) -> Google {
    let instance = "acme-orders:asia-northeast1:orders".to_owned();
    let google = Google::start(Options {
        token: TOKEN.to_owned(),
        projects: vec!["acme-orders".to_owned()],
        postgres: [(instance.clone(), server.address())].into(),
        ..Options::default()
    })
    .await
    .unwrap();
    google.add_connection(
        "acme-orders",
        "asia-northeast1",
        "orders-db",
        &instance,
        "orders",
    );
    let dataset = json!({
        "datasetReference": {"projectId": "acme-orders", "datasetId": "dataplatform_orders_shop"},
        "location": "asia-northeast1",
    });
    let made = reqwest::Client::new()
        .post(format!(
            "{}/bigquery/v2/projects/acme-orders/datasets",
            google.url()
        ))
        .bearer_auth(TOKEN)
        .body(dataset.to_string())
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{made:?}");
    google
}

/// The program itself, which finds this BigQuery.
pub fn program(google: &Google) -> Image {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Image {
        programs: [set("pipewright", env!("CARGO_BIN_EXE_pipewright"))].into(),
        environment: vec![
            set("PIPEWRIGHT_GOOGLE_TOKEN", TOKEN),
            set("PIPEWRIGHT_BIGQUERY_URL", &google.url()),
            set("PIPEWRIGHT_BIGQUERY_CONNECTION_URL", &google.url()),
        ],
    }
}

/// Whoever comes second finds what the first one made.
static MAKING: Mutex<()> = Mutex::new(());

/// A server with the database in it.
pub fn database() -> Arc<postgres::Server> {
    let _alone = MAKING.lock().unwrap_or_else(|broken| broken.into_inner());
    let server = postgres::server();
    let known = "SELECT 1 FROM pg_database WHERE datname = 'orders'";
    let known = server.rows(postgres::OWNER, "postgres", known).unwrap();
    if known.is_empty() {
        server.database("orders");
        server.run("orders", SHOP);
    }
    server
}

/// How many rows of each table have arrived.
pub fn rows(google: &Google) -> (Option<usize>, Option<usize>) {
    let rows = |table: &str| {
        let found = google.table("acme-orders", "dataplatform_orders_shop", table);
        found.map(|table| table.rows.len())
    };
    (rows("items"), rows("paid"))
}
