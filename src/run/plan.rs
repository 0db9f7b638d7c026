//! The plan of a run: everything that it will do, resolved, printable and kept in the patch.

use serde::Serialize;

use super::attack::AttackPlan;
use super::job::{Input, Job};
use super::train_plan::TrainPlan;
use super::{Grouping, RunError};
use crate::model::Model;
use crate::plan::{PlannedEdit, WritePlan, plan, plan_separately};
use crate::progress::{Progress, counted};
use crate::spec::Method;
use crate::verdict::Thresholds;

/// The steps of a run: facts first, then passages to learn, then passages to forget.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Version of this structure.
    pub schema: u32,
    /// Display name of the base model.
    pub model: String,
    /// Which facts share a model.
    pub grouping: Grouping,
    /// How many facts each group has.
    pub groups: Vec<usize>,
    /// The steps, in order; each starts from the result of the one before.
    pub steps: Vec<Step>,
    /// The attack on what is removed, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<AttackPlan>,
    /// The thresholds of the verdict.
    pub thresholds: Thresholds,
    /// Every file that decides the result.
    pub inputs: Vec<Input>,
    /// Warnings to show before the run starts.
    pub warnings: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Facts are inserted and erased.
    Write(Box<WritePlan>),
    /// Passages are learnt or forgotten.
    Train(Box<TrainPlan>),
}

impl Plan {
    /// Plans `job` for `model`, whose display name is `name`; its prompts are taken as they stand,
    /// so that a job with a form of its own goes through [`Job::put_to`] first.
    ///
    /// Runs the model to sample prefixes and to see what it knows of erased facts, and tokenises
    /// the passages.
    pub fn new(
        model: &Model,
        name: &str,
        job: &Job,
        progress: &dyn Progress,
    ) -> Result<Self, RunError> {
        job.start.check(&job.facts)?;
        let (mut steps, mut warnings) = (Vec::new(), job.notes.clone());
        if !job.facts.is_empty() {
            let is_isolated = job.grouping == Grouping::Isolated;
            let make = if is_isolated { plan_separately } else { plan };
            let mut write = make(model, name, &job.facts, &job.rank_one, progress)?;
            check_groups(job, write.method)?;
            warnings.append(&mut write.warnings);
            steps.push(Step::Write(Box::new(write)));
        }
        let trainings = TrainPlan::all(model, job)?;
        let attack = AttackPlan::new(model, job, &trainings.iter().collect::<Vec<_>>())?;
        for train in trainings {
            warnings.extend(train.warnings());
            steps.push(Step::Train(Box::new(train)));
        }
        Ok(Self {
            schema: 2,
            model: name.to_owned(),
            grouping: job.grouping,
            groups: job.groups.clone(),
            steps,
            attack,
            thresholds: job.thresholds,
            inputs: job.inputs()?,
            warnings,
        })
    }

    /// The step that writes facts, if there is one.
    pub fn write(&self) -> Option<&WritePlan> {
        self.steps.iter().find_map(|step| match step {
            Step::Write(write) => Some(write.as_ref()),
            Step::Train(_) => None,
        })
    }

    /// The steps that train, in order.
    pub fn trainings(&self) -> impl Iterator<Item = &TrainPlan> {
        self.steps.iter().filter_map(|step| match step {
            Step::Train(train) => Some(train.as_ref()),
            Step::Write(_) => None,
        })
    }

    /// The facts, in order.
    pub fn edits(&self) -> &[PlannedEdit] {
        self.write().map_or(&[], |write| &write.edits)
    }

    /// Whether one model holds all changes, so that they can be one patch.
    pub fn is_one_model(&self) -> bool {
        self.grouping != Grouping::Isolated || self.groups.len() < 2
    }

    /// The seed of the first step.
    pub fn seed(&self) -> u64 {
        match self.steps.first() {
            Some(Step::Write(write)) => write.settings.seed,
            Some(Step::Train(train)) => train.settings.seed,
            None => 0,
        }
    }

    /// The first words of a passage that is forgotten, or else learnt, to ask for the rest.
    pub fn first_words(&self, model: &Model) -> Option<String> {
        const WORDS: usize = 8;
        let example = self.trainings().last()?.sets.passages.first()?;
        let text = model.tokenizer.decode(&example.ids[..example.first_target.max(1)]).ok()?;
        let whole = model.tokenizer.decode(&example.ids).ok()?;
        let all: Vec<&str> = whole.split_whitespace().collect();
        // Something has to be left to be said.
        let words = &all[..WORDS.min(all.len().div_ceil(2))];
        let asked = text.split_whitespace().count() > 1;
        Some(if asked { text.trim().to_owned() } else { words.join(" ") })
    }

    /// One sentence for each step, and one on the attack.
    pub fn describe(&self) -> Vec<String> {
        let one = |step: &Step| match step {
            Step::Write(write) => format!("{}{}", describe_write(write), self.how()),
            Step::Train(train) => train.describe(),
        };
        let attack = self.attack.as_ref().and_then(AttackPlan::describe);
        self.steps.iter().map(one).chain(attack).collect()
    }

    /// How facts share models, where it is not obvious.
    fn how(&self) -> String {
        let size = self.groups.first().copied().unwrap_or(0);
        match (self.grouping, self.groups.len()) {
            (Grouping::Together, _) | (_, 0 | 1) => String::new(),
            (Grouping::Isolated, _) if size == 1 => ", each into the base separately".into(),
            (Grouping::Isolated, _) => format!(", {size} at a time into the base"),
            (Grouping::Sequential, _) => format!(", in batches of {size}, one after the other"),
        }
    }
}

/// Batches need a method that writes several facts together.
fn check_groups(job: &Job, method: Method) -> Result<(), RunError> {
    let mut end = 0;
    let mut is_batch = |size: &usize| {
        let start = end;
        end += size;
        // The facts of one record belong together, and rome writes them one after the other.
        let is_record = job.cases.iter().any(|case| case.facts == (start..end));
        *size > 1 && !(is_record && job.grouping == Grouping::Isolated)
    };
    let has_batches = job.grouping != Grouping::Together && job.groups.iter().any(&mut is_batch);
    match has_batches && !method.is_batched() {
        true => Err(RunError::OneAtATime),
        false => Ok(()),
    }
}

fn describe_write(plan: &WritePlan) -> String {
    let first = &plan.edits[0].contexts[0];
    let token = first.pieces[first.lookup].trim();
    let erased = plan.edits.iter().filter(|edit| edit.erase.is_some()).count();
    let count = |verb: &str, n: usize| match n {
        0 => None,
        n => Some(format!("{verb} {}", counted(n, "fact"))),
    };
    let parts = [count("insert", plan.edits.len() - erased), count("erase", erased)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let method = plan.method;
    let by = if method.is_batched() { format!(" by {}", method.name()) } else { String::new() };
    format!(
        "{}{by} at {}, lookup token {token:?}, {}, seed {}",
        parts.join(" and "),
        layers(plan),
        counted(plan.edits[0].contexts.len(), "context"),
        plan.settings.seed
    )
}

/// The layers of a plan in words: `layer 6` or `layers 4, 5, 6`.
pub(super) fn layers(plan: &WritePlan) -> String {
    let names: Vec<String> = plan.layers.iter().map(usize::to_string).collect();
    format!("layer{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}
