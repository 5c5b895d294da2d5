//! When the bot dies: the simulators count its writes, and kill it at one of them.

use std::process::Child;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode, Uri};
use pipewright::clock::Clock;
use pipewright::sandbox::server::{Exchange, Fault, Wire};
use pipewright::sandbox::stage::Stage;

/// When it dies, counted in writes over all systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Never,
    /// The write never arrives.
    Before(usize),
    /// The write has its effect, and nobody is left to hear the answer.
    After(usize),
}

/// A bound for what takes an instant; only a broken test waits so long.
const AN_INSTANT: std::time::Duration = std::time::Duration::from_secs(20);
const LAST_WORD: &str = "nobody is left to hear this";

/// The bot's fate, known to the simulators. Clones are the same.
#[derive(Clone)]
pub struct Fate(Arc<Mutex<State>>);

struct State {
    death: Death,
    writes: usize,
    /// The system and address of the write at which it was killed.
    killed_at: Option<(usize, String)>,
    bot: Option<Child>,
}

impl Fate {
    /// Tells every simulator of the stage when to kill.
    pub fn sealed(stage: &Stage, death: Death) -> Self {
        let fate = Self(Arc::new(Mutex::new(State {
            death,
            writes: 0,
            killed_at: None,
            bot: None,
        })));
        for (system, wire) in wires(stage).into_iter().enumerate() {
            let fate = fate.clone();
            wire.fail_with(move |method, uri| fate.at(system, method, uri));
        }
        fate
    }

    /// The process that is to die.
    pub fn hangs_over(&self, bot: Child) {
        let mut state = self.0.lock().unwrap();
        assert!(state.bot.is_none(), "two bots at once");
        state.bot = Some(bot);
    }

    /// Ends the process by another hand; true if it was still there.
    pub fn end(&self) -> bool {
        let bot = self.0.lock().unwrap().bot.take();
        bot.map(kill).is_some()
    }

    /// How many writes there were.
    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    /// Whether it was killed, and has no successor yet.
    pub fn struck(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.bot.is_none() && state.killed_at.is_some()
    }

    /// Waits until the write that killed it came to its end.
    pub async fn fulfilled(&self, stage: &Stage) {
        let killed_at = self.0.lock().unwrap().killed_at.clone();
        let (system, address) = killed_at.expect("it was killed at a write");
        let last = |exchange: &Exchange| {
            exchange.uri == address && exchange.response.as_ref() == LAST_WORD.as_bytes()
        };
        let (wires, clock) = (wires(stage), Clock::system());
        tokio::select! {
            () = wires[system].seen(last) => {}
            () = clock.sleep(AN_INSTANT) => panic!("the write {address} was forgotten"),
        }
    }

    fn at(&self, system: usize, method: &Method, uri: &Uri) -> Option<Fault> {
        if !changes_something(method, uri) {
            return None;
        }
        let mut state = self.0.lock().unwrap();
        state.writes += 1;
        let (number, last) = (state.writes, LAST_WORD.to_owned());
        let fault = match state.death {
            Death::Before(n) if n == number => Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE, last),
            Death::After(n) if n == number => {
                Fault::LoseAnswer(StatusCode::SERVICE_UNAVAILABLE, last)
            }
            _ => return None,
        };
        kill(state.bot.take().expect("who writes is alive"));
        state.killed_at = Some((system, uri.to_string()));
        Some(fault)
    }
}

/// Signing in, fetching and reading a policy change nothing. A lease says who works at the
/// moment: when it is renewed depends on the time, and no story tells of it.
fn changes_something(method: &Method, uri: &Uri) -> bool {
    let not_a_write = [
        "access_tokens",
        "git-upload-pack",
        ":getIamPolicy",
        "/leases",
        "dryRun=All",
    ];
    let uri = uri.to_string();
    method != Method::GET && !not_a_write.iter().any(|part| uri.contains(part))
}

fn wires(stage: &Stage) -> [&Wire; 3] {
    [
        stage.github.wire(),
        stage.kubernetes.wire(),
        stage.google.wire(),
    ]
}

/// At once and without a word to it; returns when it is gone.
fn kill(mut bot: Child) {
    bot.kill().unwrap();
    bot.wait().unwrap();
}
