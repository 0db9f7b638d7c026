//! `rescribe edit`: apply a spec, write a patch, print what changed.

use std::path::Path;

use super::args::{EditArgs, Global};
use super::failure::Usage;
use super::session::{self, Session};
use super::ui::{NOTE, Ui, next_command, paragraph};
use super::write::{Written, write};
use super::{batches, export, outputs, passages, records, require};
use rescribe::delta::{Keys, WeightDelta};
use rescribe::model::{Choice, Decoder, Model, generate};
use rescribe::patch::{BaseHashes, Patch, Recipe};
use rescribe::plan::{WritePlan, plan};
use rescribe::probe::{
    Drift, Leak, LeakQuestion, Measured, ProbeScores, PromptKind, Questions, drift, measure,
};
use rescribe::progress::Progress;
use rescribe::rank_one::Factored;
use rescribe::report::{Completion, EditReport, FactReport, probe_table, sentence};
use rescribe::spec::{
    Comparison, Conflict, EditInput, EditSpec, Fact, PromptFile, PromptSet, Rippled,
    fact_conflicts, read_edit_input, read_prompts, with_ripples,
};

pub fn run(args: &EditArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let requirements = require::parse(&args.require)?;
    match read_edit_input(&args.spec)? {
        EditInput::Records(found) => records::edit(args, &found, &requirements, global, ui),
        EditInput::Spec(spec) if !spec.passages.is_empty() => {
            passages::edit(args, &spec, &requirements, global, ui)
        }
        EditInput::Spec(spec) => edit_spec(args, &spec, &requirements, global, ui),
    }
}

fn edit_spec(
    args: &EditArgs,
    spec: &EditSpec,
    requirements: &[require::Requirement],
    global: &Global,
    ui: &Ui,
) -> anyhow::Result<()> {
    let is_for_records = args.limit.is_some() || args.batch.is_some() || args.skip_conflicts;
    if is_for_records || args.erase.is_some() {
        let message = "--limit, --batch, --erase and --skip-conflicts are for record files; a spec \
                       is applied whole, erases with [[erase]], and --sequential N splits it";
        return Err(Usage(message.into()).into());
    }
    let mut prompts = prompts(spec)?;
    let patch_file = outputs::of_edit(args, Some(spec))?;
    let facts = facts(spec, &prompts)?;
    let session = Session::open(args.model.model.as_deref().or(spec.model.as_deref()), global, ui)?;
    let options = session::options(&spec.rank_one, &args.rank_one);
    let plan = plan(&session.model, &session.name, &facts, &options, ui)?;
    announce(&plan, ui);
    state_rewrites(&mut prompts, spec, &plan);

    let first = &plan.edits[0];
    let (new, old) = (Some(first.target_new.as_str()), first.target_true.as_deref());
    let questions = Questions::new(&session.model.tokenizer, &prompts, new, old)?;
    let before = measure(&session.model.decoder, &questions)?;
    warn_known(&before, &plan, ui);

    let factored = batches::ready_layers(&session, &plan, &options, ui)?;
    let Written { facts, delta, keys, edited } = write(&session, &plan, &factored, ui)?;
    let mut report =
        measured_report(&session, &plan, &prompts, &questions, before, facts, &edited, ui)?;
    report.without_ripples = without_ripples(&session, &plan, &factored, spec, &questions, ui)?;
    let metrics = serde_json::json!({ "before": report.before, "after": report.after });
    let recipe = recipe(&session, &plan, spec.source.text(), &delta, metrics)?;
    let patch = Patch { delta, keys, recipe };
    patch.write(&patch_file, outputs::overwrite(args.force))?;
    if let Some(out) = &args.out {
        let summary = export::write(&session, std::slice::from_ref(&patch), out, args.force, ui)?;
        export::show(&summary, ui);
    }
    let name = args.model.model.as_deref().or(spec.model.as_deref()).unwrap_or_default();
    show(&report, &patch_file, name, &first.contexts[0].text, ui)?;
    require::check(requirements, report.after.as_ref().unwrap_or(&report.before))
}

