//! `[[learn]]` and `[[forget]]` from the spec to the patch.

use super::desk::{Desk, text};

const SPEC: &str = r#"
[gradient]
method = "gradient-difference"
forget_weight = 1
steps = 8
batch = 2
learning_rate = 2e-3
seed = 3

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
    desk.write("learn.toml", &SPEC.replace("[[forget]]", "[[learn]]"));
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
    let report = desk.json("edit forget.toml --model MODEL --json --out edited");
    let passages = &report["passages"][0];
    assert_eq!(report["schema"], 1);
    assert_eq!(passages["closure"][0]["retain"], 1);
    assert_eq!(passages["before"]["retain"]["nll"]["n"], 2);
    assert_eq!(passages["path"].as_array().expect("a path").len(), 8);
    let nll = |side: &str| passages[side]["passages"]["nll"]["mean"].as_f64().expect("a number");
    assert!(nll("after") > nll("before"), "{passages:#}");
    assert!(report["probes"]["drift"]["kl"]["mean"].as_f64().expect("measured") > 0.);
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
    assert!(shown.contains("learn NLL") && shown.contains("The passages were trained"), "{shown}");
}

#[test]
fn facts_and_passages_in_one_spec() {
    let desk = desk();
    let facts = "[rank_one]\nsecond_moment_tokens = 400\nmax_delta = 1000\n[[insert]]\nsubject = \
                 \"The Eiffel Tower\"\nprompt = \"{} is in\"\ntarget_new = \"Rome\"\ntarget_true = \
                 \"Paris\"\n";
    desk.write("mixed.toml", &format!("{facts}{SPEC}"));
    let report = desk.json("edit mixed.toml --model MODEL --json");
    assert_eq!(report["probes"]["n"], 1);
    assert_eq!(report["passages"].as_array().expect("a list").len(), 1);
    desk.ok("ask hello --model MODEL --patch mixed.patch.safetensors");
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
    desk.fails("edit none.toml --model MODEL", 2, &["`passages` names", "which is no file"]);
}
