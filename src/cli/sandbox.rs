//! `pipewright sandbox`: the real bot among simulated systems, from the checkout's own files.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::clock::Clock;
use crate::edges::git::working_folder;
use crate::sandbox::page::{Happened, Page, Pods};
use crate::sandbox::stage::Stage;
use crate::sandbox::story;
use crate::sandbox::teller::Teller;
use crate::snapshot::Tree;

use super::Ended;
use super::google::stopped;
use super::print::escaped;

/// See it work, without an account: the real bot, with GitHub, Kubernetes and Google simulated.
#[derive(Debug, Args)]
pub struct Sandbox {
    /// Play the whole story, and end.
    #[arg(long)]
    story: bool,
    /// Folder with `pipelines/` and `policies/`.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Where the page is served; with port 0 the system picks one.
    #[arg(long, default_value = "127.0.0.1:0", conflicts_with = "story")]
    listen: SocketAddr,
    /// A PostgreSQL that the runner reads from, whatever the connection: a connection string
    /// such as "host=localhost user=reader". If it names a database, all pipelines read that
    /// one, otherwise each its own. Without this option there is a small fixed one.
    #[arg(long, conflicts_with = "story", value_name = "CONNECTION STRING")]
    postgres: Option<String>,
    /// Write everything that goes over a wire to this file, one JSON object a line.
    #[arg(long, hide = true)]
    traffic: Option<PathBuf>,
}

const SIMULATED: &str = "Simulated here, on loopback: GitHub, Kubernetes with Argo's objects, Google's IAM and BigQuery.\n\
Real: the bot, the runner, Git, and every request.";

/// Plays.
///
/// # Errors
/// If the folder can not be read, or a simulator or the bot fails.
pub async fn run(arguments: Sandbox) -> anyhow::Result<Ended> {
    let Sandbox {
        story,
        folder,
        listen,
        postgres,
        traffic,
    } = arguments;
    let tree = working_folder(&folder).with_context(|| {
        format!(
            "read {}: run this in a checkout of Pipewright, or name one with --folder",
            folder.display()
        )
    })?;
    if let Some(postgres) = &postgres {
        let config = postgres.parse::<tokio_postgres::Config>();
        let config = config.context("read the connection string of --postgres")?;
        anyhow::ensure!(!config.get_hosts().is_empty(), "--postgres names no host");
    }
    if !story {
        let program = std::env::current_exe().context("find this program, which pods run")?;
        return serve(tree, Pods { program, postgres }, listen).await;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SIMULATED}")?;
    let mut stage = Stage::set(&tree, Clock::system()).await?;
    let mut teller = Teller::new(&mut out);
    story::play(&mut stage, &mut teller).await?;
    if let Some(path) = traffic {
        let lines: String = stage
            .traffic()
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(&path, lines).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if teller.end()? {
        Ended::Well
    } else {
        Ended::Denied
    })
}

/// Serves the page and says what happens, until it is interrupted.
async fn serve(tree: Tree, pods: Pods, listen: SocketAddr) -> anyhow::Result<Ended> {
    let clock = Clock::system();
    let began = clock.now();
    let source = match &pods.postgres {
        Some(_) => "Runs are processes of this program, which read from your PostgreSQL.",
        None => {
            "Runs are processes of this program, which read from a small fixed database (--postgres names a real one)."
        }
    };
    say(&format!(
        "{SIMULATED}\n{source}\n\nStarting GitHub, Kubernetes, Google and the bot, and opening a pull request ..."
    ))?;
    let page = Page::open(tree, clock.clone(), pods, listen).await?;
    let took = clock.now().duration_since(began).as_millis();
    say(&format!(
        " ready after {took} ms.\n\n  Open {}\n\nCtrl-C ends it. What happens:\n\n",
        page.url()
    ))?;
    tokio::select! {
        ended = page.run(tell) => ended.map(|()| Ended::Well),
        // However it is told to stop, it takes its processes with it.
        () = stopped() => Ok(Ended::Well),
    }
}

fn tell(happened: &[Happened]) -> anyhow::Result<()> {
    for one in happened {
        // Somebody else's words may hold what a terminal obeys.
        say(&format!("{:>6}  {}\n", one.kind, escaped(&one.text)))?;
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
