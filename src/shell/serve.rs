//! `pipewright serve`: the bot, for real. Reads its settings, connects every edge, and runs
//! worker, server and timer until one of them ends or somebody says stop.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::edges::cluster::{Changed, Cluster, How, Keeper, Kubeconfig};
use crate::edges::forge::webhook::WebhookVerifier;
use crate::edges::forge::{Forge, ForgeConfig, RepositoryName};
use crate::edges::git::Mirror;
use crate::edges::google::{Endpoints, GoogleClient, TokenSource};
use crate::edges::replica::Replicas;
use crate::event::Event;
use crate::render::House;

use super::lead::{LEASE_LASTS, Stand, Standing, lead};
use super::memory::Memory;
use super::metrics;
use super::queue::Queue;
use super::server::{Door, router};
use super::worker::Worker;
use super::{Edges, Pace};

/// The Lease that the replicas share.
const LEASE: &str = "pipewright";
/// Google's quotas are per minute; this is only politeness.
const GOOGLE_AT_ONCE: u32 = 8;
/// How often everything is looked at, webhooks or not.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// How long the first sweep waits for the watches.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Everything that `serve` must be told. Secrets never print.
#[derive(Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Where metrics are told; they show who copies what.
    pub pages_listen: SocketAddr,
    pub repository: RepositoryName,
    pub github_url: String,
    pub git_url: String,
    pub github_app_id: u64,
    pub github_key: SecretString,
    pub webhook_secret: SecretString,
    pub mirror: PathBuf,
    pub kubeconfig: Kubeconfig,
    pub house: House,
    pub endpoints: Endpoints,
    pub google_token: TokenSource,
    /// Who this replica is among its like; no two may share a name.
    pub replica: String,
    /// The host by which the other replicas reach this one, for handing webhooks over.
    pub replica_host: Option<String>,
    /// The most writes that are under way at once to each plane.
    pub writes_at_once: u32,
}

/// A connected bot that has not begun to work.
pub struct Bot {
    pub worker: Worker,
    door: Door,
    keeper: Keeper,
    listener: TcpListener,
    pages: TcpListener,
}

impl Bot {
    /// Connects every edge and checks what must be true before anything is done.
    ///
    /// # Errors
    /// If an outside system can not be reached, or refuses us.
    pub async fn connect(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let Settings {
            listen,
            pages_listen,
            repository,
            github_url,
            git_url,
            github_app_id,
            github_key,
            webhook_secret,
            mirror,
            kubeconfig,
            house,
            endpoints,
            google_token,
            replica,
            replica_host,
            writes_at_once,
        } = settings;
        let forge = Forge::connect(&ForgeConfig {
            api_url: github_url,
            repository: repository.clone(),
            app_id: github_app_id,
            key_pem: github_key,
            clock: clock.clone(),
        })
        .await
        .context("connect to GitHub")?;
        let default_branch = forge.default_branch().await?;
        let git = Mirror::open(&mirror, &git_url).context("open the mirror")?;
        let cluster = Cluster::connect(kubeconfig, &house.namespace)
            .await
            .context("connect to Kubernetes")?;
        cluster.check().await?;
        let google = GoogleClient::new(&endpoints, google_token, clock.clone())
            .context("connect to Google")?;
        let queue = Queue::default();
        let door = Door {
            verifier: WebhookVerifier::new(&webhook_secret)?,
            repository,
            default_branch: default_branch.clone(),
            queue: queue.clone(),
            // Until somebody leads: whoever only steps the worker has no other replica.
            stand: Stand::new(Standing::Holder),
            replicas: Replicas::new().context("prepare for other replicas")?,
        };
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listen on {listen}"))?;
        let pages = TcpListener::bind(pages_listen)
            .await
            .with_context(|| format!("listen on {pages_listen} for metrics"))?;
        let port = listener.local_addr()?.port();
        let address = replica_host.map(|host| match host.parse::<IpAddr>() {
            Ok(ip) => format!("http://{}", SocketAddr::new(ip, port)),
            Err(_) => format!("http://{host}:{port}"),
        });
        let edges = Edges {
            forge,
            git,
            cluster,
            google,
            cluster_pace: Pace::new(writes_at_once),
            google_pace: Pace::new(writes_at_once.min(GOOGLE_AT_ONCE)),
        };
        Ok(Self {
            worker: Worker {
                edges,
                house,
                default_branch,
                queue,
                clock,
                memory: Memory::default(),
            },
            door,
            keeper: Keeper::new(LEASE, replica, address, LEASE_LASTS),
            listener,
            pages,
        })
    }

    /// Where webhooks are taken.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn webhook_url(&self) -> std::io::Result<String> {
        Ok(format!("http://{}/webhook", self.listener.local_addr()?))
    }

    /// Where metrics are told.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn metrics_url(&self) -> std::io::Result<String> {
        Ok(format!("http://{}/metrics", self.pages.local_addr()?))
    }

    /// Starts the server in the background and gives the worker to the caller, who steps it.
    pub fn serve_in_background(self) -> Worker {
        let Self {
            worker,
            door,
            listener,
            ..
        } = self;
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router(door)).await {
                tracing::error!(%error, "the server ended");
            }
        });
        worker
    }

    /// Works until `stop`, or until something ends that must not.
    ///
    /// # Errors
    /// If the server ends.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self {
            worker,
            door,
            mut keeper,
            listener,
            pages,
        } = self;
        let stand = door.stand.clone();
        stand.set(Standing::Standby { address: None });
        let (cluster, clock) = (&worker.edges.cluster, &worker.clock);
        let work = || async {
            tokio::select! {
                () = worker.run() => {}
                () = sweeps(&worker) => {}
                () = changes(&worker) => {}
            }
        };
        let ended = tokio::select! {
            served = axum::serve(listener, router(door)) => served.context("the server ended"),
            served = axum::serve(pages, metrics::router(cluster.clone())) => served.context("the metrics ended"),
            () = lead(cluster, &mut keeper, &stand, clock, work) => Err(anyhow!("the worker ended")),
            () = stop => Ok(()),
        };
        // The next one need not wait until the Lease has run out.
        if stand.get() == Standing::Holder
            && let Err(error) = cluster.release_lease(&mut keeper, clock.now()).await
        {
            tracing::warn!(%error, "the Lease was not given back");
        }
        ended
    }
}

/// What others do to our objects is looked at as soon as it is seen.
async fn changes(worker: &Worker) {
    let cluster = &worker.edges.cluster;
    let told = async {
        loop {
            let Changed { kind, name, how } = cluster.changed().await;
            let (by, at) = match &how {
                How::Edited(Some(touch)) => (touch.manager.as_str(), touch.at.as_str()),
                How::Edited(None) | How::Deleted | How::Leaving => ("", ""),
            };
            let what = match how {
                How::Edited(_) => "changed",
                How::Deleted => "deleted",
                How::Leaving => "to be deleted",
            };
            tracing::info!(
                kind = kind.as_str(),
                name,
                what,
                by,
                at,
                "an object drifted"
            );
            worker.queue.add(&Event::ObjectChanged { kind, name });
        }
    };
    tokio::select! {
        never = cluster.watch(&worker.clock) => match never {},
        () = told => {}
    }
}

async fn sweeps(worker: &Worker) {
    // What the watches see need not be listed once more.
    tokio::select! {
        () = worker.edges.cluster.seen() => {}
        () = worker.clock.sleep(FIRST_LOOK) => {}
    }
    loop {
        worker.queue.add(&Event::Sweep);
        worker.clock.sleep(SWEEP_EVERY).await;
    }
}
