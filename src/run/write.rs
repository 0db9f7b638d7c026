//! Writes a group of facts: one after the other by ROME, together by the other methods.

use candle_core::{Device, Tensor};

use super::RunError;
use super::budget::{Budget, most};
use super::outcome::FactOutcome;
use super::plan::layers;
use crate::delta::{Keys, WeightDelta};
use crate::files::Sha256;
use crate::model::{Decoder, Model};
use crate::plan::{PlannedEdit, WritePlan};
use crate::progress::{Inner, Progress, counted};
use crate::rank_one::kept::{joined, rows};
use crate::rank_one::targets::{FactGroup, ValueStore, fact_groups, fact_groups_by_subject, find};
use crate::rank_one::{
    Edited, Factored, OptimisedValue, RankOneError, Writer, WrittenBatch, WrittenFact, write_fact,
};
use crate::ranks::{ALONE, Ranks, Shared};

/// Writes groups of facts into one model.
pub(super) struct FactWriter<'a> {
    model: &'a Model,
    plan: &'a WritePlan,
    factored: &'a [Factored],
    store: &'a ValueStore,
    budget: Option<&'a Budget<'a>>,
    /// The model before the first group, in which the values of batches are found.
    start: Edited,
    state: State<'a>,
    /// The processes that find values, and the digest of the job that they work on.
    ranks: (&'a Ranks, Sha256),
}

/// The state of the model, by kind of method.
enum State<'a> {
    /// Facts are written together, and the facts of earlier groups are kept.
    Batches(Box<Writer<'a>>),
    /// Facts are written one after the other; the keys are theirs.
    Singly { decoder: Box<Decoder>, delta: WeightDelta, keys: Vec<Vec<f32>> },
}

/// The result of writing one group.
pub(super) struct WrittenGroup {
    pub(super) facts: Vec<FactOutcome>,
    /// The relative norm ‖ΔW‖/‖W‖, layer by layer.
    pub(super) relative_norms: Vec<f64>,
    /// Mean share of the distance to its target that each fact's residual stream covered; of
    /// batches.
    pub(super) reached: Option<f64>,
    pub(super) seconds: f64,
    /// Number of facts whose value came from the cache.
    pub(super) from_cache: usize,
}

impl WrittenGroup {
    /// Of facts that were not written.
    pub(super) fn left_out(edits: &[PlannedEdit], ids: &[String], why: &RankOneError) -> Self {
        let why = too_large(why);
        let fact =
            |(edit, id): (&PlannedEdit, &String)| FactOutcome::unwritten(id, edit, why.clone());
        Self {
            facts: edits.iter().zip(ids).map(fact).collect(),
            relative_norms: Vec::new(),
            reached: None,
            seconds: 0.,
            from_cache: 0,
        }
    }
}

impl<'a> FactWriter<'a> {
    /// Writes into `start`; groups that follow each other are written as batches by any method.
    pub(super) fn new(
        model: &'a Model,
        plan: &'a WritePlan,
        (factored, store): (&'a [Factored], &'a ValueStore),
        (start, is_sequential): (Edited, bool),
        budget: Option<&'a Budget<'a>>,
    ) -> Self {
        let state = match plan.method.is_batched() || is_sequential {
            true => State::Batches(Box::new(Writer::new(model, plan, factored, start.clone()))),
            false => State::Singly {
                decoder: Box::new(start.decoder.clone()),
                delta: start.delta.clone(),
                keys: Vec::new(),
            },
        };
        let ranks = (&ALONE, Sha256::of(""));
        Self { model, plan, factored, store, budget, start, state, ranks }
    }

    /// Finds the values of batches on all of these ranks, for the job with that digest.
    pub(super) fn with_ranks(self, ranks: &'a Ranks, job: Sha256) -> Self {
        Self { ranks: (ranks, job), ..self }
    }

    /// All changes so far, those of the start among them.
    pub(super) fn delta(&self) -> &WeightDelta {
        match &self.state {
            State::Batches(writer) => writer.delta(),
            State::Singly { delta, .. } => delta,
        }
    }

    /// The model as edited so far.
    pub(super) fn decoder(&self) -> &Decoder {
        match &self.state {
            State::Batches(writer) => writer.decoder(),
            State::Singly { decoder, .. } => decoder,
        }
    }

