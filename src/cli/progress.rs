//! How far a run is, as one line at the foot of a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;

use crate::shell::runner::Progress;

use super::print::escaped;

/// To the beginning of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[2K";
const WIDTH: usize = 24;
/// Tables that are named; of more there is a count.
const NAMED: usize = 3;

/// Draws until the run is over, if somebody looks at a terminal.
pub(super) async fn draw(mut progress: watch::Receiver<Progress>) {
    if !io::stderr().is_terminal() {
        return;
    }
    while progress.changed().await.is_ok() {
        let line = line(&progress.borrow_and_update());
        let _turn = terminal();
        // Who closed the terminal misses nothing else.
        let _ = write!(io::stderr(), "{CLEAR}{line}");
    }
    let _ = write!(io::stderr(), "{CLEAR}");
}

fn line(progress: &Progress) -> String {
    let Progress { done, all, running } = progress;
    let filled = (done * WIDTH)
        .checked_div(*all)
        .unwrap_or_default()
        .min(WIDTH);
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(WIDTH - filled));
    let named: Vec<&str> = running.iter().take(NAMED).map(String::as_str).collect();
    let copying = match running.len().saturating_sub(NAMED) {
        _ if named.is_empty() => String::new(),
        0 => format!(", copying {}", named.join(", ")),
        more => format!(", copying {} and {more} more", named.join(", ")),
    };
    escaped(&format!("[{bar}] {done} of {all} tables{copying}"))
}

/// One writes to the terminal at a time, or a log line would stand behind the progress.
static TERMINAL: Mutex<()> = Mutex::new(());

fn terminal() -> MutexGuard<'static, ()> {
    TERMINAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, where a log line takes the place of the progress.
pub struct Log;

/// For one log line.
pub struct LogLine {
    _turn: MutexGuard<'static, ()>,
    out: io::Stderr,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogLine;

    fn make_writer(&'a self) -> Self::Writer {
        let turn = terminal();
        let mut out = io::stderr();
        if out.is_terminal() {
            let _ = write!(out, "{CLEAR}");
        }
        LogLine { _turn: turn, out }
    }
}

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let running = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut progress = Progress {
            done: 1,
            all: 4,
            running: running(&["a", "b\x1b[2J", "c", "d"]),
        };
        assert_eq!(
            line(&progress),
            "[######------------------] 1 of 4 tables, copying a, b\\u{1b}[2J, c and 1 more"
        );
        progress = Progress {
            done: 4,
            all: 4,
            running: running(&[]),
        };
        assert_eq!(line(&progress), "[########################] 4 of 4 tables");
        assert!(line(&Progress::default()).starts_with("[-----"));
    }
}
