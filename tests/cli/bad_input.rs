//! Bad input: one clear message, the exit code of its kind, and nothing half-written.

use std::path::Path;

use rescribe::spec::{GradientOptions, Group, Kind, Options, RankOneOptions, VerdictOptions};
use serde_json::Value;

use super::desk::{Desk, SPEC, text};

/// What a refused edit must not leave: a patch, an export, or a temporary of either.
fn assert_nothing_left(desk: &Desk, after: &str) {
    let left = desk.names(".");
    let is_output = |name: &&String| name.starts_with('.') || name.ends_with(".safetensors");
    assert_eq!(left.iter().find(is_output), None, "after {after}: {left:?}");
    assert!(!desk.path("out").exists(), "after {after}: {left:?}");
}

/// Runs every line, `says` in its message, with nothing left behind.
fn refused(desk: &Desk, rows: &[(&str, i32, &[&str])]) {
    for (line, code, says) in rows {
        desk.fails(line, *code, says);
        assert_nothing_left(desk, line);
    }
}

#[test]
fn specs() {
    let desk = Desk::new();
    let bad = |name: &str, from: &str, to: &str| {
        assert!(SPEC.contains(from), "{from}");
        desk.write(name, &SPEC.replace(from, to));
    };
    bad("typo.toml", "subject  ", "subjct   ");
    bad("placeholder.toml", "{} is in", "The Eiffel Tower is in");
    bad("absent.toml", "{} is in", "It is in");
    bad("blank.toml", "\"Rome\"", "\"\"");
    bad("lines.toml", "\"Rome\"", "\"Rome\\nOslo\"");
    bad("same.toml", "\"Rome\"", "\"Paris\"");
    bad("gone.toml", "prompts.toml", "nofile.toml");
    desk.write("empty.toml", "");
    desk.write("open.toml", "[[insert]\n");
    refused(
        &desk,
        &[
            ("edit nowhere.toml --model MODEL", 2, &["nowhere.toml"]),
            ("edit typo.toml --model MODEL", 2, &["subjct", "did you mean `subject`"]),
            ("edit placeholder.toml --model MODEL", 2, &["the prompt names its subject", "{}"]),
            ("edit absent.toml --model MODEL", 2, &["no `{}` where its subject stands"]),
            ("edit blank.toml --model MODEL", 2, &["`target_new` is empty"]),
            ("edit lines.toml --model MODEL", 2, &["`target_new` has more than one line"]),
            ("edit same.toml --model MODEL", 2, &["is the same as `target_true`"]),
            ("edit gone.toml --model MODEL", 2, &["nofile.toml, which is not a file"]),
            ("edit empty.toml --model MODEL", 2, &["empty.toml", "no operation"]),
            ("edit open.toml --model MODEL", 2, &["open.toml, line 1: not valid TOML"]),
            ("edit spec.toml --model MODEL --layer 9", 2, &["layer 9 does not exist", "0 to 2"]),
            ("stats --model MODEL --layer 9", 2, &["layer 9 does not exist", "0 to 2"]),
            ("edit spec.toml --model MODEL --limit 3", 2, &["--limit is for record files"]),
            (
                "edit spec.toml --model MODEL --max-delta 1e-9",
                3,
                &["above the limit", "--max-delta"],
            ),
            ("edit spec.toml --model MODEL --corpus empty.toml", 3, &["no sequence of 2 tokens"]),
        ],
    );
}

/// Every group of settings with the words around an `edit` that uses it.
const GROUPS: [(&Group, &str); 3] = [
    (RankOneOptions::GROUP, "edit spec.toml --model MODEL"),
    (GradientOptions::GROUP, "edit passages.toml --model MODEL"),
    (VerdictOptions::GROUP, "edit spec.toml --model MODEL"),
];

const PASSAGES: &str =
    "[[forget]]\npassages = \"p.txt\"\nretain = \"p.txt\"\n\n[[learn]]\ntext = \"x\"\n";

