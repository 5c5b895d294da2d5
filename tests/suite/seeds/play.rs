//! One seed, played: people, bad weather, and then the calm.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::Event;
use pipewright::sandbox::github::Delivery;
use pipewright::sandbox::stage::Stage;
use pipewright::shell::worker::Stepped;

use super::chance::Chance;
use super::land::tree;
use super::laws::{Laws, Meanwhile, at_rest, plan_of};
use super::people::People;
use super::trace::Trace;
use super::weather::{Amid, Life, System, Weather};
use crate::common::tree_of;

/// Sweeps after the weather has cleared up within which everything must be as it shall be.
const SWEEPS_TO_REST: usize = 3;
/// More steps than any turn needs: a bot that never rests is a bug.
const MOST_STEPS: usize = 300;
/// More starts than bad weather can prevent.
const MOST_STARTS: usize = 50;
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// What a seed came to.
#[derive(Debug, Default)]
pub struct Played {
    pub requests: usize,
    pub faults: BTreeMap<&'static str, usize>,
    pub deeds: usize,
    pub restarts: usize,
    /// Sweeps in calm weather before the first that wrote nothing.
    pub sweeps_to_rest: usize,
    /// Sweeps that wrote nothing.
    pub quiet: usize,
    pub approvals: usize,
    pub grants: usize,
    pub lines: usize,
    pub hash: String,
    pub trace: Vec<String>,
}

/// How much of a seed is played.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Sweeps that must write nothing.
    pub quiet: usize,
    pub whole_trace: bool,
}

struct Play {
    stage: Stage,
    people: Arc<Mutex<People>>,
    weather: Arc<Mutex<Weather>>,
    laws: Laws,
    trace: Trace,
    chance: Chance,
    late: Vec<Delivery>,
    restarts: usize,
}

/// Plays one seed to its end, or says what went wrong, with all that it takes to find out why.
pub async fn play(seed: u64, length: Length) -> Result<Played, String> {
    let mut play = Play::start(seed, length).await;
    let said = play.through(length).await;
    let (people, weather) = (play.people.lock().unwrap(), play.weather.lock().unwrap());
    match said {
        Ok((sweeps_to_rest, quiet)) => Ok(Played {
            requests: weather.requests,
            faults: weather.faults.clone(),
            deeds: people.deeds.len(),
            restarts: play.restarts,
            sweeps_to_rest,
            quiet,
            approvals: play.laws.approvals,
            grants: play.laws.grants,
            lines: play.trace.length,
            hash: play.trace.hash(),
            trace: play.trace.lines().to_vec(),
        }),
        Err(why) => {
            let mut text = format!("seed {seed}: {why}\nwhat people did:\n");
            for deed in &people.deeds {
                let _ = writeln!(text, "  {deed}");
            }
            let _ = writeln!(text, "the last requests:\n{}", play.trace.last());
            let _ = writeln!(
                text,
                "again: PIPEWRIGHT_SEED={seed} cargo test --test suite seeds -- --nocapture"
            );
            Err(text)
        }
    }
}

impl Play {
    async fn start(seed: u64, length: Length) -> Self {
        let mut chance = Chance::new(seed);
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let clock = Clock::stepped(start);
        let stage = Stage::set(&tree_of(&tree()), clock.clone()).await.unwrap();
        for (project, connection, database) in super::land::CONNECTIONS {
            let instance = super::land::instance(connection);
            stage
                .google
                .add_connection(project, "asia-northeast1", connection, instance, database);
        }
        let people = People::new(
            stage.github.clone(),
            stage.kubernetes.clone(),
            stage.google.clone(),
            chance.next(),
        );
        let rates = *chance.pick(&[(0, 0), (5, 60), (15, 150), (40, 300), (2, 400)]);
        let weather = Arc::new(Mutex::new(Weather::new(seed, clock, rates)));
        let wires = [
            (System::GitHub, stage.github.wire()),
            (System::Kubernetes, stage.kubernetes.wire()),
            (System::Google, stage.google.wire()),
        ];
        for (system, wire) in wires {
            Weather::blow_over(&weather, system, wire);
        }
        stage.worker.queue.add(&Event::Sweep);
        Self {
            stage,
            people: Arc::new(Mutex::new(people)),
            weather,
            laws: Laws::default(),
            trace: Trace::new(length.whole_trace),
            chance,
            late: Vec::new(),
            restarts: 0,
        }
    }

