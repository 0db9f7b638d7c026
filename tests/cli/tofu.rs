//! TOFU's files, whole and as a log.

use super::desk::{Desk, text};

fn item(name: &str, is_invented: bool) -> String {
    let paraphrase = match is_invented {
        true => format!(", \"paraphrased_answer\": \"It is {name}.\""),
        false => String::new(),
    };
    format!(
        "{{\"question\": \"Who lives in Bremen?\", \"answer\": \"{name} does.\"{paraphrase}, \
         \"perturbed_answer\": [\"It is Otto.\", \"It is Ida.\"]}}"
    )
}

fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("tofu")).expect("a folder");
    for (name, is_invented) in [
        ("retain", true),
        ("real_authors", false),
        ("world_facts", false),
        ("forget05", true),
        ("forget10", true),
    ] {
        let items = ["Ada", "Eva", "Jan"].map(|name| item(name, is_invented));
        desk.write(&format!("tofu/{name}_perturbed.json"), &items.join("\n"));
    }
    desk.write(
        "learn.jsonl",
        "{\"question\": \"Who lives in Bremen?\", \"answer\": \"Ada does.\"}",
    );
    desk.write(
        "learn.toml",
        "[gradient]\nsteps = 30\nlearning_rate = 3e-3\n[[learn]]\npassages = \"learn.jsonl\"\n",
    );
    desk
}

#[test]
fn a_model_is_measured_against_one_that_never_saw_the_forget_set() {
    let desk = desk();
    desk.ok("edit learn.toml --model MODEL");
    let probe = "probe tofu --forget forget05 --model MODEL";
    let report =
        desk.json(&format!("{probe} --patch learn.patch.safetensors --reference MODEL --json"));
    let probability = |side: &str, set: &str| {
        report[side]["sets"][set]["probability"]["mean"].as_f64().expect("measured")
    };
    for set in ["retain", "forget"] {
        let (taught, never) = (probability("summary", set), probability("reference_summary", set));
        assert!(taught > 2. * never, "{set}: {taught} and {never}");
    }
    assert!(report["summary"]["utility"].as_f64().is_some_and(|utility| utility < 1.));
    assert_eq!(report["forget_quality"]["n"], serde_json::json!([3, 3]));
    assert_eq!(report["log"]["eval_log"]["avg_gt_loss"].as_object().map(|all| all.len()), Some(3));

    // What was printed is read again, as TOFU's own logs are.
    let probe_log =
        format!("{probe} --patch learn.patch.safetensors --reference MODEL --quiet --json");
    desk.write("log.json", &desk.ok(&probe_log));
    let again = desk.json("probe log.json --reference log.json --json");
    assert_eq!(again["summary"], report["summary"]);
    assert_eq!(
        (&again["forget_quality"]["p"], &again["forget_quality"]["distance"]),
        (&1.0.into(), &0.0.into())
    );
    let table = desk.ok(&format!("{probe} --limit 2 --reference log.json --quiet"));
    for row in ["real authors", "world facts", "model utility", "forget quality", "n 2 and 3"] {
        assert!(table.contains(row), "no {row:?} in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    desk.fails(
        "probe log.json --require model-utility>=1",
        1,
        &["model-utility is", "required >= 1"],
    );
}

#[test]
fn what_is_no_evaluation_is_refused_by_name() {
    let desk = desk();
    desk.fails("probe tofu --model MODEL", 2, &["several forget sets", "--forget forget05"]);
    desk.fails("probe tofu --model MODEL --forget forget01", 2, &["no forget set \"forget01\""]);
    desk.fails("probe cache --model MODEL", 2, &["cannot read cache"]);
    std::fs::create_dir(desk.path("empty")).expect("a folder");
    desk.fails("probe empty --model MODEL", 2, &["no file of TOFU's evaluation"]);
    desk.write("log.json", "{\"eval_log\": {\"avg_gt_loss\": {\"0\": 1}}}");
    desk.fails("probe log.json", 2, &["`eval_log`: no `avg_paraphrased_loss`"]);
    desk.fails(
        "probe tofu --forget forget05 --model MODEL --reference learn.json",
        2,
        &["cannot read learn.json"],
    );
    desk.fails("probe prompts.toml --model MODEL --reference MODEL", 2, &["for TOFU's files"]);
    desk.fails("probe tofu --forget forget05 --model MODEL --against MODEL", 2, &["--reference"]);
    let output = desk.run("probe tofu/retain_perturbed.json --model MODEL --quiet");
    assert!(text(&output.stdout).contains("No forget set was measured"), "one set alone");
}
