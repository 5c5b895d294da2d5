//! The program itself, as a process that serves on the place's cluster.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Github, Permission, ReviewState};
use pipewright::sandbox::server::Exchange;
use pipewright::sandbox::stage::Stage;
use serde_json::json;
use tokio::sync::watch;

use crate::common::{repository, tree_of};
use crate::place::Place;

/// Longer than anything takes that it is waited for: a Lease that runs out, a look after 20 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// Owns the pipeline `orders`.
pub const OWNER: &str = "lead-of-orders";
/// Writes pull requests, and owns nothing.
pub const STRANGER: &str = "stranger";

/// GitHub and Google as the example has them, and people.
pub async fn stage(clock: Clock) -> Stage {
    let stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.github.add_user(STRANGER, Permission::Write);
    stage
}

/// A running replica; it does not outlive the test.
pub struct Serving {
    child: Child,
    /// Everything that it has said so far.
    said: watch::Receiver<String>,
    /// Where it takes webhooks.
    pub webhook: String,
    _folder: tempfile::TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    /// Starts one of this name, with a mirror of its own. It need not hold the Lease yet.
    pub async fn start(stage: &Stage, place: &Place, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, &place.kubeconfig).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .arg("serve")
            .env_clear()
            .envs(stage.environment().unwrap())
            .env("PIPEWRIGHT_NAMESPACE", &place.namespace)
            .env("PIPEWRIGHT_MIRROR", folder.path().join("mirror"))
            .env("PIPEWRIGHT_REPLICA", name)
            .env("PIPEWRIGHT_REPLICA_HOST", "127.0.0.1")
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "info,pipewright::shell::lead=debug")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (say, said) = watch::channel(String::new());
        // Nobody may be left without a reader: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                say.send_modify(|said| *said = format!("{said}{line}\n"));
            }
        });
        let mut serving = Self {
            child,
            said,
            webhook: String::new(),
            _folder: folder,
        };
        let said = serving.until_it_says("webhook.url=").await;
        let mut words = said.split_whitespace();
        let url = words.find_map(|word| word.strip_prefix("webhook.url="));
        serving.webhook = url.unwrap().trim_matches('"').to_owned();
        serving
    }

    /// Starts the only one there is, which gets the webhooks.
    pub async fn alone(stage: &Stage, place: &Place) -> Self {
        let serving = Self::start(stage, place, "alone").await;
        serving.until_it_holds().await;
        stage.send_webhooks_to(&serving.webhook);
        serving
    }

    /// Before it knows who acts it turns webhooks away.
    pub async fn until_it_holds(&self) {
        self.until_it_says("this replica holds the Lease").await;
    }

    pub async fn until_it_stands_by(&self) {
        self.until_it_says("another replica holds the Lease").await;
    }

    /// Until it has nothing left to do for the first time.
    pub async fn until_it_rests(&self) {
        self.until_it_says("at rest").await;
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(mut self) {
        signal(self.id(), "TERM");
        let ended = tokio::task::block_in_place(|| self.child.wait()).unwrap();
        assert!(ended.success(), "told to stop, it ends well: {ended}");
    }

    /// Waits for these words, if they were not said before.
    pub async fn until_it_says(&self, words: &str) -> String {
        let mut said = self.said.clone();
        let found = said.wait_for(|said| said.contains(words));
        let found = tokio::time::timeout(PATIENCE, found).await;
        match found {
            Ok(Ok(said)) => said.clone(),
            _ => panic!("it never said `{words}`:\n{}", *self.said.borrow()),
        }
    }
}

/// Sends a process a signal.
pub fn signal(process: u32, name: &str) {
    let process = process.to_string();
    let sent = Command::new("kill").args(["-s", name, &process]).status();
    assert!(sent.unwrap().success());
}

/// Waits until something was written to the pull request's comments that contains `words`.
pub async fn commented(github: &Github, words: &str) {
    let wire = github.wire();
    let seen = wire.seen(|exchange: &Exchange| {
        exchange.is_write()
            && exchange.uri.contains("comments")
            && String::from_utf8_lossy(&exchange.request).contains(words)
    });
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    assert!(seen.is_ok(), "nothing was said of `{words}`");
}

/// Opens a pull request that adds `text` to the example's pipeline `orders`.
pub fn open(stage: &Stage, branch: &str, text: &str) -> u64 {
    let path = "pipelines/orders/orders.yaml";
    let change = Change::write(path, repository()[path].clone() + text);
    let opened = stage
        .github
        .open_pull_request(STRANGER, branch, branch, &[change]);
    opened.unwrap()
}

/// Its owner agrees, and it is merged.
pub fn merge(stage: &Stage, number: u64) {
    let approved = ReviewState::Approved;
    stage.github.review(number, OWNER, approved).unwrap();
    stage.github.merge(number, STRANGER).unwrap();
}

/// Opens one and merges it as soon as its plan was shown.
pub async fn change(stage: &mut Stage, branch: &str, text: &str) -> u64 {
    let number = open(stage, branch, text);
    stage.deliver().await.unwrap();
    let comments = format!("/issues/{number}/comments");
    let is_comment = |exchange: &Exchange| exchange.is_write() && exchange.uri.ends_with(&comments);
    let wire = stage.github.wire().clone();
    let shown = tokio::time::timeout(PATIENCE, wire.seen(is_comment)).await;
    assert!(shown.is_ok(), "no plan was shown");
    merge(stage, number);
    stage.deliver().await.unwrap();
    number
}

/// What its owner says under a pull request.
pub async fn say(stage: &mut Stage, number: u64, words: &str) -> u64 {
    let comment = stage.github.comment(number, OWNER, words).unwrap();
    stage.deliver().await.unwrap();
    comment
}

/// The bot's answer to a comment, once it holds `words`.
pub async fn answer(stage: &Stage, number: u64, words: &str) -> String {
    commented(&stage.github, words).await;
    let comments = stage.github.comments(number).into_iter();
    let mut of_bot = comments.filter(|one| one.login.ends_with("[bot]"));
    let said = of_bot.rfind(|one| one.body.contains(words));
    said.unwrap_or_else(|| panic!("`{words}` was unsaid")).body
}

/// Lets reruns of `orders` wait a second before they are tried again, by hand. Argo waits
/// first, and only then looks whether the exit code says that another attempt is in vain.
pub async fn hasten(place: &Place) {
    let live = place.api.get("CronWorkflow", "orders").await;
    let mut templates = live["spec"]["workflowSpec"]["templates"].clone();
    templates[0]["retryStrategy"]["backoff"]["duration"] = json!("1");
    let patch = json!({"spec": {"workflowSpec": {"templates": templates}}});
    place
        .api
        .merge("CronWorkflow", "orders", &patch, "kubectl-edit")
        .await;
}
