//! The play: the one that owns the stage. Acts come in one by one, the bot works until it
//! rests, and every change of the world is shown.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::event::Event;
use crate::sandbox::github::{Change, Delivery, Permission};
use crate::sandbox::kubelet::{Ended, PodNews};
use crate::sandbox::stage::Stage;
use crate::sandbox::story::{self, Draft};
use crate::shell::worker::Stepped;
use crate::snapshot::Tree;

use super::act::{self, Act};
use super::events::{self, Happened, Log};
use super::guide::{Guide, Scene};
use super::pulls::pulls;
use super::reach::Reach;
use super::runs;
use super::state::{self, Before, State};

/// Who owns nothing, and may only read.
const STRANGER: &str = "sam";
/// How often the bot is let work when nobody does anything.
const BEAT: Duration = Duration::from_millis(200);
/// Steps until the visitor's next act is listened to, however much there is to do.
const MOST_STEPS: usize = 200;

/// What pods run, and where their data comes from.
#[derive(Debug, Clone)]
pub struct Pods {
    /// Runs where a pod asks for `pipewright`.
    pub program: PathBuf,
    /// A PostgreSQL (a connection string) behind every connection; without
    /// one a small fixed database answers.
    pub postgres: Option<String>,
}

/// The state as it is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub version: u64,
    pub json: Arc<str>,
}

/// An act, and who waits to hear what came of it: the version that shows it, or why not.
pub(super) struct Asked {
    pub act: Act,
    pub answer: oneshot::Sender<Result<u64, String>>,
}

type Heard = Arc<Mutex<Vec<Delivery>>>;

/// Owns the stage.
pub(super) struct Play {
    stage: Stage,
    draft: Draft,
    tree: Tree,
    clock: Clock,
    pods: Pods,
    heard: Heard,
    log: Log,
    guide: Guide,
    before: Before,
    version: u64,
    /// Whether the newest state says that the bot works.
    working: bool,
    shown: watch::Sender<Shown>,
}

impl Play {
    /// Sets the stage, and plays up to the first plan.
    ///
    /// # Errors
    /// If something does not start.
    pub(super) async fn begin(
        tree: Tree,
        clock: Clock,
        pods: Pods,
        shown: watch::Sender<Shown>,
    ) -> anyhow::Result<Self> {
        let (stage, draft, heard) = set(&tree, &clock, &pods).await?;
        let version = shown.borrow().version;
        let mut play = Self {
            before: Before::now(&stage),
            stage,
            draft,
            tree,
            clock,
            pods,
            heard,
            log: Log::default(),
            guide: Guide::default(),
            version,
            working: false,
            shown,
        };
        play.open().await?;
        Ok(play)
    }

    /// The bot starts, and the author asks for a pipeline.
    async fn open(&mut self) -> anyhow::Result<()> {
        self.stage.worker.queue.add(&Event::Sweep);
        self.work().await;
        let author = self.stage.cast.author.clone();
        let change = Change::write(&self.draft.path, &self.draft.text);
        let title = "Copy the CRM's tables";
        self.stage
            .github
            .open_pull_request(&author, "add-crm", title, &[change])?;
        self.work().await;
        self.show(false)
    }

    /// Goes on until nobody can act any more. `tell` is told of what happens.
    pub(super) async fn run(
        mut self,
        mut acts: mpsc::Receiver<Asked>,
        mut tell: impl FnMut(&[Happened]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            tell(&self.log.untold())?;
            tokio::select! {
                asked = acts.recv() => {
                    let Some(Asked { act, answer }) = asked else { return Ok(()) };
                    let came = self.act(&act).await;
                    // Whoever asked may have gone.
                    let _ = answer.send(came.map_err(|error| format!("{error:#}")));
                }
                () = self.clock.sleep(BEAT) => {
                    self.work().await;
                    if self.working {
                        self.show(false)?;
                    }
                }
            }
        }
    }

    async fn act(&mut self, act: &Act) -> anyhow::Result<u64> {
        if *act == (Act::Restart {}) {
            return self.restart().await;
        }
        let before = Before::now(&self.stage);
        let done = act::perform(&mut self.stage, act).await?;
        self.before = before;
        self.guide.acted(act);
        self.note("act", done);
        self.show(true)?;
        self.work().await;
        self.show(false)?;
        Ok(self.version)
    }

    /// The old world stands until the new one does.
    async fn restart(&mut self) -> anyhow::Result<u64> {
        let (stage, draft, heard) = set(&self.tree, &self.clock, &self.pods).await?;
        (self.stage, self.draft, self.heard) = (stage, draft, heard);
        self.guide = Guide::default();
        self.before = Before::now(&self.stage);
        self.note("act", "everything starts over");
        self.open().await?;
        Ok(self.version)
    }