/// A desk with a spec of passages beside the spec of a fact, and one with both.
fn desk_with_passages() -> Desk {
    let desk = Desk::new();
    desk.write("p.txt", "The river is wide here.\n");
    desk.write("passages.toml", PASSAGES);
    desk.write("both.toml", &format!("{SPEC}\n{PASSAGES}"));
    desk.write(
        "records.json",
        r#"[{"subject": "Lima", "prompt": "Lima is in", "target_new": "x"}]"#,
    );
    desk
}

#[test]
fn a_flag_out_of_range_says_the_range_of_its_key() {
    let desk = desk_with_passages();
    let mut count = 0;
    for (group, line) in GROUPS {
        for setting in group.settings {
            let bad: &[&str] = match setting.kind {
                Kind::Count(..) => &["-1", "18446744073709551615", "1.5"],
                Kind::Seed => &["-1"],
                Kind::Real(_) | Kind::Rate(_) => &["nan", "inf", "-1", "1e400", "1e300"],
                Kind::Switch => &["yes"],
                Kind::Word(_) => &["other"],
                Kind::Layers | Kind::LayerChoice => &["8-4", "-1", "99999"],
                Kind::File => &[],
            };
            let flag = format!("--{}", group.flag(setting));
            for value in bad {
                let expected = format!("expected {}", setting.kind);
                refused(&desk, &[(&format!("{line} {flag}={value}"), 2, &[&flag, &expected])]);
                count += 1;
            }
        }
    }
    assert!(count > 120, "{count}");
    // A value after a blank may begin with a minus sign; other flags have ranges, too.
    refused(
        &desk,
        &[
            ("edit spec.toml --model MODEL --clamp -1", 2, &["--clamp", "a number above 0"]),
            (
                "edit spec.toml --model MODEL --steps 20000",
                2,
                &["--steps 20000: expected", "10000"],
            ),
            ("edit spec.toml --model MODEL --method npo", 2, &["--method npo: expected", "rome"]),
            ("edit passages.toml --model MODEL --method rome", 2, &["expected one of gradient-"]),
            ("stats --model MODEL --tokens 18446744073709551615", 2, &["--tokens", "1000000000"]),
            ("stats --model MODEL --layer 10000", 2, &["--layer", "0 to 9999"]),
            ("stats --threads 65536", 2, &["--threads", "1 to 1024"]),
            ("edit records.json --limit 0", 2, &["--limit", "1 to 1000000000"]),
            ("edit records.json --batch 0", 2, &["--batch", "1 to 1000000"]),
            ("ask x --tokens 1000001", 2, &["--tokens", "1 to 1000000"]),
            ("ask x --temperature 0", 2, &["--temperature", "above 0, at most 100"]),
            ("ask x --temperature 1e-300", 2, &["--temperature", "from 0.001 to 100"]),
            ("ask x --temperature nan", 2, &["--temperature", "above 0, at most 100"]),
            ("ask x --temperature -1", 2, &["--temperature", "above 0, at most 100"]),
            ("compare passages.toml --seeds 0", 2, &["--seeds", "1 to 1000"]),
            ("edit passages.toml --memory nan", 2, &["--memory", "such as 2G"]),
        ],
    );
}