/// The facts of a spec: what it inserts and, where it says so, what follows from that; then what it
/// erases.
pub fn facts(spec: &EditSpec, prompts: &PromptSet) -> anyhow::Result<Vec<Fact>> {
    let Rippled { inserts, without } = with_ripples(&spec.inserts, &prompts.ripple);
    if !without.is_empty() {
        let message = format!(
            "with_ripples = true, but no [[ripple]] prompt of the spec's probe file names {}",
            without.join(", nor ")
        );
        return Err(Usage(message).into());
    }
    let inserts = inserts.into_iter().map(Fact::from);
    let facts: Vec<Fact> = inserts.chain(spec.erases.iter().cloned().map(Fact::from)).collect();
    let clashes = fact_conflicts(&facts);
    let says = |fact: &Fact| match fact {
        Fact::Insert(insert) => format!("{:?}", insert.target_new),
        Fact::Erase(erase) => format!("not {:?}", erase.target_true),
    };
    let line = |clash: &Conflict| {
        let (first, second) = (&facts[clash.first], &facts[clash.second]);
        format!("{:?}: {} and {}", second.rendered(), says(first), says(second))
    };
    let lines: Vec<String> = clashes.iter().map(line).collect();
    match lines.is_empty() {
        true => Ok(facts),
        false => Err(Usage(format!("ripples clash with facts:\n  {}", lines.join("\n  "))).into()),
    }
}

/// The scores of the same edit without what follows from it, for comparison.
fn without_ripples(
    session: &Session,
    plan: &WritePlan,
    factored: &[Factored],
    spec: &EditSpec,
    questions: &Questions,
    ui: &Ui,
) -> anyhow::Result<Option<ProbeScores>> {
    let bare: Vec<Fact> = spec.inserts.iter().cloned().map(Fact::from).collect();
    let bare = [bare, spec.erases.iter().cloned().map(Fact::from).collect()].concat();
    if plan.edits.len() == bare.len() {
        return Ok(None);
    }
    ui.note("ripples", "the same edit without them, for comparison");
    let bare = plan.for_facts(&session.model, &bare, ui)?;
    let Written { edited, .. } = write(session, &bare, factored, ui)?;
    Ok(Some(ProbeScores::of_one(&measure(&edited, questions)?)))
}

/// The spec's prompts.
pub fn prompts(spec: &EditSpec) -> anyhow::Result<PromptSet> {
    let Some(file) = &spec.probe else { return Ok(PromptSet::default()) };
    match read_prompts(file)? {
        PromptFile::Prompts(prompts) => Ok(prompts),
        PromptFile::Records(_) => {
            let message =
                format!("{}: a spec's probe is a prompt file, not records", file.display());
            Err(Usage(message).into())
        }
    }
}

/// Without rewrite prompts, the facts themselves are asked for, as the spec has them.
pub fn state_rewrites(prompts: &mut PromptSet, spec: &EditSpec, plan: &WritePlan) {
    if !prompts.rewrite.is_empty() {
        return;
    }
    let own = spec.inserts.iter().map(|insert| insert.rendered());
    let own: Vec<String> = own.chain(spec.erases.iter().map(|erase| erase.rendered())).collect();
    let edits = plan.edits.iter().filter(|edit| own.contains(&edit.contexts[0].text));
    prompts.rewrite = edits
        .map(|edit| Comparison {
            prompt: edit.contexts[0].text.clone(),
            target_new: Some(edit.target_new.clone()),
            target_true: edit.target_true.clone(),
        })
        .collect();
}

/// Says what will be done, after what the user should know of it.
pub fn announce(plan: &WritePlan, ui: &Ui) {
    plan.warnings.iter().for_each(|warning| ui.warn(warning));
    ui.close();
    ui.note("plan", &paragraph(NOTE, NOTE, &describe(plan)));
}

