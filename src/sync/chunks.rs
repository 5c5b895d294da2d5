//! A table that is too large for one statement: into how many chunks it is cut by its key,
//! and what the tables are called that hold them until all are read.

use super::job::short_hash;

/// The most chunks of a table; all of them are named in one statement.
const MOST: u64 = 200;

/// How many chunks a table of `bytes` is read in, each of about `limit`; one without a limit.
pub fn chunk_count(bytes: u64, limit: u64) -> u32 {
    let count = match limit {
        0 => 1,
        limit => bytes.div_ceil(limit).clamp(1, MOST),
    };
    u32::try_from(count).unwrap_or(1)
}

/// What tells one chunk of one table of one run from all others: letters, digits and `_`.
pub fn chunk_id(run: &str, table: &str, number: usize) -> String {
    format!("{}_{number}", short_hash(&[run, table]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_of_about_one_size() {
        for (bytes, limit, expected) in [
            (0, 10, 1),
            (10, 10, 1),
            (11, 10, 2),
            (u64::MAX, 1, 200),
            (u64::MAX, 0, 1),
        ] {
            assert_eq!(chunk_count(bytes, limit), expected, "{bytes} {limit}");
        }
        assert_ne!(chunk_id("run", "a", 1), chunk_id("run", "b", 1));
        assert_ne!(chunk_id("run", "a", 1), chunk_id("another", "a", 1));
    }
}
