//! `new_tables: hold`: what comes to the schema after its tables were copied waits until a pull
//! request names it.
//!
//! A table is new if BigQuery does not have it although a run has copied all that there was.
//! That a run has is said by a label, because a first run may end half way.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};

use crate::edges::google::TableReference;
use crate::pipeline::{Arrival, TableSelection};
use crate::sync::{Choice, Outcome, Persistence, RunResult, table_id};

use super::discover::Discovered;
use super::{Runner, SIDE_BY_SIDE};

/// When all tables of the schedule had been copied, in seconds since 1970.
const COMPLETE_LABEL: &str = "pipewright_complete";

type Labels = BTreeMap<String, String>;

impl Runner {
    /// Leaves out what is new. Who lists tables by name has none that is.
    pub(super) fn hold(&self, choice: &mut Choice, present: &BTreeMap<String, Labels>) {
        if self.holds() && is_complete(choice, present) {
            let named = |name: &_| self.spec.options.contains_key(name);
            choice.hold(|id| present.contains_key(id), named);
        }
    }

    /// After a run that leaves nothing to another attempt: from now on other tables are new.
    pub(super) async fn complete(&self, discovered: &Discovered, result: &RunResult) {
        let is_over = result.tables.iter().all(|table| match &table.result {
            Outcome::Failed(failure) => failure.persistence == Persistence::Permanent,
            Outcome::Skipped(_) | Outcome::Copied => true,
        });
        let is_whole = self.settings.tables.is_empty();
        if !(self.holds() && is_whole && is_over)
            || is_complete(&discovered.choice, &discovered.present)
        {
            return;
        }
        let now = self.clock.now().as_second().to_string();
        let labels = Labels::from([(COMPLETE_LABEL.to_owned(), now)]);
        let copied = result
            .tables
            .iter()
            .filter(|table| table.result == Outcome::Copied);
        let tables: Vec<TableReference> = copied
            .filter_map(|table| {
                Some(TableReference {
                    project: self.spec.project.to_string(),
                    dataset: self.spec.dataset.to_string(),
                    table: table_id(&table.table.parse().ok()?),
                })
            })
            .collect();
        stream::iter(tables)
            .for_each_concurrent(SIDE_BY_SIDE, async |table| {
                if let Err(failure) = self.label(&table, &labels).await {
                    tracing::warn!(%table, error = failure.error, "a label is not written");
                }
            })
            .await;
    }

    fn holds(&self) -> bool {
        self.spec.new_tables == Arrival::Hold
            && !matches!(self.spec.tables, TableSelection::Only(_))
    }
}

/// Any one of them will do: tables come and go.
fn is_complete(choice: &Choice, present: &BTreeMap<String, Labels>) -> bool {
    choice.tables.iter().any(|table| {
        let labels = present.get(&table_id(&table.name));
        labels.is_some_and(|labels| labels.contains_key(COMPLETE_LABEL))
    })
}
