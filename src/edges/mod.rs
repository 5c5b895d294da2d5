//! One outside system each; edges never import each other.

pub mod cluster;
pub mod forge;
pub mod git;
pub mod google;
pub mod replica;
