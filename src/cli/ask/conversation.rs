//! A conversation: prompts and commands, line by line.

use super::super::args::AskArgs;
use super::super::failure;
use super::super::session::{Session, model_flag};
use super::super::ui::{Lines, Ui, paragraph, quoted};
use super::command::{Command, HELP, Line};
use super::edited::EditedSide;
use super::{Asked, ask, shown, without_last_blanks};
use rescribe::model::{ChatError, ChatTemplate, Decoder, Message, Speaker};
use rescribe::probe::{NextToken, lens_tokens, next_tokens, probability_text};
use rescribe::report::Report;
use rescribe::spec::Insert;

/// Measures of an edit that its answer names.
const MEASURES: [&str; 4] = ["said, paraphrased", "neighborhood", "background", "drift"];

/// What the lines so far have led to.
pub struct Conversation<'a> {
    args: &'a AskArgs,
    ui: &'a Ui,
    session: Session,
    edited: EditedSide,
    shows_edited: bool,
    chat: Option<ChatTemplate>,
    /// The messages so far, of the base and of the edited model.
    turns: [Vec<Message>; 2],
    /// The tokens of the last prompt, for the base and for the edited model.
    last: Option<[Vec<u32>; 2]>,
}

impl<'a> Conversation<'a> {
    /// A conversation that begins with these patches.
    pub fn new(
        args: &'a AskArgs,
        session: Session,
        edited: EditedSide,
        chat: Option<ChatTemplate>,
        ui: &'a Ui,
    ) -> Self {
        let turns = [Vec::new(), Vec::new()];
        Self { args, ui, session, edited, shows_edited: true, chat, turns, last: None }
    }