    /// Writes a group, as far as the budget allows; `ids` names its facts.
    pub(super) fn write(
        &mut self,
        edits: &'a [PlannedEdit],
        ids: &[String],
        is_shown: bool,
        progress: &dyn Progress,
    ) -> Result<WrittenGroup, RunError> {
        let (model, plan) = (self.model, self.plan);
        let started = progress.now();
        let inner = Inner(progress);
        let shown: &dyn Progress = if is_shown { progress } else { &inner };
        let mut group = match &mut self.state {
            State::Batches(writer) => {
                let fact_groups = fact_groups(edits);
                let into = (&self.start.decoder, self.store);
                let values = find_values(into, plan, (&fact_groups, ids), self.ranks, shown)?;
                let found = (fact_groups.as_slice(), values.values.as_slice());
                let kept = match self.budget {
                    None => write_all(writer, found, ids, shown)?,
                    Some(budget) => write_within(writer, budget, found, ids, shown)?,
                };
                if let Some(written) = &kept.written {
                    describe_batch(plan, &values, written, shown);
                }
                batch_outcome(edits, ids, &fact_groups, values, kept)
            }
            State::Singly { decoder, delta, keys } => {
                let tensor = model.down_projection_name(plan.layer);
                let kept = rows(&self.start.keys, tensor)?;
                let factored = (&self.factored[0], kept.as_slice());
                let budget = self.budget;
                Singly { tensor, plan, factored, budget, decoder, delta, keys }
                    .write(edits, ids, shown)?
            }
        };
        group.seconds = (progress.now() - started).as_secs_f64();
        Ok(group)
    }

    /// All changes so far, and the model that has them.
    pub(super) fn finish(self) -> Result<Edited, RunError> {
        match self.state {
            State::Batches(writer) => Ok(writer.finish()?),
            // Nothing was written.
            State::Singly { keys, .. } if keys.is_empty() => Ok(self.start),
            State::Singly { decoder, delta, keys } => {
                let tensor = self.model.down_projection_name(self.plan.layer).to_owned();
                let own = Keys::from([(tensor, Tensor::new(keys, &Device::Cpu)?)]);
                let keys = joined(self.start.keys, &own)?;
                Ok(Edited { delta, keys, decoder: *decoder })
            }
        }
    }
}

/// Facts written one after the other, those about one subject together.
struct Singly<'s> {
    /// Name of the weight that is changed.
    tensor: &'s str,
    plan: &'s WritePlan,
    /// Its second moment, and the keys of facts that were written before this run.
    factored: (&'s Factored, &'s [Vec<f32>]),
    budget: Option<&'s Budget<'s>>,
    decoder: &'s mut Decoder,
    delta: &'s mut WeightDelta,
    keys: &'s mut Vec<Vec<f32>>,
}

impl Singly<'_> {
    fn write(
        self,
        edits: &[PlannedEdit],
        ids: &[String],
        progress: &dyn Progress,
    ) -> Result<WrittenGroup, RunError> {
        let mut facts: Vec<Option<FactOutcome>> = vec![None; edits.len()];
        for group in fact_groups_by_subject(self.plan, edits) {
            let places: Vec<usize> = group.iter().filter_map(|edit| place(edits, edit)).collect();
            let started = progress.now();
            let (fact, edited) =
                write_fact(self.decoder, self.plan, &group, self.factored, progress).map_err(
                    |source| RunError::Write { what: named(&[ids[places[0]].clone()]), source },
                )?;
            let seconds = (progress.now() - started).as_secs_f64();
            describe_fact(&fact, seconds, progress);
            let relative_norm = fact.change.relative_norm;
            let one =
                WeightDelta { changes: [(self.tensor.to_owned(), fact.change.change)].into() };
            let all = self.delta.clone().plus(&one)?;
            let objection = self.budget.map(|it| it.objection(&all, &edited, progress));
            if let Some(why) = objection.transpose()?.flatten() {
                progress.note("left out", &format!("{}: {why}", group[0].subject));
                for at in places {
                    facts[at] = Some(FactOutcome::unwritten(&ids[at], &edits[at], why.clone()));
                }
                continue;
            }
            *self.delta = all;
            self.keys.extend(fact.keys);
            *self.decoder = edited;
            let seconds = seconds / group.len() as f64;
            for at in places {
                let outcome = FactOutcome::new(&ids[at], &edits[at], &fact.value);
                facts[at] = Some(FactOutcome { relative_norm, seconds, ..outcome });
            }
        }
        let facts: Vec<FactOutcome> = facts.into_iter().flatten().collect();
        let largest = facts.iter().map(|fact| fact.relative_norm).fold(0., f64::max);
        let relative_norms = vec![largest];
        Ok(WrittenGroup { facts, relative_norms, reached: None, seconds: 0., from_cache: 0 })
    }
}

