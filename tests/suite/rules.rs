//! The house's rules in Rego: what they see, and what becomes of their words.

use std::collections::BTreeSet;

use pipewright::proposal::propose;

use crate::common::{house, repository, snapshot_of};

/// What the rule says of the example's pipelines.
fn said(rule: &str) -> BTreeSet<String> {
    let mut files = repository();
    files.insert("policies/mine.rego".into(), rule.into());
    let findings = propose(&snapshot_of(&files), &house()).findings;
    findings
        .into_iter()
        .filter(|finding| finding.rule == "policy/mine")
        .map(|finding| finding.message)
        .collect()
}

#[test]
fn a_rule_sees_the_objects_of_its_pipeline_and_all_the_others() {
    let schedules = said(
        "package mine\ndeny contains msg if {\n\
         some one in input.objects\n\
         schedules := one.object.kubernetes.spec.schedules\n\
         msg := sprintf(\"%s: %s\", [input.name, schedules[0]])\n}\n",
    );
    let mut words: Vec<&str> = schedules.iter().map(String::as_str).collect();
    words.retain(|one| one.starts_with("orders: "));
    assert_eq!(words.len(), 1, "{schedules:?}");
    // One of them has a table with a schedule of its own.
    assert_eq!(schedules.len(), 4);

    let whole = said(
        "package mine\ndeny contains msg if {\n\
         it := input\n\
         msg := sprintf(\"%s: %v\", [it.name, count(it.objects) > 5])\n}\n",
    );
    assert!(whole.iter().all(|one| one.ends_with(": true")), "{whole:?}");
    assert_eq!(whole.len(), 3);

    let neighbours = said(
        "package mine\ndeny contains msg if {\n\
         some name, other in data.pipelines\n\
         name != input.name\n\
         count(other.objects) > 5\n\
         msg := sprintf(\"%s beside %s\", [input.name, other.name])\n}\n",
    );
    assert_eq!(neighbours.len(), 6, "{neighbours:?}");
    assert!(neighbours.contains("orders beside invoices"));
}
