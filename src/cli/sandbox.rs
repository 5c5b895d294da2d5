//! `pipewright sandbox`: the real bot among simulated systems, from the checkout's own files.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::clock::Clock;
use crate::edges::git::working_folder;
use crate::sandbox::stage::Stage;
use crate::sandbox::story;
use crate::sandbox::teller::Teller;

use super::Ended;

/// See it work, without an account: the real bot, with GitHub, Kubernetes and Google simulated.
#[derive(Debug, Args)]
pub struct Sandbox {
    /// Play the whole story, and end.
    #[arg(long)]
    story: bool,
    /// Folder with `pipelines/` and `policies/`.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Write everything that goes over a wire to this file, one JSON object a line.
    #[arg(long, hide = true)]
    traffic: Option<PathBuf>,
}

const SIMULATED: &str = "Simulated here, on loopback: GitHub, Kubernetes with Argo's objects (no workflow runs), \
Google's IAM and BigQuery's\ndatasets and connections (no data). Real: the bot, its Git, and every request it sends.";

/// Plays.
///
/// # Errors
/// If the folder can not be read, or a simulator or the bot fails.
pub async fn run(arguments: Sandbox) -> anyhow::Result<Ended> {
    let Sandbox {
        story,
        folder,
        traffic,
    } = arguments;
    let tree = working_folder(&folder).with_context(|| {
        format!(
            "read {}: run this in a checkout of Pipewright, or name one with --folder",
            folder.display()
        )
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SIMULATED}")?;
    let mut stage = Stage::set(&tree, Clock::system()).await?;
    let mut teller = Teller::new(&mut out);
    if story {
        story::play(&mut stage, &mut teller).await?;
        if let Some(path) = traffic {
            let lines: String = stage
                .traffic()
                .iter()
                .map(|line| format!("{line}\n"))
                .collect();
            std::fs::write(&path, lines).with_context(|| format!("write {}", path.display()))?;
        }
        return Ok(if teller.end()? {
            Ended::Well
        } else {
            Ended::Denied
        });
    }
    story::open(&mut stage, &mut teller).await?;
    writeln!(
        out,
        "\nThe pull request is open, and the bot stays up. Its GitHub answers at {}, its Kubernetes at {},\n\
         its Google at {}. `pipewright sandbox --story` plays the rest. Ctrl-C ends it.",
        stage.github.url(),
        stage.kubernetes.url(),
        stage.google.url()
    )?;
    out.flush()?;
    stay_up(&mut stage).await
}

/// Goes on delivering and working until it is interrupted.
async fn stay_up(stage: &mut Stage) -> anyhow::Result<Ended> {
    let clock = Clock::system();
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Ended::Well),
            () = clock.sleep(std::time::Duration::from_millis(200)) => stage.settle().await?,
        }
    }
}
