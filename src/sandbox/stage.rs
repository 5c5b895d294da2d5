//! The stage: the real bot, connected to simulated systems, on a real bare repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;

use anyhow::Context as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::edges::cluster::Kubeconfig;
use crate::edges::google::{Endpoints, TokenSource};
use crate::estate::Estate;
use crate::event::Event;
use crate::proposal::propose;
use crate::render::House;
use crate::shell::serve::{Bot, Settings};
use crate::shell::worker::{Stepped, Worker};
use crate::snapshot::{Entry, Snapshot, Tree};

use super::cast::{Cast, organisation, people};
use super::github::{self, Delivery, Github};
use super::google::{self, Google};
use super::kubelet::Kubelet;
use super::kubernetes::{self, ArgoCrds, Kubernetes};
use super::server::Wire;

/// The namespace of everything that is applied.
pub const NAMESPACE: &str = "pipelines";
const APP_ID: u64 = 4711;
/// A key that is in everybody's hands: it opens nothing but the simulated GitHub.
const APP_KEY: &str = include_str!("app-key.pem");
const WEBHOOK_SECRET: &str = "the sandbox's webhook secret";
const GOOGLE_TOKEN: &str = "ya29.the-sandbox";
/// The bot comes back under its name: it need not wait for its own Lease to run out.
const REPLICA: &str = "pipewright-0";
/// More steps than any story needs: a bot that never rests is a bug, not a story.
const MAX_STEPS: usize = 500;

/// What becomes of deliveries on their way to the bot.
type Carrier = dyn FnMut(Vec<Delivery>) -> Vec<Delivery> + Send;

/// Simulators, bot and people.
pub struct Stage {
    pub github: Github,
    pub kubernetes: Kubernetes,
    pub google: Google,
    pub worker: Worker,
    pub cast: Cast,
    deliveries: Vec<Value>,
    carrier: Option<Box<Carrier>>,
    pub(super) kubelet: Option<Kubelet>,
    folder: TempDir,
}

impl Stage {
    /// Starts everything, with `tree` as the default branch.
    ///
    /// # Errors
    /// If the tree's policies can not be read, or something does not start.
    pub async fn set(tree: &Tree, clock: Clock) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the repository")?;
        let house = house()?;
        let snapshot = Snapshot {
            base: tree.clone(),
            proposed: None,
            base_commit: None,
        };
        let proposal = propose(&snapshot, &house);
        let estate = &proposal.policies.estate;
        let project = estate
            .projects
            .iter()
            .find(|(_, project)| !project.connections.is_empty())
            .map(|(id, _)| id.clone())
            .context(
                "policies/estate.yaml lists no project with a connection: add one to play with",
            )?;

