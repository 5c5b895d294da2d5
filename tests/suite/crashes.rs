//! Crashes: the real program is killed at every write of a story, before or after its
//! effect, and started again. The end is the undisturbed one: nothing lost, nothing twice.
//!
//! The simulators live here and hold the write: the child is dead before the write has its
//! effect, or before it can read the answer. What was delivered to the dead is lost. The
//! mirror's folder is kept, torn or not.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use http::{Method, StatusCode, Uri};
use pipewright::clock::Clock;
use pipewright::edges::forge::webhook::decode;
use pipewright::sandbox::github::Permission;
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::Stage;
use tokio::sync::mpsc;

use crate::common::{repository, tree_of};
use crate::essence::{Essence, difference, essence};
use crate::stories::{People, STRANGER, Story, stories};

/// When the bot dies, counted in writes over all systems.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Never,
    Before(usize),
    After(usize),
}

/// A bot that does nothing for so long has hung.
const HUNG: Duration = Duration::from_secs(60);
/// Plays at the same time: most of a play is waiting for a process to start.
const SIDE_BY_SIDE: usize = 4;

/// The child, shared with whoever kills it.
type Victim = Arc<Mutex<Option<Child>>>;

fn kill(victim: &Victim) {
    let child = victim.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut child) = child {
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The running program, as far as it tells by its log.
struct Bot {
    lines: mpsc::UnboundedReceiver<String>,
    /// Events that it was given: its own sweep at the start, and what was delivered.
    given: u64,
    last: VecDeque<String>,
}

/// No child outlives its play.
struct Watched(Victim);

impl Drop for Watched {
    fn drop(&mut self) {
        kill(&self.0);
    }
}

impl Bot {
    /// Starts the program, and waits until it takes webhooks and rests. `None` if it was
    /// killed before.
    async fn start(stage: &Stage, victim: &Victim) -> Option<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .arg("serve")
            .env_clear()
            .envs(stage.environment().unwrap())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        *victim.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let (said, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let mut bot = Self {
            lines,
            given: 1,
            last: VecDeque::new(),
        };
        loop {
            let line = bot.line().await?;
            if let Some((_, url)) = line.split_once("webhook.url=") {
                stage.send_webhooks_to(url.trim_matches('"'));
                break;
            }
        }
        bot.rest().await.then_some(bot)
    }

    /// The next line; `None` once it is dead.
    async fn line(&mut self) -> Option<String> {
        let clock = Clock::system();
        let line = tokio::select! {
            line = self.lines.recv() => line?,
            () = clock.sleep(HUNG) => panic!("the bot has hung:\n{}", self.said()),
        };
        self.last.push_back(line.clone());
        if self.last.len() > 30 {
            self.last.pop_front();
        }
        Some(line)
    }

    fn said(&self) -> String {
        self.last.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Waits until it has done all that it was given. False if it died.
    async fn rest(&mut self) -> bool {
        loop {
            let Some(line) = self.line().await else {
                return false;
            };
            let rested = line
                .split_once("at rest events=")
                .and_then(|(_, events)| events.trim().parse::<u64>().ok());
            if rested.is_some_and(|events| events >= self.given) {
                return true;
            }
        }
    }

    /// Delivers what GitHub has to say until both are quiet. False if it died.
    async fn settle(&mut self, stage: &Stage) -> bool {
        loop {
            let deliveries = stage.github.take_deliveries();
            if deliveries.is_empty() {
                return true;
            }
            let before = self.given;
            for delivery in &deliveries {
                if stage.github.send(delivery).await.unwrap() >= 300 {
                    return false;
                }
                let repository = stage.worker.edges.forge.repository();
                let events = decode(&delivery.event, &delivery.body, repository, "main");
                self.given += u64::try_from(events.unwrap().len()).unwrap();
            }
            if self.given > before && !self.rest().await {
                return false;
            }
        }
    }
}

/// Signing in and fetching change nothing; the Lease is about who acts.
fn is_write(method: &Method, uri: &Uri) -> bool {
    let none = [
        "access_tokens",
        "git-upload-pack",
        ":getIamPolicy",
        "/leases",
    ];
    *method != Method::GET && !none.iter().any(|part| uri.path().contains(part))
}

/// Kills the child at its n-th write.
fn lie_in_wait(stage: &Stage, death: Death, writes: &Arc<AtomicUsize>, victim: &Victim) {
    for wire in [
        stage.github.wire(),
        stage.kubernetes.wire(),
        stage.google.wire(),
    ] {
        let (writes, victim) = (Arc::clone(writes), Arc::clone(victim));
        wire.fail_with(move |method, uri| {
            if !is_write(method, uri) {
                return None;
            }
            let number = writes.fetch_add(1, Ordering::SeqCst) + 1;
            let dead = || {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "nobody hears this".to_owned(),
                )
            };
            match death {
                Death::Before(n) if n == number => {
                    kill(&victim);
                    let (status, body) = dead();
                    Some(Fault::Refuse(status, body))
                }
                Death::After(n) if n == number => {
                    kill(&victim);
                    let (status, body) = dead();
                    Some(Fault::LoseAnswer(status, body))
                }
                _ => None,
            }
        });
    }
}

/// How a play ended.
struct Played {
    essence: Essence,
    writes: usize,
    died: bool,
}

async fn play(story: &Story, death: Death) -> Played {
    // The child has no other clock, and looks a week back for commands.
    let clock = Clock::system();
    let stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.github.add_user(STRANGER, Permission::Write);
    let (writes, victim) = (Arc::default(), Victim::default());
    let _watched = Watched(Arc::clone(&victim));
    let mut bot = Bot::start(&stage, &victim).await.expect("it starts");
    lie_in_wait(&stage, death, &writes, &victim);
    let mut people = People::default();
    let mut died = false;
    for one in &story.moves {
        people.act(&stage, one);
        if !bot.settle(&stage).await {
            assert!(!died, "{}: it died twice:\n{}", story.name, bot.said());
            died = true;
            // What was delivered to the dead is lost.
            stage.github.drop_deliveries();
            bot = Bot::start(&stage, &victim).await.expect("it starts again");
            assert!(bot.settle(&stage).await, "{}", story.name);
        }
    }
    Played {
        essence: essence(&stage),
        writes: writes.load(Ordering::SeqCst),
        died,
    }
}

/// Minutes are short in the suite: a few writes of each story, other ones in each.
/// `PIPEWRIGHT_CRASHES=all` tries every write of every story.
fn is_tried(story: usize, number: usize) -> bool {
    let all = std::env::var("PIPEWRIGHT_CRASHES").is_ok_and(|which| which == "all");
    all || number % 13 == story % 13
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_killed_at_any_write_is_made_up_for() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let stories: Arc<Vec<Story>> = Arc::new(stories());
    let undisturbed: Vec<Played> = futures::stream::iter(0..stories.len())
        .map(|nth| {
            let stories = Arc::clone(&stories);
            async move { play(&stories[nth], Death::Never).await }
        })
        .buffered(SIDE_BY_SIDE)
        .collect()
        .await;
    let writes: usize = undisturbed.iter().map(|played| played.writes).sum();
    let tries = undisturbed.iter().enumerate().flat_map(|(nth, played)| {
        (1..=played.writes)
            .filter(move |number| is_tried(nth, *number))
            .flat_map(move |number| {
                [Death::Before(number), Death::After(number)].map(|death| (nth, death))
            })
    });
    let runs: Vec<(usize, Death, Played)> = futures::stream::iter(tries)
        .map(|(nth, death)| {
            let stories = Arc::clone(&stories);
            async move { (nth, death, play(&stories[nth], death).await) }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let mut failures = Vec::new();
    for (nth, death, played) in &runs {
        let story = stories[*nth].name;
        let differ = difference(&undisturbed[*nth].essence, &played.essence);
        if !differ.is_empty() {
            failures.push(format!("{story}, dead {death:?}: {differ:#?}"));
        }
    }
    let died = runs.iter().filter(|(.., played)| played.died).count();
    println!(
        "crashes: {} stories, {writes} writes, {} runs, {died} died",
        stories.len(),
        runs.len(),
    );
    assert!(
        failures.is_empty(),
        "{} fail: {}",
        failures.len(),
        failures.join("\n")
    );
    // Lanes run side by side, so that a write near the end may not be reached.
    assert!(
        died * 10 >= runs.len() * 9,
        "only {died} of {} died",
        runs.len()
    );
}
