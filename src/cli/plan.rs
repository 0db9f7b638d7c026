//! `rescribe plan`: what an edit would do, token by token.

use super::args::{Global, PlanArgs};
use super::edit::describe;
use super::failure::Usage;
use super::session::{self, Session};
use super::ui::Ui;
use crate::plan::{Plan, TokenisedPrompt, plan};
use crate::progress::Progress;
use crate::spec::{EditInput, read_edit_input};

pub fn run(args: &PlanArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let EditInput::Spec(spec) = read_edit_input(&args.spec)? else {
        let message = format!("{} holds records; plan takes a spec", args.spec.display());
        return Err(Usage(message).into());
    };
    let name = args.model.model.as_deref().or(spec.model.as_deref());
    let session = Session::open(name, global, ui)?;
    let options = session::options(&spec.rank_one, &args.rank_one);
    let plan = plan(&session.model, &session.name, &spec.inserts, &options, ui)?;
    plan.warnings.iter().for_each(|warning| ui.warn(warning));
    if ui.is_json() {
        return ui.print_json(&plan);
    }
    ui.print(&show(&plan, ui));
    Ok(())
}

fn show(plan: &Plan, ui: &Ui) -> String {
    let mut out = format!("{}\n", describe(plan));
    for edit in &plan.edits {
        out.push_str(&format!("\n  {:?} -> {:?}\n", edit.subject, edit.target_new));
        for prompt in edit.contexts.iter().chain([&edit.essence]) {
            out.push_str(&format!("    {}\n", marked(prompt, ui)));
        }
    }
    out.push_str(
        "\n  The token in brackets is the lookup token: the key is read and the value \
                  written there.\n",
    );
    out
}

/// Tokens separated by bars, the lookup token in brackets.
fn marked(prompt: &TokenisedPrompt, ui: &Ui) -> String {
    let piece = |(i, piece): (usize, &String)| {
        let piece = piece.replace('\n', "\\n");
        if i == prompt.lookup { ui.paint("32;1", &format!("[{piece}]")) } else { piece }
    };
    prompt.pieces.iter().enumerate().map(piece).collect::<Vec<_>>().join("|")
}
