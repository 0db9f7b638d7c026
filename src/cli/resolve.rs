//! Resolves flags and spec: flags override keys, and what the run would not use is refused by name.
//!
//! Everything that a run would ignore is named in one message, before any work.

use super::args::{CompareArgs, EditArgs, Edits, Flags, Groups, PlanArgs, ProbeArgs};
use super::exit::Usage;
use rescribe::spec::{
    EditSpec, ForgetMethod, GradientOptions, Method, NO_FACTS, NO_PASSAGES, Options,
    PassageOperation, PassageVerb, ProbeInput, PromptFile, RankOneOptions, RecordFile, Toward,
    Unused, Uses,
};

/// The spec, overridden by the flags of `rescribe edit`.
pub fn edited(args: &EditArgs, spec: &EditSpec) -> anyhow::Result<EditSpec> {
    let mut refused = Refused::default();
    refused.flag(args.limit.is_some(), "limit", "is for record files; a spec is applied whole");
    let erases = "is for record files; a spec erases with [[erase]]";
    let is_file = args.input.file().is_some();
    refused.flag(args.erase.is_some() && is_file, "erase", erases);
    refused.flag(args.skip_conflicts, "skip-conflicts", "is for record files");
    refused.flag(args.skip_bad, "skip-bad", "is for record files");
    if spec.passages.is_empty() {
        refused.flag(args.memory.is_some(), "memory", NO_PASSAGES);
        refused.flag(args.checkpoint.is_some(), "checkpoint", NO_PASSAGES);
    }
    let mut resolved = laid_over(spec, &args.settings, &mut refused)?;
    resolved.verdict = args.verdict.over(&spec.verdict)?;
    refused.unused(resolved.unused(), &resolved, &args.settings);
    refused.into_result()?;
    Ok(resolved)
}

/// The spec, overridden by the flags of `rescribe plan`.
pub fn planned(args: &PlanArgs, spec: &EditSpec) -> anyhow::Result<EditSpec> {
    let mut refused = Refused::default();
    let whole = "is for record files; a spec is planned whole";
    refused.flag(args.limit.is_some(), "limit", whole);
    refused.flag(args.skip_conflicts, "skip-conflicts", "is for record files");
    refused.flag(args.skip_bad, "skip-bad", "is for record files");
    let resolved = laid_over(spec, &args.settings, &mut refused)?;
    refused.unused(resolved.unused(), &resolved, &args.settings);
    refused.into_result()?;
    Ok(resolved)
}

/// The spec of an edit to be made again, overridden by the flags that it was made with.
pub fn remade(flags: &Flags<Edits>, spec: &EditSpec) -> anyhow::Result<EditSpec> {
    let mut refused = Refused::default();
    let resolved = laid_over(spec, flags, &mut refused)?;
    refused.into_result()?;
    Ok(resolved)
}

/// The spec, overridden by the flags of `rescribe compare`, and the methods to compare.
pub fn compared(
    args: &CompareArgs,
    spec: &EditSpec,
) -> anyhow::Result<(EditSpec, Vec<ForgetMethod>)> {
    let mut refused = Refused::default();
    let has_method = args.settings.text("method").is_some();
    refused.flag(has_method, "method", "is not used by compare; --methods names several");
    let resolved = laid_over(spec, &args.settings, &mut refused)?;
    let mut methods = args.methods.clone();
    if methods.is_empty() {
        methods.push(resolved.forget_method());
        methods.extend(COMPARED.iter().filter(|method| **method != resolved.forget_method()));
    }
    refused.unused(resolved.unused_by(&methods), &resolved, &args.settings);
    refused.into_result()?;
    Ok((resolved, methods))
}

/// Methods that a spec's own is compared with.
const COMPARED: &[ForgetMethod] =
    &[ForgetMethod::GradientDifference, ForgetMethod::Npo, ForgetMethod::Simnpo];

/// Refuses the flags that `rescribe probe` does not use.
pub fn probed(args: &ProbeArgs, input: &ProbeInput) -> anyhow::Result<()> {
    let mut refused = Refused::default();
    let is_records = matches!(input, ProbeInput::Prompts(PromptFile::Records(_)));
    let forgets = |it: &PassageOperation| it.verb == PassageVerb::Forget;
    let can_attack = matches!(input, ProbeInput::Spec(spec) if spec.passages.iter().any(forgets));
    refused.flag(args.attack.is_some() && !can_attack, "attack", "is for specs with [[forget]]");
    let is_limited = args.limit.is_some() && !is_records;
    refused.flag(is_limited, "limit", "is for records; prompts and specs are measured whole");
    refused.flag(args.skip_bad && !is_records, "skip-bad", "is for record files");
    if args.patch.is_empty() && args.against.is_none() {
        let reason = "is not used by one model alone; add --patch or --against";
        args.verdict.names().for_each(|flag| refused.flag(true, flag, reason));
    }
    Ok(refused.into_result()?)
}

