//! The repository's own `pipelines/` and `policies/` are production input.

use pipewright::proposal::propose;

use crate::common::{house, repository, snapshot_of};

#[test]
fn the_example_has_no_findings() {
    let proposal = propose(&snapshot_of(&repository()), &house());
    assert_eq!(proposal.findings, vec![]);
    assert_eq!(proposal.desired.pipelines.len(), 3);
    assert!(proposal.desired.blocked.is_empty());
}
