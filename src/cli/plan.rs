//! `rescribe plan`: shows what an edit would do, token by token.

use super::args::{Global, PlanArgs};
use super::edit::{announce_warnings, record_job};
use super::input::{Input, announce_left_out, bad_records};
use super::resolve;
use super::session::Session;
use super::ui::{MARK, Ui, display_width, painted, paragraph};
use rescribe::plan::{Guess, Origin, PlannedEdit, TokenisedPrompt, WritePlan};
use rescribe::probe::probability_text;
use rescribe::progress::Progress;
use rescribe::run::{Cost, Plan, Step};
use rescribe::spec::{EditInput, LayerChoice, plain};
use rescribe::verdict::Thresholds;

pub fn run(args: &PlanArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let input = Input::read(&args.input, bad_records(args.skip_bad), None)?;
    let (mut job, own) = match &input.edit {
        EditInput::Spec(spec) => {
            (input.job(&resolve::planned(args, spec)?, None)?, spec.model.as_deref())
        }
        EditInput::Records(file) => {
            let how = resolve::planned_records(args, file)?;
            announce_left_out(file, ui);
            (record_job(file, how, Thresholds::default())?, None)
        }
    };
    let name = args.model.model.as_deref().or(own);
    let mut session = Session::open(name, global, ui)?;
    job.put_to(&mut session.model)?;
    let plan = Plan::new(&session.model, &session.name, &job, ui)?;
    if job.rank_one.layers == Some(LayerChoice::Sweep) {
        ui.warn("layers = \"sweep\" is found by edit; this plan has the family's layers");
    }
    announce_warnings(&plan, ui);
    let cost = Cost::of(&session.model, &job, &plan);
    if ui.is_json() {
        let mut shown = serde_json::to_value(&plan)?;
        shown["cost"] = serde_json::to_value(cost)?;
        if let Some(redactor) = job.redactor()?.filter(|_| !args.keep_spec) {
            redactor.plan(&mut shown);
        }
        return ui.print_json(&shown);
    }
    ui.print(&show(&plan, &cost.describe(cost.seconds(&session.model, ui))));
    Ok(())
}

fn show(plan: &Plan, cost: &str) -> String {
    let mut out = String::new();
    // A sentence for each step, then one on the attack.
    for (at, sentence) in plan.describe().iter().enumerate() {
        out.push_str(&format!("{}\n", paragraph(0, 2, &plain(sentence))));
        if let Some(Step::Write(write)) = plan.steps.get(at) {
            out.push_str(&tokens(write));
        }
    }
    let cost = paragraph(2, 2, &format!("It takes {cost}."));
    out + &format!("\n  {cost}\n\n  Nothing was changed.\n")
}

fn tokens(plan: &WritePlan) -> String {
    let mut out = String::new();
    for edit in &plan.edits {
        out.push_str(&goal(edit));
        for prompt in edit.contexts.iter().chain([&edit.essence]) {
            out.push_str(&marked(prompt));
        }
    }
    out + "\n  The token in brackets is the lookup token: there the key is read and the value\n  \
           written.\n"
}

/// What is to become of a fact, and with which tokens.
fn goal(edit: &PlannedEdit) -> String {
    let Some(erase) = &edit.erase else {
        return format!("\n  {:?} -> {:?}\n", edit.subject, edit.target_new);
    };
    let old = edit.target_true.as_deref().unwrap_or_default();
    let head = format!("\n  {:?} -> not {old:?}, toward {:?}\n", edit.subject, erase.toward.text());
    let others: Vec<&str> = erase.others.iter().map(|other| other.subject.as_str()).collect();
    let origin = match erase.origin {
        Origin::Given => "named in the spec",
        Origin::Facts => "of other facts",
        Origin::Sampled => "sampled from the model",
        Origin::Alike => "well-known names, since the model lists none",
    };
    let guess = |guess: &Guess| format!("{:?} {}", guess.text, probability_text(guess.probability));
    let guesses: Vec<String> = erase.guesses.iter().map(guess).collect();
    let lines = [
        format!(
            "P({old:?}) is {}, and {} for other subjects",
            probability_text(erase.known),
            probability_text(erase.unknown)
        ),
        format!("other subjects, {origin}: {}", others.join(", ")),
        format!("answers about them: {}", guesses.join(", ")),
    ];
    let indented = |line: &String| format!("    {}\n", paragraph(4, 6, &plain(line)));
    head + &lines.iter().map(indented).collect::<String>()
}

/// Columns of the terminal, and the indents of a prompt and of its further lines.
const WIDTH: (usize, &str, &str) = (80, "    ", "      ");

/// Tokens separated by bars, the lookup token in brackets, in lines of the terminal's width.
fn marked(prompt: &TokenisedPrompt) -> String {
    let (columns, first, further) = WIDTH;
    let (mut out, mut column) = (first.to_owned(), first.len());
    for (i, piece) in prompt.pieces.iter().enumerate() {
        let is_lookup = i == prompt.lookup;
        let text = if is_lookup { format!("[{}]", shown(piece)) } else { shown(piece) };
        let bar = if i == 0 { "" } else { "|" };
        let width = display_width(&text);
        if column + bar.len() + width >= columns {
            out.push_str(&format!("{bar}\n{further}"));
            column = further.len() + width;
        } else {
            out.push_str(bar);
            column += bar.len() + width;
        }
        out.push_str(&if is_lookup { painted(MARK, &text) } else { text });
    }
    out + "\n"
}

/// A token on one line, with everything escaped that a terminal would obey.
fn shown(piece: &str) -> String {
    plain(&piece.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r"))
}
