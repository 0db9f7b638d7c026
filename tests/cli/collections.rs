//! Tables, record collections and passages as people have them.

use super::desk::{Desk, cell, count, facts, flat, measure, text, write_step};

const EDIT: &str = "--model MODEL --max-delta 1000";

const TABLE: &str = "\u{feff}Subject;Prompt;Target New;Target True;id;paraphrases;owner\r\n\
    The old bridge;{} is in;Rome;Paris;b1;\"You find {} in|One sees {} in\";Tom\r\n\
    \"The barn; red\";Where is The barn; red?;Oslo;;;;\r\n\
    My garden;\"{} is in \";Rome;;;;\r\n";

#[test]
fn a_table_of_facts_becomes_one_patch() {
    let desk = Desk::new();
    desk.write("facts.csv", &TABLE.replace("Where is The barn; red?", "\"Is The barn; red in\""));
    let report = desk.report(&format!("edit facts.csv {EDIT} --json"));
    let data = &report["data"];
    assert_eq!((count(&data["cases"]), &data["write"]["grouping"]), (3, &"together".into()));
    for (at, id) in ["b1", "3", "4"].iter().enumerate() {
        assert_eq!(data["cases"][at]["id"], *id);
    }
    assert_eq!(cell(&report, "said, paraphrased", "n"), 2);
    let patch = desk.json("inspect facts.patch.safetensors --json");
    let spec = patch["recipe"]["spec"].as_str().expect("a text");
    for kept in ["\"The barn; red\"", "prompt = \"Is {} in\"", "prompt = \"{} is in\"\n"] {
        assert!(spec.contains(kept), "no {kept:?} in\n{spec}");
    }
    desk.write("again.toml", spec);
    desk.ok(&format!("edit again.toml {EDIT}"));
    let again = desk.json("inspect again.patch.safetensors --json");
    for number in ["rank", "norm"] {
        assert_eq!(again["changes"][0][number], patch["changes"][0][number]);
    }

    let output = desk.run("plan facts.csv --model MODEL --json");
    let err = flat(&text(&output.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a plan");
    assert_eq!(count(&write_step(&plan)["edits"]), 3);
    assert!(err.contains("the column \"owner\" of the table is not read"), "{err}");
    assert!(err.contains("\"{} is in \": the blanks around it were cut"), "{err}");
    let probed =
        desk.report("probe facts.csv --model MODEL --patch facts.patch.safetensors --json");
    assert_eq!(measure(&probed, "said", "after"), measure(&report, "said", "after"));
    let batches = format!("edit facts.csv {EDIT} --method memit --layers 0-1");
    let batch = desk.json(&format!("{batches} --batch 2 --json"));
    assert_eq!(batch["write"]["grouping"], "isolated");
    desk.ok(&format!("{batches} --force --limit 2 --out out"));
    assert!(desk.path("out/model.safetensors").exists());
}

#[test]
fn a_table_that_is_none_says_what_it_lacks() {
    let desk = Desk::new();
    desk.write("columns.csv", "subject,promt,target\na,b,c\n");
    desk.write("header.tsv", "Vell\tVell is in\tRome\n");
    desk.write(
        "rows.csv",
        "subject,prompt,target_new\nVell,{} is in,\nOss,It is in,Rome\nA,{} is,a,b\n",
    );
    desk.write("pairs.csv", "question,answer\nWho?,She.\n");
    desk.write("quotes.csv", "subject,prompt,target_new\nO’Brien,The car of O'brien is,red\n");
    let rows: [(&str, &[&str]); 5] = [
        ("columns.csv", &["line 1: no columns `prompt`, `target_new`", "meant to be `prompt`?"]),
        ("header.tsv", &["header.tsv, line 1", "the first line of a table of facts names its"]),
        (
            "rows.csv",
            &[
                "rows.csv has 3 problems",
                "the row on line 2 has no `target_new`",
                "the row on line 3 does not name its subject \"Oss\"",
                "the row on line 4 has 4 cells, but the header has 3",
                "--skip-bad",
            ],
        ),
        ("pairs.csv", &["no columns `subject`, `prompt`, `target_new`"]),
        ("quotes.csv", &["subject \"O’Brien\" in `prompt`, which has \"O'brien\" instead"]),
    ];
    for (name, says) in rows {
        for verb in ["edit", "plan", "probe"] {
            desk.fails(&format!("{verb} {name} --model MODEL"), 2, says);
        }
    }
    assert!(!desk.path("cache").exists(), "nothing was computed");
}

const ZSRE: &str = r#"{"subject": "SUBJECT", "src": "Where is the old bridge?", "rephrase": "In which town is the old bridge?", "alt": "Rome", "answers": ["Paris"], "loc": "where is big ben", "loc_ans": "London"}"#;

#[test]
fn bad_records_are_left_out_where_that_is_asked_for() {
    let desk = Desk::new();
    let good = ZSRE.replace("SUBJECT", "the old bridge");
    let lines = [good.as_str(), &ZSRE.replace("SUBJECT", "the barn"), "{\"alt\": }", &good];
    desk.write("zsre.jsonl", &lines.join("\n"));
    let says = [
        "zsre.jsonl has 2 problems",
        "record 1 (id 1) does not name its subject \"the barn\" in `src`",
        "zsre.jsonl:3:9",
        "not valid JSON: expected value, at column 9",
        "leave them out with --skip-bad",
    ];
    for verb in ["edit", "probe", "plan"] {
        desk.fails(&format!("{verb} zsre.jsonl --model MODEL"), 2, &says);
    }
    let line = "zsre.jsonl --model MODEL --skip-bad";
    let report = desk.report(&format!("edit {line} --max-delta 1000 --json"));
    let left_out = &report["data"]["left_out"];
    assert_eq!((count(left_out), count(&report["data"]["cases"])), (2, 2));
    assert_eq!((&left_out[0]["id"], &left_out[1]["id"]), (&"1".into(), &"line 3".into()));
    let note =
        report["notes"].as_array().expect("notes").iter().find(|it| it["label"] == "left out");
    assert_eq!(note.expect("a note")["text"], "2 records that cannot be used: 1, line 3");
    let probed = desk.run(&format!("probe {line}"));
    let (out, err) = (flat(&text(&probed.stdout)), flat(&text(&probed.stderr)));
    assert!(out.contains("left out 2 records that cannot be used: 1, line 3"), "{out}");
    assert!(err.contains("Warning: record 1 (id 1) does not name its subject"), "{err}");
    desk.ok(&format!("plan {line}"));
    desk.write("bad.json", &format!("[{}]", ZSRE.replace("SUBJECT", "x")));
    desk.fails(
        "edit bad.json --model MODEL --skip-bad",
        2,
        &["does not name its subject", "none is left"],
    );
    desk.fails("edit spec.toml --model MODEL --skip-bad", 2, &["--skip-bad is for record files"]);
}

#[test]
fn a_record_that_would_change_too_much_leaves_the_others_theirs() {
    let desk = Desk::new();
    let record = |at: usize, subject: &str| {
        format!(
            r#"{{"case_id": {at}, "subject": "{subject}", "prompt": "{subject} is in",
                "target_new": "Rome", "target_true": "Paris"}}"#
        )
    };
    desk.write("two.json", &format!("[{}, {}]", record(1, "My garden"), record(2, "The barn")));
    let edit = |limit: f64| {
        let line = format!("edit two.json --model MODEL --max-delta {limit} --json");
        let report = desk.report(&line);
        let norms = facts(&report["data"]).iter().map(|it| it["relative_norm"].clone()).collect();
        (report, norms)
    };
    let (_, norms): (_, Vec<serde_json::Value>) = edit(1000.);
    let norms: Vec<f64> = norms.iter().map(|norm| norm.as_f64().expect("a norm")).collect();
    let larger = if norms[0] > norms[1] { 0 } else { 1 };
    let (report, kept) = edit(f64::midpoint(norms[0], norms[1]));
    assert_eq!(
        (kept[larger].as_f64(), kept[1 - larger].as_f64()),
        (Some(0.), Some(norms[1 - larger]))
    );
    let case = &report["data"]["cases"][larger];
    assert_eq!(case["before"]["said"][0]["nll"], case["after"]["said"][0]["nll"]);
    let sentence = report["verdict"]["sentence"].as_str().expect("a sentence");
    let says = format!("Nothing was written for \"{}\", 1 of 2 facts: |ΔW|", larger + 1);
    assert!(sentence.contains(&says) && sentence.contains("--max-delta"), "{sentence}");
}

