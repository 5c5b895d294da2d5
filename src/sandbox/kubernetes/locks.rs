//! Argo's locks: a Workflow that does not get all of its mutexes and semaphores waits.
//!
//! Whoever waits for one of its locks stands in the queue of each, and nobody overtakes: a free
//! place of a semaphore is kept for a Workflow that still waits for its mutex.

use serde_json::Value;

use super::body::meta;
use super::kinds;
use super::store::{Key, Store};

/// Whether a Workflow gets its locks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Free,
    /// In the controller's words.
    Waiting(String),
    /// There is no such semaphore, and that fails the run.
    Broken(String),
}

/// Asks for all locks of `run`, while `running` hold theirs and `ahead` wait for theirs.
pub(super) fn ask(store: &Store, run: &Value, running: &[Value], ahead: &[Value]) -> Answer {
    let namespace = meta(run, "namespace");
    let wanting = |others: &[Value], kind: &str, lock: &Value| {
        let wanting = others.iter().filter(|one| listed(one, kind).contains(lock));
        wanting.count()
    };
    for semaphore in listed(run, "semaphores") {
        let reference = semaphore
            .get("configMapKeyRef")
            .cloned()
            .unwrap_or_default();
        let (map, key) = (text(&reference, "name"), text(&reference, "key"));
        let limit = match limit(store, namespace, map, key) {
            Ok(limit) => limit,
            Err(why) => return Answer::Broken(why),
        };
        let holders = wanting(running, "semaphores", semaphore);
        if holders >= limit || wanting(ahead, "semaphores", semaphore) > 0 {
            let lock = format!("{namespace}/ConfigMap/{map}/{key}");
            return waiting(&lock, holders, limit);
        }
    }
    for mutex in listed(run, "mutexes") {
        let holders = wanting(running, "mutexes", mutex);
        if holders > 0 || wanting(ahead, "mutexes", mutex) > 0 {
            let name = text(mutex, "name");
            return waiting(&format!("{namespace}/Mutex/{name}"), holders, 1);
        }
    }
    Answer::Free
}

fn waiting(lock: &str, holders: usize, limit: usize) -> Answer {
    let free = limit.saturating_sub(holders);
    Answer::Waiting(format!(
        "Waiting for {lock} lock. Lock status: {free}/{limit}"
    ))
}

fn limit(store: &Store, namespace: &str, map: &str, key: &str) -> Result<usize, String> {
    let broken = |why: &str| format!("Failed to acquire the synchronization lock. {why}");
    let resource = kinds::by_kind("ConfigMap").ok_or_else(|| broken("no ConfigMaps"))?;
    let found = store
        .get(&Key::new(resource, namespace, map))
        .ok_or_else(|| broken(&format!("configmaps \"{map}\" not found")))?;
    let value = found.get("data").and_then(|data| data.get(key));
    value
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| broken(&format!("no number under the key {key} of {map}")))
}

fn listed<'a>(run: &'a Value, kind: &str) -> &'a [Value] {
    run.pointer("/spec/synchronization")
        .and_then(|locks| locks.get(kind))
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(locks: Value) -> Value {
        json!({"metadata": {"namespace": "data"}, "spec": {"synchronization": locks}})
    }

    #[test]
    fn a_mutex_has_one_holder_and_a_missing_semaphore_breaks_the_run() {
        let store = Store::new(None);
        let with_mutex = |name: &str| run(json!({"mutexes": [{"name": name}]}));
        let one = with_mutex("a");
        assert_eq!(ask(&store, &one, &[with_mutex("b")], &[]), Answer::Free);
        let Answer::Waiting(why) = ask(&store, &one, &[with_mutex("b"), one.clone()], &[]) else {
            panic!("two hold one mutex");
        };
        assert!(why.contains("data/Mutex/a"), "{why}");
        let Answer::Waiting(why) = ask(&store, &one, &[], std::slice::from_ref(&one)) else {
            panic!("one overtakes another");
        };
        assert!(why.ends_with("Lock status: 1/1"), "{why}");

        let semaphore = json!({"configMapKeyRef": {"name": "gone", "key": "runs"}});
        let run = run(json!({"semaphores": [semaphore]}));
        assert!(matches!(ask(&store, &run, &[], &[]), Answer::Broken(_)));
    }
}
