//! Pipewright: one Git repository as the door from Cloud SQL to BigQuery.

#[cfg(feature = "sandbox")]
pub mod sandbox;