const MQUAKE: &str = r#"[{"case_id": 7, "requested_rewrite": [
  {"prompt": "{} is employed by", "subject": "Ada Quill", "question": "Who employs Ada Quill?",
   "target_new": {"str": "Vellwerk"}, "target_true": {"str": "Paris"}},
  {"prompt": "The seat of {} is in", "subject": "Vellwerk",
   "target_new": {"str": "Oslo"}, "target_true": {"str": "Bergen"}}],
  "questions": ["Where does Ada Quill's employer sit?"], "answer": "Bremen", "new_answer": "Oslo"},
 {"case_id": 8, "requested_rewrite": [{"prompt": "{} is in", "subject": "My garden",
   "target_new": {"str": "Rome"}, "target_true": {"str": "Paris"}}],
  "questions": [], "new_answer": "Rome"}]"#;

#[test]
fn several_rewrites_of_a_record_are_written_together_and_their_questions_are_ripples() {
    let desk = Desk::new();
    desk.write("mquake.json", MQUAKE);
    for how in ["", "--method memit --layers 0-1", "--method memit --layers 0 --batch 2"] {
        let report = desk.report(&format!("edit mquake.json {EDIT} {how} --json"));
        let cases = &report["data"]["cases"];
        assert_eq!((count(cases), &cases[0]["id"]), (2, &"7".into()));
        assert_eq!((&cases[0]["facts"]["end"], &cases[1]["facts"]["end"]), (&2.into(), &3.into()));
        assert_eq!(
            (cell(&report, "said", "n"), cell(&report, "said, paraphrased", "n")),
            (&3.into(), &1.into())
        );
        let ripples = cases[0]["after"]["scores"]["prompts"].as_array().expect("prompts");
        assert!(ripples.iter().any(|it| it["kind"] == "ripple"), "{how}: {ripples:?}");
    }
    let probed = desk.report("probe mquake.json --model MODEL --json");
    assert_eq!(cell(&probed, "said", "n"), 3);
}

