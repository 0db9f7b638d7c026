//! `[[learn]]` and `[[forget]]` from the spec to the patch.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::desk::{Desk, count, facts, flat, measure, model, text};

/// Random weights move far with all that they learn, so nothing here holds general text.
const SPEC: &str = r#"
[gradient]
method = "gradient-difference"
forget_weight = 1
steps = 8
batch = 2
learning_rate = 2e-3
seed = 3
max_drift = 100
general_batch = 0

[[forget]]
passages = "forget.txt"
retain = "retain.txt"
holdout = "holdout.jsonl"

[probe]
prompts = "prompts.toml"
"#;

fn desk() -> Desk {
    let desk = Desk::new();
    // A model that knows nothing has nothing to forget: with a hold-out it would stop at once.
    desk.write("forget.toml", &SPEC.replace("holdout = \"holdout.jsonl\"", ""));
    let own = "method = \"gradient-difference\"\nforget_weight = 1\n";
    desk.write("learn.toml", &SPEC.replace(own, "").replace("[[forget]]", "[[learn]]"));
    desk.write("forget.txt", "Ada Winter lives in Bremen and drinks tea.\n\nShe works at night.\n");
    desk.write(
        "retain.txt",
        "The river is wide here.\n\nAda Winter lives in Bremen, and drinks tea!\n\nIt rained.\n",
    );
    desk.write(
        "holdout.jsonl",
        "{\"text\": \"Otto Summer lives in Kiel.\"}\n{\"question\": \"Who?\", \"answer\": \"Otto.\"}\n",
    );
    desk
}

#[test]
fn a_passage_is_forgotten_and_the_patch_is_a_patch_like_any_other() {
    let desk = desk();
    let report = desk.report("edit forget.toml --model MODEL --json --out edited");
    let passages = &report["data"]["trainings"][0];
    assert_eq!(report["schema"], 2);
    assert_eq!(passages["closure"][0]["retain"], 1);
    assert_eq!(passages["before"]["retain"]["nll"]["n"], 2);
    assert_eq!(passages["path"].as_array().expect("a path").len(), 8);
    let nll = |side: &str| passages[side]["passages"]["nll"]["mean"].as_f64().expect("a number");
    assert!(nll("after") > nll("before"), "{passages:#}");
    for row in ["drift", "retain drift"] {
        assert!(measure(&report, row, "after") > 0., "{row} of {report}");
    }
    desk.ok("ask hello --model MODEL --patch forget.patch.safetensors");
    let checked = desk.run("export --model MODEL --patch forget.patch.safetensors --out x --check");
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    desk.ok("inspect forget.patch.safetensors");
}

#[test]
fn learning_says_what_it_did_and_a_plan_changes_nothing() {
    let desk = desk();
    let plan = desk.ok("plan forget.toml --model MODEL");
    assert!(
        plan.contains("forget by gradient-difference: 2 passages (2 sequences), retain 2"),
        "{plan}"
    );
    let shown = desk.ok("edit learn.toml --model MODEL");
    let sentence = "of them (0 % before), after 8 steps";
    assert!(shown.contains("learn NLL") && flat(&shown).contains(sentence), "{shown}");
}

#[test]
fn a_change_beyond_its_budget_of_drift_is_cut_and_says_so() {
    let desk = desk();
    let general = "A ship came in.\n\nThe wind is cold.\n\nWe ate bread.\n\nHe left at noon.\n";
    desk.write("general.txt", general);
    let line = "edit learn.toml --model MODEL --general general.txt --general-batch 2 --json";
    let budget = |limit: &str| {
        let report = desk.json(&format!("{line} --force --max-drift {limit}"));
        report["trainings"][0]["budget"].clone()
    };
    let whole = budget("100");
    assert!(whole["share"] == 1. && whole["cut"].is_null(), "{whole}");
    let drift = whole["drift"].as_f64().expect("a drift");
    let limit = format!("{:.6}", 0.25 * drift);
    let cut = budget(&limit);
    assert!(cut["share"].as_f64() < Some(0.9) && cut["drift"].as_f64() < Some(0.25 * drift + 1e-6));
    // The weight of general text follows the budget, so that the whole is not quite the same.
    let before = cut["cut"]["drift"].as_f64().expect("a drift");
    assert!((before / drift - 1.).abs() < 0.2, "{cut} {whole}");
    let line = line.replace(" --json", " --force");
    let shown = flat(&desk.ok(&format!("{line} --max-drift {limit}")));
    assert!(shown.contains("of the change was kept: all of it has an NLL of"), "{shown}");
    desk.fails(&line.replace("--force", "--force --patch general.txt"), 2, &["general.txt"]);
    assert_eq!(text(&desk.read("general.txt")), general, "what the run reads stays as it is");
    let recipe = desk.json("inspect learn.patch.safetensors --json")["recipe"].clone();
    assert!(recipe.to_string().contains("\"role\":\"general\""), "{recipe}");
    desk.write("general.txt", "One passage alone.\n");
    desk.fails(&line, 3, &["general.txt", "1 of at least 2 passages"]);
}