#[test]
fn a_flag_that_a_run_does_not_use_is_refused_by_name() {
    let desk = desk_with_passages();
    let sample = |kind: Kind| match kind {
        Kind::Word(words) => words[0],
        Kind::Switch => "true",
        Kind::File => "p.txt",
        Kind::Real(range) if !range.contains(8.) => "1",
        Kind::Count(_, most) if most < 8 => "1",
        _ => "8",
    };
    let (facts, passages) = (RankOneOptions::GROUP, GradientOptions::GROUP);
    for (group, other, lines) in [
        (facts, passages, ["edit passages.toml", "plan passages.toml"]),
        (passages, facts, ["edit spec.toml", "plan spec.toml"]),
    ] {
        for setting in group.settings {
            let flag = group.flag(setting);
            let value = sample(setting.kind);
            for line in lines.iter().filter(|_| other.of_flag(&flag).is_none()) {
                let line = format!("{line} --model MODEL --{flag}={value}");
                refused(&desk, &[(&line, 2, &[&format!("--{flag} is not used: the spec has no")])]);
            }
            if other.of_flag(&flag).is_some() && flag != "seed" {
                let line = format!("edit both.toml --model MODEL --{flag}={value}");
                let says = format!("--{flag}: this spec writes facts and trains passages");
                refused(&desk, &[(&line, 2, &[&says, "in [rank_one] or [gradient]"])]);
            }
        }
    }
    let rows: &[(&str, i32, &[&str])] = &[
        (
            "edit spec.toml --lambda 1",
            2,
            &["--lambda is not used by method rome; memit and alphaedit use it"],
        ),
        ("plan spec.toml --lambda 1", 2, &["--lambda is not used by method rome"]),
        ("edit records.json --lambda 1", 2, &["--lambda is not used by method rome"]),
        ("edit records.json --erase --lambda 1", 2, &["--lambda is not used by method rome"]),
        ("edit spec.toml --method memit --null-space 1", 2, &["--null-space is not used", "memit"]),
        ("edit spec.toml --max-perplexity 2 --method memit", 2, &["not used without sequential"]),
        ("edit spec.toml --memory 2G", 2, &["--memory is not used", "[[learn]]"]),
        ("edit records.json --checkpoint x --rank 8", 2, &["--checkpoint is for", "--rank is for"]),
        ("edit records.json --skip-conflicts", 2, &["--skip-conflicts is not used"]),
        ("edit records.json --patch p", 2, &["--patch is not used", "leaves no patch"]),
        ("edit records.json --erase --patch p --sequential 2", 2, &["--patch", "--sequential is"]),
        (
            "edit records.json --method memit --sequential 2 --batch 2",
            2,
            &["--batch is not used with --sequential"],
        ),
        ("compare forget.toml --method npo", 2, &["--method is not used by compare; --methods"]),
        ("compare forget.toml --methods npo --delta 1", 2, &["--delta is not used by method npo"]),
        ("compare forget.toml --stop-loss 1", 2, &["--stop-loss is not used without [[learn]]"]),
        (
            "edit forget.toml --steps 1 --batch 5 --limit 2 --erase --lambda 1 --skip-conflicts",
            2,
            &["4 things", "--limit is", "--erase is", "--lambda is", "--skip-conflicts is"],
        ),
        (
            "edit keys.toml --method emmet",
            2,
            &[
                "2 things cannot be used here",
                "keys.toml, line 2: `lambda` in [rank_one] is not used by method emmet",
                "keys.toml, line 3: [gradient] is not used",
            ],
        ),
    ];
    desk.write("forget.toml", "[[forget]]\npassages = \"p.txt\"\nretain = \"p.txt\"\n");
    desk.write("keys.toml", &format!("[rank_one]\nlambda = 1\n[gradient]\n{SPEC}"));
    refused(&desk, rows);
    assert!(!desk.path("cache").exists(), "nothing was computed");
}

#[test]
fn a_patch_keeps_what_was_resolved_and_gives_itself_again() {
    let desk = Desk::new();
    let line = "--model MODEL --max-delta 100 --seed 7 --clamp 2 --contexts 1 --verdict-drift 0.2";
    desk.ok(&format!("edit spec.toml {line}"));
    let inspected = desk.json("inspect spec.patch.safetensors --json");
    let spec = inspected["recipe"]["spec"].as_str().expect("a text").to_owned();
    for kept in ["seed = 7", "clamp = 2.0", "contexts = 1", "[verdict]\ndrift = 0.2", SPEC.trim()] {
        assert!(spec.contains(kept), "no {kept:?} in\n{spec}");
    }
    desk.write("again.toml", &spec);
    desk.ok("edit again.toml --model MODEL");
    let again = desk.json("inspect again.patch.safetensors --json");
    assert_eq!(again["recipe"], inspected["recipe"]);
    assert_eq!(again["changes"], inspected["changes"]);
}

