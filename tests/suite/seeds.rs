//! Seeds: the real bot among the simulators on the stepped clock, in one process; random
//! people, random faults in all systems, and then calm weather, in which it must come to
//! rest and stay there.
//!
//! A seed is the same on every run, to the byte of its trace. `PIPEWRIGHT_SEED=7` plays one,
//! `PIPEWRIGHT_SEEDS=500` the first 500, on all cores. Every
//! 250th seed is swept a thousand times after it came to rest, all others three times.

mod chance;
mod land;
mod laws;
mod people;
mod play;
mod trace;
mod weather;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use play::{Length, Played, play};

/// Seeds without `PIPEWRIGHT_SEEDS`.
const FEW: u64 = 12;
const QUIET: usize = 3;
const LONG_QUIET: usize = 1000;
const EVERY: u64 = 250;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// On a runtime of its own, in which one thing happens after the other.
fn played(seed: u64, length: Length) -> Result<Played, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let said = runtime.block_on(play(seed, length));
    runtime.shutdown_timeout(Duration::from_secs(1));
    said
}

#[test]
fn seeds_converge_and_come_to_rest() {
    let seeds: Vec<u64> = match asked("PIPEWRIGHT_SEED") {
        Some(seed) => vec![seed],
        None => (1..=asked("PIPEWRIGHT_SEEDS").unwrap_or(FEW)).collect(),
    };
    let next = AtomicU64::new(0);
    let results: Mutex<BTreeMap<u64, Result<Played, String>>> = Mutex::default();
    // One more than there are cores: each waits for its files now and then.
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = usize::try_from(next.fetch_add(1, Ordering::SeqCst))
                    .ok()
                    .and_then(|index| seeds.get(index))
                {
                    let length = Length {
                        quiet: if seed % EVERY == 0 { LONG_QUIET } else { QUIET },
                        whole_trace: false,
                    };
                    let played = played(*seed, length);
                    results.lock().unwrap().insert(*seed, played);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let failures: Vec<&String> = results
        .values()
        .filter_map(|one| one.as_ref().err())
        .collect();
    for failure in &failures {
        println!("{failure}");
    }
    summary(&results);
    assert!(
        failures.is_empty(),
        "{} of {} seeds",
        failures.len(),
        results.len()
    );
}

fn summary(results: &BTreeMap<u64, Result<Played, String>>) {
    let played: Vec<&Played> = results.values().flatten().collect();
    let sum = |of: fn(&Played) -> usize| played.iter().map(|one| of(one)).sum::<usize>();
    let mut faults: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, count) in played.iter().flat_map(|one| &one.faults) {
        *faults.entry(kind).or_default() += count;
    }
    println!(
        "seeds: {} seeds, {} deeds, {} restarts, {} requests, {} faults, {} approvals and {} grants \
         looked at, converged in at most {} sweeps, then {} sweeps without a write, {} of them in \
         seeds with {LONG_QUIET}",
        played.len(),
        sum(|one| one.deeds),
        sum(|one| one.restarts),
        sum(|one| one.requests),
        faults.values().sum::<usize>(),
        sum(|one| one.approvals),
        sum(|one| one.grants),
        played
            .iter()
            .map(|one| one.sweeps_to_rest)
            .max()
            .unwrap_or(0),
        sum(|one| one.quiet),
        sum(|one| if one.quiet == LONG_QUIET {
            one.quiet
        } else {
            0
        }),
    );
    println!("faults: {faults:?}");
}

/// The trace of every request and answer, twice. `PIPEWRIGHT_SEED` chooses the seed.
#[test]
fn a_seed_is_the_same_to_the_byte() {
    let seeds = asked("PIPEWRIGHT_SEED").map_or(vec![3, 4], |seed| vec![seed]);
    for seed in seeds {
        let length = Length {
            quiet: 2,
            whole_trace: true,
        };
        let (first, second) = (played(seed, length), played(seed, length));
        // What fails is told by the other test; it must fail in the same way twice.
        let (Ok(first), Ok(second)) = (&first, &second) else {
            assert_eq!(first.err(), second.err());
            continue;
        };
        for (line, (one, other)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {line} of its trace");
        }
        assert_eq!((first.lines, &first.hash), (second.lines, &second.hash));
        println!(
            "seeds: seed {seed} twice, {} lines, the same to the byte",
            first.lines
        );
    }
}
