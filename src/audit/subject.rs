//! What is audited: a model, what it should have forgotten, and what it is compared with.

use super::AuditOptions;
use crate::gradient::{Example, OwnWords, examples};
use crate::model::{Decoder, Model};
use crate::probe::SecretQuestion;
use crate::run::{Job, RelearnPlan, RunError, Tools, TrainPlan, own_words, secret_questions};
use crate::spec::{Fact, Passage, PassageVerb, PromptSet};

/// The rank of low-rank relearning: that of most published adapters.
const RANK: usize = 8;

/// The models of an audit.
#[derive(Clone, Copy)]
pub struct Audited<'a> {
    /// The model whose tokenizer and folder the audited weights go with.
    pub model: &'a Model,
    /// The audited weights.
    pub decoder: &'a Decoder,
    /// The base that was edited, where it is at hand.
    pub base: Option<&'a Model>,
    /// The model whose samples are the general text on which damage is measured; nothing: the base's.
    pub general: Option<&'a Model>,
    /// Display name of the audited model.
    pub name: &'a str,
}

/// Everything that the checks of an audit read.
pub(super) struct Subject<'a> {
    pub(super) models: Audited<'a>,
    pub(super) job: Job,
    pub(super) tools: &'a Tools<'a>,
    /// What should have been forgotten, tokenised.
    pub(super) forgotten: Option<TrainPlan>,
    /// Other wordings of it and of the hold-out, from the probe file.
    pub(super) paraphrases: [Vec<Example>; 2],
    pub(super) relearn: Option<RelearnPlan>,
    pub(super) low_rank: Option<RelearnPlan>,
    /// Models that never saw the passages, opened.
    opened: Vec<(String, Decoder)>,
    pub(super) questions: Vec<SecretQuestion>,
    pub(super) seed: u64,
}

impl<'a> Subject<'a> {
    /// Reads what the job names.
    pub(super) fn new(
        models: Audited<'a>,
        job: &Job,
        options: &AuditOptions,
        tools: &'a Tools<'a>,
    ) -> Result<Self, RunError> {
        let mut job = job.clone();
        // The checks decide which attacks are run.
        job.gradient.attack = Some(false);
        job.passages.retain(|found| found.verb == PassageVerb::Forget);
        for operation in &mut job.passages {
            let new = options.references.iter().filter(|name| !operation.references.contains(name));
            let new: Vec<String> = new.cloned().collect();
            operation.references.extend(new);
        }
        let model = models.model;
        let forgotten = TrainPlan::all(model, &job)?.pop();
        let relearn = forgotten.as_ref().map(|plan| RelearnPlan::new(model, &job, plan));
        let mut relearn = match relearn.transpose() {
            Err(RunError::TooFewToAttack { .. } | RunError::TooLarge(_)) => None,
            found => found?,
        };
        if let (Some(plan), Some(most)) = (&mut relearn, options.relearn_steps) {
            plan.steps.retain(|step| *step <= most);
        }
        let low_rank = relearn.as_ref().map(|plan| plan.with_rank(model, &job, RANK));
        let trainings: Vec<&TrainPlan> = forgotten.iter().collect();
        let seed = job.gradient.seed.unwrap_or(0);
        let questions = secret_questions(model, &job, (&trainings, seed))?;
        let paraphrases = paraphrases(model, &job)?;
        let names = forgotten.iter().flat_map(|plan| &plan.references);
        let opened = names.map(|name| Ok((name.clone(), open(tools, name)?)));
        Ok(Self {
            models,
            tools,
            paraphrases,
            relearn,
            low_rank: low_rank.transpose()?,
            opened: opened.collect::<Result<_, RunError>>()?,
            questions,
            seed,
            job,
            forgotten,
        })
    }

    /// The passages that should have been forgotten.
    pub(super) fn passages(&self) -> &[Example] {
        self.forgotten.as_ref().map_or(&[], |plan| &plan.sets.passages)
    }

    /// Passages that no model of the audit has read.
    pub(super) fn holdout(&self) -> &[Example] {
        self.forgotten.as_ref().map_or(&[], |plan| &plan.sets.holdout)
    }

    /// Questions about the passages, and about those that no model of the audit has read.
    pub(super) fn asked(&self) -> Option<[&[Example]; 2]> {
        let asked = &self.forgotten.as_ref()?.sets.questions;
        (!asked.passages.is_empty()).then_some([&asked.passages, &asked.holdout])
    }

    /// What the base says in its own words of the subjects of the passages.
    pub(super) fn own_words(&self) -> Result<OwnWords, RunError> {
        match (&self.forgotten, self.models.base) {
            (Some(plan), Some(base)) => own_words(base, &base.decoder, plan, self.tools),
            _ => Ok(OwnWords::default()),
        }
    }

    /// Whether the passages name nobody and nothing.
    pub(super) fn has_no_subjects(&self) -> bool {
        self.forgotten.as_ref().is_none_or(|plan| plan.subjects.passages.is_empty())
    }

    /// Passages that should have stayed.
    pub(super) fn retained(&self) -> &[Example] {
        self.forgotten.as_ref().map_or(&[], |plan| &plan.sets.retain)
    }

    /// Names of models that never saw the passages.
    pub(super) fn references(&self) -> &[String] {
        self.forgotten.as_ref().map_or(&[], |plan| &plan.references)
    }

    /// One of them.
    pub(super) fn reference(&self, name: &str) -> Result<Decoder, RunError> {
        match self.opened.iter().find(|(known, _)| known == name) {
            Some((_, decoder)) => Ok(decoder.clone()),
            None => open(self.tools, name),
        }
    }

    pub(super) fn has_erased(&self) -> bool {
        self.job.facts.iter().any(|fact| matches!(fact, Fact::Erase(_)))
    }

    pub(super) fn has_inserted(&self) -> bool {
        self.job.facts.iter().any(|fact| matches!(fact, Fact::Insert(_)))
    }
}

fn open(tools: &Tools<'_>, name: &str) -> Result<Decoder, RunError> {
    (tools.open_reference)(name)
        .map_err(|source| RunError::Reference { name: name.to_owned(), source })
}

/// The `[[forget]]` and `[[holdout]]` texts of the probe file.
fn paraphrases(model: &Model, job: &Job) -> Result<[Vec<Example>; 2], RunError> {
    let texts = |of: fn(&PromptSet) -> &Vec<String>| -> Vec<Passage> {
        let all = job.cases.iter().flat_map(|case| of(&case.prompts));
        all.map(|text| Passage::of_text(text.clone())).collect()
    };
    let of = |texts: &[Passage]| examples(model, texts, model.decoder.config().context);
    Ok([of(&texts(|it| &it.forget))?, of(&texts(|it| &it.holdout))?])
}
