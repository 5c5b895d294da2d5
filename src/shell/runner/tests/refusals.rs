//! What is refused, and what is held back.

use super::*;

/// New tables wait until they are named.
fn holding() -> Plan {
    let mut plan = Plan::default();
    plan.spec.new_tables = crate::pipeline::Arrival::Hold;
    plan
}

#[tokio::test]
async fn a_new_table_is_held_and_said_so() {
    let (server, world) = start().await;
    world.lock().unwrap().dataset.insert("items".to_owned(), 7);
    let report = attempt_of(&server, &holding()).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let Outcome::Skipped(why) = &of(&report, "orders").result else {
        panic!("{report:?}");
    };
    assert!(why.contains("new_tables: hold"), "{why}");
    assert_eq!(written(&world), [("items".to_owned(), 1)]);
    let mut named = holding();
    named.uid = "named";
    let orders = "orders".parse().unwrap();
    named
        .spec
        .options
        .insert(orders, crate::pipeline::TableOptions::default());
    let report = attempt_of(&server, &named).await;
    assert_eq!(of(&report, "orders").result, Outcome::Copied);
}

#[tokio::test]
async fn a_part_of_the_catalog_copies_nothing_and_is_asked_for_again() {
    let (server, world) = start().await;
    world.lock().unwrap().lost = 1;
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 75, "{report:?}");
    assert!(report.message.contains("5 of the 6 rows"), "{report:?}");
    assert_eq!(written(&world), []);
    world.lock().unwrap().lost = 0;
    assert_eq!(attempt(&server).await.exit_code(), 0);
}

#[tokio::test]
async fn on_a_first_run_nothing_is_new_whatever_befalls_it() {
    let deaths = [Blow::DeadBefore, Blow::DeadAfter];
    struck_everywhere(
        &holding(),
        &deaths,
        |_| {},
        |_, report| {
            assert_eq!(report.totals.copied, 2, "{report:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn who_has_just_been_granted_something_is_tried_again() {
    let refusal =
        r#"{"error": {"message": "Access Denied", "errors": [{"reason": "accessDenied"}]}}"#;
    // The connection, the first job, the list of the dataset; then a job that writes.
    for (number, code) in [(1, 75), (2, 75), (6, 75), (8, 2)] {
        let (server, world) = start().await;
        let mut seen = 0;
        server.wire().fail_with(move |_, _| {
            seen += 1;
            let refused = Fault::Refuse(StatusCode::FORBIDDEN, refusal.to_owned());
            (seen == number).then_some(refused)
        });
        let report = attempt(&server).await;
        assert_eq!(report.exit_code(), code, "{number}: {report:?}");
        assert_eq!(
            report.message.contains("Access Denied; a grant takes"),
            code == 75
        );
        if code == 75 {
            assert_eq!(attempt(&server).await.exit_code(), 0);
            assert_eq!(written(&world), once_each());
        }
    }
    // A job can be refused as well, and its id is spent then.
    let (server, world) = start().await;
    for _ in 0..2 {
        let denied = "Access Denied: User does not have bigquery.connections.use permission";
        world.lock().unwrap().refused = Some(("accessDenied", denied));
        let report = attempt(&server).await;
        assert_eq!(report.exit_code(), 75, "{report:?}");
        assert!(report.message.contains("connections.use"), "{report:?}");
    }
    assert_eq!(attempt(&server).await.exit_code(), 0);
    assert_eq!(written(&world), once_each());
}