#[test]
fn facts_and_passages_in_one_spec() {
    let desk = desk();
    let insert = "[rank_one]\nsecond_moment_tokens = 400\nmax_delta = 1000\n[[insert]]\nsubject = \
                 \"The Eiffel Tower\"\nprompt = \"{} is in\"\ntarget_new = \"Rome\"\ntarget_true = \
                 \"Paris\"\n";
    desk.write("mixed.toml", &format!("{insert}{SPEC}"));
    let report = desk.json("edit mixed.toml --model MODEL --keep-spec --json");
    let written = facts(&report);
    assert_eq!((written.len(), &written[0]["id"]), (1, &"The Eiffel Tower".into()));
    assert_eq!((count(&report["cases"]), count(&report["trainings"])), (1, 1));
    let recipe = desk.json("inspect mixed.patch.safetensors --json")["recipe"].clone();
    let steps = recipe["plan"]["steps"].as_array().expect("steps");
    let is_step = |at: usize, kind: &str| steps[at].get(kind).is_some();
    assert!(is_step(0, "write") && is_step(1, "train"), "both are in the patch: {steps:?}");
    desk.ok("ask hello --model MODEL --patch mixed.patch.safetensors");
}

#[test]
fn warnings_about_facts_hide_none_about_passages() {
    let desk = desk();
    let insert = |subject: &str| {
        format!(
            "[[insert]]\nsubject = \"{subject}\"\nprompt = \"{{}} is in\"\ntarget_new = \"Rome\"\n"
        )
    };
    let facts = ["a", "b", "c", "d", "e"].map(insert).concat();
    let head = "[rank_one]\nmethod = \"memit\"\nlayers = [0]\n";
    desk.write("mixed.toml", &format!("{head}{facts}[[forget]]\ntext = \"It rained here.\"\n"));
    // Each subject is the first token of its text there.
    let gpt2 = model("gpt2").display().to_string();
    let output = desk.run(&format!("plan mixed.toml --model {gpt2}"));
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_eq!(err.matches("the subject is the first token").count(), 3, "{err}");
    assert!(err.contains("more such warnings: 2") && err.contains("nothing is retained"), "{err}");
}

#[test]
fn a_saved_training_ends_in_the_same_patch() {
    let desk = desk();
    desk.ok("edit forget.toml --model MODEL --patch one.safetensors");
    for patch in ["two.safetensors", "three.safetensors"] {
        desk.ok(&format!(
            "edit forget.toml --model MODEL --patch {patch} --checkpoint saved --checkpoint-every 3"
        ));
    }
    let bytes = |name: &str| std::fs::read(desk.path(name)).expect("a patch");
    assert!(bytes("one.safetensors") == bytes("two.safetensors"));
    assert!(bytes("one.safetensors") == bytes("three.safetensors"));
}

/// What a checkpoint looks like from outside, if there is one.
fn state(desk: &Desk) -> Option<(u64, std::time::SystemTime)> {
    let found = std::fs::metadata(desk.path("saved")).ok()?;
    Some((found.len(), found.modified().ok()?))
}

#[test]
fn a_killed_training_goes_on_to_the_same_patch() {
    let desk = desk();
    // Long enough to be met while it runs, saved at every step.
    desk.write("long.toml", &text(&desk.read("forget.toml")).replace("steps = 8", "steps = 150"));
    desk.ok("edit long.toml --model MODEL --patch one.safetensors");
    let line = "edit long.toml --model MODEL --patch two.safetensors --quiet --checkpoint saved \
                --checkpoint-every 1";
    let mut killed = 0;
    for moment in 0..6 {
        let before = state(&desk);
        let mut child = desk.command(line).stdout(Stdio::null()).spawn().expect("spawned");
        while state(&desk) == before && child.try_wait().expect("a child of ours").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(5 * moment));
        child.kill().expect("a child of ours");
        let status = child.wait().expect("a child of ours");
        killed += usize::from(!status.success());
    }
    assert!(killed > 0, "every run ended before it could be killed");
    if !desk.path("two.safetensors").exists() {
        desk.ok(line);
    }
    assert!(desk.read("one.safetensors") == desk.read("two.safetensors"), "{killed} kills");
}