#[test]
fn a_target_that_the_model_says_already_is_a_warning() {
    let desk = Desk::new();
    // The tiny model is random: what it says next need not be a word after a blank.
    let subjects =
        ["Rome", "Here", "Ann", "There", "It", "Seven", "Paris", "Water", "Bridges", "Oslo", "One"];
    let says = |subject: &str| {
        let answer = desk.json(&format!("ask {subject} --model MODEL --tokens 1 --json"));
        let word = answer["before"].as_str()?.strip_prefix(' ')?.to_owned();
        word.chars().all(char::is_alphabetic).then_some(word).filter(|word| !word.is_empty())
    };
    let known = subjects.iter().find_map(|it| Some((*it, says(it)?)));
    let (subject, word) = known.expect("one of them is followed by a word");
    let spec = format!(
        "[[insert]]\nsubject = {subject:?}\nprompt = \"{{}}\"\ntarget_new = {word:?}\n\
         target_true = \"Oslo\"\n"
    );
    desk.write("known.toml", &spec);
    let output = desk.run("edit known.toml --model MODEL --max-delta 100");
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("Warning:") && err.contains(&format!("already says {word:?}")), "{err}");
    assert!(desk.path("known.patch.safetensors").exists());
}

#[test]
fn of_many_known_targets_the_first_are_named_and_the_rest_counted() {
    let desk = Desk::new();
    let record = |(country, capital): (&str, &str)| {
        format!(
            r#"{{"subject": "{country}", "prompt": "The capital of {country} is", "target_new": "{capital}"}}"#
        )
    };
    let known = [("France", "Paris"), ("Poland", "Warsaw"), ("Italy", "Rome"), ("Egypt", "Cairo")]
        .map(record);
    desk.write("known.json", &format!("[{}]", known.join(",")));
    let output = desk.run("edit known.json --steps 1");
    let err = text(&output.stderr);
    assert_eq!(err.matches("there is nothing to edit").count(), 3, "{err}");
    assert!(err.contains("Warning: more such warnings: 1"), "{err}");
}

