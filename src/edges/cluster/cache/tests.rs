use std::sync::Arc;

use serde_json::json;

use super::*;

const KIND: Kind = Kind::ConfigMap;

fn object(version: u64, limit: &str) -> Value {
    json!({
        "kind": "ConfigMap",
        "metadata": {
            "name": "pw-main",
            "resourceVersion": version.to_string(),
            "labels": {(APPLY_SET_LABEL): "applyset-1"},
            "managedFields": [
                {"manager": "pipewright", "time": "2026-11-23T10:00:00Z", "fieldsV1": {"f:data": {}}},
                {"manager": "kubectl-edit", "time": "2026-11-23T10:00:01Z", "fieldsV1": {"f:data": {}}},
            ],
        },
        "data": {"limit": limit},
        "status": {"seen": version},
    })
}

/// Every kind is watched, and this object is there at version 5.
fn cache() -> Arc<Cache> {
    let cache = Arc::new(Cache::default());
    for kind in Kind::ALL {
        cache.begin(kind);
        if kind == KIND {
            assert!(cache.put(kind, &object(5, "2")));
        }
        cache.complete(kind, 5);
    }
    cache
}

fn news(cache: &Cache) -> Vec<How> {
    let news = std::mem::take(&mut cache.lock().news);
    news.into_values().map(|changed| changed.how).collect()
}

fn limit(cache: &Cache) -> Option<String> {
    let kept = cache.read()?;
    let (_, bytes) = kept.into_iter().find(|((_, name), _)| name == "pw-main")?;
    let object: Value = serde_json::from_slice(&bytes).unwrap();
    Some(object["data"]["limit"].as_str().unwrap().to_owned())
}

#[test]
fn what_others_do_is_news_once_and_says_who() {
    let cache = cache();
    assert_eq!(news(&cache), [], "what there is at the beginning is none");
    cache.put(KIND, &object(6, "9"));
    let touch = Touch {
        manager: "kubectl-edit".to_owned(),
        at: "2026-11-23T10:00:01Z".to_owned(),
    };
    assert_eq!(news(&cache), [How::Edited(Some(touch))]);
    cache.put(KIND, &object(7, "9"));
    assert_eq!(news(&cache), [], "only its status has changed");
    assert_eq!(limit(&cache).as_deref(), Some("9"));
    cache.remove(KIND, &object(8, "9"));
    assert_eq!(news(&cache), [How::Deleted]);
    assert_eq!(limit(&cache), None);
}

#[test]
fn what_is_not_ours_is_no_news_but_losing_the_label_is() {
    let cache = cache();
    let mut other = object(6, "1");
    other["metadata"]["name"] = json!("other");
    other["metadata"]["labels"] = json!({});
    cache.put(KIND, &other);
    other["data"] = json!({"limit": "2"});
    cache.put(KIND, &other);
    assert_eq!(news(&cache), []);
    let mut relabelled = object(7, "2");
    relabelled["metadata"]["labels"] = json!({});
    cache.put(KIND, &relabelled);
    assert_eq!(news(&cache).len(), 1);
}

#[test]
fn what_we_did_is_no_news_in_whatever_order_answer_and_event_come() {
    // The answer first.
    let one = cache();
    let writing = one.writing(KIND, "pw-main");
    writing.wrote(Some("6"));
    drop(writing);
    assert_eq!(limit(&one), None, "the watch lags behind the answer");
    one.put(KIND, &object(6, "3"));
    assert_eq!(limit(&one).as_deref(), Some("3"));
    assert_eq!(news(&one), []);
    // The event first.
    let other = cache();
    let writing = other.writing(KIND, "pw-main");
    other.put(KIND, &object(6, "3"));
    assert_eq!(limit(&other), None, "nobody knows yet whose that is");
    writing.wrote(Some("6"));
    drop(writing);
    assert_eq!(limit(&other).as_deref(), Some("3"));
    assert_eq!(news(&other), []);
    // Whoever comes right after is news.
    other.put(KIND, &object(7, "9"));
    assert_eq!(news(&other).len(), 1);
}

