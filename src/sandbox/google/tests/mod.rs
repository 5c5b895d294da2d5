//! Through HTTP, as a client sees it. Bodies called recorded have the shape of real traffic.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

mod accounts;
mod bigquery;
mod policies;

use super::{Google, Options};

const PROJECT: &str = "team-a";
const CONNECTION: &str = "projects/team-a/locations/eu/connections/orders";

struct Fixture {
    google: Google,
    http: reqwest::Client,
}

async fn start(options: Options) -> Fixture {
    // A second test finds it installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let google = Google::start(Options {
        projects: vec![PROJECT.into(), "secret".into()],
        forbidden_projects: vec!["secret".into()],
        ..options
    })
    .await
    .unwrap();
    google.add_connection(PROJECT, "EU", "orders", "team-a:europe-west1:main", "shop");
    Fixture {
        google,
        http: reqwest::Client::new(),
    }
}

impl Fixture {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.send_if(method, path, body, None).await
    }

    async fn send_if(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        etag: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.google.url()))
            .bearer_auth("sandbox-token");
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(etag) = etag {
            request = request.header("If-Match", etag);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn create_account(&self, id: &str) -> Value {
        let (status, account) = self
            .post(
                "/v1/projects/team-a/serviceAccounts",
                json!({"accountId": id}),
            )
            .await;
        assert_eq!(status, 200, "{account}");
        account
    }

    async fn read_policy(&self, path: &str) -> Value {
        let (status, policy) = self
            .post(
                &format!("{path}:getIamPolicy"),
                json!({"options": {"requestedPolicyVersion": 3}}),
            )
            .await;
        assert_eq!(status, 200, "{policy}");
        policy
    }

    async fn write_policy(&self, path: &str, policy: &Value) -> (StatusCode, Value) {
        self.post(&format!("{path}:setIamPolicy"), json!({"policy": policy}))
            .await
    }
}

fn message(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap_or("")
}

fn reason(body: &Value) -> &str {
    body["error"]["errors"][0]["reason"].as_str().unwrap_or("")
}

fn status(body: &Value) -> &str {
    body["error"]["status"].as_str().unwrap_or("")
}

/// Masks what the counter makes, as the recordings are masked.
fn masked(mut body: Value) -> Value {
    for (key, mask) in [
        ("etag", "abcdef0123A="),
        ("uniqueId", "111111111111111111111"),
        ("oauth2ClientId", "888888888888888888888"),
        ("creationTime", "123456789"),
        ("lastModifiedTime", "123456789"),
    ] {
        if let Some(value) = body.get_mut(key) {
            *value = json!(mask);
        }
    }
    body
}

fn with_member(mut policy: Value, role: &str, member: &str) -> Value {
    let fields = policy.as_object_mut().unwrap();
    fields.insert("version".into(), json!(3));
    let bindings = fields.entry("bindings").or_insert_with(|| json!([]));
    let binding = json!({"role": role, "members": [member]});
    bindings.as_array_mut().unwrap().push(binding);
    policy
}
