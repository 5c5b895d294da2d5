//! The cluster's side on a real API server and on the simulated one, from one source.
//!
//! KUBECONFIG names the cluster: `eval "$(tests/cluster/up)"` starts one, with Argo and without
//! a kubelet, and `cargo test --test cluster` plays on it. Each scenario has a namespace of its
//! own, which goes with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub
)]

mod answers;
mod api;
mod apply;
mod audit;
#[expect(
    dead_code,
    reason = "it is the suite's, and has more than is needed here"
)]
#[path = "../suite/common.rs"]
mod common;
mod controller;
mod drift;
mod inventory;
mod kubelet;
mod place;
#[expect(dead_code, reason = "it has more than is needed here")]
#[path = "../postgres/server.rs"]
mod postgres;
mod proxy;
mod recorded;
mod replicas;
mod reruns;
mod restart;
mod rights;
mod runs;
mod serving;
mod shop;
mod whole;
