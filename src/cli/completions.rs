//! `rescribe completions`: a script for a shell.

use clap::CommandFactory;

use super::args::{Arguments, CompletionsArgs};

pub fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "rescribe", &mut out);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &out)?;
    Ok(())
}
