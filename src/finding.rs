//! Findings: located, rated statements about what people wrote.
//!
//! A user's mistake is data, collected in full and sorted; errors are for the world failing.

use std::fmt;

use serde::Serialize;

use crate::name::PipelineName;
use crate::snapshot::RepoPath;

/// A range in a file. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing of the pipeline is applied while it stands.
    Deny,
    /// Said, and applied.
    Warn,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
        })
    }
}

/// One statement about one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub path: RepoPath,
    /// Absent where the statement is about the whole file.
    pub span: Option<Span>,
    pub severity: Severity,
    /// A name from [`RULES`], or `policy/<package>` for a rule of the house.
    pub rule: String,
    pub message: String,
    /// The next step, where there is one to name.
    pub help: Option<String>,
    /// The pipeline it holds up; a file that can not be read has only a path.
    pub pipeline: Option<PipelineName>,
}

impl Finding {
    pub fn deny(rule: Rule, path: &str, span: Option<Span>, message: impl Into<String>) -> Self {
        Self::new(Severity::Deny, rule, path, span, message.into())
    }

    pub fn warn(rule: Rule, path: &str, span: Option<Span>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warn, rule, path, span, message.into())
    }

    fn new(
        severity: Severity,
        rule: Rule,
        path: &str,
        span: Option<Span>,
        message: String,
    ) -> Self {
        Self {
            path: path.to_owned(),
            span,
            severity,
            rule: rule.id.to_owned(),
            message,
            help: None,
            pipeline: None,
        }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn about(mut self, pipeline: &PipelineName) -> Self {
        self.pipeline = Some(pipeline.clone());
        self
    }

    pub fn is_deny(&self) -> bool {
        self.severity == Severity::Deny
    }
}

/// Sorts by place and drops repetitions, so that the same input gives the same bytes.
pub fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings.dedup();
    findings
}

/// A built-in check: its name is in every finding and is the anchor of its documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub id: &'static str,
    /// What it is about, in a few words.
    pub summary: &'static str,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $summary:literal;)*) => {
        /// The built-in checks, one constant each.
        pub mod rule {
            use super::Rule;
            $($(#[$doc])* pub const $name: Rule = Rule { id: $id, summary: $summary };)*
        }
        /// All of them, in the order of this file.
        pub const RULES: &[Rule] = &[$(rule::$name),*];
    };
}

rules! {
    FILE = "file", "the file can not be read as a pipeline or a policy at all";
    SYNTAX = "yaml-syntax", "the file is not YAML";
    STRUCTURE = "yaml-structure", "an alias, a tag, a second document or too much nesting";
    DUPLICATE_KEY = "duplicate-key", "a key occurs twice";
    UNKNOWN_KEY = "unknown-key", "a key that does not exist";
    MISSING_KEY = "missing-key", "a required key is absent";
    WRONG_TYPE = "wrong-type", "a value of the wrong type";
    ILLEGAL_NAME = "illegal-name", "a name that the system it goes to would refuse";
    ILLEGAL_VALUE = "illegal-value", "a value outside its range";
    BOTH_TABLE_LISTS = "both-table-lists", "target_tables and excluded_tables are both set";
    TABLE_SETTINGS = "table-settings", "settings of a table that is not copied, or that contradict each other";
    WHERE = "where", "a condition that the sync would refuse";
    SCHEDULE = "schedule", "a schedule or time zone that Argo would refuse, or that never fires";
    LOCATION = "location", "connection, dataset and jobs must share one location";
    DUPLICATE_NAME = "duplicate-name", "two files claim one pipeline";
    UNKNOWN_PROJECT = "unknown-project", "a project that the estate does not list";
    UNKNOWN_CONNECTION = "unknown-connection", "a connection that the estate does not list";
    SHARED_DATASET = "shared-dataset", "two pipelines write one dataset and may collide";
    ISOLATION = "isolation", "an identity would reach another instance's connection";
    CONNECTION = "connection", "the live connection is not what the estate and the file say";
    OBSERVED = "observed", "something the plan needs could not be read";
    DATASET_LOCATION = "dataset-location", "the dataset exists in another location";
    POLICY = "policy", "a rule of the house could not be read or did not finish";
    TOO_MANY_SCHEDULES = "too-many-schedules", "more distinct schedules than the house allows";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_ids_are_distinct() {
        let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }

    #[test]
    fn findings_sort_by_place() {
        let at = |line| Span {
            line,
            column: 1,
            end_line: line,
            end_column: 2,
        };
        let later = Finding::deny(rule::FILE, "a.yaml", Some(at(9)), "x");
        let first = Finding::warn(rule::SYNTAX, "a.yaml", Some(at(2)), "y");
        let all = sorted(vec![later.clone(), first.clone(), later.clone()]);
        assert_eq!(all, vec![first, later]);
    }
}
