//! Facts, group by group: each group is written and its model measured, in turn or by whichever rank
//! is free.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Run;
use crate::delta::WeightDelta;
use crate::model::Decoder;
use crate::plan::{PlannedEdit, WritePlan};
use crate::probe::{Damage, Leak};
use crate::progress::Inner;
use crate::rank_one::RankOneError;
use crate::rank_one::targets::ValueStore;
use crate::ranks::{ALONE, Shared};
use crate::run::budget::Budget;
use crate::run::job::Case;
use crate::run::measure::{AskedCase, TOGETHER, ask_edited};
use crate::run::outcome::{CaseMeasures, Collapse, GroupOutcome};
use crate::run::price::Price;
use crate::run::write::{FactWriter, WrittenGroup};
use crate::run::{Grouping, RunError, layers};

/// A group that was written, and what was measured of its model.
#[derive(Serialize, Deserialize)]
struct MeasuredGroup {
    outcome: GroupOutcome,
    /// What its model says about the cases whose last fact it has.
    right_after: Vec<(usize, CaseMeasures)>,
    leaks: Vec<Leak>,
    from_cache: usize,
}

impl<'a> Run<'a> {
    /// Writes group after group, each into the start where they are isolated.
    pub(super) fn write(&mut self, write: &'a WritePlan) -> Result<(), RunError> {
        let (model, tools) = (self.model, self.tools);
        let corpus = self.job.rank_one.corpus.as_ref();
        let factored = layers::ready(model, write, corpus, tools)?;
        let prices = || layers::prices(model, write, tools);
        self.prices = tools.ranks.first_on_rank_0(tools.progress, prices)?;
        let budget = Budget::of(model, write, self.prices.as_ref(), tools)?;
        let weights = self.job.start.weights(model.weights_hash()?);
        let store = ValueStore::open(tools.cache, weights)?;
        let is_sequential = self.plan.grouping == Grouping::Sequential;
        let start = self.left.clone();
        let into = || (start.clone(), is_sequential);
        let is_one_model = self.plan.is_one_model();
        // The tasks of ranks share out nothing themselves.
        let ranks = if is_one_model { tools.ranks } else { &ALONE };
        let identity = self.identity;
        let new = || {
            let writer =
                FactWriter::new(model, write, (&factored, &store), into(), budget.as_ref());
            writer.with_ranks(ranks, identity)
        };
        if !is_one_model {
            let groups = self.isolated(write, budget.as_ref(), &new)?;
            groups.into_iter().for_each(|group| self.take(group));
            return Ok(());
        }
        let prompts = self.fluency_prompts();
        if is_sequential {
            self.fluency_before = self.fluency(&model.decoder, &prompts)?;
        }
        let (mut writer, mut first) = (new(), 0);
        for (at, size) in self.plan.groups.iter().enumerate() {
            let edits = &write.edits[first..first + size];
            let ids = self.ids(edits, first);
            let written = writer.write(edits, &ids, true, tools.progress)?;
            first += size;
            let price = self.price(writer.delta())?;
            let group =
                self.measured_group(writer.decoder(), (at, first), (written, price), &prompts)?;
            self.take(group);
            if is_sequential && self.has_collapsed(write) {
                break;
            }
        }
        self.left = writer.finish()?;
        Ok(())
    }

