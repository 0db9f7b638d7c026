//! `rescribe completions`: prints a completion script for a shell.

use clap::CommandFactory;

use super::args::{Arguments, CompletionsArgs};
use super::ui::Ui;

pub fn run(args: &CompletionsArgs, ui: &Ui) -> anyhow::Result<()> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "rescribe", &mut out);
    ui.print(&String::from_utf8(out)?);
    Ok(())
}
