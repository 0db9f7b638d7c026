//! What a run is asked for, before a model is opened: from a spec, or from records.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::trim::Trimmer;
use super::{Grouping, RunError};
use crate::files::Sha256;
use crate::patch::Redactor;
use crate::spec::{
    Conflict, EditSpec, Erase, Fact, Form, GradientOptions, Insert, PassageOperation,
    PassageSource, PassageVerb, PromptSet, RankOneOptions, Record, Rippled, Toward, fact_conflicts,
    record_conflicts, spec_text_with, with_ripples,
};
use crate::verdict::Thresholds;

/// Facts and passages, how they are written, and what is measured.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The text of a spec that asks for this job.
    pub source: String,
    /// How prompts are put to the model; each case states it for its own.
    pub form: Form,
    /// The facts, in order.
    pub facts: Vec<Fact>,
    /// The facts without those that only follow from others, where there are such.
    pub without_ripples: Option<Vec<Fact>>,
    /// Passages to be learnt and forgotten.
    pub passages: Vec<PassageOperation>,
    /// The cases that are measured before and after.
    pub cases: Vec<Case>,
    /// Which facts share a model.
    pub grouping: Grouping,
    /// How many facts each group has; their sum is the number of facts.
    pub groups: Vec<usize>,
    /// The options of `[rank_one]`, overridden by flags.
    pub rank_one: RankOneOptions,
    /// The options of `[gradient]`, overridden by flags.
    pub gradient: GradientOptions,
    /// The thresholds of the verdict.
    pub thresholds: Thresholds,
    /// Memory limit of a training, in bytes.
    pub memory: Option<u64>,
    /// Notes for the user on how the input was read.
    pub notes: Vec<String>,
}

/// Facts that are measured together, with their prompts: a record, or all of a spec.
#[derive(Debug, Clone)]
pub struct Case {
    /// The record's number, or the spec's name.
    pub id: String,
    /// The range of its facts in the job.
    pub facts: std::ops::Range<usize>,
    /// Indices of the facts that were asked for, and do not only follow from others.
    pub asked: Vec<usize>,
    /// The prompts that the models are asked.
    pub prompts: PromptSet,
}

/// A file that was read, identified by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// The role of the file, such as `retain`.
    pub role: String,
    /// The path as the user wrote it, joined to the spec's folder.
    pub path: PathBuf,
    /// Digest of the file's content.
    pub sha256: Sha256,
}

impl Job {
    /// The job of a whole spec; `prompts` are those of its probe file, `memory` in bytes limits
    /// each training.
    pub fn of_spec(
        spec: &EditSpec,
        prompts: PromptSet,
        memory: Option<u64>,
    ) -> Result<Self, RunError> {
        let facts = spec_facts(spec, &prompts)?;
        let bare: Vec<Fact> = spec_facts_alone(spec);
        let size = spec.rank_one.sequential;
        let grouping = if size.is_some() { Grouping::Sequential } else { Grouping::Together };
        let id = spec.source.name().to_owned();
        let asked = (0..facts.len()).filter(|at| bare.contains(&facts[*at])).collect();
        let mut prompts = prompts;
        prompts.form = prompts.form.within(spec.form);
        let mut job = Self {
            source: spec.resolved_text(),
            form: Form { blank: prompts.form.blank, ..spec.form },
            without_ripples: (bare.len() < facts.len()).then_some(bare),
            passages: spec.passages.clone(),
            cases: vec![Case { id, facts: 0..facts.len(), asked, prompts }],
            groups: chunks(facts.len(), size.unwrap_or(facts.len())),
            facts,
            grouping,
            rank_one: spec.rank_one.clone(),
            gradient: spec.gradient.clone(),
            thresholds: Thresholds::new(&spec.verdict),
            memory,
            notes: Vec::new(),
        };
        job.trim();
        Ok(job)
    }

