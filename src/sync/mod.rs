//! The sync: what `pipewright sync` thinks. Asking BigQuery is the runner's part.
//!
//! ```text
//!  RunSpec  catalog_query -> rows -> Catalog -> choose -> copied (columns, types) -> inner_select -> statement -> job -> RunReport
//! ```
//!
//! Every text that comes from a database or a file enters a statement by one of the two
//! quoting types of `text`, and by no other way.

mod catalog;
mod choose;
mod chunks;
mod columns;
mod failure;
mod guard;
mod incremental;
mod job;
mod marks;
mod report;
mod review;
mod run_spec;
mod schema;
mod select;
mod statement;
#[cfg(test)]
mod testing;
mod text;
mod types;

pub use catalog::{
    CELLS, Catalog, CatalogError, Category, Cells, Column, Kind, SchemaState, Table, catalog_query,
};
pub use choose::{Choice, NothingToCopy, Skipped, choose, held};
pub use chunks::{chunk_count, chunk_id};
pub use columns::{ColumnsError, Copied, TableCopy, copy_of, table_id};
pub use failure::{PERMANENT_EXIT_CODE, Persistence, TRANSIENT_EXIT_CODE, classify};
pub use guard::{Filter, FilterError, check_filter, filter};
pub use incremental::{Incremental, IncrementalError, Since, Watermark, fingerprint};
pub use job::{ATTEMPTS, Found, JobId, Next, next};
pub use marks::{LabelChanges, Marks, WhyFull};
pub use report::{
    CopyMode, Failure, LONGEST_REPORT, Outcome, RunReport, RunResult, TableReport, Totals,
};
pub use review::review;
pub use run_spec::{RUN_SPEC_ENVIRONMENT, RUN_SPEC_VERSION, RunSpec, RunSpecError, rerun_tables};
pub use schema::{
    ColumnMode, DestinationColumn, SchemaDecision, SchemaWrite, UpdateOption, WriteDisposition,
    compare,
};
pub use select::{Chunk, Rows, chunk_key, inner_select};
pub use statement::{
    Destination, EMPTY_SOURCE, LONGEST_STATEMENT, NullColumn, bounds_statement, catalog_statement,
    merge_statement, select_statement, select_unless_empty_statement, source_watermark_statement,
    union_statement, watermark_statement,
};
pub use text::{GoogleText, PgText};
pub use types::{BigQueryType, Cast, Loss, TAKEN, Treatment, treat};
