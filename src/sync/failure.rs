//! Whether another attempt could help.

use serde::{Deserialize, Serialize};

/// The runner's exit code for a failure that another attempt would only repeat.
/// Everything else is tried again, -1 of an evicted pod included.
pub const PERMANENT_EXIT_CODE: i32 = 2;
/// Its exit code for one that may pass (`EX_TEMPFAIL` of sysexits); Argo tries again.
pub const TRANSIENT_EXIT_CODE: i32 = 75;

/// Whether a failure passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    Transient,
    Permanent,
}

/// What BigQuery's `reason`s say that another attempt may cure. `quotaExceeded` is not one of
/// them: it lasts until the quota's day is over.
const TRANSIENT_REASONS: &[&str] = &[
    "backendError",
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "rateLimitExceeded",
    "tableUnavailable",
    "timeout",
];

/// What PostgreSQL and the way to it say in passing, whatever reason BigQuery gives for it
/// (mostly `invalidQuery`). In lowercase.
const TRANSIENT_TEXTS: &[&str] = &[
    // The agent without its role reads the same; that becomes clear when it lasts.
    "connect to postgresql server failed",
    "server closed the connection unexpectedly",
    "could not connect to server",
    "connection timed out",
    "connection refused",
    "terminating connection due to",
    "canceling statement due to conflict with recovery",
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "too many clients already",
    "remaining connection slots are reserved",
    "deadlock detected",
    "could not serialize access",
    "exceeded rate limits",
    "retrying the job may solve the problem",
    "please try again",
];

/// What is permanent though one of the texts above is in it. In lowercase.
const PERMANENT_TEXTS: &[&str] = &[
    "password authentication failed",
    "permission denied",
    "no pg_hba.conf entry",
    "does not exist",
    "isn't supported now",
];

/// Decides by BigQuery's `reason` and message.
pub fn classify(reason: &str, message: &str) -> Persistence {
    let message = message.to_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(PERMANENT_TEXTS) {
        Persistence::Permanent
    } else if TRANSIENT_REASONS.contains(&reason) || says(TRANSIENT_TEXTS) {
        Persistence::Transient
    } else {
        Persistence::Permanent
    }
}

impl Persistence {
    /// What the runner ends with.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Transient => TRANSIENT_EXIT_CODE,
            Self::Permanent => PERMANENT_EXIT_CODE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_messages() {
        use Persistence::{Permanent, Transient};
        for (reason, message, expected) in [
            (
                "backendError",
                "Error encountered during execution. Retrying may solve the problem.",
                Transient,
            ),
            (
                "rateLimitExceeded",
                "Exceeded rate limits: too many table update operations for this table",
                Transient,
            ),
            (
                "quotaExceeded",
                "Quota exceeded: Your table exceeded quota for imports or query appends per table",
                Permanent,
            ),
            (
                "invalidQuery",
                "Invalid table-valued function EXTERNAL_QUERY Connect to PostgreSQL server failed: server closed the connection unexpectedly",
                Transient,
            ),
            (
                "invalidQuery",
                "Failed to connect to PostgreSQL database. Error: FATAL: password authentication failed for user \"x\"",
                Permanent,
            ),
            (
                "invalidQuery",
                "Failed to fetch row from PostgreSQL server. Error: ERROR: permission denied for table t",
                Permanent,
            ),
            (
                "invalidQuery",
                "Failed to fetch row from PostgreSQL server. Error: ERROR: canceling statement due to conflict with recovery",
                Transient,
            ),
            (
                "invalidQuery",
                "Invalid table-valued function external_query Postgres type (OID = 790) isn't supported now at [1:15]",
                Permanent,
            ),
            (
                "accessDenied",
                "Access Denied: Project X: User does not have bigquery.jobs.create permission in project X.",
                Permanent,
            ),
            (
                "notFound",
                "Not found: Dataset p:d was not found in location EU",
                Permanent,
            ),
            ("stopped", "Job execution was cancelled", Permanent),
        ] {
            assert_eq!(classify(reason, message), expected, "{reason}: {message}");
        }
    }
}
