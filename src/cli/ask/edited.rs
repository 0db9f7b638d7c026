//! The edited side of a conversation: patches, and the facts that are written while it goes on.

use std::io::Write;
use std::path::PathBuf;

use super::super::exit::Usage;
use super::super::outputs;
use super::super::session::Session;
use super::super::ui::{Ui, quoted};
use rescribe::draft::Draft;
use rescribe::files::write_atomically;
use rescribe::model::Decoder;
use rescribe::patch::Patch;
use rescribe::report::{Report, outcome_report};
use rescribe::run::{Job, Outcome, Plan, Start, Tools, execute};
use rescribe::spec::{Comparison, Fact, Insert, PromptSet, parse_spec, spec_text};

/// The model after the patches and facts.
pub struct EditedSide {
    patches: Vec<Patch>,
    facts: Vec<Insert>,
    /// Whether the facts are written as answers of a chat; the first one decides.
    is_chat: bool,
    decoder: Option<Decoder>,
    /// Patches and facts together.
    patch: Option<Patch>,
}

impl EditedSide {
    /// The base as the patches change it.
    pub fn new(session: &Session, patches: Vec<Patch>) -> anyhow::Result<Self> {
        let decoder = (!patches.is_empty()).then(|| session.patched(&patches)).transpose()?;
        Ok(Self { patches, facts: Vec::new(), is_chat: false, decoder, patch: None })
    }

    /// The edited model; nothing where nothing is edited.
    pub fn decoder(&self) -> Option<&Decoder> {
        self.decoder.as_ref()
    }

    /// Writes one more fact together with those before it, as a spec with all of them would.
    pub fn add(
        &mut self,
        fact: Insert,
        is_chat: bool,
        session: &mut Session,
        ui: &Ui,
    ) -> anyhow::Result<Report> {
        let is_chat = if self.facts.is_empty() { is_chat } else { self.is_chat };
        let facts: Vec<Insert> = self.facts.iter().cloned().chain([fact]).collect();
        let (outcome, patch) = self.written(&facts, is_chat, session, ui)?;
        let report = outcome_report(&outcome, "edit")?;
        self.decoder = outcome.change.map(|change| change.decoder);
        (self.facts, self.is_chat, self.patch) = (facts, is_chat, patch);
        Ok(report)
    }

    /// Takes the last fact back; nothing where there is none.
    pub fn undo(&mut self, session: &mut Session, ui: &Ui) -> anyhow::Result<Option<Insert>> {
        let Some(last) = self.facts.last().cloned() else { return Ok(None) };
        let rest = self.facts[..self.facts.len() - 1].to_vec();
        if rest.is_empty() {
            *self = Self::new(session, std::mem::take(&mut self.patches))?;
        } else {
            let (outcome, patch) = self.written(&rest, self.is_chat, session, ui)?;
            self.decoder = outcome.change.map(|change| change.decoder);
            (self.facts, self.patch) = (rest, patch);
        }
        Ok(Some(last))
    }

    fn written(
        &self,
        facts: &[Insert],
        is_chat: bool,
        session: &mut Session,
        ui: &Ui,
    ) -> anyhow::Result<(Outcome, Option<Patch>)> {
        let spec = parse_spec("conversation", &text(facts, is_chat))?;
        let mut job = Job::of_spec(&spec, probes(facts), None)?;
        job.start = Start::of(&self.patches)?;
        job.put_to(&mut session.model)?;
        let plan = Plan::new(&session.model, &session.name, &job, ui)?;
        let outcome = execute(&session.model, &job, &plan, &Tools::new(&session.cache, ui))?;
        let patch = outcome.patch(&session.model, &job, &plan)?;
        Ok((outcome, patch))
    }

    /// Writes the facts as a spec, and their patch; the names of both files.
    pub fn save(&self, name: &str) -> anyhow::Result<[PathBuf; 2]> {
        let Some(patch) = &self.patch else {
            return Err(Usage("there is nothing to save: /edit writes a fact".into()).into());
        };
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let files = ["toml", "patch.safetensors"].map(|end| PathBuf::from(format!("{name}.{end}")));
        let [spec, weights] = &files;
        outputs::check_spec(spec, false)?;
        outputs::check_patch(weights, false, &[spec])?;
        let text = text(&self.facts, self.is_chat);
        write_atomically(spec, outputs::overwrite(false), |out| out.write_all(text.as_bytes()))?;
        patch.write(weights, outputs::overwrite(false))?;
        Ok(files)
    }

    /// The flags that start an edit from patches.
    pub fn from_flags(patches: &[PathBuf]) -> String {
        let flag = |file: &PathBuf| format!(" --from {}", quoted(&file.to_string_lossy()));
        patches.iter().map(flag).collect()
    }
}

/// The spec of the facts.
fn text(facts: &[Insert], is_chat: bool) -> String {
    let facts: Vec<Fact> = facts.iter().cloned().map(Fact::from).collect();
    let template = if is_chat { "template = \"chat\"\n\n" } else { "" };
    format!("{template}{}", spec_text(&facts))
}

/// What the newest fact is measured by, and that the others are still said.
fn probes(facts: &[Insert]) -> PromptSet {
    let Some(newest) = facts.last() else { return PromptSet::default() };
    let fact = Fact::from(newest.clone());
    let set = Draft::of(&fact).prompt_set(&fact);
    let mut set = set.with_targets(&newest.target_new, newest.target_true.as_deref());
    set.generation.clear();
    set.rewrite = facts
        .iter()
        .map(|fact| Comparison {
            prompt: fact.rendered(),
            target_new: Some(fact.target_new.clone()),
            target_true: fact.target_true.clone(),
        })
        .collect();
    set
}
