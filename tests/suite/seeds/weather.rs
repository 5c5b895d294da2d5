//! The weather: which requests go wrong, and how.
//!
//! It is asked about every request of all systems. What it says follows from the seed and
//! from the request (system, method, path, and how often that was asked before), and not
//! from the order in which requests arrive: the bot reads several things at once.
//!
//! What must not happen amid several requests at once (the bot dies, somebody does
//! something, the answer takes its time) happens only to requests that the bot sends alone:
//! writes, and everything to GitHub.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use pipewright::clock::Clock;
use pipewright::sandbox::server::{Fault, Wire, asks_for_a_change};
use serde_json::json;

use super::chance::answer_to;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    GitHub,
    Kubernetes,
    Google,
}

impl System {
    pub fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Kubernetes => "kubernetes",
            Self::Google => "google",
        }
    }
}

/// What somebody does.
type Deed = Box<dyn FnOnce() + Send>;

/// What happens amid a step of the bot.
pub enum Amid {
    /// It dies, before or after the effect of that request.
    Death { after: bool },
    /// Somebody does something.
    Deed(Deed),
}

/// How the bot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// Nothing of it reaches the world any more. Its run may be dropped.
    Dead,
    /// The same, but a thread of its own fetches: that is left to end by itself.
    DeadFetching,
}

pub struct Weather {
    seed: u64,
    clock: Clock,
    /// Of a thousand requests that change nothing, and of a thousand that do.
    pub rates: (u64, u64),
    asked: BTreeMap<String, u64>,
    /// After how many requests that come alone.
    pub amid: Option<(usize, Amid)>,
    pub life: Life,
    pub requests: usize,
    pub faults: BTreeMap<&'static str, usize>,
    /// Every fault and death since this was last taken, by the request.
    pub struck: BTreeMap<String, &'static str>,
    step_began: Timestamp,
}

impl Weather {
    pub fn new(seed: u64, clock: Clock, rates: (u64, u64)) -> Self {
        Self {
            seed,
            step_began: clock.now(),
            clock,
            rates,
            asked: BTreeMap::new(),
            amid: None,
            life: Life::Alive,
            requests: 0,
            faults: BTreeMap::new(),
            struck: BTreeMap::new(),
        }
    }

    pub fn blow_over(this: &Arc<Mutex<Self>>, system: System, wire: &Wire) {
        let this = Arc::clone(this);
        wire.fail_with(move |method, uri| {
            let mut weather = this.lock().unwrap();
            let (fault, deed) = weather.strikes(system, method, uri);
            drop(weather);
            if let Some(deed) = deed {
                deed();
            }
            fault
        });
    }

    pub fn step_begins(&mut self) {
        self.step_began = self.clock.now();
    }

    fn strikes(
        &mut self,
        system: System,
        method: &Method,
        uri: &Uri,
    ) -> (Option<Fault>, Option<Deed>) {
        self.requests += 1;
        let request = format!("{} {method} {uri}", system.word());
        let times = self.asked.entry(request.clone()).or_default();
        *times += 1;
        let question = format!("{request} {times}");
        if self.life != Life::Alive {
            return (Some(self.note(request, "dead", Fault::Reset)), None);
        }
        let writes = asks_for_a_change(method, uri);
        let alone = writes || system == System::GitHub;
        let mut deed = None;
        if let (true, Some((left, _))) = (alone, &mut self.amid) {
            if *left > 0 {
                *left -= 1;
            } else if let Some((_, amid)) = self.amid.take() {
                match amid {
                    Amid::Death { after } => {
                        let fetches = uri.path().contains(".git/");
                        self.life = if fetches {
                            Life::DeadFetching
                        } else {
                            Life::Dead
                        };
                        let (word, fault) = match after {
                            true => ("death after", Fault::ResetAfter),
                            false => ("death before", Fault::Reset),
                        };
                        return (Some(self.note(request, word, fault)), None);
                    }
                    Amid::Deed(done) => deed = Some(done),
                }
            }
        }
        let said = answer_to(self.seed, &question);
        let rate = if writes { self.rates.1 } else { self.rates.0 };
        if said % 1000 >= rate {
            return (None, deed);
        }
        let (word, fault) = self.fault(system, writes, alone, said >> 16);
        (Some(self.note(request, word, fault)), deed)
    }

    fn note(&mut self, request: String, word: &'static str, fault: Fault) -> Fault {
        *self.faults.entry(word).or_default() += 1;
        self.struck.insert(request, word);
        fault
    }

    fn fault(&self, system: System, writes: bool, alone: bool, said: u64) -> (&'static str, Fault) {
        let refused = |code: u16| (status(code), body(system, code));
        let html = || "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned();
        let plain = |code| {
            let (status, body) = refused(code);
            Fault::Refuse(status, body)
        };
        match said % 13 {
            0 => ("500", plain(500)),
            1 => ("503", plain(503)),
            2 => ("an HTML page", Fault::Refuse(status(502), html())),
            3 | 4 => {
                // GitHub's secondary limit speaks like this as well.
                let code = if system == System::GitHub && said.is_multiple_of(2) {
                    403
                } else {
                    429
                };
                let (status, body) = refused(code);
                (
                    "429",
                    Fault::Busy(status, body, 1 + u32::try_from(said / 13 % 60).unwrap()),
                )
            }
            5 if writes && system != System::GitHub => ("409", plain(409)),
            5 => ("500", plain(500)),
            6 => {
                let (status, body) = refused(504);
                ("a lost answer, 504", Fault::LoseAnswer(status, body))
            }
            7 => (
                "a lost answer, an HTML page",
                Fault::LoseAnswer(status(502), html()),
            ),
            8 => ("a reset before", Fault::Reset),
            9 => ("a reset after", Fault::ResetAfter),
            10 => ("an answer that breaks off", Fault::BreakOff),
            11 => ("half an answer", Fault::Truncate),
            _ if alone => {
                let wait = Duration::from_secs(1 + said / 13 % 300);
                let until = self.step_began + SignedDuration::try_from(wait).unwrap();
                ("a slow answer", Fault::Slow(self.clock.clone(), until))
            }
            _ => ("a reset before", Fault::Reset),
        }
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

/// As the system itself would say it.
fn body(system: System, code: u16) -> String {
    match system {
        System::GitHub if code == 403 || code == 429 => {
            json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."})
        }
        System::GitHub => json!({"message": "Server Error"}),
        System::Kubernetes => {
            let reason = match code {
                409 => "Conflict",
                429 => "TooManyRequests",
                503 => "ServiceUnavailable",
                504 => "Timeout",
                _ => "InternalError",
            };
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "the weather is bad", "reason": reason, "code": code})
        }
        System::Google => {
            let status = match code {
                409 => "ABORTED",
                429 => "RESOURCE_EXHAUSTED",
                503 => "UNAVAILABLE",
                504 => "DEADLINE_EXCEEDED",
                _ => "INTERNAL",
            };
            json!({"error": {"code": code, "message": "the weather is bad", "status": status}})
        }
    }
    .to_string()
}
