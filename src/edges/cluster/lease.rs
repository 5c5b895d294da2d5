//! The Lease that says which of several replicas acts.
//!
//! It keeps replicas out of each other's way and does not fence what they write: an effect
//! must be keyed or conditional besides. No machine's clock is compared with another's: a
//! holder is dead once its entry has not changed for as long as it said it would renew it,
//! on the watch of the one who waits. A clock that is set in between breaks that.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::write::found;
use super::{Cluster, ClusterError};
use crate::render::MANAGER;

/// Where the holder takes webhooks from those who wait.
const ADDRESS: &str = "pipewright.dev/address";

/// How often one step reads and writes. The second time tells who was faster.
const TRIES: u32 = 2;

/// Whose the Lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    Held,
    HeldBy {
        holder: String,
        /// The URL that takes webhooks for the holder.
        address: Option<String>,
    },
}

/// One replica's side of a Lease: who it is, and what it has seen.
#[derive(Debug, Clone)]
pub struct Keeper {
    name: String,
    identity: String,
    address: Option<String>,
    seconds: i32,
    seen: Option<Seen>,
    /// When the last renewal that came through was begun.
    renewed_at: Option<Timestamp>,
}

/// Another's entry, as it was read last.
#[derive(Debug, Clone)]
struct Seen {
    spec: LeaseSpec,
    /// From when on it is known to be unchanged. Not the step that saw it first: that one
    /// began before the answer, and the entry may be younger than its beginning.
    since: Option<Timestamp>,
}

/// What a step does about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Take,
    Renew,
    Wait,
}

impl Keeper {
    /// `identity` must be this process' own, and `duration` some times as long as it takes
    /// from one step to the next: whole seconds, at least one.
    pub fn new(
        name: impl Into<String>,
        identity: impl Into<String>,
        address: Option<String>,
        duration: Duration,
    ) -> Self {
        Self {
            name: name.into(),
            identity: identity.into(),
            address,
            seconds: i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1),
            seen: None,
            renewed_at: None,
        }
    }

    /// Whether the Lease is still held at `now`. It ends at two thirds of the duration after
    /// the last renewal: whatever is begun before then has the last third to arrive.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.renewed_at.is_some_and(|renewed| {
            let age = now.duration_since(renewed);
            !age.is_negative() && age * 3 < SignedDuration::from_secs(self.seconds.into()) * 2
        })
    }

    fn decide(&mut self, lease: Option<&Lease>, now: Timestamp) -> Decision {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
        let (Some(spec), Some(holder)) = (spec, holder.filter(|holder| !holder.is_empty())) else {
            self.seen = None;
            return Decision::Take;
        };
        if holder == self.identity {
            self.seen = None;
            return Decision::Renew;
        }
        self.renewed_at = None;
        let promised = spec.lease_duration_seconds.filter(|seconds| *seconds > 0);
        let promised = SignedDuration::from_secs(promised.unwrap_or(self.seconds).into());
        match &mut self.seen {
            Some(seen) if seen.spec == *spec => {
                let since = *seen.since.get_or_insert(now);
                let age = now.duration_since(since);
                if age.is_negative() {
                    seen.since = Some(now);
                }
                match age >= promised {
                    true => Decision::Take,
                    false => Decision::Wait,
                }
            }
            seen => {
                *seen = Some(Seen {
                    spec: spec.clone(),
                    since: None,
                });
                Decision::Wait
            }
        }
    }

    /// The Lease as it is ours. What others wrote into its metadata stays.
    fn written(&self, lease: Option<Lease>, decision: Decision, now: Timestamp) -> Lease {
        let is_new = lease.is_none();
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(BTreeMap::from([(
                    "app.kubernetes.io/managed-by".to_owned(),
                    MANAGER.to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let annotations = lease.metadata.annotations.get_or_insert_default();
        match &self.address {
            Some(address) => annotations.insert(ADDRESS.to_owned(), address.clone()),
            None => annotations.remove(ADDRESS),
        };
        let spec = lease.spec.get_or_insert_default();
        if decision == Decision::Take {
            let changes = spec.lease_transitions.unwrap_or(0);
            let change = i32::from(!is_new);
            spec.lease_transitions = Some(changes.saturating_add(change));
            spec.acquire_time = Some(MicroTime(now));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(self.seconds);
        spec.renew_time = Some(MicroTime(now));
        lease
    }
}

impl Cluster {
    /// One step of a keeper at `now`: takes the Lease if it is free or its holder is gone,
    /// renews it if it is ours, else says whose it is. Between steps,
    /// [`Keeper::holds`] tells whether it is still ours; so it does after an error.
    ///
    /// # Errors
    /// [`ClusterError::Changed`] if somebody else was faster, and whatever else the cluster
    /// says.
    pub async fn hold_lease(
        &self,
        keeper: &mut Keeper,
        now: Timestamp,
    ) -> Result<Hold, ClusterError> {
        let attempt = format!("hold the Lease {}", keeper.name);
        let api = self.leases();
        let mut tries = 1;
        loop {
            let live = found(&attempt, api.get(&keeper.name).await)?;
            let decision = keeper.decide(live.as_ref(), now);
            if let (Decision::Wait, Some(live)) = (decision, &live) {
                return Ok(held_by(live));
            }
            let is_new = live.is_none();
            let ours = keeper.written(live, decision, now);
            let written = match is_new {
                true => api.create(&parameters(), &ours).await,
                false => api.replace(&keeper.name, &parameters(), &ours).await,
            };
            match written.map_err(|error| ClusterError::classify(&attempt, error)) {
                Ok(_) => {
                    keeper.renewed_at = Some(now);
                    return Ok(Hold::Held);
                }
                Err(ClusterError::Changed { .. } | ClusterError::NotFound { .. })
                    if tries < TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the Lease up, so that nobody has to wait for its end. From the first moment on
    /// the keeper no longer holds it, whatever comes of the request.
    ///
    /// # Errors
    /// If the cluster does not take it; then it is free after its duration.
    pub async fn release_lease(
        &self,
        keeper: &mut Keeper,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        keeper.renewed_at = None;
        let attempt = format!("release the Lease {}", keeper.name);
        let api = self.leases();
        let Some(mut live) = found(&attempt, api.get(&keeper.name).await)? else {
            return Ok(());
        };
        let Some(spec) = &mut live.spec else {
            return Ok(());
        };
        if spec.holder_identity.as_ref() != Some(&keeper.identity) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(now));
        if let Some(annotations) = &mut live.metadata.annotations {
            annotations.remove(ADDRESS);
        }
        let released = api.replace(&keeper.name, &parameters(), &live).await;
        match released.map_err(|error| ClusterError::classify(&attempt, error)) {
            // It changed or went, so it is another's by now.
            Ok(_) | Err(ClusterError::Changed { .. } | ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn held_by(lease: &Lease) -> Hold {
    let spec = lease.spec.as_ref();
    let annotations = lease.metadata.annotations.as_ref();
    Hold::HeldBy {
        holder: spec
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default(),
        address: annotations.and_then(|all| all.get(ADDRESS).cloned()),
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
