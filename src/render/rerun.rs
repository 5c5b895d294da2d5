//! What a rerun is called, and how its tables are carried to the run.

use std::collections::BTreeSet;

use crate::command::CommandKey;
use crate::name::PgName;

use super::short_hash;

/// The Workflow parameter that says which tables a run is about; empty for all of its schedule.
pub const TABLES_PARAMETER: &str = "tables";
/// The variable that carries it to `pipewright sync`.
pub const TABLES_ENVIRONMENT: &str = "PIPEWRIGHT_TABLES";

/// Argo's limit for the name of a Workflow, and DNS' for a label.
const LONGEST_NAME: usize = 63;

/// The name of the Workflow that a command makes of the CronWorkflow `cron`: the same for
/// the same command for ever, so that the API server itself refuses a second one.
pub fn rerun_name(cron: &str, key: CommandKey) -> String {
    let whole = format!("{cron}-rerun-{key}");
    if whole.len() <= LONGEST_NAME {
        return whole;
    }
    let end = format!("{}-rerun-{key}", short_hash(cron, 10));
    let room = LONGEST_NAME.saturating_sub(end.len() + 1);
    let beginning: String = cron.chars().take(room).collect();
    format!("{}-{end}", beginning.trim_end_matches(['-', '.']))
}

/// The value of [`TABLES_PARAMETER`]: a JSON array, or nothing for all tables.
///
/// Argo quotes it once more on its way into the pod, by rules that are not JSON's for every
/// letter, and expands `{{…}}` wherever it stands; the kubelet does so with `$(…)` and `$$`. So
/// it is ASCII, and has neither an opening brace nor a dollar.
pub fn tables_value(tables: &BTreeSet<PgName>) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let mut value = String::new();
    for c in serde_json::json!(tables).to_string().chars() {
        if c.is_ascii() && !matches!(c, '{' | '$') {
            value.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                value.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(comment: u64, line: u32) -> CommandKey {
        CommandKey { comment, line }
    }

    #[test]
    fn names_are_readable_labels_and_never_the_same() {
        assert_eq!(
            rerun_name("orders", key(2_400_000_001, 3)),
            "orders-rerun-2400000001-3"
        );
        let long = "o".repeat(51);
        let crons = [
            "orders",
            "orders-rerun-1",
            &format!("{long}a"),
            &format!("{long}b"),
            &format!("{}-{}", "p".repeat(43), "12345678"),
        ];
        let keys = [
            key(1, 1),
            key(1, 11),
            key(11, 1),
            key(2_400_000_001, 1),
            key(u64::MAX, u32::MAX),
        ];
        let mut names = BTreeSet::new();
        for cron in crons {
            for key in keys {
                let name = rerun_name(cron, key);
                let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(name.len() <= 63 && name.chars().all(legal), "{name}");
                assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
                assert!(name.starts_with(cron.get(..6).unwrap()), "{name}");
                assert!(names.insert(name));
            }
        }
        let after_a_hyphen = format!("{}-{}", "p".repeat(31), "q".repeat(20));
        assert!(!rerun_name(&after_a_hyphen, key(1_000_000_000, 1)).contains("--"));
    }

    #[test]
    fn any_table_name_comes_through() {
        assert_eq!(tables_value(&BTreeSet::new()), "");
        let names = [
            "a,b",
            "{{workflow.name}}",
            "{{{",
            "$$(PATH)",
            "Größe \"x\"\\",
            "🙂",
        ];
        let tables: BTreeSet<PgName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let value = tables_value(&tables);
        assert!(value.is_ascii() && !value.contains(['{', '$']), "{value}");
        assert_eq!(
            serde_json::from_str::<BTreeSet<PgName>>(&value).unwrap(),
            tables
        );
    }
}
