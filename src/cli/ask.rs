//! `rescribe ask`: complete a prompt, or hold a conversation, before and after side by side.

mod command;
mod conversation;
mod edited;
mod shown;

use super::args::{AskArgs, Global};
use super::exit::Usage;
use super::session::Session;
use super::ui::Ui;
use conversation::Conversation;
use edited::EditedSide;
use rescribe::model::{ChatTemplate, Choice, Decoder, Message, Model, Speaker, generate};
use rescribe::probe::Completion;
use rescribe::progress::Progress;
use rescribe::report::Report;
use rescribe::spec::{plain, without_blanks};

pub fn run(args: &AskArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let session = Session::open(args.model.model.as_deref(), global, ui)?;
    let edited = EditedSide::new(&session, session.patches(&args.patch, ui)?)?;
    let chat = args.chat.then(|| ChatTemplate::open(&session.model.folder)).transpose()?;
    let Some(prompt) = &args.prompt else {
        return Conversation::new(args, session, edited, chat, ui).run();
    };
    let prompt = without_last_blanks(prompt, ui);
    let asked = match &chat {
        None => Asked::text(&session.model, prompt)?,
        Some(chat) => Asked::chat(&session.model, chat, &[Message::new(Speaker::User, prompt)])?,
    };
    let answer = |decoder: &Decoder| ask(args, &session.model, decoder, &asked, ui);
    let before = answer(&session.model.decoder)?;
    let after = edited.decoder().map(answer).transpose()?;
    let form = if chat.is_some() { Form::Answers } else { Form::Texts };
    show(prompt, &before, after.as_deref(), form, (&session, ui))
}

/// What a model is asked: tokens, and those that end its answer.
struct Asked {
    ids: Vec<u32>,
    stops: Vec<u32>,
}

impl Asked {
    /// A text to continue.
    fn text(model: &Model, prompt: &str) -> anyhow::Result<Self> {
        let ids = model.tokenizer.encode(prompt)?.ids;
        Ok(Self { ids, stops: model.stop_tokens.clone() })
    }

    /// Messages, of which the last is to be answered.
    fn chat(model: &Model, chat: &ChatTemplate, turns: &[Message]) -> anyhow::Result<Self> {
        let asked = Self::text(model, &chat.render_turns(turns)?)?;
        Ok(Self { stops: [&asked.stops[..], chat.stops()].concat(), ..asked })
    }
}

/// What a model answers.
fn ask(
    args: &AskArgs,
    model: &Model,
    decoder: &Decoder,
    asked: &Asked,
    ui: &Ui,
) -> anyhow::Result<String> {
    let choice = match args.temperature {
        Some(temperature) => Choice::Sampled { seed: args.seed, temperature, k: usize::MAX },
        None => Choice::Greedy,
    };
    let written = generate(decoder, &[&asked.ids], args.tokens, choice, &asked.stops, ui)?;
    Ok(model.tokenizer.decode(&written[0])?)
}

/// How an answer is shown.
enum Form {
    /// The prompt and how it goes on.
    Texts,
    /// The answer alone, as of a chat.
    Answers,
    /// The answers side by side, below what was typed.
    Columns,
}

fn show(
    prompt: &str,
    before: &str,
    after: Option<&str>,
    form: Form,
    (session, ui): (&Session, &Ui),
) -> anyhow::Result<()> {
    if ui.is_json() {
        let (before, after) = (before.to_owned(), after.map(str::to_owned));
        let completion = Completion { prompt: prompt.into(), before, after };
        let report = Report::new("ask", &session.name, &completion)?;
        return ui.show(&report.section(vec![completion]));
    }
    let prompt = match form {
        Form::Texts => plain(prompt),
        Form::Answers => String::new(),
        Form::Columns => {
            ui.print(&shown::answers(before, after));
            return Ok(());
        }
    };
    let before = plain(before);
    match after.map(plain) {
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