/// Refuses the flags that `rescribe probe` does not use with TOFU's files.
pub fn probed_tofu(args: &ProbeArgs) -> anyhow::Result<()> {
    let mut refused = Refused::default();
    refused.flag(args.skip_bad, "skip-bad", "is not used with TOFU's files");
    refused.flag(args.attack.is_some(), "attack", "is not used with TOFU's files");
    let reason = "is not used with TOFU's files, which have no thresholds";
    args.verdict.names().for_each(|flag| refused.flag(true, flag, reason));
    Ok(refused.into_result()?)
}

/// How the facts of a record file are written or erased.
pub struct ForRecords {
    /// The settings of facts.
    pub rank_one: RankOneOptions,
    /// Records written together into the base.
    pub batch: Option<usize>,
    /// First records only.
    pub limit: Option<usize>,
    /// What erased facts are moved toward; nothing: facts are inserted.
    pub erase: Option<Toward>,
    /// Records that contradict or repeat an earlier one are left out.
    pub skip_conflicts: bool,
    /// The file is a table of somebody's own facts: they go into one model, unless a batch or a
    /// sequence is asked for.
    pub is_table: bool,
}

/// The flags of `rescribe edit` as a record file uses them.
pub fn records(args: &EditArgs, file: &RecordFile) -> anyhow::Result<ForRecords> {
    let mut refused = Refused::default();
    refused.flag(args.memory.is_some(), "memory", NOT_PASSAGES);
    refused.flag(args.checkpoint.is_some(), "checkpoint", NOT_PASSAGES);
    let erase = args.erase.as_deref().map(Toward::of_text);
    let (limit, skip_conflicts) = (args.limit, args.skip_conflicts);
    let resolved = ForRecords { limit, erase, skip_conflicts, ..of_flags(&args.settings, file)? };
    resolved.refuse(&args.settings, &mut refused);
    resolved.refuse_outputs(args, &mut refused);
    refused.into_result()?;
    Ok(resolved)
}

/// The flags of `rescribe plan` as a record file uses them.
pub fn planned_records(args: &PlanArgs, file: &RecordFile) -> anyhow::Result<ForRecords> {
    let mut refused = Refused::default();
    let (limit, skip_conflicts) = (args.limit, args.skip_conflicts);
    let resolved = ForRecords { limit, skip_conflicts, ..of_flags(&args.settings, file)? };
    resolved.refuse(&args.settings, &mut refused);
    refused.into_result()?;
    Ok(resolved)
}

fn of_flags(flags: &Flags<Edits>, file: &RecordFile) -> Result<ForRecords, Usage> {
    let mut passages = GradientOptions::default();
    flags.set(BATCH, &mut passages)?;
    Ok(ForRecords {
        rank_one: flags.over(&RankOneOptions::default())?,
        batch: passages.batch,
        limit: None,
        erase: None,
        skip_conflicts: false,
        is_table: file.is_table,
    })
}

/// The flag that counts the passages of a step, or the records of a batch.
const BATCH: &str = "batch";
/// Why flags of passages are not used by records.
const NOT_PASSAGES: &str = "is for specs with passages; records are facts";

impl ForRecords {
    /// Whether the records are written in batches, rather than each alone into the base.
    pub fn is_in_batches(&self) -> bool {
        let is_batched = self.rank_one.method.is_some_and(|method| method.is_batched());
        self.batch.is_some() || self.rank_one.sequential.is_some() || is_batched
    }

    /// Whether each record has a model of its own, which leaves no patch.
    pub fn is_each_alone(&self) -> bool {
        !self.is_table && (self.erase.is_some() || !self.is_in_batches())
    }

    fn refuse(&self, flags: &Flags<Edits>, refused: &mut Refused) {
        for flag in flags.names().filter(|flag| *flag != BATCH) {
            refused.flag(RankOneOptions::GROUP.of_flag(flag).is_none(), flag, NOT_PASSAGES);
        }
        let method = self.rank_one.method.unwrap_or_default();
        match self.erase.is_some() {
            true => self.refuse_with_erase(refused),
            false if self.is_in_batches() => self.refuse_batch(method, refused),
            false => {}
        }
        let reason = "is not used: no two of these records are written into one model";
        refused.flag(self.is_each_alone() && self.skip_conflicts, "skip-conflicts", reason);
        for Unused { key, reason, .. } in
            Uses::of_facts(method, self.erase.is_some()).unused(&self.rank_one)
        {
            // Rome writes one fact at a time; a sequence of it keeps what earlier records wrote.
            let is_sequence_of_one =
                key == Some("sequential") && self.rank_one.sequential == Some(1);
            let flag = key.unwrap_or_default().replace('_', "-");
            refused.flag(!is_sequence_of_one, &flag, &reason);
        }
    }

