//! Service accounts.

use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::GoogleClient;
use super::error::GoogleError;
use super::http::{Call, below};

/// A service account. One made again under the same email has another `unique_id`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccount {
    pub email: String,
    pub unique_id: String,
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub description: String,
}

impl GoogleClient {
    /// The account of that email, if it exists.
    ///
    /// # Errors
    /// Any but [`GoogleError::NotFound`].
    pub async fn service_account(
        &self,
        project: &str,
        email: &str,
    ) -> Result<Option<ServiceAccount>, GoogleError> {
        let attempt = format!("read service account {email}");
        let path = ["v1", "projects", project, "serviceAccounts", email];
        let url = below(&self.bases.iam, &path, &attempt)?;
        match self.http.call(Call::new(attempt, Method::GET, url)).await {
            Ok(account) => Ok(Some(account)),
            Err(GoogleError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an account; `account_id` is its email up to the `@`.
    ///
    /// # Errors
    /// [`GoogleError::AlreadyExists`] if its email is taken.
    pub async fn create_service_account(
        &self,
        project: &str,
        account_id: &str,
        display_name: &str,
        description: &str,
    ) -> Result<ServiceAccount, GoogleError> {
        let attempt = format!("create service account {account_id} in project {project}");
        let path = ["v1", "projects", project, "serviceAccounts"];
        let url = below(&self.bases.iam, &path, &attempt)?;
        let call = Call::new(attempt, Method::POST, url).json(json!({
            "accountId": account_id,
            "serviceAccount": {"displayName": display_name, "description": description},
        }));
        self.http.call(call).await
    }

    /// Deletes an account; it is no error if there is none.
    ///
    /// # Errors
    /// [`GoogleError::NotRemoved`] if it can be read afterwards.
    pub async fn delete_service_account(
        &self,
        project: &str,
        email: &str,
    ) -> Result<(), GoogleError> {
        let attempt = format!("delete service account {email}");
        let path = ["v1", "projects", project, "serviceAccounts", email];
        let url = below(&self.bases.iam, &path, &attempt)?;
        let call = Call::new(attempt.clone(), Method::DELETE, url);
        match self.http.call::<IgnoredAny>(call).await {
            Ok(_) => {}
            Err(GoogleError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.service_account(project, email).await? {
            None => Ok(()),
            Some(_) => Err(GoogleError::NotRemoved { attempt }),
        }
    }
}
