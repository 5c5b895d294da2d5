//! x
use clap::Parser;
fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let cli = pipewright::cli::Cli::parse();
    let rt = tokio::runtime::Runtime::new()?;
    rt.block_on(async {
        match cli.command {
            pipewright::cli::Command::Serve(s) => pipewright::cli::serve::run(s).await,
            pipewright::cli::Command::Sandbox(s) => {
                pipewright::cli::sandbox::run(s).await.map(|_| ())
            }
        }
    })
}