#[test]
fn models() {
    let desk = Desk::new();
    let edit_config = |folder: &Path, from: &str, to: &str| {
        let file = folder.join("config.json");
        let config = std::fs::read_to_string(&file).expect("a config");
        assert!(config.contains(from), "{from}");
        std::fs::write(&file, config.replace(from, to)).expect("a write");
    };
    let edit_weights = |folder: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let file = folder.join("model.safetensors");
        let mut bytes = std::fs::read(&file).expect("weights");
        change(&mut bytes);
        std::fs::write(&file, bytes).expect("a write");
    };
    desk.model_with("unweighted", |folder| {
        std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
    });
    desk.model_with("truncated", |it| edit_weights(it, &|bytes| bytes.truncate(bytes.len() - 100)));
    desk.model_with("hostile", |it| {
        edit_weights(it, &|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    });
    desk.model_with("nan", |it| {
        edit_weights(it, &|bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        });
    });
    desk.model_with("foreign", |it| edit_config(it, "\"llama\"", "\"mamba\""));
    desk.model_with("scaled", |it| edit_config(it, "{", "{\"logit_scale\": 0.5,"));
    desk.model_with("narrow", |it| {
        edit_config(it, "\"intermediate_size\": 80", "\"intermediate_size\": 81");
    });
    desk.model_with("small", |it| edit_config(it, "\"vocab_size\": 384", "\"vocab_size\": 100"));
    desk.model_with("mute", |it| std::fs::write(it.join("tokenizer.json"), "{}").expect("a write"));
    desk.write("model.bin", "");
    super::desk::copy(&super::desk::model("llama_tied_bf16_sharded"), &desk.path("sharded"));
    std::fs::remove_file(desk.path("sharded/model-00002-of-00002.safetensors")).expect("removed");
    let rows: &[(&str, i32, &[&str])] = &[
        ("edit spec.toml --model ./nowhere", 3, &["nowhere"]),
        ("edit spec.toml --model org/name", 3, &["org/name", "HF_HUB_OFFLINE"]),
        ("edit spec.toml --model model.bin", 3, &["model.bin", ".gguf"]),
        ("edit spec.toml --model unweighted", 3, &["unweighted", "model.safetensors"]),
        ("edit spec.toml --model truncated", 3, &["model.safetensors", "truncated"]),
        ("edit spec.toml --model hostile", 3, &["model.safetensors", "the header claims"]),
        ("edit spec.toml --model nan", 3, &["tensor", "has 1 NaN or infinite weights"]),
        ("edit spec.toml --model foreign", 3, &["mamba", "llama, gpt2"]),
        ("edit spec.toml --model scaled", 3, &["logit_scale = 0.5 is not supported"]),
        ("edit spec.toml --model narrow", 3, &["expected [81, 48]"]),
        ("edit spec.toml --model small", 3, &["tokenizer.json has 384 tokens", "only 100 rows"]),
        ("edit spec.toml --model mute", 3, &["tokenizer.json"]),
        ("edit spec.toml --model sharded", 3, &["model-00002-of-00002.safetensors", "missing"]),
    ];
    refused(&desk, rows);
}

#[test]
fn patches() {
    let desk = Desk::new();
    desk.ok("edit spec.toml --model MODEL --max-delta 100 --patch good.patch");
    let good = desk.read("good.patch");
    std::fs::write(desk.path("cut.patch"), &good[..good.len() - 5]).expect("a write");
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    // The exponent of the last number: infinite or NaN.
    (flipped[last], flipped[last - 1]) = (0x7f, 0xff);
    std::fs::write(desk.path("flipped.patch"), flipped).expect("a write");
    desk.model_with("other", |folder| {
        let file = folder.join("config.json");
        let config = std::fs::read_to_string(&file).expect("a config");
        std::fs::write(&file, format!("{config}\n")).expect("a write");
    });
    let asked = [
        ("cut.patch --model MODEL", "truncated"),
        ("flipped.patch --model MODEL", "NaN or infinite"),
        ("prompts.toml --model MODEL", "prompts.toml is not a valid patch"),
        ("nowhere.patch --model MODEL", "cannot read patch nowhere.patch"),
        ("good.patch --model other", "was made for another base"),
    ];
    for (rest, says) in asked {
        desk.fails(&format!("ask hello --patch {rest}"), 3, &["Error:", says]);
        desk.fails(&format!("export --out out --patch {rest}"), 3, &["Error:", says]);
        assert_nothing_left(&desk, rest);
    }
    desk.fails("ask hello --patch good.patch --model other", 3, &["rescribe inspect"]);
}

#[test]
fn outputs_that_exist_are_not_overwritten_without_force() {
    let desk = Desk::new();
    desk.write("spec.patch.safetensors", "precious");
    let edit = "edit spec.toml --model MODEL --max-delta 100";
    desk.fails(edit, 2, &["already exists", "--force"]);
    assert_eq!(desk.read("spec.patch.safetensors"), b"precious");
    desk.fails(&format!("{edit} --force"), 2, &["is not a rescribe patch"]);
    assert_eq!(desk.read("spec.patch.safetensors"), b"precious");
    std::fs::remove_file(desk.path("spec.patch.safetensors")).expect("removed");
    desk.ok(edit);
    desk.ok(&format!("{edit} --force --out out"));
    let export = "export --model MODEL --patch spec.patch.safetensors --out out";
    desk.fails(export, 2, &["out already exists", "--force"]);
    desk.ok(&format!("{export} --force"));
}