        let github = Github::start(
            github::Options {
                owner: organisation(estate),
                name: "data-pipelines".into(),
                app_id: APP_ID,
                app_slug: "pipewright".into(),
                installation_id: 1,
                directory: folder.path().join("github"),
                clock: Some(clock.clone()),
            },
            files(tree),
        )
        .await?;
        let cast = people(&github, estate, project);
        let kubernetes = Kubernetes::start(kubernetes::Options {
            namespaces: vec![NAMESPACE.into()],
            token: Some("the-sandbox".into()),
            argo: ArgoCrds::Installed,
            clock: Some(clock.clone()),
        })
        .await?;
        let google = Google::start(google::Options {
            token: GOOGLE_TOKEN.into(),
            projects: projects(estate, &house),
            bot_email: "pipewright@acme-platform.iam.gserviceaccount.com".into(),
            ..google::Options::default()
        })
        .await?;
        for rendered in proposal.desired.pipelines.values() {
            let (connection, pipeline) = (&rendered.bound.connection, &rendered.bound.pipeline);
            google.add_connection(
                connection.project.as_str(),
                connection.location.as_str(),
                connection.id.as_str(),
                rendered.bound.instance.as_str(),
                pipeline.database.as_str(),
            );
        }
        let settings = settings(&github, &kubernetes, &google, folder.path(), house)?;
        let bot = Bot::connect(settings, clock).await?;
        github.set_webhook(bot.webhook_url()?, WEBHOOK_SECRET);
        Ok(Self {
            github,
            kubernetes,
            google,
            worker: bot.serve_in_background(),
            cast,
            deliveries: Vec::new(),
            carrier: None,
            kubelet: None,
            folder,
        })
    }

    /// Another bot takes the place of this one, as after a crash: it knows nothing but what
    /// stands in the world, and begins with a sweep.
    ///
    /// # Errors
    /// If it can not connect.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let (house, clock) = (self.worker.house.clone(), self.worker.clock.clone());
        let folder = self.folder.path();
        let settings = settings(&self.github, &self.kubernetes, &self.google, folder, house)?;
        let bot = Bot::connect(settings, clock).await?;
        self.github.set_webhook(bot.webhook_url()?, WEBHOOK_SECRET);
        self.worker = bot.serve_in_background();
        self.worker.queue.add(&Event::Sweep);
        Ok(())
    }

    /// One more bot, with a name and a mirror of its own. It does not get webhooks yet.
    ///
    /// # Errors
    /// If it can not connect.
    pub async fn replica(&self, name: &str) -> anyhow::Result<Bot> {
        let (house, clock) = (self.worker.house.clone(), self.worker.clock.clone());
        let folder = self.folder.path();
        let settings = settings(&self.github, &self.kubernetes, &self.google, folder, house)?;
        let settings = Settings {
            mirror: folder.join(format!("mirror-of-{name}")),
            replica: name.to_owned(),
            replica_host: Some("127.0.0.1".to_owned()),
            ..settings
        };
        Bot::connect(settings, clock).await
    }

    /// Delivers what GitHub has to say and lets the bot work, until both are quiet.
    ///
    /// # Errors
    /// If a run fails, a delivery is refused, or it does not end.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        for _ in 0..MAX_STEPS {
            let delivered = self.deliver().await?;
            match self.step().await {
                Stepped::Ran(_) => {}
                Stepped::Failed(_, error) => return Err(error),
                Stepped::Idle if delivered == 0 => return Ok(()),
                Stepped::Idle => {}
            }
        }
        anyhow::bail!("the bot did not come to rest within {MAX_STEPS} steps")
    }

    /// Lets the bot take one step. If it begins to wait for the clock meanwhile, the clock
    /// goes to where it waits for; otherwise time stands still.
    pub async fn step(&self) -> Stepped {
        let clock = &self.worker.clock;
        let waiting = clock.newcomers();
        let mut step = pin!(self.worker.step());
        loop {
            tokio::select! {
                biased;
                stepped = &mut step => return stepped,
                due = waiting.due() => clock.advance_to(due),
            }
        }
    }

    /// Delivers what is queued, and says how much it was.
    ///
    /// # Errors
    /// If the bot refuses a delivery.
    pub async fn deliver(&mut self) -> anyhow::Result<usize> {
        let mut deliveries = self.github.take_deliveries();
        if let Some(carrier) = &mut self.carrier {
            deliveries = carrier(deliveries);
        }
        for delivery in &deliveries {
            let status = self.github.send(delivery).await?;
            anyhow::ensure!(
                status < 300,
                "the bot answered {status} to `{}`",
                delivery.event
            );
            self.deliveries.push(json!({
                "system": "webhook",
                "event": delivery.event,
                "request": serde_json::from_slice::<Value>(&delivery.body).unwrap_or_default(),
            }));
        }
        Ok(deliveries.len())
    }

    /// Hands what is queued to `carrier` from now on: only what it gives back is delivered.
    pub fn carry_with(
        &mut self,
        carrier: impl FnMut(Vec<Delivery>) -> Vec<Delivery> + Send + 'static,
    ) {
        self.carrier = Some(Box::new(carrier));
    }

    /// What a `pipewright serve` of its own needs in its environment to work here.
    ///
    /// # Errors
    /// If the kubeconfig can not be written.
    pub fn environment(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let kubeconfig = self.folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, self.kubernetes.kubeconfig())?;
        let mirror = self.folder.path().join("mirror-of-its-own");
        let house = &self.worker.house;
        Ok(vec![
            ("PIPEWRIGHT_LISTEN", "127.0.0.1:0".to_owned()),
            ("PIPEWRIGHT_PAGES_LISTEN", "127.0.0.1:0".to_owned()),
            (
                "PIPEWRIGHT_REPOSITORY",
                self.worker.edges.forge.repository().to_string(),
            ),
            ("PIPEWRIGHT_GITHUB_URL", self.github.url()),
            ("PIPEWRIGHT_GIT_URL", self.github.git_url()),
            ("PIPEWRIGHT_GITHUB_APP_ID", APP_ID.to_string()),
            ("PIPEWRIGHT_GITHUB_KEY", APP_KEY.to_owned()),
            ("PIPEWRIGHT_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
            ("PIPEWRIGHT_MIRROR", mirror.display().to_string()),
            ("PIPEWRIGHT_NAMESPACE", house.namespace.clone()),
            ("PIPEWRIGHT_RUNNER_IMAGE", house.runner_image.clone()),
            (
                "PIPEWRIGHT_IDENTITY_PROJECT",
                house.identity_project.to_string(),
            ),
            ("PIPEWRIGHT_WORKLOAD_POOL", house.workload_pool.clone()),
            ("PIPEWRIGHT_IAM_URL", self.google.url()),
            ("PIPEWRIGHT_RESOURCE_MANAGER_URL", self.google.url()),
            ("PIPEWRIGHT_BIGQUERY_URL", self.google.url()),
            ("PIPEWRIGHT_BIGQUERY_CONNECTION_URL", self.google.url()),
            ("PIPEWRIGHT_GOOGLE_TOKEN", GOOGLE_TOKEN.to_owned()),
            ("PIPEWRIGHT_REPLICA", REPLICA.to_owned()),
            ("KUBECONFIG", kubeconfig.display().to_string()),
        ])
    }

    /// Sends webhooks to another bot from now on.
    pub fn send_webhooks_to(&self, url: &str) {
        self.github.set_webhook(url, WEBHOOK_SECRET);
    }

    /// Everything that went over a wire, one value for each exchange, without headers.
    pub fn traffic(&self) -> Vec<Value> {
        let wires: [(&str, &Wire); 3] = [
            ("github", self.github.wire()),
            ("kubernetes", self.kubernetes.wire()),
            ("google", self.google.wire()),
        ];
        wires
            .into_iter()
            .flat_map(|(system, wire)| {
                let traffic = wire.traffic().into_iter();
                traffic.map(move |exchange| exchange.to_json(system))
            })
            .chain(self.deliveries.iter().cloned())
            .collect()
    }
}

