//! Tables that are copied by what changed.

use super::*;

const TONIGHT: &str = "0b7ad3f0-0000-4000-8000-000000000001";
const TOMORROW: &str = "0b7ad3f0-0000-4000-8000-000000000002";

/// `items` by what changed, `orders` whole.
fn plan(uid: &'static str) -> Plan {
    let mut spec: Value = serde_json::from_str(SPEC).unwrap();
    spec["options"] = json!({"items": {"mode": {"incremental": {
        "key": ["id"], "cursor": "id", "full_every_seconds": 604_800,
    }}}});
    Plan {
        uid,
        spec: RunSpec::from_environment(&spec.to_string()).unwrap(),
        chunk_bytes: 0,
    }
}

/// The statements of all jobs that are no catalog's, in the order in which they were sent.
fn statements(server: &Server) -> Vec<String> {
    let traffic = server.wire().take_traffic();
    let sent = traffic.iter().filter(|one| one.uri.ends_with("/jobs"));
    sent.map(|one| serde_json::from_slice::<Value>(&one.request).unwrap())
        .map(|job| {
            let text = job["configuration"]["query"]["query"].as_str();
            text.unwrap().to_owned()
        })
        .filter(|text| !text.starts_with("SELECT `row_kind`"))
        .collect()
}

/// How `items` was copied, and the first words of why.
fn how(report: &RunReport) -> (CopyMode, &str) {
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let items = of(report, "items");
    let notes = items.notes.iter();
    let mut why = notes.filter_map(|note| note.split(". ").next());
    (items.mode, why.next_back().unwrap_or_default())
}

#[tokio::test]
async fn a_full_copy_then_what_changed_then_a_full_copy() {
    let (server, world) = start().await;
    let set = |key: &str, value: &str| {
        let mut world = world.lock().unwrap();
        let labels = world.labels.entry("items".to_owned()).or_default();
        labels.insert(key.to_owned(), value.to_owned())
    };
    world
        .lock()
        .unwrap()
        .highest
        .insert("items".to_owned(), "5".to_owned());
    let first = attempt_of(&server, &plan(TONIGHT)).await;
    let said = "Copied whole: no earlier full copy is known.";
    assert_eq!(how(&first), (CopyMode::Full, said));
    assert!(statements(&server)[0].starts_with("SELECT `c1` AS `id`"));
    // Another attempt finds its full copy, and not a reason to merge.
    let again = attempt_of(&server, &plan(TONIGHT)).await;
    assert_eq!(how(&again).0, CopyMode::Full);
    assert_eq!(of(&again, "items").rows, Some(7));
    assert_eq!(written(&world), once_each());

    server.wire().take_traffic();
    let second = attempt_of(&server, &plan(TOMORROW)).await;
    assert_eq!(how(&second), (CopyMode::Incremental, ""));
    assert_eq!(of(&second, "items").rows, Some(2));
    let sent = statements(&server);
    assert!(sent[0].contains("MAX(`id`)"), "{sent:?}");
    assert!(sent[1].starts_with("MERGE INTO `acme-orders`.`orders`.`items`"));
    assert!(sent[1].contains(r#"WHERE (\"id\" >= 5)"#), "{sent:?}");

    let clock = noon();
    let rehearsal = passing(&clock, runner_of(&server, &clock, &plan("look")).rehearse()).await;
    let said = rehearsal.unwrap().to_string();
    let merges = "-- items: merges what changed into acme-orders.orders.items\nMERGE INTO";
    assert!(said.contains(merges), "{said}");
    assert_eq!(written(&world)[0], ("items".to_owned(), 2));

    // A week later.
    set("pipewright_full", "1766620800");
    let due = attempt_of(&server, &plan("week")).await;
    let said = "Copied whole: `full_every` is over, and deleted rows are found.";
    assert_eq!(how(&due), (CopyMode::Full, said));
    // Another condition.
    let mut other = plan("condition");
    let items = "items".parse().unwrap();
    other.spec.options.get_mut(&items).unwrap().filter = Some("id > 0".to_owned());
    let changed = attempt_of(&server, &other).await;
    assert!(how(&changed).1.contains("changed"), "{changed:?}");
    // Somebody emptied the destination.
    world.lock().unwrap().highest.clear();
    other.uid = "emptied";
    let empty = attempt_of(&server, &other).await;
    assert!(how(&empty).1.contains("no row with a cursor"), "{empty:?}");
    assert_eq!(written(&world)[0], ("items".to_owned(), 5));
}

#[tokio::test]
async fn a_copy_of_other_rows_is_never_gone_on_from() {
    let (server, world) = start().await;
    attempt_of(&server, &plan(TONIGHT)).await;
    // The next run copies whole by another file, and dies before it can say so.
    let other = Plan {
        uid: TOMORROW,
        ..Plan::default()
    };
    server.wire().take_traffic();
    let seen = Arc::new(Mutex::new(0));
    server.wire().fail_with(move |method, uri| {
        let mut seen = seen.lock().unwrap();
        *seen += usize::from(method == "PATCH" && uri.path().ends_with("/items"));
        (*seen > 1).then(|| Fault::Refuse(StatusCode::FORBIDDEN, String::new()))
    });
    let report = attempt_of(&server, &other).await;
    let note = of(&report, "items").notes.last().unwrap();
    assert!(note.contains("labels are old"), "{report:?}");
    server.wire().heal();
    assert!(!world.lock().unwrap().labels["items"].contains_key("pipewright_fingerprint"));
    let report = attempt_of(&server, &plan("later")).await;
    assert!(
        how(&report).1.contains("no earlier full copy"),
        "{report:?}"
    );
}

#[tokio::test]
async fn whatever_befalls_any_request_what_changed_is_merged_once() {
    let (server, world) = start().await;
    attempt_of(&server, &plan(TONIGHT)).await;
    let labels = world.lock().unwrap().labels.clone();
    let prepare = |world: &mut World| {
        world.dataset = [("items".to_owned(), 7), ("orders".to_owned(), 3)].into();
        world.highest = [("items".to_owned(), "5".to_owned())].into();
        world.labels = labels.clone();
    };
    struck_everywhere(&plan(TOMORROW), &BLOWS, prepare, |world, report| {
        assert_eq!(how(report).0, CopyMode::Incremental);
        assert_eq!(of(report, "items").rows, Some(2));
        // Asked once: after the merge the answer would have been another one.
        let jobs = world.jobs.values().map(|job| job.sent.to_string());
        assert_eq!(jobs.filter(|job| job.contains("MAX(")).count(), 1);
    })
    .await;
    // And the same where a full copy is due.
    let due = |world: &mut World| {
        prepare(world);
        let items = world.labels.get_mut("items").unwrap();
        items.insert("pipewright_full".to_owned(), "1766620800".to_owned());
    };
    let deaths = [Blow::DeadBefore, Blow::DeadAfter];
    struck_everywhere(&plan(TOMORROW), &deaths, due, |world, report| {
        assert_eq!(how(report).0, CopyMode::Full);
        assert_eq!(
            world.labels["items"]["pipewright_full_run"], TOMORROW,
            "{report:?}"
        );
    })
    .await;
}