    /// Answers lines until the end of the input. An error ends it where nobody types.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut lines = Lines::new(self.ui)?;
        if lines.are_typed() {
            self.greet()?;
        }
        while let Some(line) = lines.next("> ")? {
            let result = match Line::of(&line) {
                Ok(Line::Empty) => continue,
                Ok(Line::Command(Command::Quit)) => break,
                Ok(Line::Command(command)) => self.command(command),
                Ok(Line::Prompt(prompt)) => self.prompt(&prompt, lines.are_typed()),
                Err(problem) => Err(super::Usage(problem).into()),
            };
            match result {
                Err(error) if lines.are_typed() && !failure::is_interrupt(&error) => {
                    failure::report(&error, self.ui);
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Says what can be typed, and turns the chat template on where there is one.
    fn greet(&mut self) -> anyhow::Result<()> {
        if self.chat.is_none() {
            self.chat = template(&self.session)?;
        }
        let how = match self.chat {
            Some(_) => "A line is a message to the model; /chat off completes texts instead.",
            None => "A line is a text that the model continues.",
        };
        let text = format!("{how} /help lists the commands, Ctrl-D ends.");
        self.ui.say(&paragraph(0, 0, &text));
        Ok(())
    }

    /// The models that are shown, the base first.
    fn sides(&self) -> impl Iterator<Item = &Decoder> {
        let edited = self.edited.decoder().filter(|_| self.shows_edited);
        [&self.session.model.decoder].into_iter().chain(edited)
    }

    fn prompt(&mut self, prompt: &str, is_typed: bool) -> anyhow::Result<()> {
        let prompt = without_last_blanks(prompt, self.ui);
        let mut answers = Vec::new();
        let mut last: [Vec<u32>; 2] = Default::default();
        for (side, decoder) in self.sides().enumerate() {
            let asked = match &self.chat {
                None => Asked::text(&self.session.model, prompt)?,
                Some(chat) => {
                    let own = Message::new(Speaker::User, prompt);
                    let turns: Vec<Message> =
                        self.turns[side].iter().cloned().chain([own]).collect();
                    Asked::chat(&self.session.model, chat, &turns)?
                }
            };
            answers.push(ask(self.args, &self.session.model, decoder, &asked, self.ui)?);
            last[side] = asked.ids;
        }
        if last[1].is_empty() {
            last[1] = last[0].clone();
        }
        self.last = Some(last);
        if self.chat.is_some() {
            for (side, turns) in self.turns.iter_mut().enumerate() {
                let answer = answers.get(side).unwrap_or(&answers[0]);
                turns.push(Message::new(Speaker::User, prompt));
                turns.push(Message::new(Speaker::Assistant, answer.trim()));
            }
        }
        let after = answers.get(1).cloned();
        super::show(
            prompt,
            &answers[0],
            after.as_deref(),
            self.form(is_typed),
            (&self.session, self.ui),
        )
    }

    fn form(&self, is_typed: bool) -> super::Form {
        match (is_typed, &self.chat) {
            (true, _) => super::Form::Columns,
            (false, Some(_)) => super::Form::Answers,
            (false, None) => super::Form::Texts,
        }
    }

    fn command(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Help => self.ui.say(HELP),
            Command::Patch(on) => self.patch(on),
            Command::Chat(on) => self.set_chat(on)?,
            Command::Top(n) => self.top(n)?,
            Command::Lens => self.lens()?,
            Command::Edit(fact) => self.edit(*fact)?,
            Command::Undo => self.undo()?,
            Command::Save(name) => self.save(&name)?,
            Command::Clear => self.clear(),
            Command::Quit => {}
        }
        Ok(())
    }

    fn patch(&mut self, on: bool) {
        self.shows_edited = on;
        self.ui.say(match (on, self.edited.decoder()) {
            (_, None) => "Nothing is edited yet: /edit writes a fact, --patch starts with some.",
            (true, Some(_)) => "Base and edited model are shown.",
            (false, Some(_)) => "The base alone is shown.",
        });
    }

    fn set_chat(&mut self, on: bool) -> anyhow::Result<()> {
        self.clear();
        self.chat = if on { Some(ChatTemplate::open(&self.session.model.folder)?) } else { None };
        Ok(())
    }

    fn clear(&mut self) {
        self.turns.iter_mut().for_each(Vec::clear);
    }

    /// What `read` finds at the end of the last prompt, for each model that is shown.
    fn at_last(
        &self,
        read: impl Fn(&Decoder, &[u32]) -> anyhow::Result<Vec<NextToken>>,
    ) -> anyhow::Result<Vec<Vec<NextToken>>> {
        let Some(last) = &self.last else {
            return Err(super::Usage("there is no prompt yet: type one first".into()).into());
        };
        self.sides().zip(last).map(|(decoder, ids)| read(decoder, ids)).collect()
    }

    fn top(&self, n: usize) -> anyhow::Result<()> {
        let tokenizer = &self.session.model.tokenizer;
        let found = self.at_last(|decoder, ids| Ok(next_tokens(decoder, tokenizer, ids, n)?))?;
        self.show("top", &found, shown::tokens)
    }

    fn lens(&self) -> anyhow::Result<()> {
        let tokenizer = &self.session.model.tokenizer;
        let found = self.at_last(|decoder, ids| Ok(lens_tokens(decoder, tokenizer, ids)?))?;
        self.show("lens", &found, shown::lens)
    }

    fn show(
        &self,
        what: &str,
        found: &[Vec<NextToken>],
        shown: fn(&[NextToken], Option<&[NextToken]>) -> String,
    ) -> anyhow::Result<()> {
        let after = found.get(1).map(Vec::as_slice);
        if self.ui.is_json() {
            let value = serde_json::json!({ "command": what, "before": found[0], "after": after });
            return self.ui.print_json(&value);
        }
        self.ui.print(&shown(&found[0], after));
        Ok(())
    }

    fn edit(&mut self, fact: Insert) -> anyhow::Result<()> {
        let is_chat = self.chat.is_some();
        let report = self.edited.add(fact, is_chat, &mut self.session, self.ui)?;
        self.shows_edited = true;
        // What the model said before is not what it would say now.
        self.clear();
        if self.ui.is_json() {
            return self.ui.print_json(&report);
        }
        let verdict = report.verdict.as_ref().map_or("", |verdict| verdict.sentence.as_str());
        self.ui.print(&format!("{}\n{}", paragraph(0, 0, verdict), told(&report)));
        Ok(())
    }

    fn undo(&mut self) -> anyhow::Result<()> {
        let undone = self.edited.undo(&mut self.session, self.ui)?;
        self.clear();
        let text = match undone {
            Some(fact) => {
                format!("No longer written: {:?} -> {:?}", fact.rendered(), fact.target_new)
            }
            None => "No fact was written in this conversation.".to_owned(),
        };
        self.ui.say(&paragraph(0, 0, &text));
        Ok(())
    }

    fn save(&self, name: &str) -> anyhow::Result<()> {
        let [spec, patch] = self.edited.save(name)?;
        let model = model_flag(self.args.model.model.as_deref().unwrap_or_default());
        let from = EditedSide::from_flags(&self.args.patch);
        let again = format!("rescribe edit {}{model}{from}", quoted(&spec.to_string_lossy()));
        self.ui.say(&format!("Wrote {} and {}.\nAgain: {again}", spec.display(), patch.display()));
        Ok(())
    }
}

/// The chat template of the model's folder; nothing where there is none.
fn template(session: &Session) -> anyhow::Result<Option<ChatTemplate>> {
    match ChatTemplate::open(&session.model.folder) {
        Ok(template) => Ok(Some(template)),
        Err(ChatError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The measures of an edit, a line each.
fn told(report: &Report) -> String {
    let measures = report.measures();
    let value = |name: &&str| measures.iter().find(|(known, _)| known == name)?.1;
    let told = MEASURES.iter().filter_map(|name| Some((name, value(name)?)));
    told.map(|(name, value)| format!("{name:>17}  {}\n", probability_text(value))).collect()
}