#[test]
fn somebody_who_writes_while_we_do_is_news() {
    let cache = cache();
    let writing = cache.writing(KIND, "pw-main");
    cache.put(KIND, &object(6, "9"));
    cache.put(KIND, &object(7, "3"));
    writing.wrote(Some("7"));
    drop(writing);
    assert_eq!(news(&cache).len(), 1);
    // A write without an answer may be anybody's.
    let writing = cache.writing(KIND, "pw-main");
    cache.put(KIND, &object(8, "4"));
    drop(writing);
    assert_eq!(news(&cache).len(), 1);
    assert_eq!(limit(&cache).as_deref(), Some("4"));
}

#[test]
fn a_write_that_changed_nothing_and_one_of_nothing_leave_no_trace() {
    let cache = cache();
    let writing = cache.writing(KIND, "pw-main");
    writing.wrote(Some("5"));
    drop(writing);
    drop(cache.writing(KIND, "another"));
    let writing = cache.writing(KIND, "gone-already");
    writing.deleted();
    drop(writing);
    assert_eq!(limit(&cache).as_deref(), Some("2"));
    assert!(cache.lock().own.is_empty());
}

#[test]
fn our_deletion_is_awaited_and_no_news() {
    let cache = cache();
    let writing = cache.writing(KIND, "pw-main");
    writing.deleted();
    drop(writing);
    assert!(cache.read().is_none());
    cache.remove(KIND, &object(6, "2"));
    assert_eq!(cache.read().map(|kept| kept.len()), Some(0));
    assert_eq!(news(&cache), []);
}

#[test]
fn one_object_is_told_while_it_can_be_relied_on() {
    let cache = cache();
    let is_told = || cache.object(KIND, "pw-main").is_some();
    assert!(is_told());
    assert!(cache.object(KIND, "another").is_none());
    let writing = cache.writing(KIND, "pw-main");
    assert!(!is_told(), "something of ours is under way");
    writing.wrote(Some("7"));
    drop(writing);
    assert!(!is_told(), "what we wrote has not come back");
    cache.put(KIND, &object(7, "9"));
    assert!(is_told());
    cache.lose(KIND);
    assert!(!is_told(), "nobody watches");
}

#[test]
fn a_server_that_is_ahead_is_waited_for() {
    let cache = cache();
    cache.writing(KIND, "pw-main").is_behind();
    assert!(cache.read().is_none());
    cache.put(KIND, &object(6, "9"));
    assert_eq!(limit(&cache).as_deref(), Some("9"));
}

#[test]
fn what_happened_while_nobody_watched_is_news_and_nothing_is_read_meanwhile() {
    let cache = cache();
    let writing = cache.writing(KIND, "pw-main");
    writing.wrote(Some("6"));
    drop(writing);
    cache.lose(KIND);
    assert!(cache.read().is_none());
    cache.begin(KIND);
    cache.put(KIND, &object(8, "9"));
    assert!(cache.read().is_none(), "it may not be everything");
    cache.complete(KIND, 8);
    assert_eq!(limit(&cache).as_deref(), Some("9"));
    assert_eq!(news(&cache).len(), 1);
    // The same once more is none.
    cache.begin(KIND);
    cache.put(KIND, &object(8, "9"));
    cache.complete(KIND, 9);
    assert_eq!(news(&cache), []);
    cache.begin(KIND);
    cache.complete(KIND, 10);
    assert_eq!(news(&cache), [How::Deleted]);
}

#[test]
fn without_a_watch_nothing_is_kept() {
    let cache = Arc::new(Cache::default());
    let writing = cache.writing(KIND, "pw-main");
    writing.wrote(Some("6"));
    drop(writing);
    assert!(cache.read().is_none());
    assert!(cache.lock().own.is_empty());
}
