//! The program as a process of its own, and how the test knows that it is at rest: it says so.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipewright::edges::forge::RepositoryName;
use pipewright::edges::forge::webhook::decode;
use pipewright::sandbox::github::Delivery;
use pipewright::sandbox::stage::Stage;

use super::death::Fate;

/// A bot that says nothing for so long will never rest.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Of what it said, so much is kept for the one who must find out why.
const LAST_LINES: usize = 30;

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    AtRest,
    Died,
}

/// The running program; it does not outlive the test.
pub struct Bot {
    fate: Fate,
    lines: Receiver<String>,
    said: VecDeque<String>,
    /// Events that it had taken in when it last said that it rests.
    events: u64,
    /// Events that were delivered, and not yet waited for.
    sent: Arc<Mutex<u64>>,
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.fate.end();
    }
}

impl Bot {
    /// Starts it and waits until its first sweep is done.
    pub async fn start(stage: &mut Stage, fate: &Fate) -> Self {
        let sent = Arc::new(Mutex::new(0));
        let repository = stage.worker.edges.forge.repository().clone();
        let branch = stage.worker.default_branch.clone();
        let counter = Arc::clone(&sent);
        stage.carry_with(move |deliveries| {
            *counter.lock().unwrap() += events(&deliveries, &repository, &branch);
            deliveries
        });
        let (_, nothing) = channel();
        let mut bot = Self {
            fate: fate.clone(),
            lines: nothing,
            said: VecDeque::new(),
            events: 0,
            sent,
        };
        bot.restart(stage).await;
        bot
    }

    /// Starts it again where it stopped; whoever still runs is stopped. It begins with a sweep.
    pub async fn restart(&mut self, stage: &mut Stage) {
        loop {
            self.fate.end();
            self.spawn(stage);
            *self.sent.lock().unwrap() = 1;
            if self.rest() == Ended::AtRest {
                return;
            }
            // Its first sweep had something to do, and it was killed in the middle.
            self.mourn(stage).await;
        }
    }

    /// What is left when it was killed: its last write comes to its end, what was delivered
    /// is lost, and so is the order in its mirror.
    pub async fn mourn(&self, stage: &Stage) {
        self.fate.fulfilled(stage).await;
        stage.github.drop_deliveries();
        tear(Path::new(&mirror(stage)));
    }

    fn spawn(&mut self, stage: &Stage) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .arg("serve")
            .env_clear()
            .envs(stage.environment().unwrap())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Nobody listens any more when the test is over.
                let _ = tell.send(line);
            }
        });
        (self.lines, self.events) = (lines, 0);
        self.fate.hangs_over(child);
        loop {
            let line = match self.lines.recv_timeout(WATCHDOG) {
                Ok(line) => line,
                Err(_) => self.give_up("was never ready"),
            };
            self.keep(&line);
            let word = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("webhook.url="));
            if let Some(url) = word {
                stage.send_webhooks_to(url.trim_matches('"'));
                return;
            }
        }
    }

    /// Delivers what there is to say until there is nothing more, and it rests.
    pub async fn settle(&mut self, stage: &mut Stage) -> Ended {
        loop {
            let delivered = stage.deliver().await;
            if self.rest() == Ended::Died {
                return Ended::Died;
            }
            // It lives, so it must have taken everything.
            if delivered.unwrap() == 0 {
                return Ended::AtRest;
            }
        }
    }

    /// Waits until it rests and has done all that was sent.
    fn rest(&mut self) -> Ended {
        let due = self.events + std::mem::take(&mut *self.sent.lock().unwrap());
        while self.events < due {
            match self.lines.recv_timeout(WATCHDOG) {
                Ok(line) => {
                    self.keep(&line);
                    if let Some((_, count)) = line.split_once("at rest events=") {
                        self.events = count.trim().parse().unwrap();
                    }
                }
                Err(RecvTimeoutError::Disconnected) if self.fate.struck() => return Ended::Died,
                Err(RecvTimeoutError::Disconnected) => self.give_up("ended by itself"),
                Err(RecvTimeoutError::Timeout) => self.give_up("does not come to rest"),
            }
        }
        Ended::AtRest
    }

    fn keep(&mut self, line: &str) {
        if self.said.len() == LAST_LINES {
            self.said.pop_front();
        }
        self.said.push_back(line.to_owned());
    }

    fn give_up(&self, how: &str) -> ! {
        let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
        panic!("the bot {how}. It said last:\n{}", said.join("\n"))
    }
}

fn mirror(stage: &Stage) -> String {
    let environment = stage.environment().unwrap().into_iter();
    let mut named = environment.filter(|(name, _)| *name == "PIPEWRIGHT_MIRROR");
    named.next().unwrap().1
}

/// It is killed at writes to other systems, and then its mirror is whole. A kill in the
/// middle of a fetch would leave every lock in place, and half of a pack.
fn tear(mirror: &Path) {
    let mut folders = vec![mirror.join("refs")];
    let mut locks = vec![mirror.join("packed-refs.lock"), mirror.join("HEAD.lock")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                locks.push(format!("{}.lock", path.display()).into());
            }
        }
    }
    assert!(locks.len() > 2, "it never fetched a ref");
    for lock in locks {
        std::fs::write(lock, "").unwrap();
    }
    std::fs::write(mirror.join("objects/pack/pack_git2_half"), "PACK").unwrap();
}

/// How many events these deliveries are to whoever takes them in.
fn events(deliveries: &[Delivery], repository: &RepositoryName, branch: &str) -> u64 {
    let decoded = deliveries.iter().map(|one| {
        decode(&one.event, &one.body, repository, branch)
            .unwrap()
            .len()
    });
    decoded.sum::<usize>() as u64
}