    /// The job of records, one case each, in groups of these sizes; with `erase`, the true target
    /// of each is erased, and subjects of other records of `file` serve as those that the model
    /// knows nothing of.
    pub fn of_records(
        records: &[Record],
        file: &[Record],
        (grouping, groups): (Grouping, Vec<usize>),
        erase: Option<&Toward>,
        (rank_one, thresholds): (RankOneOptions, Thresholds),
    ) -> Result<Self, RunError> {
        let facts = match erase {
            None => records.iter().map(|record| record.insert.clone().into()).collect(),
            Some(toward) => erases(records, file, toward)?,
        };
        let case = |(at, record): (usize, &Record)| Case {
            id: record.id.clone(),
            facts: at..at + 1,
            asked: vec![at],
            prompts: record.prompts.clone(),
        };
        let mut job = Self {
            source: spec_text_with(&facts, &rank_one),
            cases: records.iter().enumerate().map(case).collect(),
            facts,
            grouping,
            groups,
            rank_one,
            thresholds,
            ..Self::default()
        };
        job.trim();
        Ok(job)
    }

    /// The prompts of a file, of which nothing is asked but what models say to them.
    pub fn of_prompts(name: &str, prompts: PromptSet, thresholds: Thresholds) -> Self {
        let form = prompts.form;
        let case = Case { id: name.to_owned(), facts: 0..0, asked: Vec::new(), prompts };
        let mut job = Self { form, cases: vec![case], thresholds, ..Self::default() };
        job.trim();
        job
    }

    /// Takes what the job removes out of records; nothing where it removes nothing.
    pub fn redactor(&self) -> Result<Option<Redactor>, RunError> {
        let Some(mut redactor) = Redactor::of_spec(&self.source) else { return Ok(None) };
        let is_forgotten = |found: &&PassageOperation| found.verb == PassageVerb::Forget;
        for operation in self.passages.iter().filter(is_forgotten) {
            for passage in operation.passages.read()? {
                passage.question.iter().for_each(|question| redactor.add_passage(question));
                redactor.add_passage(&passage.text);
            }
        }
        Ok(Some(redactor))
    }

    /// Cuts the blanks around subjects, prompts and targets.
    fn trim(&mut self) {
        let mut trimmer = Trimmer::default();
        let bare = self.without_ripples.iter_mut().flatten();
        self.facts.iter_mut().for_each(|fact| trimmer.fact(fact));
        bare.for_each(|fact| Trimmer::default().fact(fact));
        self.cases.iter_mut().for_each(|case| trimmer.prompts(&mut case.prompts));
        trimmer.notes.dedup();
        self.notes = trimmer.notes;
    }

    /// The files that decide the result, with their digests.
    pub(super) fn inputs(&self) -> Result<Vec<Input>, RunError> {
        let mut files: Vec<(&str, &Path)> = Vec::new();
        let corpus = self.rank_one.corpus.as_deref().filter(|_| !self.facts.is_empty());
        let general = self.gradient.general.as_deref().filter(|_| !self.passages.is_empty());
        files.extend(corpus.map(|path| ("corpus", path)));
        files.extend(general.map(|path| ("general", path)));
        for operation in &self.passages {
            let sources = [
                ("passages", Some(&operation.passages)),
                ("retain", operation.retain.as_ref()),
                ("holdout", operation.holdout.as_ref()),
            ];
            for (role, source) in sources {
                if let Some(PassageSource::File(path)) = source {
                    files.push((role, path));
                }
            }
            let references = operation.references.iter().map(Path::new);
            files.extend(references.filter(|path| path.is_file()).map(|path| ("reference", path)));
        }
        let input = |(role, path): (&str, &Path)| {
            let sha256 = Sha256::of_file(path)?;
            Ok(Input { role: role.to_owned(), path: path.to_owned(), sha256 })
        };
        let mut inputs = files.into_iter().map(input).collect::<Result<Vec<_>, RunError>>()?;
        inputs.dedup();
        Ok(inputs)
    }
}

/// The sizes of chunks of `size` that make up `n`, the last one smaller where there is a rest.
pub fn chunks(n: usize, size: usize) -> Vec<usize> {
    let size = size.max(1);
    (0..n).step_by(size).map(|start| size.min(n - start)).collect()
}

