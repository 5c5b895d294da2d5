//! Drift: what others did to what was applied, and how often it was mended.
//!
//! It is mended a few times. If it comes again and again, two parties want different things:
//! then it is left as it is and told, because to go on would only keep both busy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::name::PipelineName;
use crate::object::{Kind, ObjectKey};
use crate::policy::OnDrift;

use super::Plan;

/// How long a mended object is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How often an object is mended in that time. The next time it is left as it is.
const MOST_MENDED: usize = 2;

/// Who wrote to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    pub manager: String,
    /// As the server writes it: RFC 3339, by the second.
    pub at: String,
}

impl std::fmt::Display for Touch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.manager, self.at)
    }
}

/// What became of one object since it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// It was deleted, or its grant was taken away. Nobody says by whom.
    Gone,
    /// These fields (dots between the keys) are no longer as they were applied, and who owns
    /// each of them now, if it is somebody.
    Changed(Vec<(String, Option<Touch>)>),
}

impl Drift {
    /// What the fields that differ say, read off the live object.
    pub(super) fn of<'f>(
        fields: impl IntoIterator<Item = &'f String>,
        live: &Value,
        ours: &str,
    ) -> Self {
        let owned = |field: &String| (field.clone(), owner(live, field, ours));
        Self::Changed(fields.into_iter().map(owned).collect())
    }
}

/// Why drift is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The house wants to be told of it, and decides itself.
    ByPolicy,
    /// It was mended and came back, again and again.
    Contended,
}

/// Why the pipeline's drift is left as it is, if it has any and it is.
pub(super) fn left(
    plan: &Plan,
    name: &PipelineName,
    contended: &BTreeSet<(Kind, String)>,
) -> Option<Left> {
    let is_contended = |key: &ObjectKey| match key {
        ObjectKey::Kubernetes { kind, name } => contended.contains(&(*kind, name.clone())),
        _ => false,
    };
    let mut drift = plan.drift_of(name).peekable();
    drift.peek()?;
    match plan.policies.defaults.drift {
        OnDrift::Report => Some(Left::ByPolicy),
        OnDrift::Mend => drift
            .any(|(key, _)| is_contended(key))
            .then_some(Left::Contended),
    }
}

/// The newest entry of another manager than `ours`, among what somebody wants: a status is
/// nobody's wish.
pub fn last_touch(live: &Value, ours: &str) -> Option<Touch> {
    newest(live, ours, |_| true)
}

/// Who owns this field (dots between the keys), other than `ours`; the newest of them.
pub fn owner(live: &Value, field: &str, ours: &str) -> Option<Touch> {
    newest(live, ours, |owned| owns(owned, field))
}

fn newest(live: &Value, ours: &str, is_it: impl Fn(&Value) -> bool) -> Option<Touch> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let text = |entry: &Value, key: &str| Some(entry.get(key)?.as_str()?.to_owned());
    entries
        .iter()
        .filter(|entry| entry.get("subresource").is_none())
        .filter(|entry| entry.get("fieldsV1").is_some_and(&is_it))
        .filter_map(|entry| {
            Some(Touch {
                manager: text(entry, "manager")?,
                at: text(entry, "time")?,
            })
        })
        .filter(|touch| touch.manager != ours)
        .max_by(|one, other| one.at.cmp(&other.at))
}

/// Whether the fields of an entry reach this one, or something in it. A key may have dots in
/// it itself.
fn owns(owned: &Value, field: &str) -> bool {
    let Some(owned) = owned.as_object() else {
        return false;
    };
    owned.iter().any(|(entry, below)| {
        let rest = entry
            .strip_prefix("f:")
            .and_then(|key| field.strip_prefix(key));
        match rest {
            Some("") => true,
            // An entry without anything below it owns the whole.
            Some(rest) => rest.strip_prefix('.').is_some_and(|rest| {
                below.as_object().is_some_and(serde_json::Map::is_empty) || owns(below, rest)
            }),
            None => false,
        }
    })
}

/// What was mended, and when. A value: whoever holds it knows the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended(BTreeMap<(Kind, String), Vec<Timestamp>>);

impl Mended {
    /// Notes that an object was mended.
    pub fn note(&mut self, kind: Kind, name: &str, now: Timestamp) {
        self.forget(now);
        self.0.entry((kind, name.to_owned())).or_default().push(now);
    }

    /// The objects that were mended so often that they are left as they are.
    pub fn contended(&self, now: Timestamp) -> BTreeSet<(Kind, String)> {
        let recent =
            |times: &Vec<Timestamp>| times.iter().filter(|at| is_recent(**at, now)).count();
        let often = self
            .0
            .iter()
            .filter(|(_, times)| recent(times) >= MOST_MENDED);
        often.map(|(key, _)| key.clone()).collect()
    }

    fn forget(&mut self, now: Timestamp) {
        for times in self.0.values_mut() {
            times.retain(|at| is_recent(*at, now));
        }
        self.0.retain(|_, times| !times.is_empty());
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    at.checked_add(REMEMBERED).is_ok_and(|until| until > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live() -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "pipewright", "time": "2026-11-23T10:00:09Z", "fieldsV1": {"f:spec": {"f:a": {}}}},
            {"manager": "kubectl-edit", "time": "2026-11-23T10:00:02Z",
             "fieldsV1": {"f:spec": {"f:suspend": {}}, "f:metadata": {"f:labels": {"f:pipewright.dev/service": {}}}}},
            {"manager": "argo", "time": "2026-11-23T10:00:05Z", "fieldsV1": {"f:spec": {"f:schedules": {}}}},
            {"manager": "controller", "time": "2026-11-23T10:00:08Z", "subresource": "status", "fieldsV1": {"f:status": {}}},
        ]}})
    }

    fn manager(touch: Option<Touch>) -> Option<String> {
        touch.map(|touch| touch.manager)
    }

    #[test]
    fn the_owner_of_a_field_is_named_and_never_ourselves() {
        let live = live();
        let owner = |field| manager(owner(&live, field, "pipewright"));
        assert_eq!(owner("spec.suspend").as_deref(), Some("kubectl-edit"));
        assert_eq!(owner("spec.schedules").as_deref(), Some("argo"));
        let label = "metadata.labels.pipewright.dev/service";
        assert_eq!(owner(label).as_deref(), Some("kubectl-edit"));
        for nobodys in [
            "spec.a",
            "spec.suspended",
            "status",
            "metadata.labels.other",
        ] {
            assert_eq!(owner(nobodys), None, "{nobodys}");
        }
        assert_eq!(
            manager(last_touch(&live, "pipewright")).as_deref(),
            Some("argo")
        );
    }

    #[test]
    fn the_third_time_in_ten_minutes_is_left() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = (Kind::ConfigMap, "pw-main".to_owned());
        let mut mended = Mended::default();
        mended.note(key.0, &key.1, at(0));
        assert!(mended.contended(at(1)).is_empty());
        mended.note(key.0, &key.1, at(60));
        assert_eq!(mended.contended(at(61)), [key.clone()].into());
        assert_eq!(mended.contended(at(599)), [key.clone()].into());
        assert!(
            mended.contended(at(600)).is_empty(),
            "the first is forgotten"
        );
        mended.note(key.0, &key.1, at(700));
        assert_eq!(mended.0.get(&key).map(Vec::len), Some(1));
    }
}
