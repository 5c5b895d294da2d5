//! Claims: which commands of people have been taken up, beside the Record of their pipeline.
//!
//! They have a key of their own in its ConfigMap. A Record is applied and claims are merged,
//! so neither write touches the other's key, and the last one's removal takes both.

use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::error::shortened;
use super::write::found;
use super::{Cluster, ClusterError};
use crate::command::{Claim, CommandKey};
use crate::name::PipelineName;
use crate::object::Kind;
use crate::plan::record::Record;
use crate::render::MANAGER;

/// The key in the ConfigMap's data.
const KEY: &str = "commands";

/// How many claims are kept of one pipeline.
const MOST: usize = 100;

/// More than that many of them ever take. A ConfigMap is full at some point, and a Record
/// must not take the last of its room.
pub(super) const ROOM_BYTES: usize = 16 << 10;

/// How often a change is tried that somebody else's is faster than.
const TRIES: u32 = 5;

impl Cluster {
    /// The claims of a pipeline, the oldest first. None if it has no Record.
    ///
    /// # Errors
    /// If they can not be read; taken for none, a command would happen twice.
    pub async fn claims(&self, pipeline: &PipelineName) -> Result<Vec<Claim>, ClusterError> {
        let attempt = format!("read the claims of {pipeline}");
        let api = self.api(Kind::ConfigMap);
        let live = found(&attempt, api.get(&Record::name(pipeline)).await)?;
        live.map_or(Ok(Vec::new()), |live| read(&attempt, &live))
    }

    /// Claims a command, and returns the claim that stands: an earlier one of that key stays.
    ///
    /// # Errors
    /// [`ClusterError::NotFound`] if the pipeline has no Record, and whatever else the
    /// cluster says.
    pub async fn claim(
        &self,
        pipeline: &PipelineName,
        claim: &Claim,
    ) -> Result<Claim, ClusterError> {
        let attempt = format!("claim the command {} for {pipeline}", claim.key);
        let claims = self
            .change(&attempt, pipeline, |claims| add(claims, claim))
            .await?;
        let standing = claims.into_iter().find(|one| one.key == claim.key);
        Ok(standing.unwrap_or_else(|| claim.clone()))
    }

    /// Notes that the effect of a claimed command is there. A second time changes nothing.
    ///
    /// # Errors
    /// If the cluster does not.
    pub async fn note_made(
        &self,
        pipeline: &PipelineName,
        key: CommandKey,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let attempt = format!("note what the command {key} made for {pipeline}");
        let note = |claims: &mut Vec<Claim>| {
            for claim in claims.iter_mut().filter(|claim| claim.key == key) {
                claim.made_at.get_or_insert(now);
            }
        };
        match self.change(&attempt, pipeline, note).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads, changes and writes back, on the version that was read. What did not change is
    /// not written.
    async fn change(
        &self,
        attempt: &str,
        pipeline: &PipelineName,
        change: impl Fn(&mut Vec<Claim>),
    ) -> Result<Vec<Claim>, ClusterError> {
        let api = self.api(Kind::ConfigMap);
        let name = Record::name(pipeline);
        let failed = |error| ClusterError::classify(attempt, error);
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let mut tries = 1;
        loop {
            let live = api.get(&name).await.map_err(failed)?;
            self.must_be_ours(attempt, &live)?;
            let before = read(attempt, &live)?;
            let mut claims = before.clone();
            change(&mut claims);
            if claims == before {
                return Ok(claims);
            }
            let text = (!claims.is_empty()).then(|| json!(claims).to_string());
            let patch = json!({
                "metadata": {"resourceVersion": live.metadata.resource_version},
                "data": {KEY: text},
            });
            let writing = self.cache.writing(Kind::ConfigMap, &name);
            let patched = api.patch(&name, &parameters, &Patch::Merge(&patch)).await;
            match writing.answered(patched.map_err(failed)) {
                Ok(_) => return Ok(claims),
                Err(ClusterError::Changed { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Adds a claim, unless its key is there. The oldest ones make room.
fn add(claims: &mut Vec<Claim>, claim: &Claim) {
    if claims.iter().any(|one| one.key == claim.key) {
        return;
    }
    claims.sort_by_key(|one| (one.claimed_at, one.key));
    let surplus = (claims.len() + 1).saturating_sub(MOST);
    claims.drain(..surplus);
    claims.push(claim.clone());
    claims.sort_by_key(|one| (one.claimed_at, one.key));
}

fn read(attempt: &str, config_map: &DynamicObject) -> Result<Vec<Claim>, ClusterError> {
    let data = config_map.data.get("data");
    let Some(text) = data.and_then(|data| data.get(KEY)).and_then(Value::as_str) else {
        return Ok(Vec::new());
    };
    serde_json::from_str(text).map_err(|error| ClusterError::Unexpected {
        attempt: attempt.to_owned(),
        message: format!("the key `{KEY}` of its Record can not be read"),
        source: Some(shortened(&error.to_string()).into()),
    })
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
