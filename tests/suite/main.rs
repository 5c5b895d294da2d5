//! One binary for all tests that cross modules: it is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub
)]

#[cfg(feature = "sandbox")]
#[path = "../cluster/answers.rs"]
mod answers;
#[cfg(feature = "sandbox")]
#[expect(dead_code, reason = "the tests on a cluster need more of it")]
#[path = "../cluster/api.rs"]
mod api;
mod cli;
mod commanded;
#[cfg(feature = "sandbox")]
mod commands;
mod common;
#[cfg(feature = "sandbox")]
mod crashes;
mod docs;
#[cfg(feature = "sandbox")]
mod door;
mod drift;
#[cfg(feature = "sandbox")]
mod events;
mod example;
#[cfg(feature = "sandbox")]
mod inventory;
#[cfg(feature = "sandbox")]
mod lanes;
mod model;
mod mutants;
#[cfg(feature = "sandbox")]
mod pace;
mod page;
mod planning;
mod properties;
mod reference;
#[cfg(feature = "sandbox")]
mod replicas;
mod rights;
mod rules;
#[cfg(feature = "sandbox")]
mod scenarios;
#[cfg(feature = "sandbox")]
mod seeds;
#[cfg(feature = "sandbox")]
mod serve;
#[cfg(feature = "sandbox")]
mod stories;
#[cfg(feature = "sandbox")]
mod sync;
mod tidy;
