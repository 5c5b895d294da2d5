//! The inventory's parent, and whatever becomes of its writes: nobody else is held by it, and
//! it ends the same.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::Event;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::{NAMESPACE, Stage};
use serde_json::{Value, json};

use crate::common::{repository, tree_of};

const PARENT: &str = "/configmaps/pipewright";

/// Merges a change of `orders` and one of `invoices`, while `fault` befalls writes of the
/// parent by their number. Returns what the parent says in the end.
async fn told(mut fault: impl FnMut(usize) -> Option<Fault> + Send + 'static) -> Value {
    let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.github.add_user("stranger", Permission::Write);
    let mut number = 0;
    stage.kubernetes.wire().fail_with(move |method, uri| {
        let is_parent = *method == Method::PATCH && uri.path().ends_with(PARENT);
        number += usize::from(is_parent);
        is_parent.then(|| fault(number)).flatten()
    });
    for (path, owner, name) in [
        ("pipelines/orders/orders.yaml", "lead-of-orders", "orders"),
        (
            "pipelines/billing/invoices.yaml",
            "lead-of-billing",
            "invoices",
        ),
    ] {
        let text = repository()[path].clone() + "suspend: true\n";
        let change = Change::write(path, text);
        let opened = stage
            .github
            .open_pull_request("stranger", name, name, &[change]);
        let pull = opened.unwrap();
        stage.settle().await.unwrap();
        let approved = ReviewState::Approved;
        stage.github.review(pull, owner, approved).unwrap();
        stage.github.merge(pull, "stranger").unwrap();
        let before = stage.worker.clock.now();
        stage.settle().await.unwrap();
        let waited = stage.worker.clock.now().duration_since(before);
        // Twice a write's few seconds.
        assert!(waited.unsigned_abs() < Duration::from_secs(20), "{waited}");
        assert!(
            stage
                .kubernetes
                .get("CronWorkflow", NAMESPACE, name)
                .is_some()
        );
        let comments = stage.github.comments(pull);
        let said = &comments.last().unwrap().body;
        assert!(
            said.contains("**applied**") && !said.contains("failed"),
            "{said}"
        );
    }
    stage.kubernetes.wire().heal();
    for written in [None, Some(0)] {
        let before = stage.kubernetes.wire().writes();
        stage.worker.queue.add(&Event::Sweep);
        stage.settle().await.unwrap();
        let writes = stage.kubernetes.wire().writes() - before;
        assert!(written.is_none_or(|written| written == writes), "{writes}");
    }
    let parent = stage.kubernetes.get("ConfigMap", NAMESPACE, "pipewright");
    let metadata = &parent.unwrap()["metadata"];
    let head = stage.github.default_head();
    assert_eq!(metadata["annotations"]["pipewright.dev/commit"], head);
    let mut annotations = metadata["annotations"].clone();
    // Each stage has commits of its own.
    annotations["pipewright.dev/commit"] = json!("head");
    json!([metadata["labels"], annotations])
}

#[tokio::test]
async fn whatever_befalls_a_write_of_the_parent_holds_nobody_and_is_made_up_for() {
    let undisturbed = told(|_| None).await;
    let lost = || Fault::LoseAnswer(StatusCode::SERVICE_UNAVAILABLE, "lost".into());
    let refused = || {
        let status = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"});
        Fault::Refuse(StatusCode::FORBIDDEN, status.to_string())
    };
    let busy = || Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE, "busy".into());
    for nth in 1..=3 {
        for kind in [lost, refused] {
            let once = told(move |number| (number == nth).then(kind)).await;
            assert_eq!(once, undisturbed, "{nth}");
        }
    }
    for kind in [lost, refused, busy] {
        assert_eq!(told(move |_| Some(kind())).await, undisturbed);
    }
}
