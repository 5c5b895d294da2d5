//! One outside system each; edges never import each other.
pub mod forge;
pub mod cluster;
