//! The teller: says what happens, step by step, and counts what was seen.

use std::io;

/// Tells on `out`, and counts what was seen.
pub struct Teller<'o> {
    out: &'o mut dyn io::Write,
    steps: usize,
    seen: usize,
    missed_in_step: bool,
}

impl<'o> Teller<'o> {
    pub fn new(out: &'o mut dyn io::Write) -> Self {
        Self {
            out,
            steps: 0,
            seen: 0,
            missed_in_step: false,
        }
    }

    /// Begins a step. Steps count as seen until something in them is missed.
    pub(super) fn step(&mut self, title: &str) -> io::Result<()> {
        self.close();
        self.steps += 1;
        self.missed_in_step = false;
        writeln!(self.out, "\n{:>2}. {title}", self.steps)
    }

    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        text.lines()
            .try_for_each(|line| writeln!(self.out, "      {line}"))
    }

    pub(super) fn see(&mut self, what: &str, happened: bool) -> io::Result<()> {
        if !happened {
            self.missed_in_step = true;
        }
        writeln!(
            self.out,
            "    {} {what}",
            if happened { "seen:  " } else { "MISSED:" }
        )
    }

    fn close(&mut self) {
        if self.steps > 0 && !self.missed_in_step {
            self.seen += 1;
        }
    }

    /// The last line. True if everything was seen.
    ///
    /// # Errors
    /// If it can not be written.
    pub fn end(mut self) -> io::Result<bool> {
        self.close();
        writeln!(self.out, "\n{} steps, {} seen", self.steps, self.seen)?;
        Ok(self.steps == self.seen)
    }
}