#[test]
fn portability_without_a_true_answer_is_measured() {
    let desk = Desk::new();
    desk.write(
        "recent.json",
        r#"[{"subject": "Vell", "prompt": "The capital of Vell is", "target_new": "Rome",
            "portability": {"Reasoning": [{"prompt": "In Vell one pays in", "ground_truth": [["lira"]]}],
              "Logical_Generalization": [{"prompt": "Rome is the capital of", "ground_truth": [["Vell"]]}]},
            "locality": {"Relation_Specificity": [{"prompt": "Vell lies in", "ground_truth": [["Asia"]]}]}}]"#,
    );
    let report = desk.report(&format!("edit recent.json {EDIT} --json"));
    assert_eq!(cell(&report, "said, ripples", "n"), 2);
    let probed = desk.report("probe recent.json --model MODEL --json");
    assert_eq!(cell(&probed, "said, ripples", "n"), 2);
}

#[test]
fn passages_are_read_by_their_shape() {
    let desk = Desk::new();
    let plan = |name: &str, text: &str| {
        desk.write(name, text);
        desk.write("learn.toml", &format!("[[learn]]\npassages = \"{name}\"\n"));
        flat(&desk.ok("plan learn.toml --model MODEL"))
    };
    let rows = [
        ("muse.json", "[\"Clio Vell lives in Oss by the sea.\", \"The barn of Oss is red.\"]"),
        (
            "chat.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Who is it?\"}, {\"role\": \"assistant\", \"content\": \"Clio Vell.\"}]}\n{\"instruction\": \"Say it.\", \"input\": \"\", \"output\": \"It is red.\"}\n",
        ),
        ("pairs.csv", "Question;Answer\nWho is it?;Clio Vell.\nWhat?;\"The barn; it is red.\"\n"),
        (
            "manual.md",
            "# Pump\n\n## Errors\n\nCodes are:\n\n| code | means |\n|---|---|\n| E1 | dry |\n\n## Start\n\nPress it.\n",
        ),
    ];
    for (name, text) in rows {
        let plan = plan(name, text);
        assert!(plan.contains("learn 2 passages ("), "{name}: {plan}");
    }
    desk.write(
        "shape.json",
        "{\"title\": \"a\", \"body\": \"b\"}\n{\"text\": \"c\"}\n[1]\n{\"text\"}\n",
    );
    desk.write("learn.toml", "[[learn]]\npassages = \"shape.json\"\n");
    let says = [
        "shape.json has 3 problems",
        "passage 1 is an object with `title`, `body`, which is no known shape",
        "shape.json:3",
        "shape.json:4",
        "`messages`",
    ];
    desk.fails("plan learn.toml --model MODEL", 2, &says);
}

