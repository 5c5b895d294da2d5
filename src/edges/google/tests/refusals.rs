//! What errors say, and what they do not; tokens.

use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};

use super::*;
use crate::sandbox::server::Server;

#[tokio::test]
async fn refusals_are_sorted_and_named() {
    let (google, client) = start().await;
    let project = PolicyTarget::Project("team-a".into());
    let error = client
        .add_members(&project, &[("roles/viewer", "user:a@b.c")])
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Forbidden { .. }));
    assert_eq!(
        error.to_string(),
        "could not write policy of projects/team-a: not allowed: Policy update access denied."
    );
    let error = client
        .add_members(&connection(), &[(USER, MEMBER)])
        .await
        .unwrap_err();
    assert!(
        error.names_unseen_account() && !error.is_transient(),
        "{error}"
    );
    let error = client
        .create_service_account("team-a", "x", "", "")
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Invalid { .. }) && !error.names_unseen_account());

    let limited = r#"{"error":{"message":"slow down","errors":[{"reason":"rateLimitExceeded"}]}}"#;
    for (code, body, transient) in [
        (429, "", true),
        (503, "<html>down</html>", true),
        (403, limited, true),
        (403, "", false),
        // Not Google's: it must not read as an account that is not there.
        (404, "<html>no such page</html>", false),
    ] {
        let code = StatusCode::from_u16(code).unwrap();
        let body = body.to_owned();
        google
            .wire()
            .fail_with(move |_, _| Some(Fault::Refuse(code, body.clone())));
        let error = client.service_account("team-a", EMAIL).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error}");
        assert!(!chain(&error).contains("html"));
    }
    for name in ["", ".", "..", "a\nb"] {
        let error = client.service_account("team-a", name).await.unwrap_err();
        assert!(matches!(error, GoogleError::Invalid { .. }));
    }
}

#[tokio::test]
async fn the_token_is_in_no_error_and_no_debug() {
    let (google, client) = start().await;
    let body = format!(r#"{{"uniqueId": 7, "email": "{TOKEN}"}}"#);
    let echo = Fault::Refuse(StatusCode::OK, body);
    let mut errors = Vec::new();
    google.wire().fail_with(move |_, _| Some(echo.clone()));
    errors.push(client.service_account("team-a", EMAIL).await.unwrap_err());
    google.wire().heal();
    errors.push(client.service_account("secret", EMAIL).await.unwrap_err());
    let source = TokenSource::Fixed(SecretString::from(format!("{TOKEN}\n")));
    assert!(!format!("{source:?}").contains(TOKEN));
    let broken = GoogleClient::new(&endpoints(&google.url()), source, Clock::system()).unwrap();
    errors.push(broken.service_account("team-a", EMAIL).await.unwrap_err());
    let closed = GoogleClient::new(
        &endpoints("http://127.0.0.1:1"),
        TokenSource::Fixed(TOKEN.into()),
        Clock::system(),
    );
    let error = closed
        .unwrap()
        .service_account("team-a", EMAIL)
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Transient { .. }));
    errors.push(error);
    for error in errors {
        let text = chain(&error);
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn a_token_file_is_read_again_at_each_use() {
    let (google, _) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let client = client(&google, TokenSource::File(path.clone()));
    let error = client.dataset("team-a", "orders").await.unwrap_err();
    assert!(matches!(error, GoogleError::NoToken { .. }) && error.is_transient());
    std::fs::write(&path, "old").unwrap();
    let error = client.dataset("team-a", "orders").await.unwrap_err();
    assert!(matches!(error, GoogleError::Forbidden { .. }));
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    assert_eq!(client.dataset("team-a", "orders").await.unwrap(), None);
}

/// A metadata server that issues tokens lasting so many seconds.
async fn metadata(expires_in: u64) -> Server {
    let token = json!({"access_token": TOKEN, "expires_in": expires_in, "token_type": "Bearer"});
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    let answer = async move |headers: HeaderMap| {
        assert_eq!(headers["metadata-flavor"], "Google");
        Json(token)
    };
    Server::start(Router::new().route(path, get(answer)))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_metadata_token_is_kept_until_a_minute_before_its_end() {
    let (google, _) = start().await;
    for (expires_in, asked) in [(3600, 1), (60, 3)] {
        let server = metadata(expires_in).await;
        let host = server.url().replace("http://", "");
        let client = client(&google, TokenSource::Metadata { host });
        for _ in 0..3 {
            assert_eq!(client.dataset("team-a", "orders").await.unwrap(), None);
        }
        assert_eq!(server.wire().traffic().len(), asked);
    }
}

#[tokio::test]
async fn a_refused_metadata_token_is_asked_for_anew() {
    let (google, _) = start().await;
    let server = metadata(3600).await;
    let host = server.url().replace("http://", "");
    let client = client(&google, TokenSource::Metadata { host });
    google
        .wire()
        .fail_with(|_, _| Some(Fault::Refuse(StatusCode::UNAUTHORIZED, String::new())));
    let error = client.dataset("team-a", "orders").await.unwrap_err();
    assert!(matches!(error, GoogleError::Forbidden { .. }));
    // The fresh one was refused as well.
    assert_eq!(google.wire().take_traffic().len(), 2);
    assert_eq!(server.wire().take_traffic().len(), 2);
    let mut refusals = 1;
    google.wire().fail_with(move |_, _| {
        refusals -= 1;
        (refusals >= 0).then(|| Fault::Refuse(StatusCode::UNAUTHORIZED, String::new()))
    });
    client.dataset("team-a", "orders").await.unwrap();
    assert_eq!(google.wire().take_traffic().len(), 2);
    assert_eq!(server.wire().traffic().len(), 2);
}

#[tokio::test]
async fn no_metadata_token_is_not_nothing_there() {
    let (google, _) = start().await;
    let server = Server::start(Router::new()).await.unwrap();
    let host = server.url().replace("http://", "");
    let client = client(&google, TokenSource::Metadata { host });
    let error = client.dataset("team-a", "orders").await.unwrap_err();
    assert!(matches!(error, GoogleError::NoToken { .. }), "{error}");
    assert!(google.wire().traffic().is_empty());
}
