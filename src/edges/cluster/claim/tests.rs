//! Claims beside Records, on the simulated server.

use jiff::{SignedDuration, Timestamp};

use super::super::record::tests::record;
use super::super::testing::simulated;
use super::*;
use crate::sandbox::server::Fault;

fn orders() -> PipelineName {
    "orders".parse().unwrap()
}

fn claim(comment: u64) -> Claim {
    let noon: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let after = SignedDuration::from_secs(i64::try_from(comment).unwrap());
    Claim {
        key: CommandKey { comment, line: 1 },
        claimed_at: noon + after,
        made_at: None,
    }
}

#[tokio::test]
async fn records_and_claims_never_lose_each_other() {
    let (cluster, kubernetes) = simulated().await;
    let mut record = record("orders");
    cluster.put_record(&record).await.unwrap();
    cluster.claim(&orders(), &claim(1)).await.unwrap();
    let stored = kubernetes
        .get("ConfigMap", "data", "record-orders")
        .unwrap();
    assert_eq!(stored["data"].as_object().unwrap().len(), 2);

    record.keys.clear();
    cluster.put_record(&record).await.unwrap();
    assert_eq!(cluster.claims(&orders()).await.unwrap(), [claim(1)]);
    cluster.claim(&orders(), &claim(2)).await.unwrap();
    let noon = claim(0).claimed_at;
    cluster
        .note_made(&orders(), claim(1).key, noon)
        .await
        .unwrap();
    let made = Claim {
        made_at: Some(noon),
        ..claim(1)
    };
    assert_eq!(cluster.claims(&orders()).await.unwrap(), [made, claim(2)]);
    let seen = cluster.observe().await.unwrap();
    assert_eq!(seen.records[&orders()], record);
    assert!(seen.broken_records.is_empty() && seen.objects.is_empty());

    let writes = kubernetes.wire().writes();
    let later = noon + std::time::Duration::from_secs(60);
    cluster
        .note_made(&orders(), claim(1).key, later)
        .await
        .unwrap();
    assert_eq!(kubernetes.wire().writes(), writes, "it is noted once");
    cluster.claim(&orders(), &claim(3)).await.unwrap();
    cluster.remove_record(&orders()).await.unwrap();
    assert_eq!(kubernetes.get("ConfigMap", "data", "record-orders"), None);
}

#[tokio::test]
async fn the_first_claim_of_a_key_stands_and_needs_a_record() {
    let (cluster, kubernetes) = simulated().await;
    let refused = cluster.claim(&orders(), &claim(1)).await;
    assert!(matches!(refused, Err(ClusterError::NotFound { .. })));
    assert_eq!(cluster.claims(&orders()).await.unwrap(), []);
    let now = claim(1).claimed_at;
    cluster
        .note_made(&orders(), claim(1).key, now)
        .await
        .unwrap();
    cluster.put_record(&record("orders")).await.unwrap();
    assert_eq!(cluster.claim(&orders(), &claim(1)).await.unwrap(), claim(1));
    let writes = kubernetes.wire().writes();
    let mut later = claim(9);
    later.key = claim(1).key;
    assert_eq!(cluster.claim(&orders(), &later).await.unwrap(), claim(1));
    assert_eq!(kubernetes.wire().writes(), writes);
}

#[tokio::test]
async fn a_race_is_run_again_but_not_for_ever() {
    let (cluster, kubernetes) = simulated().await;
    cluster.put_record(&record("orders")).await.unwrap();
    let many = futures::future::try_join_all((0..4).map(|comment| {
        let (cluster, claim) = (cluster.clone(), claim(comment));
        async move { cluster.claim(&orders(), &claim).await }
    }));
    many.await.unwrap();
    assert_eq!(cluster.claims(&orders()).await.unwrap().len(), 4);

    kubernetes.wire().fail_with(|method, _| {
        let body = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "m"});
        (method.as_str() == "PATCH")
            .then(|| Fault::Refuse(http::StatusCode::CONFLICT, body.to_string()))
    });
    let writes = kubernetes.wire().writes();
    let lost = cluster.claim(&orders(), &claim(9)).await;
    assert!(matches!(lost, Err(ClusterError::Changed { .. })));
    assert_eq!(kubernetes.wire().writes() - writes, TRIES as usize);
}

#[tokio::test]
async fn what_can_not_be_read_is_not_taken_for_nothing() {
    let (cluster, kubernetes) = simulated().await;
    cluster.put_record(&record("orders")).await.unwrap();
    let mut stored = kubernetes
        .get("ConfigMap", "data", "record-orders")
        .unwrap();
    stored["data"]["commands"] = json!("[{]");
    kubernetes.put(stored).unwrap();
    assert!(cluster.claims(&orders()).await.is_err());
    assert!(cluster.claim(&orders(), &claim(1)).await.is_err());
}

#[test]
fn the_oldest_make_room_and_all_fit_in_theirs() {
    let mut claims = Vec::new();
    for comment in (0..150).rev() {
        add(&mut claims, &claim(comment));
    }
    assert_eq!(claims.len(), MOST);
    assert!(
        claims.contains(&claim(0)),
        "what is claimed now is kept, however old"
    );
    let longest = Claim {
        key: CommandKey {
            comment: u64::MAX,
            line: u32::MAX,
        },
        claimed_at: Timestamp::MAX,
        made_at: Some(Timestamp::MAX),
    };
    assert!(json!(vec![longest; MOST]).to_string().len() < ROOM_BYTES);
}
