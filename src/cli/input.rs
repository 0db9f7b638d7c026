//! What an edit starts from: a spec, records, or one fact stated in flags.

use super::args::SpecArg;
use super::exit::Usage;
use super::ui::Ui;
use rescribe::draft::{Draft, file_stem, with_slot};
use rescribe::run::{Job, trimmed};
use rescribe::spec::{
    BadRecords, EditInput, EditSpec, Erase, Fact, Insert, LeftOut, PromptFile, PromptSet,
    RecordFile, Toward, parse_spec, read_edit_input, read_prompts, spec_text,
};

/// What was read, and the probes that were drafted for it.
pub struct Input {
    pub edit: EditInput,
    drafted: Option<PromptSet>,
}

impl Input {
    /// Reads the file, or states the fact of the flags as a spec; `toward` erases it.
    pub fn read(args: &SpecArg, bad: BadRecords, toward: Option<&str>) -> anyhow::Result<Self> {
        if let Some(file) = args.file() {
            return Ok(Self { edit: read_edit_input(file, bad)?, drafted: None });
        }
        let fact = fact(args, toward)?;
        let spec = parse_spec(&stem(args), &spec_text(std::slice::from_ref(&fact)))?;
        // The job cuts and notes the blanks of the fact itself; drafts would repeat each note.
        let fact = trimmed(fact);
        let drafted = Draft::of(&fact).prompt_set(&fact);
        Ok(Self { edit: EditInput::Spec(Box::new(spec)), drafted: Some(drafted) })
    }

    /// The job of a resolved spec, with the prompts of its probe file or those drafted for it.
    pub fn job(&self, spec: &EditSpec, memory: Option<u64>) -> anyhow::Result<Job> {
        match &self.drafted {
            Some(prompts) => Ok(Job::of_spec(spec, prompts.clone(), memory)?),
            None => spec_job(spec, memory),
        }
    }
}

/// The name of what is edited, for the files that are written of it: an erased subject is not in it.
pub fn stem(args: &SpecArg) -> String {
    match (args.file(), &args.fact.subject) {
        (Some(file), _) => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        (None, subject) => file_stem(subject.as_deref().unwrap_or_default()),
    }
}

fn fact(args: &SpecArg, toward: Option<&str>) -> Result<Fact, Usage> {
    let flags = &args.fact;
    let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
    let (subject, target) = (text(&flags.subject), text(&flags.target));
    let prompt = with_slot(&text(&flags.prompt), &subject);
    let Some(toward) = toward else {
        let target_true = flags.target_true.clone();
        let insert = Insert {
            subject,
            prompt,
            target_new: target,
            target_true,
            with_ripples: false,
            spans: None,
        };
        return Ok(insert.into());
    };
    if flags.target_true.is_some() {
        let message = "--target-true is not used with --erase, which takes --target away";
        return Err(Usage(message.into()));
    }
    let (toward, others, secrets) = (Toward::of_text(toward), Vec::new(), Vec::new());
    Ok(Erase { subject, prompt, target_true: target, toward, others, secrets, spans: None }.into())
}

/// The meaning of `--skip-bad`.
pub fn bad_records(skip_bad: bool) -> BadRecords {
    if skip_bad { BadRecords::LeaveOut } else { BadRecords::Refuse }
}

/// Names the first records of a file that are left out.
pub fn announce_left_out(file: &RecordFile, ui: &Ui) {
    let line = |it: &LeftOut| match it.id.starts_with("line ") {
        true => format!("{}: {}; left out", it.id, it.reason),
        false => format!("{}; left out", it.reason),
    };
    ui.warn_first(&file.left_out.iter().map(line).collect::<Vec<_>>());
}

/// The job of a resolved spec with the prompts of its probe file.
pub fn spec_job(spec: &EditSpec, memory: Option<u64>) -> anyhow::Result<Job> {
    Ok(Job::of_spec(spec, prompts(spec)?, memory)?)
}

/// The prompts of the spec's probe file.
fn prompts(spec: &EditSpec) -> anyhow::Result<PromptSet> {
    let Some(file) = &spec.probe else { return Ok(PromptSet::default()) };
    match read_prompts(file)? {
        PromptFile::Prompts(prompts) => Ok(*prompts),
        PromptFile::Records(_) => {
            let message =
                format!("{}: a spec's probe is a prompt file, not records", file.display());
            Err(Usage(message).into())
        }
    }
}
