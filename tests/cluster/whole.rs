//! From the merge to the rows and back: the program serves, Argo's controller fires, the pod runs
//! the program, its rows arrive, and what became of it is said on the pull request. What may
//! pass is tried again, and what may not is not.

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::google::Google;
use pipewright::sandbox::server::Fault;
use serde_json::Value;

use crate::api::{items, text};
use crate::kubelet::Kubelet;
use crate::place::Place;
use crate::serving::{Serving, answer, change, hasten, say, stage};
use crate::shop;

/// What a pod dies amid, and never hears of: the second job of a run, which writes a table.
fn kill_amid_a_table(bigquery: &Google, kubelet: &Kubelet) {
    let kill = kubelet.killer();
    let mut jobs = 0;
    bigquery.wire().fail_with(move |method, uri| {
        if *method != http::Method::POST || !uri.path().ends_with("/jobs") {
            return None;
        }
        jobs += 1;
        (jobs == 2).then(|| {
            kill();
            Fault::LoseAnswer(http::StatusCode::SERVICE_UNAVAILABLE, String::new())
        })
    });
}

async fn ended(place: &Place, run: &str) -> Value {
    let such = |run: &Value| matches!(text(run, "/status/phase"), "Succeeded" | "Failed" | "Error");
    place.api.until("Workflow", run, such).await
}

async fn pods(place: &Place, run: &str) -> usize {
    let selector = format!("labelSelector=workflows.argoproj.io%2Fworkflow%3D{run}");
    items(&place.api.list("Pod", &selector).await["items"]).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_merged_fires_and_brings_the_rows_and_says_so() {
    let place = Place::real().await;
    let server = shop::database();
    let bigquery = shop::bigquery(&server).await;
    let kubelet = Kubelet::start(&place, shop::program(&bigquery));
    let mut stage = stage(Clock::stepped(Timestamp::now())).await;
    let _serving = Serving::alone(&stage, &place).await;
    kill_amid_a_table(&bigquery, &kubelet);

    let number = change(&mut stage, "often", "schedule: '* * * * *'\n").await;
    let cron = place.api.until("CronWorkflow", "orders", |_| true).await;
    assert_eq!(
        cron["metadata"]["labels"]["pipewright.dev/pipeline"],
        "orders"
    );
    // Nobody whose project it reads has agreed to these.
    assert_eq!(place.api.find("CronWorkflow", "invoices").await, None);
    let of_orders = "labelSelector=workflows.argoproj.io%2Fcron-workflow%3Dorders";
    let fired = place.api.until_one("Workflow", of_orders, |_| true).await;
    let fired = text(&fired, "/metadata/name").to_owned();

    // While it waits for its second attempt the pipeline is changed, and the run is not.
    let settings = "target_tables: [items, paid, gone]\n\
                    tables: {items: {where: name <> 'b$$'}}\n";
    let second = change(&mut stage, "chosen", settings).await;
    let changed = |cron: &Value| cron["spec"].to_string().contains("gone");
    place.api.until("CronWorkflow", "orders", changed).await;
    let run = ended(&place, &fired).await;
    assert_eq!(text(&run, "/status/phase"), "Succeeded", "{run:#}");
    assert_eq!(pods(&place, &fired).await, 2);
    assert_eq!(shop::rows(&bigquery), (Some(3), Some(1)));
    say(&mut stage, number, "/status").await;
    let said = answer(&stage, number, &fired).await;
    assert!(said.contains("Succeeded"), "{said}");
    assert!(said.contains("2 tables copied, 4 rows"), "{said}");

    hasten(&place).await;
    // One table alone, without the row that its condition leaves out; and then all of them, of
    // which one is not there, and will not be at a second attempt.
    let lines = "/rerun orders tables=items\n/rerun orders";
    let comment = say(&mut stage, second, lines).await;
    let alone = format!("orders-rerun-{comment}-1");
    let run = ended(&place, &alone).await;
    assert_eq!(text(&run, "/status/phase"), "Succeeded", "{run:#}");
    assert_eq!(shop::rows(&bigquery), (Some(2), Some(1)));
    let said = answer(&stage, second, &alone).await;
    assert!(
        said.contains("`items`") && !said.contains("`paid`"),
        "{said}"
    );
    let all = format!("orders-rerun-{comment}-2");
    let run = ended(&place, &all).await;
    assert_eq!(text(&run, "/status/phase"), "Failed", "{run:#}");
    assert_eq!(pods(&place, &all).await, 1);
    let said = answer(&stage, second, &all).await;
    assert!(
        said.contains("1 run, 1 failed") && said.contains("`gone`"),
        "{said}"
    );
    assert!(said.contains("2 copied, 0 skipped, 1 failed"), "{said}");

    if let Some(asked) = place.asked().await {
        let refused: Vec<_> = asked.iter().filter(|one| one.code == 403).collect();
        assert!(refused.is_empty(), "{refused:?}");
        println!("whole: {} requests to the cluster", asked.len());
    }
}