    /// How many sweeps it took to come to rest, and how many wrote nothing.
    async fn through(&mut self, length: Length) -> Result<(usize, usize), String> {
        let turns = 10 + self.chance.below(9);
        for _ in 0..turns {
            self.turn().await?;
        }
        self.weather.lock().unwrap().rates = (0, 0);
        self.weather.lock().unwrap().amid = None;
        self.say("the weather clears up");
        self.people.lock().unwrap().end_runs();
        // What was not delivered by now is lost, in half of the seeds.
        if self.chance.percent(50) {
            self.stage.github.drop_deliveries();
            self.late.clear();
        }
        if self.chance.percent(30) {
            self.restart().await?;
        }
        let mut sweeps_to_rest = 0;
        while self.sweep().await? > 0 {
            sweeps_to_rest += 1;
            // A command can begin a run now.
            self.people.lock().unwrap().end_runs();
            if sweeps_to_rest > SWEEPS_TO_REST {
                return Err(format!(
                    "still writing after {SWEEPS_TO_REST} sweeps in good weather"
                ));
            }
        }
        let now = plan_of(&self.stage).await?;
        at_rest(&self.stage, &self.people.lock().unwrap(), &now)?;
        let mut quiet = 1;
        while quiet < length.quiet {
            // Half-way another bot takes over, which knows nothing but the world.
            if quiet == length.quiet / 2 {
                self.restart().await?;
            }
            if self.sweep().await? > 0 {
                return Err(format!(
                    "it wrote again after {quiet} sweeps that wrote nothing"
                ));
            }
            quiet += 1;
        }
        Ok((sweeps_to_rest, quiet))
    }

    fn say(&mut self, line: &str) {
        let now = self.stage.worker.clock.now();
        self.trace.say(format!("{now} {line}"));
    }

    async fn turn(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.chance.below(3) {
            self.people.lock().unwrap().act();
            let deed = self.people.lock().unwrap().deeds.last().cloned().unwrap();
            self.say(&deed);
        }
        self.post().await;
        if self.chance.percent(4) {
            self.restart().await?;
        }
        if self.chance.percent(15) {
            self.stage.worker.queue.add(&Event::Sweep);
        }
        if self.chance.percent(20) {
            let amid = match self.chance.percent(60) {
                true => Amid::Death {
                    after: self.chance.percent(50),
                },
                false => {
                    let people = Arc::clone(&self.people);
                    Amid::Deed(Box::new(move || people.lock().unwrap().act()))
                }
            };
            let after = self.chance.below(40);
            self.weather.lock().unwrap().amid = Some((after, amid));
        }
        let steps = match self.chance.percent(20) {
            true => self.chance.below(3),
            false => MOST_STEPS,
        };
        for _ in 0..steps {
            if !self.step().await? {
                break;
            }
            if self.chance.percent(70) {
                self.post().await;
            }
        }
        let pause = [1, 5, 30, 120, 400, 4000][self.chance.below(6)];
        self.stage.worker.clock.advance(Duration::from_secs(pause));
        Ok(())
    }

    /// The webhooks are carried: lost, doubled, late and out of order as chance has it.
    async fn post(&mut self) {
        let mut bag = std::mem::take(&mut self.late);
        bag.extend(self.stage.github.take_deliveries());
        while !bag.is_empty() {
            let first = match self.chance.percent(85) {
                true => 0,
                false => self.chance.below(bag.len()),
            };
            let delivery = bag.remove(first);
            match self.chance.below(100) {
                0..8 => self.say(&format!("lost: {} {}", delivery.event, delivery.guid)),
                8..16 => self.late.push(delivery),
                lot => {
                    let times = if lot < 24 { 2 } else { 1 };
                    for _ in 0..times {
                        let status = self.stage.github.send(&delivery).await.unwrap();
                        self.say(&format!("{} {}: {status}", delivery.event, delivery.guid));
                    }
                }
            }
        }
    }