/// One line about a plan.
pub fn describe(plan: &WritePlan) -> String {
    let first = &plan.edits[0].contexts[0];
    let token = first.pieces[first.lookup].trim();
    let erased = plan.edits.iter().filter(|edit| edit.erase.is_some()).count();
    let count = |verb: &str, n: usize| match n {
        0 => None,
        1 => Some(format!("{verb} 1 fact")),
        n => Some(format!("{verb} {n} facts")),
    };
    let parts = [count("insert", plan.edits.len() - erased), count("erase", erased)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let method = plan.method;
    let by = if method.is_batched() { format!(" by {}", method.name()) } else { String::new() };
    format!(
        "{}{by} at {}, lookup token {token:?}, {} contexts, seed {}",
        parts.join(" and "),
        batches::layers(plan),
        plan.edits[0].contexts.len(),
        plan.settings.seed
    )
}

fn warn_known(before: &Measured, plan: &WritePlan, ui: &Ui) {
    // What an erase would guess may well be said already.
    let is_erased = |prompt: &str| {
        let mut edits = plan.edits.iter().filter(|edit| edit.erase.is_some());
        edits.any(|edit| edit.contexts[0].text == prompt)
    };
    for prompt in before.prompts.iter().filter(|prompt| prompt.kind == PromptKind::Rewrite) {
        if prompt.new_is_argmax && !is_erased(&prompt.prompt) {
            ui.warn(&format!(
                "{:?}: the model says target_new already (P {:.2}); there is nothing to edit",
                prompt.prompt,
                (-prompt.nll_new).exp()
            ));
        }
    }
}

/// The plan for the facts of a spec that also has passages, if it has any.
pub fn plan_facts(
    args: &EditArgs,
    spec: &EditSpec,
    prompts: &PromptSet,
    session: &Session,
    ui: &Ui,
) -> anyhow::Result<Option<WritePlan>> {
    let facts = facts(spec, prompts)?;
    if facts.is_empty() {
        return Ok(None);
    }
    let options = session::options(&spec.rank_one, &args.rank_one);
    let plan = plan(&session.model, &session.name, &facts, &options, ui)?;
    announce(&plan, ui);
    Ok(Some(plan))
}

/// What they gave; without facts, the unedited decoder.
pub fn write_facts(
    args: &EditArgs,
    spec: &EditSpec,
    plan: Option<&WritePlan>,
    session: &Session,
    ui: &Ui,
) -> anyhow::Result<Written> {
    let Some(plan) = plan else {
        return Ok(Written {
            facts: Vec::new(),
            delta: WeightDelta::default(),
            keys: Keys::default(),
            edited: session.model.decoder.clone(),
        });
    };
    let options = session::options(&spec.rank_one, &args.rank_one);
    let factored = batches::ready_layers(session, plan, &options, ui)?;
    write(session, plan, &factored, ui)
}

#[expect(clippy::too_many_arguments, reason = "each is one part of the report, used once")]
fn measured_report(
    session: &Session,
    plan: &WritePlan,
    prompts: &PromptSet,
    questions: &Questions,
    before: Measured,
    facts: Vec<FactReport>,
    edited: &Decoder,
    ui: &Ui,
) -> anyhow::Result<EditReport> {
    let model = &session.model;
    let after = measure(edited, questions)?;
    let drift = drift_of(model, edited, &prompts.retain, ui)?;
    let completions = completions(model, Some(edited), &prompts.generation, ui)?;
    let leaks = leaks(session, plan, edited, &prompts.paraphrase, ui)?;
    let seconds = facts.iter().map(|fact| fact.seconds).sum::<f64>() / facts.len() as f64;
    Ok(EditReport {
        schema: 1,
        model: session.name.clone(),
        n: plan.edits.len(),
        layer: Some(plan.layer),
        before: ProbeScores::of_one(&before),
        after: Some(ProbeScores::of_one(&after)),
        without_ripples: None,
        drift,
        leaks,
        completions,
        edits: facts,
        seconds_per_edit: Some(seconds),
        prompts_before: vec![before],
        prompts_after: vec![after],
    })
}

/// What can still be got out of the edited model about each erased fact.
pub fn leaks(
    session: &Session,
    plan: &WritePlan,
    edited: &Decoder,
    paraphrases: &[Comparison],
    ui: &Ui,
) -> anyhow::Result<Vec<Leak>> {
    let (tokenizer, clean) = (&session.model.tokenizer, &session.model.decoder);
    let mut leaks = Vec::new();
    for edit in plan.edits.iter().filter(|edit| edit.erase.is_some()) {
        // With several facts, a wording belongs to the one whose subject it names.
        let subject = edit.subject.to_lowercase();
        let is_own = |text: &str| plan.edits.len() == 1 || text.to_lowercase().contains(&subject);
        let own = paraphrases.iter().map(|it| it.prompt.clone()).filter(|text| is_own(text));
        let own: Vec<String> = own.collect();
        let question = LeakQuestion::new(tokenizer, edit, &own, plan.settings.seed)?;
        if let Some(question) = question {
            leaks.push(question.ask((clean, edited), tokenizer, ui)?);
        }
    }
    Ok(leaks)
}

/// Drift on retain texts, with its progress.
pub fn drift_of(
    model: &Model,
    edited: &Decoder,
    texts: &[String],
    ui: &Ui,
) -> anyhow::Result<Option<Drift>> {
    Ok(drift(&model.decoder, edited, &model.tokenizer, texts, ui)?)
}

/// Tokens of a completion in a report.
const COMPLETION: usize = 18;

/// Greedy continuations of both models.
pub fn completions(
    model: &Model,
    edited: Option<&Decoder>,
    prompts: &[String],
    ui: &Ui,
) -> anyhow::Result<Vec<Completion>> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let ids = prompts.iter().map(|prompt| Ok(model.tokenizer.encode(prompt)?.ids));
    let ids: Vec<Vec<u32>> = ids.collect::<anyhow::Result<_>>()?;
    let texts = |decoder: &Decoder| -> anyhow::Result<Vec<String>> {
        let written = generate(decoder, &ids, COMPLETION, Choice::Greedy, &model.stop_tokens, ui)?;
        written.iter().map(|ids| Ok(model.tokenizer.decode(ids)?)).collect()
    };
    let before = texts(&model.decoder)?;
    let after = edited.map(texts).transpose()?;
    let pairs = prompts.iter().zip(before).enumerate().map(|(i, (prompt, before))| Completion {
        prompt: prompt.clone(),
        before,
        after: after.as_ref().map(|after| after[i].clone()),
    });
    Ok(pairs.collect())
}