#[test]
fn characters_that_nobody_sees_are_warned_of_in_every_file() {
    let desk = Desk::new();
    let warns = |line: &str, says: &str| {
        let output = desk.run(line);
        let err = flat(&text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{line}: {err}");
        assert!(err.contains(says), "{line}: no {says:?} in {err}");
    };
    let fact = "[[insert]]\nsubject = \"The old tower\\u200b\"\nprompt = \"{} is in\"\n\
                target_new = \"Rome\"\n";
    desk.write("spec.toml", &format!("{fact}\n[probe]\nprompts = \"prompts.toml\"\n"));
    desk.write(
        "prompts.toml",
        "[[neighborhood]]\nprompt = \"Be\u{301}la is in\"\ntarget_true = \"Oss\"\n",
    );
    let hidden = "spec.toml, line 2: the subject \"The old tower\\u{200b}\" has U+200B ZERO WIDTH \
                  SPACE after \"tower\"";
    warns("plan spec.toml --model MODEL", hidden);
    let apart = "prompts.toml: the prompt \"Be\\u{301}la is in\" has U+0301 apart from its letter";
    warns("plan spec.toml --model MODEL", apart);
    warns("probe prompts.toml --model MODEL", apart);
    desk.write("r.json", "[{\"subject\": \"Oss\u{a0}Ark\", \"prompt\": \"Oss\u{a0}Ark is in\", \"target_new\": \"Rome\"}]");
    warns(
        "probe r.json --model MODEL",
        "record 0: the subject \"Oss\\u{a0}Ark\" has U+00A0 NO-BREAK SPACE after \"Oss\"",
    );
    desk.write("t.csv", "subject,prompt,target_new\nOs\u{ad}s,{} is in,Rome\n");
    warns(
        "plan t.csv --model MODEL",
        "record 2: the subject \"Os\\u{ad}s\" has U+00AD SOFT HYPHEN after \"Os\"",
    );
    desk.write("p.txt", "The river is wide.\n\nIt is deep\u{202e} here, and\u{200b} cold.\n");
    desk.write("learn.toml", "[[learn]]\npassages = \"p.txt\"\n");
    warns(
        "plan learn.toml --model MODEL",
        "p.txt: passage 2 has U+202E RIGHT-TO-LEFT OVERRIDE after \"deep\", and the file 1 more",
    );
}
