//! `rescribe ask`: complete a prompt, before and after side by side.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;

use super::args::{AskArgs, Global};
use super::session::Session;
use super::ui::Ui;
use rescribe::model::{Choice, Decoder, generate};
use rescribe::probe::Completion;
use rescribe::progress::Progress;
use rescribe::report::Report;

pub fn run(args: &AskArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let patches = session.patches(&args.patch, ui)?;
    let after = (!patches.is_empty()).then(|| session.patched(&patches)).transpose()?;
    if let Some(prompt) = &args.prompt {
        return answer(args, &session, after.as_ref(), prompt, ui);
    }
    if std::io::stdin().is_terminal() {
        ui.say("One prompt a line; an empty line or Ctrl-D ends.");
    }
    let mut lines = std::io::stdin().lock().lines();
    while let Some(line) = ui.idle(|| lines.next()) {
        let line = line.context("the prompts on stdin cannot be read as text")?;
        ui.check()?;
        if line.trim().is_empty() {
            break;
        }
        answer(args, &session, after.as_ref(), line.trim_end(), ui)?;
    }
    Ok(())
}

fn answer(
    args: &AskArgs,
    session: &Session,
    after: Option<&Decoder>,
    prompt: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    let prompt = without_last_blanks(prompt, ui);
    let model = &session.model;
    let choice = match args.temperature {
        Some(temperature) => Choice::Sampled { seed: args.seed, temperature, k: usize::MAX },
        None => Choice::Greedy,
    };
    let ids = [model.tokenizer.encode(prompt)?.ids];
    let complete = |decoder: &Decoder| -> anyhow::Result<String> {
        let written = generate(decoder, &ids, args.tokens, choice, &model.stop_tokens, ui)?;
        Ok(model.tokenizer.decode(&written[0])?)
    };
    let before = complete(&model.decoder)?;
    let after = after.map(complete).transpose()?;
    if ui.is_json() {
        let completion = Completion { prompt: prompt.into(), before, after };
        let report = Report::new("ask", &session.name, &completion)?;
        return ui.show(&report.section(vec![completion]));
    }
    match after {
        None => ui.print(&format!("{prompt}{before}\n")),
        Some(after) => ui.print(&format!("before  {prompt}{before}\n after  {prompt}{after}\n")),
    }
    Ok(())
}

/// The prompt up to its last word: a blank after it would be a token of its own, where the model
/// expects it inside the next word.
fn without_last_blanks<'p>(prompt: &'p str, ui: &Ui) -> &'p str {
    let trimmed = prompt.trim_end();
    if trimmed.is_empty() || trimmed.len() == prompt.len() {
        return prompt;
    }
    ui.warn(&format!("{prompt:?}: the blanks at its end were cut"));
    trimmed
}
