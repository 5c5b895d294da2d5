//! The trace: every request with its answer, in words that are the same in two runs.
//!
//! Ports are named after their system, and a token's expiry, which is the machine's own
//! time, is left out. Reads that follow one another are put in order: the bot sends some of
//! them at once, and which one arrives first is up to the kernel. Writes stay where they are.

use std::fmt::Write as _;

use pipewright::sandbox::server::{Exchange, asks_for_a_change};
use pipewright::sandbox::stage::Stage;
use sha2::{Digest as _, Sha256};

use super::weather::System;

#[derive(Default)]
pub struct Trace {
    lines: Vec<String>,
    hash: Sha256,
    pub length: usize,
    /// Whether all lines are kept, and not only the last ones.
    whole: bool,
}

/// Lines that a failure shows.
const LAST: usize = 60;

impl Trace {
    pub fn new(whole: bool) -> Self {
        Self {
            whole,
            ..Self::default()
        }
    }

    pub fn say(&mut self, line: String) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.length += 1;
        self.lines.push(line);
        if !self.whole && self.lines.len() > 4 * LAST {
            self.lines.drain(..self.lines.len() - LAST);
        }
    }

    /// Takes in what went over the wires, and says which requests asked for a change.
    pub fn take(&mut self, stage: &Stage) -> Vec<String> {
        let wires = [
            (System::GitHub, stage.github.wire()),
            (System::Kubernetes, stage.kubernetes.wire()),
            (System::Google, stage.google.wire()),
        ];
        let mut seen: Vec<(System, Exchange)> = wires
            .into_iter()
            .flat_map(|(system, wire)| {
                wire.take_traffic()
                    .into_iter()
                    .map(move |one| (system, one))
            })
            .collect();
        seen.sort_by_key(|(_, exchange)| exchange.arrival);
        let ports = [
            (authority(&stage.github.url()), "github"),
            (authority(&stage.kubernetes.url()), "kubernetes"),
            (authority(&stage.google.url()), "google"),
        ];
        let mut writes = Vec::new();
        let mut reads: Vec<String> = Vec::new();
        for (system, exchange) in &seen {
            let line = line(*system, exchange, &ports);
            if asks_for_a_change(&exchange.method, &exchange.uri.parse().unwrap()) {
                self.flush(&mut reads);
                writes.push(format!(
                    "{} {} {}",
                    system.word(),
                    exchange.method,
                    exchange.uri
                ));
                self.say(line);
            } else {
                reads.push(line);
            }
        }
        self.flush(&mut reads);
        writes
    }

    fn flush(&mut self, reads: &mut Vec<String>) {
        reads.sort();
        for line in reads.drain(..) {
            self.say(line);
        }
    }

    pub fn hash(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The last lines, cut to a readable length.
    pub fn last(&self) -> String {
        let first = self.lines.len().saturating_sub(LAST);
        self.lines[first..]
            .iter()
            .fold(String::new(), |mut text, line| {
                let short: String = line.chars().take(300).collect();
                let _ = writeln!(text, "  {short}");
                text
            })
    }
}

fn authority(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

fn line(system: System, exchange: &Exchange, ports: &[(String, &str)]) -> String {
    let text = format!(
        "{} {} {} {} -> {} {}",
        system.word(),
        exchange.method,
        exchange.uri,
        content(&exchange.request),
        exchange.status.as_u16(),
        content(&exchange.response),
    );
    let mut text = ports.iter().fold(text, |text, (address, name)| {
        text.replace(address.as_str(), name)
    });
    if let Some(at) = text.find("\"expires_at\":\"") {
        let from = at + "\"expires_at\":\"".len();
        let end = text[from..].find('"').map_or(text.len(), |end| from + end);
        text.replace_range(from..end, "LATER");
    }
    text
}

/// Text as it is, and a pack by its hash.
fn content(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(['\n', '\r'], " "),
        Err(_) => format!("sha256 {}", hex::encode(Sha256::digest(bytes))),
    }
}
