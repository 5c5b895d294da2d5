//! stub
use clap::{Parser, Subcommand};
pub mod serve;
pub mod sandbox;
#[derive(Parser)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}
#[derive(Subcommand)]
pub enum Command {
    Serve(serve::Serve),
    Sandbox(sandbox::Sandbox),
}
