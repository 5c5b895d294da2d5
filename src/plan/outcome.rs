//! What became of each Step.

use std::collections::BTreeSet;

use crate::name::PipelineName;

use super::steps::Step;

/// One Step's end. The texts are for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was written, or was there already: both end in the same state.
    Applied,
    /// It has to wait, for example for a run to end; the next apply takes it up.
    Waiting(String),
    Failed(String),
    /// Every pipeline behind it had failed or waits before it.
    NotAttempted,
}

/// Every Step with its end, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcomes {
    pub steps: Vec<(Step, Outcome)>,
}

impl Outcomes {
    /// The pipelines of which something did not happen.
    pub fn unfinished(&self) -> BTreeSet<&PipelineName> {
        self.steps
            .iter()
            .filter(|(_, outcome)| *outcome != Outcome::Applied)
            .flat_map(|(step, _)| &step.pipelines)
            .collect()
    }
}