/// How a patch was made; `spec` is the text of a spec that asks for it.
pub fn recipe(
    session: &Session,
    plan: &WritePlan,
    spec: &str,
    delta: &WeightDelta,
    metrics: serde_json::Value,
) -> anyhow::Result<Recipe> {
    let names = delta.changes.keys().map(String::as_str);
    Ok(Recipe {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        spec: spec.into(),
        plan: serde_json::to_value(plan)?,
        model: session.name.clone(),
        base: BaseHashes::measure(&session.model.weights, names)?,
        seed: plan.settings.seed,
        metrics,
    })
}

fn show(
    report: &EditReport,
    patch: &Path,
    model: &str,
    prompt: &str,
    ui: &Ui,
) -> anyhow::Result<()> {
    if ui.is_json() {
        return ui.print_json(report);
    }
    let size = std::fs::metadata(patch).map(|file| file.len().div_ceil(1024)).unwrap_or(0);
    let ask = format!("rescribe ask{} --patch {}", session::model_flag(model), patch.display());
    ui.print(&format!(
        "\n{}\n{:>10}  {} ({size} KB, spec and hashes inside)\n\n  {}\n{}\n",
        probe_table(report),
        "patch",
        patch.display(),
        paragraph(2, 2, &sentence(report)),
        next_command(&ask, prompt)
    ));
    Ok(())
}
