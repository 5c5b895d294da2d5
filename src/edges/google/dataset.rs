//! BigQuery datasets: their existence, place and access list. Never their tables, and never their deletion.

use std::collections::BTreeMap;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::access::{AccessEntry, DatasetRole};
use super::error::GoogleError;
use super::http::{Call, below};
use super::{GoogleClient, PolicyWrite, REWRITES, Removal, Rewrite};

/// A dataset as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    pub location: String,
    pub access: Vec<AccessEntry>,
    pub etag: String,
}

/// A dataset to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDataset {
    pub project: String,
    pub id: String,
    pub location: String,
    pub description: String,
    pub labels: BTreeMap<String, String>,
    /// With an OWNER in it: else Google chooses one, and may choose the caller.
    pub access: Vec<AccessEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    location: String,
    etag: String,
    access: Option<Vec<Value>>,
}

impl GoogleClient {
    /// The dataset of that id, if it exists.
    ///
    /// # Errors
    /// [`GoogleError::Decode`] if it comes without an access list: that is not an empty one.
    pub async fn dataset(&self, project: &str, id: &str) -> Result<Option<Dataset>, GoogleError> {
        let attempt = format!("read dataset {project}:{id}");
        let url = self.dataset_url(project, id, &attempt)?;
        let call = Call::new(attempt.clone(), Method::GET, url);
        match self.http.call::<Answer>(call).await {
            Ok(answer) => read(answer, attempt).map(Some),
            Err(GoogleError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a dataset with exactly this access.
    ///
    /// # Errors
    /// [`GoogleError::AlreadyExists`] if there is one, [`GoogleError::Invalid`] if `access` names no owner.
    pub async fn create_dataset(&self, dataset: &NewDataset) -> Result<Dataset, GoogleError> {
        let NewDataset {
            project,
            id,
            location,
            description,
            labels,
            access,
        } = dataset;
        let attempt = format!("create dataset {project}:{id}");
        let owned = access
            .iter()
            .any(|entry| entry.role() == Some(DatasetRole::Owner) && !entry.is_conditional());
        if !owned {
            return Err(GoogleError::Invalid {
                attempt,
                message: "its access names no owner".into(),
            });
        }
        let path = ["bigquery", "v2", "projects", project, "datasets"];
        let url = below(&self.bases.bigquery, &path, &attempt)?;
        let call = Call::new(attempt.clone(), Method::POST, url).json(json!({
            "datasetReference": {"projectId": project, "datasetId": id},
            "location": location,
            "description": description,
            "labels": labels,
            "access": access.iter().map(AccessEntry::raw).collect::<Vec<_>>(),
        }));
        read(self.http.call(call).await?, attempt)
    }

    /// Adds entries to a dataset's access, in one write; those it has under another name of the role count.
    ///
    /// # Errors
    /// [`GoogleError::NotFound`] without the dataset, [`GoogleError::Conflict`] if others kept writing.
    pub async fn add_dataset_access(
        &self,
        project: &str,
        id: &str,
        entries: &[AccessEntry],
    ) -> Result<PolicyWrite, GoogleError> {
        let with = |held: &[AccessEntry]| {
            let mut list = held.to_vec();
            for entry in entries {
                if !list.iter().any(|held| held.grants_same(entry)) {
                    list.push(entry.clone());
                }
            }
            (list.len() > held.len()).then_some(list)
        };
        match self.rewrite_access(project, id, with).await? {
            Rewrite::Changed => Ok(PolicyWrite::Written),
            Rewrite::Unchanged => Ok(PolicyWrite::AlreadyThere),
        }
    }

    /// Removes entries from a dataset's access, in one write, and reads back that they are gone.
    ///
    /// # Errors
    /// [`GoogleError::NotFound`] without the dataset, [`GoogleError::NotRemoved`] if one is still there,
    /// [`GoogleError::Conflict`] if others kept writing.
    pub async fn remove_dataset_access(
        &self,
        project: &str,
        id: &str,
        entries: &[AccessEntry],
    ) -> Result<Removal, GoogleError> {
        let unwanted = |held: &AccessEntry| entries.iter().any(|entry| held.grants_same(entry));
        let without = |held: &[AccessEntry]| {
            let list: Vec<_> = held
                .iter()
                .filter(|held| !unwanted(held))
                .cloned()
                .collect();
            (list.len() < held.len()).then_some(list)
        };
        match self.rewrite_access(project, id, without).await? {
            Rewrite::Unchanged => return Ok(Removal::AlreadyGone),
            Rewrite::Changed => {}
        }
        let left = self.dataset(project, id).await?;
        if left.is_some_and(|left| left.access.iter().any(unwanted)) {
            return Err(GoogleError::NotRemoved {
                attempt: format!("remove access to dataset {project}:{id}"),
            });
        }
        Ok(Removal::Removed)
    }

    async fn rewrite_access(
        &self,
        project: &str,
        id: &str,
        change: impl Fn(&[AccessEntry]) -> Option<Vec<AccessEntry>>,
    ) -> Result<Rewrite, GoogleError> {
        let attempt = format!("write access of dataset {project}:{id}");
        let url = self.dataset_url(project, id, &attempt)?;
        let mut tries = 1;
        loop {
            let Some(dataset) = self.dataset(project, id).await? else {
                return Err(GoogleError::NotFound {
                    attempt,
                    message: format!("dataset {project}:{id}"),
                });
            };
            let Some(list) = change(&dataset.access) else {
                return Ok(Rewrite::Unchanged);
            };
            let list: Vec<&Value> = list.iter().map(AccessEntry::raw).collect();
            let call = Call {
                body: Some(json!({"access": list})),
                if_match: Some(dataset.etag),
                ..Call::new(attempt.clone(), Method::PATCH, url.clone())
            };
            match self.http.call::<IgnoredAny>(call).await {
                Ok(_) => return Ok(Rewrite::Changed),
                Err(GoogleError::Conflict { .. }) if tries < REWRITES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn dataset_url(&self, project: &str, id: &str, attempt: &str) -> Result<Url, GoogleError> {
        let path = ["bigquery", "v2", "projects", project, "datasets", id];
        let mut url = below(&self.bases.bigquery, &path, attempt)?;
        // Below 3 conditions are hidden when read and refused when written.
        url.query_pairs_mut()
            .append_pair("accessPolicyVersion", "3");
        Ok(url)
    }
}

fn read(answer: Answer, attempt: String) -> Result<Dataset, GoogleError> {
    let Answer {
        location,
        etag,
        access,
    } = answer;
    let missing = |attempt, what: &str| GoogleError::Decode {
        attempt,
        message: format!("the dataset came without {what}"),
    };
    // Either would let the next write of the list throw out whom it does not know of.
    let Some(access) = access else {
        return Err(missing(attempt, "an access list"));
    };
    if etag.is_empty() {
        return Err(missing(attempt, "an etag"));
    }
    Ok(Dataset {
        location,
        etag,
        access: access.into_iter().map(AccessEntry::from_raw).collect(),
    })
}