fn place(edits: &[PlannedEdit], edit: &PlannedEdit) -> Option<usize> {
    edits.iter().position(|other| std::ptr::eq(other, edit))
}

/// The name of a group of facts in an error.
fn named(ids: &[String]) -> String {
    match ids {
        [id] => format!("the fact about {id:?}"),
        [first, .., last] => format!("the facts about {first:?} to {last:?}"),
        [] => "no fact".into(),
    }
}

/// Values of a batch, and the number of its facts whose values came from the cache.
struct FoundValues {
    values: Vec<OptimisedValue>,
    from_cache: usize,
}

/// The δ of each fact group: from the cache, or optimised now and stored there, by whichever rank is
/// free.
fn find_values(
    (decoder, store): (&Decoder, &ValueStore),
    plan: &WritePlan,
    (fact_groups, ids): (&[FactGroup<'_>], &[String]),
    (ranks, job): (&Ranks, Sha256),
    progress: &dyn Progress,
) -> Result<FoundValues, RunError> {
    progress.phase("values", Some(fact_groups.len() as u64));
    let subjects: Vec<String> = fact_groups.iter().map(|facts| facts[0].subject.clone()).collect();
    let (tasks, label) = (fact_groups.len(), |at: usize| subjects[at].clone());
    // The batches of a sequence are work of their own.
    let job = Sha256::of(format!("{job} {ids:?}"));
    let work = Shared { job, name: "values", tasks, label: &label };
    let found = ranks.share(&work, progress, &mut |at| {
        let facts = &fact_groups[at];
        let known = store.get(plan, facts, decoder.config().hidden, progress);
        let from_cache = if known.is_some() { facts.len() } else { 0 };
        let value = match known {
            Some(value) => value,
            None => find_value((decoder, store), plan, facts, progress)?,
        };
        Ok::<_, RunError>((value, from_cache))
    })?;
    let from_cache = found.iter().map(|(_, from_cache)| from_cache).sum();
    let values = found.into_iter().map(|(value, _)| value).collect();
    Ok(FoundValues { values, from_cache })
}

fn find_value(
    (decoder, store): (&Decoder, &ValueStore),
    plan: &WritePlan,
    facts: &FactGroup<'_>,
    progress: &dyn Progress,
) -> Result<OptimisedValue, RunError> {
    let value = find(decoder, plan, facts, &Inner(progress)).map_err(|source| RunError::Write {
        what: format!("the fact about {:?}", facts[0].subject),
        source,
    })?;
    store.put(plan, facts, &value, progress);
    Ok(value)
}

/// Why a change that is too large was not written, and what allows it.
fn too_large(why: &RankOneError) -> String {
    format!("{why}; a larger --max-delta allows it")
}

/// The result of writing a batch, all of it or a part.
struct Kept {
    /// Nothing where no fact could be written.
    written: Option<WrittenBatch>,
    /// Places of the fact groups that were left out.
    left_out: Vec<usize>,
    /// Why.
    why: String,
}

/// Fact groups and the value of each.
type Found<'f> = (&'f [FactGroup<'f>], &'f [OptimisedValue]);

fn write_all(
    writer: &mut Writer<'_>,
    (fact_groups, values): Found<'_>,
    ids: &[String],
    progress: &dyn Progress,
) -> Result<Kept, RunError> {
    let written = writer
        .write(fact_groups, values, progress)
        .map_err(|source| RunError::Write { what: named(ids), source })?;
    Ok(Kept { written: Some(written), left_out: Vec::new(), why: String::new() })
}

/// Writes as many fact groups as the budget allows; those whose values change most are left out.
fn write_within(
    writer: &mut Writer<'_>,
    budget: &Budget<'_>,
    (fact_groups, values): Found<'_>,
    ids: &[String],
    progress: &dyn Progress,
) -> Result<Kept, RunError> {
    let size = |at: &usize| values[*at].delta.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| size(a).total_cmp(&size(b)));
    let attempt = |count: usize| {
        let mut chosen = order[..count].to_vec();
        // Facts are written in their own order.
        chosen.sort_unstable();
        let groups: Vec<FactGroup<'_>> = chosen.iter().map(|at| fact_groups[*at].clone()).collect();
        let values: Vec<OptimisedValue> = chosen.iter().map(|at| values[*at].clone()).collect();
        let mut tried = writer.clone();
        let written = match tried.write(&groups, &values, progress) {
            Ok(written) => written,
            Err(why @ RankOneError::TooLarge { .. }) => return Ok(Err(too_large(&why))),
            Err(source) => return Err(RunError::Write { what: named(ids), source }),
        };
        let objection = budget.objection(tried.delta(), tried.decoder(), progress)?;
        Ok(objection.map_or(Ok((tried, written)), Err))
    };
    let (count, made, why) = most(order.len(), attempt)?;
    let mut left_out = order.split_off(count);
    left_out.sort_unstable();
    if !left_out.is_empty() {
        let subjects: Vec<&str> =
            left_out.iter().map(|at| fact_groups[*at][0].subject.as_str()).collect();
        progress.note("left out", &format!("{}: {why}", subjects.join(", ")));
    }
    let written = made.map(|(tried, written)| {
        *writer = tried;
        written
    });
    Ok(Kept { written, left_out, why })
}

fn batch_outcome(
    edits: &[PlannedEdit],
    ids: &[String],
    fact_groups: &[FactGroup<'_>],
    found: FoundValues,
    Kept { written, left_out, why }: Kept,
) -> WrittenGroup {
    let relative_norms = written.as_ref().map_or_else(Vec::new, |it| it.relative_norms.clone());
    let relative_norm = relative_norms.iter().copied().fold(0., f64::max);
    let mut facts: Vec<Option<FactOutcome>> = vec![None; edits.len()];
    for (number, (group, value)) in fact_groups.iter().zip(&found.values).enumerate() {
        for at in group.iter().filter_map(|edit| place(edits, edit)) {
            let (id, edit) = (&ids[at], &edits[at]);
            facts[at] = Some(match left_out.contains(&number) {
                true => FactOutcome::unwritten(id, edit, why.clone()),
                false => FactOutcome { relative_norm, ..FactOutcome::new(id, edit, value) },
            });
        }
    }
    WrittenGroup {
        facts: facts.into_iter().flatten().collect(),
        relative_norms,
        reached: written.map(|it| it.reached),
        seconds: 0.,
        from_cache: found.from_cache,
    }
}

fn describe_fact(fact: &WrittenFact, seconds: f64, progress: &dyn Progress) {
    let last = fact.value.steps.last().expect("at least one evaluation");
    // Those that are not part of every loss are named where they count.
    let others =
        [("end", last.end), ("lens", last.lens)].into_iter().filter(|(_, part)| *part > 0.);
    let parts = [("nll", last.nll), ("kl", last.kl), ("decay", last.decay)].into_iter();
    let parts: Vec<String> =
        parts.chain(others).map(|(name, part)| format!("{name} {part:.3}")).collect();
    let steps = counted(fact.value.steps.len(), "step");
    progress.note("value", &format!("{steps} · {}", parts.join(" + ")));
    let percent = 100. * fact.change.relative_norm;
    progress.note("delta", &format!("rank 1 · |ΔW|/|W| {percent:.1} % · {seconds:.1} s"));
}

fn describe_batch(
    plan: &WritePlan,
    found: &FoundValues,
    written: &WrittenBatch,
    progress: &dyn Progress,
) {
    let n = found.values.len();
    let steps = found.values.iter().map(|value| value.steps.len()).sum::<usize>() as f64;
    let origin = match found.from_cache {
        0 => String::new(),
        cached => format!(" · {cached} from the cache"),
    };
    let steps = steps / n as f64;
    progress.note("values", &format!("{} · {steps:.1} steps each{origin}", counted(n, "value")));
    let norms: Vec<String> =
        written.relative_norms.iter().map(|norm| format!("{:.1}", 100. * norm)).collect();
    let (norms, reached) = (norms.join(", "), 100. * written.reached);
    let text = format!("{} · |ΔW|/|W| {norms} % · {reached:.0} % of the way", layers(plan));
    progress.note("delta", &text);
}