    /// Lets the bot work until there is nothing due, and shows each thing that happens.
    async fn work(&mut self) {
        for _ in 0..MOST_STEPS {
            let count = self.log.count();
            let delivered = self.stage.deliver().await;
            self.listen();
            let delivered = match delivered {
                Ok(delivered) => delivered,
                Err(error) => {
                    self.note("fault", format!("{error:#}"));
                    0
                }
            };
            let stepped = self.stage.step().await;
            self.listen();
            if let Stepped::Failed(_, error) = &stepped {
                let text = format!("the bot could not, and tries again later: {error:#}");
                self.note("fault", text);
            }
            self.turn_argo();
            self.turn_pods();
            let rests = delivered == 0 && !matches!(stepped, Stepped::Ran(_));
            // What can not be shown now is shown with the next change.
            if self.log.count() != count
                && let Err(error) = self.show(!rests)
            {
                self.note("fault", format!("{error:#}"));
            }
            if rests {
                return;
            }
        }
    }

    /// Argo begins what waits: its controller looks all the time.
    fn turn_argo(&mut self) {
        match self.stage.kubernetes.argo_step() {
            Ok(0) => {}
            Ok(1) => self.note("event", "Argo begins a run"),
            Ok(runs) => self.note("event", format!("Argo begins {runs} runs")),
            Err(error) => self.note("fault", format!("Argo: {error:#}")),
        }
    }

    /// What Argo began runs, and what has ended says so.
    fn turn_pods(&mut self) {
        for one in self.stage.turn_pods() {
            match one {
                PodNews::Started(run) => self.note("run", format!("{run} starts the runner")),
                PodNews::Again(run, code, due) => {
                    let text =
                        format!("{run} ended with {code}; another attempt follows at {due:.0}");
                    self.note("run", text);
                }
                PodNews::Killed(run) => self.note("run", format!("{run} is killed")),
                PodNews::Ended(Ended { run, .. }) => {
                    let runs = runs::runs(&self.stage.kubernetes.objects());
                    let said = runs.into_iter().find(|one| one.name == run);
                    let said = said.map(|run| format!("{}: {}", run.phase, run.message));
                    self.note("run", format!("{run} {}", said.unwrap_or_default()));
                    // The bot looks after its own runs by itself, a little later.
                    if let Some(event) = act::command_behind(&self.stage, &run) {
                        self.stage.worker.queue.add(&event);
                    }
                }
            }
        }
    }

    /// Takes down what went over the wires.
    fn listen(&mut self) {
        let heard: Vec<Delivery> = lock(&self.heard).drain(..).collect();
        for delivery in &heard {
            self.note("event", events::of_delivery(delivery));
        }
        let wires = [
            ("github", self.stage.github.wire()),
            ("kubernetes", self.stage.kubernetes.wire()),
            ("google", self.stage.google.wire()),
        ];
        let mut exchanges: Vec<_> = wires
            .into_iter()
            .flat_map(|(system, wire)| {
                let traffic = wire.take_traffic().into_iter();
                traffic.map(move |exchange| (system, exchange))
            })
            .collect();
        exchanges.sort_by_key(|(_, exchange)| exchange.arrival);
        for (system, exchange) in &exchanges {
            if let Some((kind, text)) = events::of_exchange(system, exchange) {
                self.note(kind, text);
            }
        }
    }

    fn note(&mut self, kind: &'static str, text: impl Into<String>) {
        let now = self.clock.now().as_second();
        self.log.add(now, kind, text);
    }

    fn show(&mut self, working: bool) -> anyhow::Result<()> {
        let objects = self.stage.kubernetes.objects();
        let reach = Reach::of(&self.stage);
        let pulls = pulls(&self.stage.github)?;
        let runs = runs::runs(&objects);
        let phases: Vec<(String, String)> = runs
            .iter()
            .map(|run| (run.name.clone(), run.phase.clone()))
            .collect();
        let guide = self.guide.steps(&Scene {
            pulls: &pulls,
            reach: &reach,
            runs: &phases,
            cast: &self.stage.cast,
            draft: &self.draft,
        });
        self.version += 1;
        self.working = working;
        let state = State {
            version: self.version,
            working,
            people: state::people(&self.stage, STRANGER),
            files: state::files(&self.stage),
            pulls,
            reach: reach.since(&self.before.reach),
            day: state::day(&objects, self.clock.now()),
            runs,
            objects: self.before.objects(&objects),
            guide,
            log: self.log.newest().to_vec(),
        };
        let json = serde_json::to_string(&state).context("write the state")?;
        self.shown.send_replace(Shown {
            version: self.version,
            json: json.into(),
        });
        Ok(())
    }
}

/// A world from its beginning, which tells what it hears.
async fn set(tree: &Tree, clock: &Clock, pods: &Pods) -> anyhow::Result<(Stage, Draft, Heard)> {
    let mut stage = Stage::set(tree, clock.clone()).await?;
    stage.run_pods(pods.program.clone(), pods.postgres.as_deref())?;
    stage.github.add_user(STRANGER, Permission::Read);
    let draft = story::draft(&stage)?;
    let heard = Heard::default();
    let ear = heard.clone();
    stage.carry_with(move |deliveries| {
        lock(&ear).extend(deliveries.iter().cloned());
        deliveries
    });
    Ok((stage, draft, heard))
}

/// A poisoned lock only means that another thread failed; the list is still whole.
fn lock(heard: &Mutex<Vec<Delivery>>) -> MutexGuard<'_, Vec<Delivery>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
