//! `rescribe ask`: complete a prompt, before and after side by side.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;

use super::args::{AskArgs, Global};
use super::session::Session;
use super::ui::Ui;
use rescribe::model::{ChatTemplate, Choice, Decoder, generate};
use rescribe::probe::Completion;
use rescribe::progress::Progress;
use rescribe::report::Report;
use rescribe::spec::{plain, without_blanks};

pub fn run(args: &AskArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let patches = session.patches(&args.patch, ui)?;
    let after = (!patches.is_empty()).then(|| session.patched(&patches)).transpose()?;
    let chat = args.chat.then(|| ChatTemplate::open(&session.model.folder)).transpose()?;
    let sides = Sides { session: &session, after: after.as_ref(), chat: chat.as_ref() };
    if let Some(prompt) = &args.prompt {
        return answer(args, &sides, prompt, ui);
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
        answer(args, &sides, line.trim_end(), ui)?;
    }
    Ok(())
}

/// What is asked, before and after, and in which form.
struct Sides<'s> {
    session: &'s Session,
    after: Option<&'s Decoder>,
    chat: Option<&'s ChatTemplate>,
}

fn answer(args: &AskArgs, sides: &Sides<'_>, prompt: &str, ui: &Ui) -> anyhow::Result<()> {
    let prompt = without_last_blanks(prompt, ui);
    let model = &sides.session.model;
    let choice = match args.temperature {
        Some(temperature) => Choice::Sampled { seed: args.seed, temperature, k: usize::MAX },
        None => Choice::Greedy,
    };
    let message = sides.chat.map(|chat| chat.render(prompt)).transpose()?;
    let ids = [model.tokenizer.encode(message.as_deref().unwrap_or(prompt))?.ids];
    let answer_stops = sides.chat.map(ChatTemplate::stops).unwrap_or_default();
    let stops = [&model.stop_tokens[..], answer_stops].concat();
    let complete = |decoder: &Decoder| -> anyhow::Result<String> {
        let written = generate(decoder, &ids, args.tokens, choice, &stops, ui)?;
        Ok(model.tokenizer.decode(&written[0])?)
    };
    let before = complete(&model.decoder)?;
    let after = sides.after.map(complete).transpose()?;
    if ui.is_json() {
        let completion = Completion { prompt: prompt.into(), before, after };
        let report = Report::new("ask", &sides.session.name, &completion)?;
        return ui.show(&report.section(vec![completion]));
    }
    // An answer does not go on where the prompt ends.
    let prompt = if message.is_some() { String::new() } else { plain(prompt) };
    let before = plain(&before);
    match after.as_deref().map(plain) {
        None => ui.print(&format!("{prompt}{before}\n")),
        Some(after) => ui.print(&format!("before  {prompt}{before}\n after  {prompt}{after}\n")),
    }
    Ok(())
}

/// The prompt up to its last word: a blank after it would be a token of its own, where the model
/// expects it inside the next word.
fn without_last_blanks<'p>(prompt: &'p str, ui: &Ui) -> &'p str {
    let start = prompt.len() - prompt.trim_start().len();
    let trimmed = &prompt[..start + without_blanks(prompt).len()];
    if trimmed.trim().is_empty() || trimmed.len() == prompt.len() {
        return prompt;
    }
    ui.warn(&format!("{prompt:?}: the blanks at its end were cut"));
    trimmed
}