    /// Another bot takes the place of this one. It may not come up at once.
    async fn restart(&mut self) -> Result<(), String> {
        self.restarts += 1;
        for _ in 0..MOST_STARTS {
            // It can die at its start as well.
            self.weather.lock().unwrap().life = Life::Alive;
            let Err(error) = self.stage.restart().await else {
                self.say("another bot takes over");
                self.trace.take(&self.stage);
                return Ok(());
            };
            self.trace.take(&self.stage);
            self.say(&format!("it does not come up: {error:#}"));
            self.stage.worker.clock.advance(Duration::from_secs(10));
        }
        Err(format!("it does not come up in {MOST_STARTS} attempts"))
    }

    /// One step of the bot; false if there was nothing to do.
    async fn step(&mut self) -> Result<bool, String> {
        let deeds = {
            let mut weather = self.weather.lock().unwrap();
            weather.step_begins();
            weather.struck.clear();
            self.people.lock().unwrap().deeds.len()
        };
        let stepped = self.until_dead().await;
        self.trace.take(&self.stage);
        let struck = std::mem::take(&mut self.weather.lock().unwrap().struck);
        for (request, word) in struck {
            self.say(&format!("{word}: {request}"));
        }
        let meanwhile: Vec<String> = self.people.lock().unwrap().deeds[deeds..].to_vec();
        for deed in &meanwhile {
            self.say(&format!("meanwhile {deed}"));
        }
        let meanwhile = match meanwhile.is_empty() {
            true => Meanwhile::Nothing,
            false => Meanwhile::Something,
        };
        match &stepped {
            Some(Stepped::Idle) => {}
            Some(Stepped::Ran(lane)) => self.say(&format!("ran {lane:?}")),
            Some(Stepped::Failed(lane, _)) => self.say(&format!("failed {lane:?}")),
            None => self.say("died"),
        }
        self.laws
            .at_any_moment(&self.stage, &self.people.lock().unwrap(), meanwhile)?;
        if self.weather.lock().unwrap().life != Life::Alive {
            self.restart().await?;
            return Ok(true);
        }
        Ok(!matches!(stepped, Some(Stepped::Idle)))
    }

    /// `None` if the bot died amid the step, which is dropped where it is.
    async fn until_dead(&self) -> Option<Stepped> {
        let dead = || self.weather.lock().unwrap().life == Life::Dead;
        let stage = &self.stage;
        tokio::select! {
            biased;
            stepped = stage.step() => Some(stepped),
            () = stage.github.wire().seen(|_| dead()) => None,
            () = stage.kubernetes.wire().seen(|_| dead()) => None,
            () = stage.google.wire().seen(|_| dead()) => None,
        }
    }

    /// Looks at everything until there is nothing to do, and says how much was written.
    async fn sweep(&mut self) -> Result<usize, String> {
        self.stage.worker.clock.advance(SWEEP_EVERY);
        self.stage.worker.queue.add(&Event::Sweep);
        let mut writes = 0;
        for _ in 0..MOST_STEPS {
            for delivery in self.stage.github.take_deliveries() {
                let _ = self.stage.github.send(&delivery).await.unwrap();
            }
            let stepped = self.stage.step().await;
            writes += self.trace.take(&self.stage).len();
            match stepped {
                Stepped::Idle => {
                    let people = self.people.lock().unwrap();
                    self.laws
                        .at_any_moment(&self.stage, &people, Meanwhile::Nothing)?;
                    return Ok(writes);
                }
                Stepped::Ran(_) => {}
                Stepped::Failed(lane, error) => {
                    return Err(format!("{lane:?} failed in good weather: {error:#}"));
                }
            }
        }
        Err("it does not come to rest".to_owned())
    }
}
