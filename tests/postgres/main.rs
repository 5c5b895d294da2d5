//! The sync's queries on a real PostgreSQL, which is started here: `cargo test --test postgres`.
//!
//! Every inner query runs as the connection's role, inside the wrapper that BigQuery puts
//! around it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub
)]

mod catalog;
mod chunks;
mod conditions;
mod incremental;
mod names;
mod runner;
mod server;
mod shape;
mod values;
