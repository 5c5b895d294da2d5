//! Crashes: the program itself, as a process of its own, is killed at every write of a
//! story, before or after the write's effect, and started again with the same environment
//! and the same mirror. The end is the undisturbed one: nothing lost, nothing twice.
//!
//! The simulators live in the test. They kill while they hold the request, so that no
//! other write slips in between. What was delivered to the dead is lost, and its mirror
//! looks as if it had died in the middle of a fetch as well.

mod child;
mod death;

use std::collections::VecDeque;
use std::sync::Mutex;

use pipewright::clock::Clock;

use crate::stories::essence::{Essence, difference, essence};
use crate::stories::{Move, People, Story, stage, stories};

use child::{Bot, Ended};
use death::{Death, Fate};

/// Plays one story, and says how it ended and how many writes it took.
async fn play(story: &Story, death: Death) -> (Essence, usize) {
    // The child has no other clock, and looks a week back for commands.
    let mut stage = stage(Clock::system()).await;
    let fate = Fate::sealed(&stage, death);
    let mut bot = Bot::start(&mut stage, &fate).await;
    let mut people = People::default();
    for next in &story.moves {
        people.act(&stage, next);
        if matches!(next, Move::Sweep) {
            // A start is a sweep; who is at rest loses nothing by it.
            bot.restart(&mut stage).await;
        }
        while let Ended::Died = bot.settle(&mut stage).await {
            bot.mourn(&stage).await;
            bot.restart(&mut stage).await;
        }
    }
    (essence(&stage, &people), fate.writes())
}

/// `Death::Never` and each story once, or one death in one of them.
struct Job {
    story: usize,
    death: Death,
}

/// What a job came to.
struct Report {
    story: usize,
    death: Death,
    end: Essence,
    writes: usize,
}

/// Plays the jobs, as many at a time as there are cores and one more: each waits often.
fn play_all(stories: &[Story], jobs: impl IntoIterator<Item = Job>) -> Vec<Report> {
    let jobs: Mutex<VecDeque<Job>> = Mutex::new(jobs.into_iter().collect());
    let reports = Mutex::new(Vec::new());
    let players = std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1);
    let work = || {
        loop {
            let Some(Job { story, death }) = jobs.lock().unwrap().pop_front() else {
                return;
            };
            // Its own one for each: the simulators answer while the test waits for the child.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let (end, writes) = runtime.block_on(play(&stories[story], death));
            reports.lock().unwrap().push(Report {
                story,
                death,
                end,
                writes,
            });
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..players {
            scope.spawn(work);
        }
    });
    reports.into_inner().unwrap()
}

fn all_are_wanted() -> bool {
    std::env::var("PIPEWRIGHT_CRASHES").is_ok_and(|which| which == "all")
}

/// Two deaths in each story, at places that differ from story to story: minutes are short
/// in the suite. `PIPEWRIGHT_CRASHES=all` dies everywhere.
fn deaths(story: usize, writes: usize) -> Vec<Death> {
    if all_are_wanted() {
        return (1..=writes)
            .flat_map(|number| [Death::Before(number), Death::After(number)])
            .collect();
    }
    let at = |seed: usize| 1 + (seed * 7) % writes;
    vec![Death::Before(at(story)), Death::After(at(story + 3))]
}

#[test]
fn the_program_killed_at_any_write_is_made_up_for() {
    let stories = stories();
    let undisturbed = play_all(
        &stories,
        (0..stories.len()).map(|story| Job {
            story,
            death: Death::Never,
        }),
    );
    assert_eq!(undisturbed.len(), stories.len());
    let jobs = undisturbed.iter().flat_map(|told| {
        assert!(told.writes > 5, "{}", stories[told.story].name);
        deaths(told.story, told.writes)
            .into_iter()
            .map(|death| Job {
                story: told.story,
                death,
            })
    });
    let disturbed = play_all(&stories, jobs);
    let mut wrong = Vec::new();
    for report in &disturbed {
        let mut told = undisturbed.iter();
        let told = told.find(|told| told.story == report.story).unwrap();
        let differ = difference(&report.end, &told.end);
        if !differ.is_empty() {
            let (story, death) = (stories[report.story].name, report.death);
            wrong.push(format!(
                "{story}, dead {death:?}:\n  {}",
                differ.join("\n  ")
            ));
        }
    }
    wrong.sort();
    let writes: usize = undisturbed.iter().map(|told| told.writes).sum();
    println!(
        "crashes: {} stories, {writes} writes, {} runs",
        stories.len(),
        disturbed.len()
    );
    assert!(
        wrong.is_empty(),
        "{} runs ended differently:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
