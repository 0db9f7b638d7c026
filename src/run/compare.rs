//! Compares methods of forgetting, each from the base with several seeds.

use serde::{Deserialize, Serialize};

use super::attack::{Attack, AttackPlan, ReferenceCurves, attack};
use super::general::Forgotten;
use super::identity::identity;
use super::job::Job;
use super::measure::{AskedCase, ask_all, ask_edited};
use super::outcome::CaseMeasures;
use super::references::measure_references;
use super::tools::Tools;
use super::train::{
    ReferenceOutcome, SetsMemory, TrainedModel, TrainingOutcome, remembered, train,
};
use super::train_plan::TrainPlan;
use super::{RunError, general, recall};
use crate::files::Sha256;
use crate::model::Model;
use crate::probe::{BaseText, Damage, SecretLeak};
use crate::progress::Inner;
use crate::ranks::{ALONE, Shared};
use crate::spec::ForgetMethod;

/// A comparison of methods.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Display name of the base model.
    pub model: String,
    /// What the base remembers before anything is forgotten.
    pub before: SetsMemory,
    /// What the base says to the prompts of the spec's probe file.
    pub said_before: Vec<CaseMeasures>,
    /// What models that never saw the passages remember of the sets.
    pub references: Vec<ReferenceOutcome>,
    /// Seconds that training such a model takes, where they were given.
    pub retraining_seconds: Option<f64>,
    /// One run for each method and seed.
    pub runs: Vec<MethodRun>,
}

/// One run of a method.
#[derive(Debug, Serialize, Deserialize)]
pub struct MethodRun {
    /// The method of forgetting.
    pub method: ForgetMethod,
    /// Seed of draws and first factors.
    pub seed: u64,
    /// The outcome of the training.
    pub outcome: TrainingOutcome,
    /// The damage to general text.
    pub damage: Option<Damage>,
    /// What the model says to the prompts of the spec's probe file, and of other subjects.
    pub said: Vec<CaseMeasures>,
    /// What is recoverable of each secret.
    pub secrets: Vec<SecretLeak>,
    /// What an attack brought back, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attack>,
}

/// Forgets the passages of `job` by each method, with `seeds` seeds each from the job's own on.
pub fn compare(
    model: &Model,
    name: &str,
    job: &Job,
    (methods, seeds): (&[ForgetMethod], u64),
    tools: &Tools<'_>,
) -> Result<Comparison, RunError> {
    let progress = tools.progress;
    let mut first = TrainPlan::all(model, job)?.remove(0);
    first.warnings().iter().for_each(|warning| progress.warn(warning));
    let attack_plan = AttackPlan::new(model, job, &[&first])?;
    let job_identity = identity(model, job, "compare")?;
    let (references, curves) = tools.ranks.first_on_rank_0(progress, || {
        general::ready(model, &model.decoder, &mut first, tools)?;
        let references = measure_references(model, &mut first, tools)?;
        let curves = attack_plan.as_ref().map(|plan| ReferenceCurves::new(model, plan, tools));
        Ok::<_, RunError>((references, curves.transpose()?.unwrap_or_default()))
    })?;
    let before = remembered(model, &model.decoder, &first.sets, progress)?;
    let own_seed = job.gradient.seed.unwrap_or(0);
    let text = tools.ranks.first_on_rank_0(progress, || {
        let forgotten = Forgotten::by(std::iter::once(&first));
        general::reported(model, own_seed, &forgotten, tools)
    })?;
    let text = BaseText::new(&model.decoder, &text, &Inner(progress))?;
    let cases = ask_all(model, &job.cases, (&[], job_identity), tools)?;
    let asked: Vec<&AskedCase> = cases.iter().collect();
    let which: Vec<(ForgetMethod, u64)> = methods
        .iter()
        .flat_map(|method| (own_seed..own_seed + seeds).map(|seed| (*method, seed)))
        .collect();
    let label = |at: usize| format!("{:?}, seed {}", which[at].0, which[at].1);
    let job_identity = Sha256::of(format!("{job_identity} {which:?}"));
    let work = Shared { job: job_identity, name: "runs", tasks: which.len(), label: &label };
    // The trainings show what they do themselves.
    tools.ranks.note_known(&work, progress);
    let runs = tools.ranks.share(&work, &Inner(progress), &mut |at| {
        let (method, seed) = which[at];
        let mut one = job.clone();
        (one.gradient.method, one.gradient.seed) = (Some(method), Some(seed));
        let mut plan = TrainPlan::all(model, &one)?.remove(0);
        plan.sets.references.clone_from(&first.sets.references);
        plan.sets.general.clone_from(&first.sets.general);
        if plan.settings.own_words {
            plan.sets.own.clone_from(&first.sets.own);
        }
        if seed == own_seed {
            progress.note("plan", &plan.describe());
        }
        let TrainedModel { outcome, decoder, .. } =
            train(model, &model.decoder, &plan, references.clone(), None, (&ALONE, progress))?;
        let damage = text.damage(&decoder, &text.all(), &model.tokenizer, &Inner(progress))?;
        let said = ask_edited(model, &decoder, &asked, &Inner(progress))?;
        let questions = recall::secret_questions(model, &one, (&[&plan], seed))?;
        let mut secrets = recall::secrets(model, &questions, Some(&decoder), progress)?;
        let asked = (&curves, questions.as_slice(), secrets.as_mut_slice());
        let attack = match &attack_plan {
            Some(plan) => attack(model, &decoder, plan, asked, tools)?,
            None => None,
        };
        Ok::<_, RunError>(MethodRun { method, seed, outcome, damage, said, secrets, attack })
    })?;
    let said_before = cases.into_iter().map(|case| case.before).collect();
    let (model, retraining_seconds) = (name.to_owned(), None);
    Ok(Comparison { model, before, said_before, references, retraining_seconds, runs })
}
