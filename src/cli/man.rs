//! `rescribe man`: writes the manual pages of all commands, for those who package the program.

use std::fs;

use anyhow::Context;
use clap::CommandFactory;

use super::args::{Arguments, ManArgs};
use super::ui::Ui;
use rescribe::files::FileError;

pub fn run(args: &ManArgs, ui: &Ui) -> anyhow::Result<()> {
    let fail = || format!("cannot write the manual pages to {}", args.out.display());
    fs::create_dir_all(&args.out).with_context(fail)?;
    if !args.force && fs::read_dir(&args.out).with_context(fail)?.next().is_some() {
        return Err(FileError::Exists { path: args.out.clone() }.into());
    }
    clap_mangen::generate_to(Arguments::command(), &args.out).with_context(fail)?;
    ui.note("man", &format!("{}; man -l {0}/rescribe.1 shows the first page", args.out.display()));
    Ok(())
}
