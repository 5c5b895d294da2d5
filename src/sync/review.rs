//! What a run would refuse, said on the line of the pull request.

use crate::finding::{Finding, rule};
use crate::pipeline::Pipeline;
use crate::yaml::fields::child;

use super::guard::check_filter;

/// What can be told before anybody has seen the database: conditions that are none.
pub fn review(pipeline: &Pipeline) -> Vec<Finding> {
    let wrong = pipeline.table_options.iter().filter_map(|(table, options)| {
        let error = check_filter(options.filter.as_deref()?).err()?;
        let pointer = child(&child("/tables", table.as_str()), "where");
        let span = pipeline.origin.span(&pointer);
        let finding = Finding::deny(
            rule::WHERE,
            &pipeline.origin.path,
            span,
            format!("of `{table}`: {error}"),
        );
        Some(
            finding
                .help("write one condition on the table's own columns; a view at the source can do the rest")
                .about(&pipeline.name),
        )
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::parse;
    use crate::snapshot::{Entry, Tree};

    #[test]
    fn a_condition_that_is_none_is_a_finding_on_its_line() {
        let text = "bq_project_id: acme-orders\nbq_connection_id: orders-db\nbq_dataset_name: d\n\
            service_name: orders\ndb_catalog_name: db1\ndb_schema_name: s\ntables:\n  \
            good: {where: paid AND at > now() - interval '1 day'}\n  \
            'b/d': {where: 1=1; DROP TABLE x}\n";
        let entry = ("pipelines/orders.yaml".to_owned(), Entry::File(text.into()));
        let parsed = parse(&Tree {
            entries: [entry].into(),
        });
        assert_eq!(parsed.findings, vec![]);
        let found: Vec<Finding> = parsed.pipelines.values().flat_map(review).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].span.unwrap().line, 9);
        assert!(
            found[0].message.starts_with("of `b/d`: `where` goes on"),
            "{}",
            found[0].message
        );
        assert!(found[0].is_deny());
    }
}