    /// Groups that are each written into the start, by whichever rank is free. One progress bar
    /// covers them; the steps inside a group show none of their own.
    fn isolated<'w>(
        &self,
        write: &'w WritePlan,
        budget: Option<&Budget<'_>>,
        new: &dyn Fn() -> FactWriter<'w>,
    ) -> Result<Vec<MeasuredGroup>, RunError> {
        let (progress, groups) = (self.tools.progress, &self.plan.groups);
        let ends = groups.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        let ranges: Vec<Range<usize>> =
            ends.zip(groups).map(|(end, size)| end - size..end).collect();
        let is_each = groups.len() == self.job.cases.len();
        let name = if is_each { "records" } else { "batches" };
        progress.phase(name, Some(groups.len() as u64));
        let label = |at: usize| write.edits[ranges[at].start].subject.clone();
        let work = Shared { job: self.identity, name, tasks: groups.len(), label: &label };
        self.tools.ranks.share(&work, progress, &mut |at| {
            let (edits, first) = (&write.edits[ranges[at].clone()], ranges[at].start);
            // What another group measured would make this one depend on their order.
            budget.iter().for_each(|budget| budget.forget());
            let (ids, mut writer) = (self.ids(edits, first), new());
            let written = match writer.write(edits, &ids, false, progress) {
                // A record that would change too much leaves its model as it was, and the others
                // theirs.
                Err(RunError::Write { what, source: source @ RankOneError::TooLarge { .. } }) => {
                    progress.note("unwritten", &format!("{what}: {source}"));
                    writer = new();
                    WrittenGroup::left_out(edits, &ids, &source)
                }
                written => written?,
            };
            let price = self.price(writer.delta())?;
            self.measured_group(writer.decoder(), (at, ranges[at].end), (written, price), &[])
        })
    }

    fn ids(&self, edits: &[PlannedEdit], first: usize) -> Vec<String> {
        (first..).zip(edits).map(|(at, edit)| self.id(at, edit)).collect()
    }

    /// A fact's name: its record's number, or in a spec its subject.
    fn id(&self, at: usize, edit: &PlannedEdit) -> String {
        let is_record = |case: &&Case| case.facts.contains(&at) && self.job.cases.len() > 1;
        let record = self.job.cases.iter().find(is_record);
        record.map_or_else(|| edit.subject.clone(), |case| case.id.clone())
    }

    /// Measures the cases whose last fact was just written, and in sequences the model's health.
    fn measured_group(
        &self,
        decoder: &Decoder,
        (group, written_to): (usize, usize),
        (written, price): (WrittenGroup, Option<Price>),
        prompts: &[String],
    ) -> Result<MeasuredGroup, RunError> {
        let first = written_to - written.facts.len();
        let progress = Inner(self.tools.progress);
        let (mut right_after, mut leaks) = (Vec::new(), Vec::new());
        let is_due = |case: &Case| case.facts.end > first && case.facts.end <= written_to;
        if self.plan.groups.len() > 1 {
            let cases = self.job.cases.iter().enumerate().filter(|(_, case)| is_due(case));
            let due: Vec<usize> = cases.map(|(at, _)| at).collect();
            for at in due.chunks(TOGETHER) {
                let cases: Vec<&AskedCase> = at.iter().map(|at| &self.cases[*at]).collect();
                let measures = ask_edited(self.model, decoder, &cases, &progress)?;
                right_after.extend(at.iter().copied().zip(measures));
            }
        }
        let is_isolated = !self.plan.is_one_model();
        if is_isolated {
            let edits = &self.plan.edits()[first..written_to];
            leaks = self.leaks_of(decoder, edits, first)?;
        }
        // A sequence of one group may break the model as well.
        let is_sequence = self.plan.grouping == Grouping::Sequential;
        let damage = match self.plan.groups.len() {
            1 if !is_sequence => None,
            _ => self.damage_of_group(decoder, is_isolated.then_some(group))?,
        };
        let fluency = match self.plan.grouping {
            Grouping::Sequential => self.fluency(decoder, prompts)?,
            _ => None,
        };
        let outcome = GroupOutcome {
            facts: written.facts,
            relative_norms: written.relative_norms,
            reached: written.reached,
            damage,
            price,
            fluency,
            seconds: written.seconds,
        };
        Ok(MeasuredGroup { outcome, right_after, leaks, from_cache: written.from_cache })
    }

    /// Adds the next group.
    fn take(&mut self, group: MeasuredGroup) {
        for (at, measures) in group.right_after {
            self.right_after[at] = Some(measures);
        }
        self.leaks.extend(group.leaks);
        self.from_cache += group.from_cache;
        self.groups.push(group.outcome);
    }

    pub(super) fn price(&self, delta: &WeightDelta) -> Result<Option<Price>, RunError> {
        let price = self.prices.as_ref().map(|prices| Price::of(prices, delta)).transpose()?;
        Ok(price.flatten())
    }

    fn has_collapsed(&mut self, write: &WritePlan) -> bool {
        let factor = |damage: &Damage| damage.perplexity_after / damage.perplexity_before;
        let factors: Vec<f64> =
            self.groups.iter().filter_map(|group| group.damage.as_ref()).map(factor).collect();
        self.collapse = Collapse::of(&factors, write.batch.max_perplexity);
        self.collapse.is_some()
    }
}
