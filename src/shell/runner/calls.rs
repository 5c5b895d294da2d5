//! One call to Google, tried again while its failure may pass.

use crate::clock::Clock;
use crate::edges::google::GoogleError;
use crate::retry::Backoff;
use crate::sync::{Failure, Persistence};

pub(super) fn permanent(error: impl ToString) -> Failure {
    Failure {
        persistence: Persistence::Permanent,
        error: error.to_string(),
    }
}

pub(super) fn transient(error: impl ToString) -> Failure {
    Failure {
        persistence: Persistence::Transient,
        error: error.to_string(),
    }
}

/// What a call's failure means for the run.
pub(super) fn failure(error: GoogleError) -> Failure {
    let passes = passes(&error);
    // The source says what broke: a reset, a name that does not resolve, a time-out.
    let text = format!("{:#}", anyhow::Error::new(error));
    if passes {
        transient(text)
    } else {
        permanent(text)
    }
}

/// The same for one of the first calls of a run. Whoever has just been granted something may be
/// refused for some minutes, and the next attempt is not.
pub(super) fn first_failure(error: GoogleError) -> Failure {
    let refused = matches!(error, GoogleError::Forbidden { .. });
    let failure = failure(error);
    match refused {
        true => fresh(&failure.error),
        false => failure,
    }
}

/// A refusal that may only mean that a grant has not arrived.
pub(super) fn fresh(refusal: &str) -> Failure {
    transient(format!(
        "{refusal}; a grant takes some minutes to arrive, so another attempt is worth it"
    ))
}

/// Whether to ask again. An answer that can not be read may have been cut off on its way.
pub(super) fn passes(error: &GoogleError) -> bool {
    error.is_transient() || matches!(error, GoogleError::Decode { .. })
}

/// Makes a call that is safe to repeat, again and again, each time later, until it succeeds,
/// fails for good or has failed too often.
///
/// # Errors
/// With the last one.
pub(super) async fn again<T>(
    clock: &Clock,
    seed: &str,
    call: impl AsyncFn() -> Result<T, GoogleError>,
) -> Result<T, GoogleError> {
    let backoff = Backoff::new(seed);
    let mut attempt = 1;
    loop {
        match (call().await, backoff.delay(attempt)) {
            (Err(error), Some(delay)) if passes(&error) => {
                tracing::debug!(%error, ?delay, "a call is tried again");
                clock.sleep(delay).await;
                attempt += 1;
            }
            (answer, _) => return answer,
        }
    }
}
