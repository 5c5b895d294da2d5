//! What the house says: the estate, the defaults, and the rules in Rego.
//!
//! All three are read from the base branch: a pull request can not loosen the rules it
//! is checked by. A pull request that changes them is still read for mistakes.

mod defaults;
mod input;
mod rego;

pub use defaults::{Defaults, OnDrift};
pub use rego::check;

use crate::estate::{self, Estate};
use crate::finding::{Finding, rule};
use crate::snapshot::{Entry, RepoPath, Tree};

/// The folder of policies.
pub const FOLDER: &str = "policies/";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    pub estate: Estate,
    pub defaults: Defaults,
    /// Rego modules: path and text.
    pub rules: Vec<(RepoPath, String)>,
    /// With a deny among them, nothing may be applied at all.
    pub findings: Vec<Finding>,
}

impl Policies {
    /// Reads everything under `policies/`.
    pub fn parse(tree: &Tree) -> Self {
        let mut findings = Vec::new();
        let estate = match bytes(tree, estate::PATH, &mut findings) {
            Some(bytes) => {
                let (estate, found) = Estate::parse(bytes);
                findings.extend(found);
                estate
            }
            None => {
                findings.push(
                    Finding::deny(rule::FILE, estate::PATH, None, "there is no estate").help(
                        "list the house's owners, and each project with its owners and connections",
                    ),
                );
                Estate::default()
            }
        };
        let (defaults, found) = Defaults::parse(bytes(tree, defaults::PATH, &mut findings));
        findings.extend(found);
        let mut rules = Vec::new();
        for path in tree.entries.keys() {
            if !path.starts_with(FOLDER) || !path.ends_with(".rego") || path.ends_with("_test.rego")
            {
                continue;
            }
            if let Some(bytes) = bytes(tree, path, &mut findings) {
                match String::from_utf8(bytes.to_vec()) {
                    Ok(text) => rules.push((path.clone(), text)),
                    Err(_) => findings.push(Finding::deny(
                        rule::POLICY,
                        path,
                        None,
                        "the rule is not UTF-8 text",
                    )),
                }
            }
        }
        findings.extend(rego::compile_findings(&rules));
        Self {
            estate,
            defaults,
            rules,
            findings,
        }
    }

    /// Whether the policies themselves forbid any apply.
    pub fn are_broken(&self) -> bool {
        self.findings.iter().any(Finding::is_deny)
    }
}

/// A policy's bytes; anything but a plain file is a finding.
fn bytes<'t>(tree: &'t Tree, path: &str, findings: &mut Vec<Finding>) -> Option<&'t [u8]> {
    let why = match tree.entries.get(path)? {
        Entry::File(bytes) => return Some(bytes),
        Entry::TooLarge(size) => format!("the file has {size} bytes; it is not read"),
        Entry::Symlink => "the file is a symlink; links are not followed".to_owned(),
        Entry::Submodule => "the path is a submodule; submodules are not read".to_owned(),
    };
    findings.push(Finding::deny(rule::FILE, path, None, why));
    None
}
