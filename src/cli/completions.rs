//! `pipewright completions`: what a shell needs to complete the commands and their options.

use std::io::Write;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Ended};

/// Print a script that teaches your shell to complete `pipewright`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipewright completions bash > ~/.local/share/bash-completion/completions/pipewright
  pipewright completions zsh > ~/.zfunc/_pipewright      with ~/.zfunc in fpath
  pipewright completions fish > ~/.config/fish/completions/pipewright.fish")]
pub struct Completions {
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If it can not be written.
pub fn run(arguments: &Completions, out: &mut dyn Write) -> anyhow::Result<Ended> {
    // What is generated is written at once, and its own writer would panic where this one ends.
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "pipewright",
        &mut script,
    );
    out.write_all(&script)?;
    Ok(Ended::Well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_completed_in_every_shell() {
        use clap::ValueEnum as _;
        for shell in Shell::value_variants() {
            let mut out = Vec::new();
            run(&Completions { shell: *shell }, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
