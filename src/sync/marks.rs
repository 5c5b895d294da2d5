//! What a table's labels say about its last copies. They outlive every pod, everybody who
//! reads the table sees them, and only a run of the sync writes them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::incremental::Incremental;

/// As of when the rows are, in seconds since 1970.
const SNAPSHOT: &str = "pipewright_snapshot";
/// [`super::fingerprint`] of the last full copy of an incremental table.
const FINGERPRINT: &str = "pipewright_fingerprint";
/// As of when that copy is, in seconds since 1970.
const FULL: &str = "pipewright_full";
/// The run that made it.
const FULL_RUN: &str = "pipewright_full_run";

/// Labels to put on a table, and (`None`) to take away.
pub type LabelChanges = BTreeMap<String, Option<String>>;

/// The last full copy that incremental ones may go on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    fingerprint: Option<String>,
    full: Option<Timestamp>,
    full_run: Option<String>,
}

/// Why an incremental table is copied whole this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyFull {
    /// An earlier attempt of the run began it.
    Begun,
    /// No copy is known that one could go on from.
    First,
    /// Condition, key, cursor, columns or the source itself are others.
    Changed,
    /// The last one is older than `full_every`, and deleted rows have to be found.
    Due,
    /// A write must change the schema of the destination, and a MERGE can not.
    Schema,
    /// The destination has no row with a cursor.
    Empty,
}

impl Marks {
    /// Reads them; what is not ours is left alone.
    pub fn of(labels: &BTreeMap<String, String>) -> Self {
        let full = labels.get(FULL).and_then(|text| text.parse().ok());
        Self {
            fingerprint: labels.get(FINGERPRINT).cloned(),
            full: full.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            full_run: labels.get(FULL_RUN).cloned(),
        }
    }

    /// Why a full copy is needed; nothing, if the last one can be gone on from.
    ///
    /// `began` is when the run began, the same in each of its attempts: what one of them
    /// decided the next one decides again.
    pub fn why_full(
        &self,
        incremental: &Incremental,
        fingerprint: &str,
        run: &str,
        began: Timestamp,
    ) -> Option<WhyFull> {
        match &self.fingerprint {
            None => Some(WhyFull::First),
            Some(last) if last != fingerprint => Some(WhyFull::Changed),
            _ if self.full_run.as_deref() == Some(run) => Some(WhyFull::Begun),
            _ => incremental
                .full_is_due(self.full, began)
                .then_some(WhyFull::Due),
        }
    }

    /// What a full copy takes away before it writes. Otherwise rows that it brings would be
    /// taken for those of another condition, should nobody get to label them.
    pub fn before_full(&self) -> Option<LabelChanges> {
        self.fingerprint.as_ref()?;
        let gone = [FINGERPRINT, FULL, FULL_RUN].map(|key| (key.to_owned(), None));
        Some(gone.into())
    }

    /// What is put on a table after a copy that began at `snapshot`.
    pub fn after_copy(snapshot: Timestamp) -> LabelChanges {
        [(SNAPSHOT.to_owned(), Some(snapshot.as_second().to_string()))].into()
    }

    /// The same after a full copy of an incremental table; `run` as labels take it.
    pub fn after_full(snapshot: Timestamp, fingerprint: &str, run: &str) -> LabelChanges {
        let mut changes = Self::after_copy(snapshot);
        for (key, value) in [
            (FINGERPRINT, fingerprint.to_owned()),
            (FULL, snapshot.as_second().to_string()),
            (FULL_RUN, run.to_owned()),
        ] {
            changes.insert(key.to_owned(), Some(value));
        }
        changes
    }
}

impl WhyFull {
    /// One sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Begun => "Copied whole by an earlier attempt of this run.",
            Self::First => "Copied whole: no earlier full copy is known.",
            Self::Changed => {
                "Copied whole: `where`, `key`, `cursor`, the columns or the source changed."
            }
            Self::Due => "Copied whole: `full_every` is over, and deleted rows are found.",
            Self::Schema => "Copied whole: the destination's schema has to change.",
            Self::Empty => "Copied whole: the destination has no row with a cursor.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::copy_of;
    use super::super::testing::{column, table};
    use super::*;
    use crate::pipeline::{ColumnSelection, Mode};

    fn labels(changes: LabelChanges) -> BTreeMap<String, String> {
        changes
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    #[test]
    fn a_full_copy_is_gone_on_from_until_something_says_otherwise() {
        let mut table = table("t", vec![column("id", 20)]);
        table.unique_keys = vec![vec!["id".to_owned()]];
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        let id: crate::name::PgName = "id".parse().unwrap();
        let mode = Mode::Incremental {
            key: vec![id.clone()],
            cursor: id,
            lookback_seconds: None,
            full_every_seconds: 100,
        };
        let incremental = Incremental::of(&table, &copy, &mode).unwrap().unwrap();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let why = |marks: &Marks, print: &str, run: &str, began| {
            marks.why_full(&incremental, print, run, at(began))
        };
        let none = Marks::of(&labels(Marks::after_copy(at(1_000))));
        assert_eq!(why(&none, "f", "tonight", 1_001), Some(WhyFull::First));
        assert_eq!(none.before_full(), None);
        let marks = Marks::of(&labels(Marks::after_full(at(1_000), "f", "tonight")));
        assert_eq!(why(&marks, "f", "tonight", 1_001), Some(WhyFull::Begun));
        assert_eq!(why(&marks, "f", "tomorrow", 1_099), None);
        assert_eq!(why(&marks, "f", "tomorrow", 1_100), Some(WhyFull::Due));
        assert_eq!(why(&marks, "g", "tonight", 1_001), Some(WhyFull::Changed));
        let mut all = labels(Marks::after_full(at(1_000), "f", "tonight"));
        for (key, value) in marks.before_full().unwrap() {
            assert_eq!((value, all.remove(&key).is_some()), (None, true), "{key}");
        }
        assert_eq!(Marks::of(&all), Marks::default());
    }
}