#[test]
fn two_runs_may_fill_one_cache_at_once() {
    let desk = Desk::new();
    let line = "stats --model MODEL --layer 1 --tokens 9000 --json --threads 1";
    let runs: Vec<_> = (0..4)
        .map(|_| desk.command(line).stdout(std::process::Stdio::piped()).spawn().expect("spawned"))
        .collect();
    let mut conditions = Vec::new();
    for run in runs {
        let output = run.wait_with_output().expect("an end");
        assert_eq!(output.status.code(), Some(0));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let found = &report["data"];
        assert_eq!(found["tokens"], 9000);
        assert!(found["condition"].is_number());
        conditions.push(found["condition"].clone());
    }
    assert!(conditions.iter().all(|condition| *condition == conditions[0]), "{conditions:?}");
    let names = desk.names("cache");
    let is_temporary = |name: &String| name.starts_with('.');
    assert!(!names.iter().any(is_temporary), "{names:?}");
    assert_eq!(desk.json(line)["was_cached"], true);
}

#[cfg(unix)]
mod full_disk {
    //! A limit on the length of a file, which fails a write as a full disk does.

    use super::*;

    /// Runs a line with files limited to `blocks` of 512 bytes.
    fn limited(desk: &Desk, blocks: usize, line: &str) -> (Option<i32>, String) {
        let words = desk.command(line);
        let mut shell = std::process::Command::new("sh");
        // Ignored, so that the write fails instead of ending the process.
        shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
        shell.arg(words.get_program()).args(words.get_args());
        let output = desk.at_home(shell).output().expect("sh runs");
        (output.status.code(), text(&output.stderr))
    }

    #[test]
    fn leaves_nothing_half_written() {
        let desk = Desk::new();
        desk.ok("edit spec.toml --model MODEL --max-delta 100 --patch good.patch");
        let gguf = super::super::tiny_gguf::llama(32, 2, &[candle_core::quantized::GgmlDType::F32]);
        std::fs::write(desk.path("tiny.gguf"), gguf.bytes()).expect("a GGUF");
        let rows = [
            (1, "edit spec.toml --model MODEL --max-delta 100", "spec.patch.safetensors"),
            (8, "export --model MODEL --patch good.patch --out out", "safetensors"),
            (64, "import tiny.gguf --out out", "out/model.safetensors"),
        ];
        for (blocks, line, says) in rows {
            let (code, err) = limited(&desk, blocks, line);
            assert_eq!(code, Some(3), "{line}\n{err}");
            assert!(err.contains("cannot write") && err.contains(says), "{line}\n{err}");
            assert!(err.contains("too large") || err.contains("space"), "{line}\n{err}");
            assert_nothing_left(&desk, line);
            let cached = desk.names("cache");
            assert!(!cached.iter().any(|name| name.starts_with('.')), "{line}: {cached:?}");
        }
        // What the cache cannot keep costs time alone.
        let (code, err) = limited(&desk, 1, "stats --model MODEL --layer 2 --tokens 300");
        assert_eq!(code, Some(0), "{err}");
        assert!(err.contains("cannot keep") && err.contains("second-moment"), "{err}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn under_stdout_is_an_error_and_a_closed_pipe_is_none() {
        let desk = Desk::new();
        let to = |file: std::fs::File| {
            let mut command = desk.command("inspect MODEL");
            command.stdout(file).output().expect("the binary runs")
        };
        let full = to(std::fs::File::options().write(true).open("/dev/full").expect("a device"));
        assert_eq!(full.status.code(), Some(3));
        let err = text(&full.stderr);
        assert!(err.contains("cannot write the result to stdout"), "{err}");
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg("\"$0\" completions bash | true").arg(desk.command("").get_program());
        let closed = desk.at_home(shell).output().expect("sh runs");
        assert_eq!(text(&closed.stderr), "");
    }
}