/// The facts of a spec as written: inserts, then erases.
fn spec_facts_alone(spec: &EditSpec) -> Vec<Fact> {
    let inserts = spec.inserts.iter().cloned().map(Fact::from);
    inserts.chain(spec.erases.iter().cloned().map(Fact::from)).collect()
}

/// The facts of a spec, and after each insert its ripples, where the spec asks for them.
fn spec_facts(spec: &EditSpec, prompts: &PromptSet) -> Result<Vec<Fact>, RunError> {
    let Rippled { inserts, without } = with_ripples(&spec.inserts, &prompts.ripple);
    if !without.is_empty() {
        return Err(RunError::NoRipples { subjects: without.join(", nor ") });
    }
    let inserts = inserts.into_iter().map(Fact::from);
    let facts: Vec<Fact> = inserts.chain(spec.erases.iter().cloned().map(Fact::from)).collect();
    let says = |fact: &Fact| match fact {
        Fact::Insert(insert) => format!("{:?}", insert.target_new),
        Fact::Erase(erase) => format!("not {:?}", erase.target_true),
    };
    let line = |clash: &Conflict| {
        let (first, second) = (&facts[clash.first], &facts[clash.second]);
        format!("{:?}: {} and {}", second.rendered(), says(first), says(second))
    };
    let lines: Vec<String> = fact_conflicts(&facts).iter().map(line).collect();
    match lines.is_empty() {
        true => Ok(facts),
        false => Err(RunError::Clashes { what: "ripples clash with facts".into(), lines }),
    }
}

/// Most subjects of other records that an erase is compared with.
const OTHERS: usize = 12;
/// With fewer than this, the plan finds others.
const FEW: usize = 4;

/// Erases of the records' true targets, with the subjects of other records of the relation to
/// compare with.
fn erases(records: &[Record], file: &[Record], toward: &Toward) -> Result<Vec<Fact>, RunError> {
    let erase = |record: &Record| -> Result<Fact, RunError> {
        let Insert { subject, prompt, target_true, .. } = record.insert.clone();
        let Some(target_true) = target_true else {
            return Err(RunError::NothingToErase { record: record.id.clone() });
        };
        let is_other = |other: &&Record| {
            let other_true = other.insert.target_true.as_ref();
            let is_same_kind = other.relation.is_some() && other.relation == record.relation;
            is_same_kind && other.insert.subject != subject && other_true != Some(&target_true)
        };
        let others = file.iter().filter(is_other).map(|other| other.insert.subject.clone());
        let mut others: Vec<String> = others.take(OTHERS).collect();
        if others.len() < FEW {
            others.clear();
        }
        let (toward, secrets, spans) = (toward.clone(), Vec::new(), None);
        Ok(Erase { subject, prompt, target_true, toward, others, secrets, spans }.into())
    };
    records.iter().map(erase).collect()
}

/// Records that can stand in one model, and a line about each that was left out.
pub struct Compatible {
    /// The records, in groups that share a model.
    pub groups: Vec<Vec<Record>>,
    /// A line about each record that was left out: which one it contradicts or repeats.
    pub left_out: Vec<String>,
}

/// The records in groups of `size`, without those that clash with an earlier one of their group.
pub fn compatible(records: &[Record], size: usize) -> Compatible {
    let (mut groups, mut left_out) = (Vec::new(), Vec::new());
    for group in records.chunks(size) {
        let conflicts = record_conflicts(group);
        for Conflict { first, second, is_repeated } in &conflicts {
            let (first, second) = (&group[*first], &group[*second]);
            let what = if *is_repeated { "repeats" } else { "contradicts" };
            left_out.push(format!(
                "record {} {what} record {}: {:?} -> {:?}, and {:?}",
                second.id,
                first.id,
                first.insert.rendered(),
                first.insert.target_new,
                second.insert.target_new
            ));
        }
        let clashes = |at: &usize| conflicts.iter().any(|conflict| conflict.second == *at);
        let kept = (0..group.len()).filter(|at| !clashes(at)).map(|at| group[at].clone());
        groups.push(kept.collect());
    }
    Compatible { groups, left_out }
}
