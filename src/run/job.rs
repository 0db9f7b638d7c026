//! What a run is asked for, before a model is opened: from a spec, or from records.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::start::Start;
use super::trim::Trimmer;
use super::{Grouping, RunError};
use crate::files::Sha256;
use crate::patch::Redactor;
use crate::spec::{
    Conflict, EditSpec, Erase, Fact, Form, GradientOptions, Insert, LeftOut, PassageOperation,
    PassageSource, PassageVerb, PromptSet, RankOneOptions, Record, RecordFile, Rippled, Toward,
    fact_conflicts, record_conflicts, spec_text_with, with_ripples,
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
    /// Records of the file that were left out.
    pub left_out: Vec<LeftOut>,
    /// The patches that it starts from.
    pub start: Start,
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
            left_out: Vec::new(),
            start: Start::default(),
        };
        let name = spec.source.name();
        let place = |fact: &Fact| match fact.span() {
            Some(span) => format!("{name}, line {}", spec.source.line_of(span.start)),
            None => name.to_owned(),
        };
        let probe = spec.probe.as_ref().map(|file| file.display().to_string());
        let prompts = |_: &str| probe.clone().unwrap_or_else(|| name.to_owned());
        job.trim(&|_, fact| place(fact), &prompts);
        for operation in &mut job.passages {
            let mut trimmer = Trimmer::new(true);
            trimmer.secrets(name, &mut operation.secrets);
            job.notes.append(&mut trimmer.notes);
        }
        Ok(job)
    }

    /// The job of records, one case each, in groups of so many records; with `erase`, the true
    /// targets of each are erased, and subjects of other records of `file` serve as those that the
    /// model knows nothing of.
    pub fn of_records(
        records: &[Record],
        file: &[Record],
        (grouping, groups): (Grouping, Vec<usize>),
        erase: Option<&Toward>,
        (rank_one, thresholds): (RankOneOptions, Thresholds),
    ) -> Result<Self, RunError> {
        let facts = match erase {
            None => {
                let has_true_alone =
                    |it: &&Record| it.insert.target_true.as_ref() == Some(&it.insert.target_new);
                if let Some(record) = records.iter().find(has_true_alone) {
                    return Err(RunError::NothingToWrite { record: record.id.clone() });
                }
                records.iter().flat_map(Record::inserts).cloned().map(Fact::from).collect()
            }
            Some(toward) => erases(records, file, toward)?,
        };
        let sizes: Vec<usize> = records.iter().map(|record| record.inserts().count()).collect();
        let mut left = sizes.as_slice();
        let groups = groups.into_iter().map(|records| {
            let (group, rest) = left.split_at(records);
            left = rest;
            group.iter().sum()
        });
        let groups = groups.collect();
        let mut first = 0;
        let case = |(record, size): (&Record, &usize)| {
            let facts = first..first + size;
            first = facts.end;
            let (id, prompts) = (record.id.clone(), record.prompts.clone());
            Case { id, asked: facts.clone().collect(), facts, prompts }
        };
        let mut job = Self {
            source: spec_text_with(&facts, &rank_one),
            cases: records.iter().zip(&sizes).map(case).collect(),
            facts,
            grouping,
            groups,
            rank_one,
            thresholds,
            ..Self::default()
        };
        let record = |id: &str| format!("record {id}");
        job.trim(&|id, _| record(id), &record);
        Ok(job)
    }

    /// The prompts of a file, of which nothing is asked but what models say to them.
    pub fn of_prompts(name: &str, prompts: PromptSet, thresholds: Thresholds) -> Self {
        let form = prompts.form;
        let case = Case { id: name.to_owned(), facts: 0..0, asked: Vec::new(), prompts };
        let mut job = Self { form, cases: vec![case], thresholds, ..Self::default() };
        job.trim(&|id, _| id.to_owned(), &str::to_owned);
        job
    }

    /// Takes what the job removes out of records; nothing where it removes nothing.
    pub fn redactor(&self) -> Result<Option<Redactor>, RunError> {
        let prompts = || self.cases.iter().map(|case| &case.prompts);
        let texts: Vec<&String> = prompts().flat_map(|it| &it.forget).collect();
        let secrets: Vec<&String> = prompts().flat_map(|it| &it.secrets).collect();
        let of_prompts = || Redactor::salted(&format!("{texts:?}\n{secrets:?}"));
        let has_texts = !texts.is_empty() || !secrets.is_empty();
        let of_source = Redactor::of_spec(&self.source);
        let Some(mut redactor) = of_source.or_else(|| has_texts.then(of_prompts)) else {
            return Ok(None);
        };
        texts.iter().for_each(|text| redactor.add_passage(text));
        secrets.iter().for_each(|secret| redactor.add_name(secret));
        let is_forgotten = |found: &&PassageOperation| found.verb == PassageVerb::Forget;
        for operation in self.passages.iter().filter(is_forgotten) {
            for passage in operation.passages.read()? {
                passage.question.iter().for_each(|question| redactor.add_passage(question));
                redactor.add_passage(&passage.text);
            }
        }
        Ok(Some(redactor))
    }

    /// Whether facts are erased or passages forgotten, or prompts ask for what was.
    fn removes(&self) -> bool {
        self.facts.iter().any(|fact| matches!(fact, Fact::Erase(_)))
            || self.passages.iter().any(|found| found.verb == PassageVerb::Forget)
            || self.cases.iter().any(|case| !case.prompts.forget.is_empty())
    }

    /// The job with what is to be said about the file that its records were read from.
    pub fn read_from(mut self, file: &RecordFile) -> Self {
        self.notes.splice(0..0, file.notes.iter().cloned());
        self.left_out.clone_from(&file.left_out);
        self
    }

    /// Cuts the blanks around subjects, prompts and targets. From the id of a case, `place` and
    /// `prompts` make the places of its facts and prompts in notes.
    fn trim(&mut self, place: &dyn Fn(&str, &Fact) -> String, prompts: &dyn Fn(&str) -> String) {
        let mut trimmer = Trimmer::new(self.removes());
        for case in &mut self.cases {
            for fact in &mut self.facts[case.facts.clone()] {
                trimmer.fact(&place(&case.id, fact), fact);
            }
        }
        let bare = self.without_ripples.iter_mut().flatten();
        bare.for_each(|fact| Trimmer::default().fact("", fact));
        let cases = self.cases.iter_mut();
        cases.for_each(|case| trimmer.prompts(&prompts(&case.id), &mut case.prompts));
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
            for (role, source) in operation.sources() {
                if let PassageSource::File(path) = source {
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
    let erase = |(record, insert): (&Record, &Insert)| -> Result<Fact, RunError> {
        let Insert { subject, prompt, target_true, .. } = insert.clone();
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
    let all = records.iter().flat_map(|record| record.inserts().map(move |it| (record, it)));
    all.map(erase).collect()
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