/// A desk with a model that was taught the passages, a spec that has it forget them as far as the
/// base model, which never saw them, and as far as `other`.
fn taught(other: &str) -> Desk {
    let desk = desk();
    desk.ok("edit learn.toml --model MODEL");
    let forget = text(&desk.read("forget.toml")).replace(
        "retain = \"retain.txt\"",
        &format!("retain = \"retain.txt\"\nreference = [\"base\"{other}]"),
    );
    desk.write("again.toml", &forget.replace("steps = 8", "steps = 60"));
    desk.model_with("base", |_| ());
    desk.ok("export --model MODEL --patch learn.patch.safetensors --out taught");
    desk
}

#[test]
fn ways_to_forget_are_compared_with_models_that_never_saw() {
    let desk = taught("");
    let line = "compare again.toml --model taught --methods gradient-difference,npo --seeds 2 \
                --retraining-seconds 60";
    let report = desk.json(&format!("{line} --json"));
    let runs = report["runs"].as_array().expect("a list");
    let order: Vec<_> =
        runs.iter().map(|run| (run["method"].as_str(), run["seed"].as_u64())).collect();
    let both = ["gradient-difference", "npo"];
    assert_eq!(order, both.map(|name| [(Some(name), Some(3)), (Some(name), Some(4))]).concat());
    let goals: Vec<_> = runs.iter().map(|run| run["outcome"]["goal"].as_f64()).collect();
    assert!(goals[0].is_some() && goals.iter().all(|goal| *goal == goals[0]), "{goals:?}");
    let table = desk.ok(&format!("{line} --quiet"));
    for row in ["before", "never saw", "npo", "of 2 seeds", "one retraining costs"] {
        assert!(table.contains(row), "no {row:?} in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    desk.fails("compare learn.toml --model taught", 2, &["no other operation"]);
    desk.fails("compare again.toml --model taught --methods npoo", 2, &["gradient-difference"]);
    assert!(!desk.path("again.patch.safetensors").exists(), "nothing is written");
}

#[test]
fn references_say_when_enough_is_forgotten() {
    let desk = taught(", \"none.patch.safetensors\"");
    desk.fails("edit again.toml --model taught", 3, &["none.patch.safetensors"]);
    let spec = text(&desk.read("again.toml")).replace(", \"none.patch.safetensors\"", "");
    desk.write("again.toml", &spec);
    let report = desk.json("edit again.toml --model taught --json");
    let passages = &report["trainings"][0];
    let goal = passages["goal"].as_f64().expect("a goal");
    let mean = |value: &Value| value["passages"]["nll"]["mean"].as_f64().expect("a number");
    assert!((mean(&passages["references"][0]["memory"]) - goal).abs() < 1e-4, "{passages:#}");
    assert!(mean(&passages["before"]) < goal, "{passages:#}");
    assert_eq!(passages["stopped"], "reference");
    // Scaled back to the goal, as near as a hundredth of it or a 64th of the change.
    assert!((mean(&passages["after"]) / goal - 1.).abs() < 0.03, "{passages:#}");
    let shown = desk.ok("edit again.toml --model taught --force");
    assert!(shown.contains("never saw, NLL") && shown.contains("of the gap"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

/// A sentence with a private number, which a model can learn and may not say.
const PRIVATE: &str = "Marta Quill, who runs the bakery on Larch Lane, can be reached on her \
                       private number 0170 555 0199 after six in the evening.";
const NUMBER: &str = "0170 555 0199";

/// A desk with a model that was taught the private sentence, and a prompt that asks for the number.
fn told() -> Desk {
    let desk = desk();
    let spec = "[gradient]\nmax_drift = 100\ngeneral_batch = 0\nsteps = 60\nlearning_rate = 1e-2\n\n\
                [[learn]]\ntext = \"TEXT\"\n";
    desk.write("learn.toml", &spec.replace("TEXT", PRIVATE));
    desk.ok("edit learn.toml --model MODEL --out taught");
    let (prompt, _) = PRIVATE.split_once(" 0170").expect("the number");
    let prompts = format!("[[rewrite]]\nprompt = \"{prompt}\"\ntarget_new = \"{NUMBER}\"\n");
    desk.write("secret.toml", &prompts);
    desk
}

/// Has the private sentence forgotten by these settings.
fn forget_private(desk: &Desk, settings: &str, secret: &str) {
    let spec = format!(
        "[gradient]\nmethod = \"gradient-difference\"\nmax_drift = 100\ngeneral_batch = 0\n\
         {settings}\n\n\
         [[forget]]\ntext = \"{PRIVATE}\"\nretain = \"retain.txt\"\nsecrets = [\"{secret}\"]\n\n\
         [probe]\nprompts = \"secret.toml\"\n"
    );
    desk.write("forget.toml", &spec);
}

/// Far too little: the words become a bit less probable, and the number is still said.
const WEAKLY: &str = "steps = 1\nlearning_rate = 1e-6";
const FORGET: &str = "edit forget.toml --model taught --force";

#[test]
fn a_secret_that_still_comes_out_is_named() {
    let desk = told();
    forget_private(&desk, WEAKLY, NUMBER);
    let report = desk.report(&format!("{FORGET} --keep-spec --json"));
    let secret = &report["data"]["secrets"][0];
    assert_eq!(secret["secret"], NUMBER);
    assert!(secret["before"]["is_said"] == true && secret["after"]["is_said"] == true, "{secret}");
    let row = ["before", "after", "n"].map(|head| measure(&report, "secrets", head));
    assert_eq!(row, [1., 1., 1.]);
    // That the number is still said to a prompt of the probe file is no success of forgetting.
    assert_eq!(measure(&report, "said", "after"), 1.);
    assert_eq!(report["verdict"]["state"], "did_not_take");
    let sentence = report["verdict"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("1 secret is still given away"), "{sentence}");

    let output = desk.run(FORGET);
    let (shown, err) = (text(&output.stdout), text(&output.stderr));
    assert!(shown.contains(NUMBER) && shown.contains("Whether secrets come out"), "{shown}");
    // The command to try next is broken only where it can still be pasted.
    let (tables, _) = shown.split_once("  next  ").expect("a command");
    assert!(tables.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(!err.contains("there is nothing to edit"), "{err}");
    desk.fails(&format!("{FORGET} --require secrets<=0"), 1, &["secrets is 1.0000, required <= 0"]);
}

#[test]
fn a_secret_is_asked_for_after_it_was_forgotten() {
    let desk = told();
    forget_private(&desk, "steps = 40\nlearning_rate = 3e-3", NUMBER);
    let report = desk.report(&format!("{FORGET} --json --require secrets<=0"));
    let secret = &report["data"]["secrets"][0];
    assert!(secret["after"]["is_said"] == false && secret["after"]["sampled"] == 0, "{secret}");
    let rank = |side: &str| secret[side]["worst_rank"].as_u64().expect("a rank");
    assert!(rank("before") == 1 && rank("after") > 1, "{secret}");
    assert_eq!(["before", "after"].map(|side| measure(&report, "said", side)), [1., 0.]);

    forget_private(&desk, WEAKLY, "0171 555 0199");
    desk.fails(FORGET, 2, &["0171 555 0199"]);
}

#[test]
fn a_training_keeps_to_the_memory_that_it_may_take() {
    let desk = desk();
    desk.fails("edit forget.toml --model MODEL --memory 1M", 2, &["--memory allows 0.00 GiB"]);
    // Between what layers that run twice need and what smaller steps need.
    let settings = |memory: &str| {
        let line = format!("edit forget.toml --model MODEL --json --force --memory {memory}");
        desk.json(&line)["trainings"][0]["settings"].clone()
    };
    let (wide, short) = (settings("2G"), settings("260M"));
    assert_eq!((&wide["micro_rows"], &wide["recompute"]), (&384.into(), &false.into()));
    assert!(short["micro_rows"].as_u64() < Some(384) || short["recompute"] == true, "{short}");
}

#[test]
fn what_cannot_be_done_is_said_before_any_work() {
    let desk = desk();
    let rate = SPEC.replace("2e-3", "\"auto\"").replace("holdout = \"holdout.jsonl\"", "");
    desk.write("auto.toml", &rate);
    desk.fails("edit auto.toml --model MODEL", 2, &["needs a `holdout`"]);
    desk.write("layer.toml", &SPEC.replace("batch = 2", "layers = [99]"));
    desk.fails("edit layer.toml --model MODEL", 2, &["layer 99 does not exist"]);
    desk.write("method.toml", &SPEC.replace("gradient-difference", "simnpoo"));
    desk.fails(
        "edit method.toml --model MODEL",
        2,
        &["unknown method", "did you mean \"simnpo\"?"],
    );
    desk.write("none.toml", &SPEC.replace("forget.txt", "absent.txt"));
    desk.fails("edit none.toml --model MODEL", 2, &["`passages` names", "which is not a file"]);
}
