//! The program, serving on a place's cluster with simulated GitHub and Google.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pipewright::sandbox::stage::Stage;

use crate::place::Place;

/// Longer than anything that it tells of takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program; it does not outlive its test.
pub struct Serving {
    child: Child,
    /// Where it takes webhooks.
    pub webhook: String,
    /// What it logs, and when.
    lines: Receiver<(Instant, String)>,
}

impl Serving {
    /// Starts it, and waits until it holds the Lease: before, it turns webhooks away.
    pub fn start(stage: &Stage, place: &Place, folder: &Path) -> Self {
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, &place.kubeconfig).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .arg("serve")
            .env_clear()
            .envs(stage.environment().unwrap())
            .env("PIPEWRIGHT_NAMESPACE", &place.namespace)
            .env("KUBECONFIG", kubeconfig)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let read = BufReader::new(child.stderr.take().unwrap()).lines();
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in read.map_while(Result::ok) {
                // Whoever does not listen any more has what was wanted.
                let _ = told.send((Instant::now(), line));
            }
        });
        let mut serving = Self {
            child,
            webhook: String::new(),
            lines,
        };
        let said = serving.until("webhook.url=").1;
        let mut words = said.split_whitespace();
        let url = words.find_map(|word| word.strip_prefix("webhook.url="));
        serving.webhook = url.unwrap().trim_matches('"').to_owned();
        serving.until("holds the Lease");
        serving
    }

    /// The next line with this in it, and when it came.
    pub fn until(&self, needle: &str) -> (Instant, String) {
        loop {
            let (at, line) = self.lines.recv_timeout(PATIENCE).expect(needle);
            if line.contains(needle) {
                return (at, line);
            }
        }
    }

    /// When it says that this object drifted.
    pub fn tells(&self, name: &str) -> Instant {
        loop {
            let (at, line) = self.until("an object drifted");
            if line.contains(name) {
                return at;
            }
        }
    }

    /// Waits until it has nothing left to do.
    pub fn rests(&self) {
        self.until("at rest");
    }

    /// Forgets what it has said until now.
    pub fn forget(&self) {
        self.lines.try_iter().for_each(drop);
    }

    /// A line of the kernel's account of its memory, in megabytes: `VmRSS:` is what is
    /// resident, `VmHWM:` the most that was.
    pub fn memory(&self, which: &str) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(which));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