/// The house of the sandbox.
fn house() -> anyhow::Result<House> {
    Ok(House {
        namespace: NAMESPACE.into(),
        runner_image: format!("registry.invalid/pipewright@sha256:{}", "0".repeat(64)),
        identity_project: "acme-identities".parse()?,
        workload_pool: "acme-cluster.svc.id.goog".into(),
    })
}

fn settings(
    github: &Github,
    kubernetes: &Kubernetes,
    google: &Google,
    folder: &Path,
    house: House,
) -> anyhow::Result<Settings> {
    let git_url = github.git_url();
    let repository = git_url
        .trim_end_matches(".git")
        .rsplitn(3, '/')
        .take(2)
        .collect::<Vec<_>>();
    let repository = match repository.as_slice() {
        [name, owner] => format!("{owner}/{name}").parse()?,
        _ => anyhow::bail!("the simulated GitHub has an odd clone URL"),
    };
    Ok(Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        pages_listen: ([127, 0, 0, 1], 0).into(),
        repository,
        github_url: github.url(),
        git_url,
        github_app_id: APP_ID,
        github_key: SecretString::from(APP_KEY.to_owned()),
        webhook_secret: SecretString::from(WEBHOOK_SECRET.to_owned()),
        mirror: folder.join("mirror"),
        kubeconfig: Kubeconfig::Text(kubernetes.kubeconfig()),
        house,
        endpoints: Endpoints {
            iam: google.url(),
            resource_manager: google.url(),
            bigquery: google.url(),
            bigquery_connection: google.url(),
        },
        google_token: TokenSource::Fixed(SecretString::from(GOOGLE_TOKEN.to_owned())),
        replica: REPLICA.to_owned(),
        replica_host: None,
        // In one order, so that what is played twice is the same twice.
        writes_at_once: 1,
    })
}

fn files(tree: &Tree) -> BTreeMap<String, Vec<u8>> {
    tree.entries
        .iter()
        .filter_map(|(path, entry)| match entry {
            Entry::File(bytes) => Some((path.clone(), bytes.clone())),
            _ => None,
        })
        .collect()
}

fn projects(estate: &Estate, house: &House) -> Vec<String> {
    estate
        .projects
        .keys()
        .map(ToString::to_string)
        .chain([house.identity_project.to_string()])
        .collect()
}
