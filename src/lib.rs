//! Pipewright: one Git repository as the door from Cloud SQL to BigQuery.

pub mod edges;
#[cfg(feature = "sandbox")]
pub mod sandbox;