    fn refuse_with_erase(&self, refused: &mut Refused) {
        let reason = "is not used with --erase, which goes record by record; a spec with \
                      [[erase]] and --method memit erases several facts together";
        refused.flag(self.batch.is_some(), BATCH, reason);
        refused.flag(self.rank_one.sequential.is_some(), "sequential", reason);
    }

    /// Refuses what needs several records in one model, where each has its own.
    fn refuse_outputs(&self, args: &EditArgs, refused: &mut Refused) {
        let reason = match self.erase.is_some() {
            _ if !self.is_each_alone() => return,
            true => {
                "is not used with --erase: each record is erased in the base, which leaves no \
                 patch; a spec with [[erase]] makes one"
            }
            false => {
                "is not used: each record is written alone into the base, which leaves no patch; \
                 --method memit with --batch or --sequential makes one"
            }
        };
        refused.flag(args.patch.is_some(), "patch", reason);
        refused.flag(args.out.is_some(), "out", reason);
        refused.flag(!args.from.is_empty(), "from", reason);
    }

    fn refuse_batch(&self, method: Method, refused: &mut Refused) {
        let reason = match method.is_batched() {
            true if self.rank_one.sequential.is_none() => return,
            true => "is not used with --sequential, which is itself the size of a batch",
            false => {
                "is not used by method rome, which writes one fact at a time; --method memit, \
                 emmet or alphaedit writes batches"
            }
        };
        refused.flag(self.batch.is_some(), BATCH, reason);
    }
}

/// The spec with each flag in the group that the spec uses.
fn laid_over<G: Groups>(
    spec: &EditSpec,
    flags: &Flags<G>,
    refused: &mut Refused,
) -> Result<EditSpec, Usage> {
    let mut resolved = spec.clone();
    for flag in flags.names() {
        let of_facts = RankOneOptions::GROUP.of_flag(flag);
        let of_passages = GradientOptions::GROUP.of_flag(flag);
        let sets_facts = of_facts.is_some() && spec.has_facts();
        let sets_passages = of_passages.is_some() && !spec.passages.is_empty();
        match (sets_facts, sets_passages, of_facts) {
            (true, true, Some(setting)) if setting.key != "seed" => refused.line(format!(
                "--{flag}: this spec writes facts and trains passages; set `{}` in [rank_one] or \
                 [gradient] of the spec",
                setting.key
            )),
            (false, false, _) if flag == BATCH => {
                let reason = format!("{NO_PASSAGES}; --sequential splits its facts into batches");
                refused.flag(true, flag, &reason);
            }
            (false, false, Some(_)) => refused.flag(true, flag, NO_FACTS),
            (false, false, None) => refused.flag(true, flag, NO_PASSAGES),
            _ => {
                if sets_facts {
                    flags.set(flag, &mut resolved.rank_one)?;
                }
                if sets_passages {
                    flags.set(flag, &mut resolved.gradient)?;
                }
            }
        }
    }
    Ok(resolved)
}

/// Flags and settings that a run would ignore, one line each.
#[derive(Default)]
struct Refused(Vec<String>);

impl Refused {
    fn line(&mut self, line: String) {
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    /// Refuses a flag that was given.
    fn flag(&mut self, is_given: bool, flag: &str, reason: &str) {
        if is_given {
            self.line(format!("--{flag} {reason}"));
        }
    }

    /// Refuses settings under the name that the user gave them: a flag, or a key of the spec.
    fn unused<G: Groups>(&mut self, unused: Vec<Unused>, spec: &EditSpec, flags: &Flags<G>) {
        for Unused { table, key, reason } in unused {
            let flag = key.map(|key| key.replace('_', "-"));
            let flag = flag.filter(|flag| flags.text(flag).is_some());
            let name = match (flag, key) {
                (Some(flag), _) => format!("--{flag}"),
                (None, Some(key)) => format!("`{key}` in [{table}]"),
                (None, None) => format!("[{table}]"),
            };
            let place = spec.source.place_of(table, key).filter(|_| !name.starts_with("--"));
            let place = place.map(|span| spec.source.line_of(span.start));
            let place = place.map(|line| format!("{}, line {line}: ", spec.source.name()));
            self.line(format!("{}{name} {reason}", place.unwrap_or_default()));
        }
    }

    fn into_result(self) -> Result<(), Usage> {
        match self.0.as_slice() {
            [] => Ok(()),
            [only] => Err(Usage(only.clone())),
            lines => Err(Usage(format!(
                "{} things cannot be used here:\n  {}",
                lines.len(),
                lines.join("\n  ")
            ))),
        }
    }
}
