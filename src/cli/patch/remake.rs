//! Makes the edits of a patch again, one after the other, for `patch verify` and `patch remove`.

use std::path::{Path, PathBuf};

use crate::cli::args::{Edits, Flags, Global};
use crate::cli::edit::announce;
use crate::cli::exit::{Missed, Usage};
use crate::cli::input::spec_job;
use crate::cli::resolve;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use rescribe::patch::{EditRecord, Patch, Redactor};
use rescribe::progress::counted;
use rescribe::run::{Job, Outcome, Plan, Start, Tools, execute};
use rescribe::spec::{EditSpec, parse_spec, read_spec};

/// The specs of a patch's edits: those that the user names, or else those in the recipe.
pub struct Specs<'a> {
    /// The patch file.
    pub file: &'a Path,
    /// Specs as they were written, of edits whose records are redacted.
    pub given: &'a [PathBuf],
    /// The flags that those edits were made with.
    pub flags: &'a Flags<Edits>,
}

impl Specs<'_> {
    /// The spec of each edit, as resolved.
    pub fn of(&self, records: &[EditRecord<'_>]) -> anyhow::Result<Vec<EditSpec>> {
        let given = self.given.iter().map(|file| resolve::remade(self.flags, &read_spec(file)?));
        let given = given.collect::<anyhow::Result<Vec<_>>>()?;
        let redacted = records.iter().filter(|record| record.is_redacted).count();
        if redacted > given.len() {
            return Err(self.missing(redacted).into());
        }
        let of = |(at, record): (usize, &EditRecord<'_>)| match (given.as_slice(), records) {
            ([only], [_]) => self.checked(at, only, record).map(|()| only.clone()),
            _ => self.one_of(&given, at, record),
        };
        records.iter().enumerate().map(of).collect()
    }

    fn missing(&self, redacted: usize) -> Usage {
        let (file, specs) = (self.file.display(), counted(redacted, "spec"));
        let times = if redacted > 1 { ", each by its own --spec" } else { "" };
        Usage(format!(
            "{file} does not name what it removed, so that it cannot be made again from itself: \
             --spec FILE names the spec as it was written ({specs}{times})"
        ))
    }

    fn one_of(
        &self,
        given: &[EditSpec],
        at: usize,
        record: &EditRecord<'_>,
    ) -> anyhow::Result<EditSpec> {
        if !record.is_redacted {
            return Ok(parse_spec(&self.file.to_string_lossy(), record.spec)?);
        }
        let is_its = |spec: &&EditSpec| Redactor::is_record_of(record.spec, &spec.resolved_text());
        let found = given.iter().find(is_its);
        Ok(found.cloned().ok_or_else(|| self.other_spec(at))?)
    }

    /// Checks that a spec is the one that the record was made from.
    fn checked(&self, at: usize, spec: &EditSpec, record: &EditRecord<'_>) -> anyhow::Result<()> {
        match Redactor::is_record_of(record.spec, &spec.resolved_text()) {
            true => Ok(()),
            false => Err(self.other_spec(at).into()),
        }
    }

    fn other_spec(&self, at: usize) -> Missed {
        Missed(format!(
            "edit {} of {} was made from another spec, or with other flags: rescribe inspect shows \
             its settings",
            at + 1,
            self.file.display()
        ))
    }
}

/// An edit to be made again.
pub struct Again {
    /// Its spec, as resolved.
    pub spec: EditSpec,
    /// Places, among the edits that are made, of those from whose sum it starts.
    pub from: Vec<usize>,
    /// Whether its patch is redacted before later edits start from it.
    pub is_redacted: bool,
}

/// An edit that was made again.
pub struct Made {
    /// The job, with what it started from.
    pub job: Job,
    /// What it measured.
    pub outcome: Outcome,
    /// The patch of it and of everything that it started from.
    pub patch: Patch,
}

/// Looks at the plan of an edit, by its place, before it is executed.
pub type Check<'c> = &'c dyn Fn(usize, &Plan) -> anyhow::Result<()>;

/// Makes edits in their order.
pub fn remake(
    session: &mut Session,
    edits: Vec<Again>,
    check: Check<'_>,
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<Vec<Made>> {
    let mut made: Vec<Made> = Vec::with_capacity(edits.len());
    for (at, Again { spec, from, is_redacted }) in edits.into_iter().enumerate() {
        let mut job = spec_job(&spec, None)?;
        // An attack measures the change and makes none.
        job.gradient.attack = Some(false);
        let patches: Vec<Patch> = from.iter().map(|at| made[*at].patch.clone()).collect();
        job.start = Start::of(&patches)?;
        job.put_to(&mut session.model)?;
        let plan = Plan::new(&session.model, &session.name, &job, ui)?;
        check(at, &plan)?;
        announce(&plan, ui);
        let tools = Tools {
            open_reference: &|name| session.reference(name, global, ui).map_err(Into::into),
            ..Tools::new(&session.cache, ui)
        };
        let outcome = execute(&session.model, &job, &plan, &tools)?;
        let patch = outcome.patch(&session.model, &job, &plan)?;
        let broke = || Missed(format!("edit {}, made again, breaks the model", at + 1));
        let patch = patch.ok_or_else(broke)?;
        let patch = if is_redacted { patch.redacted() } else { patch };
        made.push(Made { job, outcome, patch });
    }
    Ok(made)
}
