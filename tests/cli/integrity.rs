//! What was changed behind the program's back is noticed: patches, exports, caches, trainings.

use super::{Desk, EDIT, model};

const PATCH: &str = "spec.patch.safetensors";

/// Changes one byte of a file, at a share of its length.
fn damage(desk: &Desk, name: &str, share: f64) {
    let mut bytes = desk.read(name);
    let at = (share * bytes.len() as f64) as usize;
    bytes[at] ^= 1;
    std::fs::write(desk.path(name), bytes).expect("a writable file");
}

#[test]
fn a_changed_patch_is_refused() {
    let desk = Desk::new();
    desk.ok(EDIT);
    let whole = desk.read(PATCH);
    for share in [0.1, 0.5, 0.999] {
        std::fs::write(desk.path(PATCH), &whole).expect("a writable file");
        damage(&desk, PATCH, share);
        let line = format!("ask --model MODEL --patch {PATCH} The");
        desk.fails(&line, 3, &["spec.patch.safetensors is not a valid patch"]);
    }
}

#[test]
fn a_base_with_another_layer_is_warned_of() {
    let desk = Desk::new();
    desk.ok(EDIT);
    let ask = |model: &str| desk.says(&format!("ask --model {model} --patch {PATCH} The"));
    assert!(!ask("MODEL").contains("was made for other weights"));
    // The last byte of the last tensor of the file, which the edit does not change.
    desk.model_with("other", |it| {
        let file = it.join("model.safetensors");
        let mut bytes = std::fs::read(&file).expect("weights");
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(file, bytes).expect("weights");
    });
    let said = ask("other");
    assert!(said.contains("spec.patch.safetensors was made for other weights"), "{said}");
}

#[test]
fn an_export_is_compared_with_its_record() {
    let desk = Desk::new();
    desk.ok(&format!("{EDIT} --out out"));
    let said = desk.ok("inspect out");
    assert!(said.contains("all are as they were exported"), "{said}");
    let files = [("out/model.safetensors", 0.9), ("out/README.md", 0.5)];
    for (file, share) in files {
        let whole = desk.read(file);
        damage(&desk, file, share);
        let name = file.strip_prefix("out/").expect("inside");
        desk.fails("inspect out", 1, &["not as they were exported", name]);
        std::fs::write(desk.path(file), whole).expect("a writable file");
    }
    let record = String::from_utf8(desk.read("out/rescribe.json")).expect("a text");
    desk.write("out/rescribe.json", &record.replacen("Rome", "Oslo", 1));
    desk.fails("inspect out", 1, &["rescribe.json is not as it was written"]);
    desk.write("out/rescribe.json", "{ \"patches\": ");
    desk.fails("inspect out", 3, &["out/rescribe.json cannot be used"]);
}

#[test]
fn a_damaged_cache_is_computed_anew_and_named() {
    let desk = Desk::new();
    let edit = format!("{EDIT} --method memit --layer 1 --force");
    desk.ok(&edit);
    let whole = desk.read(PATCH);
    let kinds = ["second-moment-", "factor-", "samples-", "general-", "values/"];
    for kind in kinds {
        let (folder, start) = kind.split_once('/').unwrap_or(("", kind));
        let folder = format!("cache/{folder}");
        let start = if folder == "cache/" { start } else { "" };
        let name = desk.names(&folder).into_iter().find(|name| name.starts_with(start));
        let name = name.unwrap_or_else(|| panic!("nothing of {kind}"));
        damage(&desk, &format!("{folder}/{name}"), 0.6);
        let said = desk.says(&edit);
        // Samples are read only where the moment that was collected over them is missing.
        let is_read = kind != "samples-";
        assert_eq!(said.contains(&name), is_read, "{kind}: {said}");
        assert!(desk.read(PATCH) == whole, "{kind}");
    }
}

#[test]
fn the_cache_is_listed_and_cleaned_and_nothing_else_in_it() {
    let desk = Desk::new();
    desk.ok(EDIT);
    std::fs::write(desk.path("cache/diary"), "dear").expect("a writable folder");
    let listed = desk.ok("cache list");
    for kind in ["second moments", "samples to measure damage on"] {
        assert!(listed.contains(kind), "no {kind} in {listed}");
    }
    assert!(desk.json("cache clean --json")["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!(desk.json("cache list --json")["entries"], 0);
    assert_eq!(desk.read("cache/diary"), b"dear");
}

#[test]
fn a_patch_is_made_again_and_compared() {
    let desk = Desk::new();
    desk.ok(&format!("{EDIT} --seed 7 --clamp 2 --contexts 1"));
    let verify = "patch verify spec.patch.safetensors --model MODEL";
    let said = desk.ok(verify);
    assert!(said.contains("equal to the bit"), "{said}");
    desk.fails(
        &format!("{verify} --spec spec.toml"),
        1,
        &["from another spec, or with other flags"],
    );
    let flags = "--spec spec.toml --max-delta 100 --seed 7 --clamp 2 --contexts 1";
    desk.ok(&format!("{verify} {flags}"));

    desk.write(
        "erase.toml",
        "[[erase]]\nsubject = \"Q\"\nprompt = \"{} is\"\n\
                              target_true = \"Rome\"\nothers = [\"X\", \"Z\", \"K\"]\n",
    );
    desk.ok("edit erase.toml --model MODEL --max-delta 100 --steps 2");
    let verify = "patch verify erase.patch.safetensors --model MODEL";
    desk.fails(verify, 2, &["does not name what it removed", "--spec"]);
    desk.ok(&format!("{verify} --spec erase.toml --max-delta 100 --steps 2"));
}

#[test]
fn a_damaged_training_is_not_resumed() {
    let desk = Desk::new();
    desk.write(
        "learn.toml",
        "[gradient]\nsteps = 2\nbatch = 1\ngeneral_batch = 0\n\
                              max_drift = 100\n[[learn]]\ntext = \"The ferry is green.\"\n",
    );
    let line = "edit learn.toml --model MODEL --checkpoint saved --checkpoint-every 1 --force";
    desk.ok(line);
    damage(&desk, "saved", 0.8);
    desk.fails(line, 3, &["saved", "its digest does not match"]);
}

#[test]
fn escape_sequences_of_a_stranger_are_not_obeyed() {
    let desk = Desk::new();
    desk.write(
        "spec.toml",
        &String::from_utf8(desk.read("spec.toml"))
            .expect("a text")
            .replace("\"The Eiffel Tower\"", "\"The \\u001b[31mEiffel Tower\""),
    );
    desk.ok(&format!("{EDIT} --out out"));
    for line in
        ["inspect spec.patch.safetensors", "patch list spec.patch.safetensors", "inspect out"]
    {
        let shown = desk.ok(line);
        assert!(!shown.contains('\u{1b}'), "{line}: {shown:?}");
    }
    assert!(!desk.read("out/README.md").contains(&0x1b));
}

/// A title, a cleared screen in two forms, a bell, a backspace and red.
const ORDERS: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}2J\u{8}\u{1b}[31mred";

/// Whether a terminal would obey anything in `shown` but colours, and those that a stranger wrote.
fn is_obeyed(shown: &str) -> bool {
    let is_colour = |number: &str| matches!(number.parse::<u8>(), Ok(0..=2 | 4 | 30..=37));
    let mut pieces = shown.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    let bare = pieces.fold(first, |bare, piece| match piece.split_once('m') {
        Some((numbers, rest)) if numbers.split(';').all(is_colour) => bare + rest,
        _ => bare + "\u{1b}" + piece,
    });
    bare.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
        || shown.contains("\u{1b}[31mred")
}

#[test]
fn escape_sequences_are_obeyed_in_no_message_and_no_result() {
    let desk = Desk::new();
    let quoted = serde_json::to_string(ORDERS).expect("JSON");
    let inner = quoted.trim_matches('"');
    let insert = format!(
        "[[insert]]\nsubject = \"Tower{inner}\"\nprompt = \"{{}} is in\"\ntarget_new = \"Rome{inner}\"\n"
    );
    desk.write("insert.toml", &insert);
    desk.write("unknown.toml", &format!("{insert}\"{inner}\" = 1\n"));
    desk.write("raw.toml", &format!("[[insert]]\nsubject = \"{ORDERS}\"\n"));
    desk.write("absent.toml", &format!("[[learn]]\npassages = \"{inner}\"\n"));
    desk.write("model.toml", &format!("model = \"{inner}\"\n{insert}"));
    desk.write("head.csv", &format!("subject,{ORDERS}\nTower,x\n"));
    let record = format!(
        "{{\"case_id\": {quoted}, \"subject\": \"Tower\", \"prompt\": \"The Bell is in\", \
         \"target_new\": \"Rome\"}}\n"
    );
    let good = record.replace("The Bell", "The Tower").replace("Rome", &format!("Rome{inner}"));
    desk.write("records.jsonl", &format!("{good}{record}"));
    desk.model_with("config", |it| {
        let config = String::from_utf8(std::fs::read(it.join("config.json")).expect("a config"));
        let config = config.expect("a text").replacen('{', &format!("{{{quoted}: {quoted},"), 1);
        std::fs::write(it.join("config.json"), config).expect("written");
    });
    desk.model_with("chat", |it| {
        let template = format!("{{{{ raise_exception({quoted}) }}}}");
        std::fs::write(it.join("chat_template.jinja"), template).expect("written");
    });
    let quick = "--model MODEL --max-delta 100 --steps 2 --force --color always";
    let rows = [
        (format!("edit insert.toml {quick}"), 0),
        (format!("edit records.jsonl --skip-bad {quick}"), 0),
        ("plan insert.toml --model MODEL --color always".into(), 0),
        ("plan insert.toml --model MODEL --json --color always".into(), 0),
        ("ask The --model MODEL --patch insert.patch.safetensors --color always".into(), 0),
        ("patch list insert.patch.safetensors --color always".into(), 0),
        ("plan records.jsonl --color always".into(), 2),
        ("plan unknown.toml --color always".into(), 2),
        ("plan raw.toml --color always".into(), 2),
        ("plan absent.toml --color always".into(), 2),
        ("plan head.csv --color always".into(), 2),
        ("plan model.toml --color always".into(), 3),
        ("ask The --model config --color always".into(), 3),
        ("ask The --model chat --chat --color always".into(), 3),
    ];
    for (line, code) in rows {
        let output = desk.run(&line);
        let (out, err) = (super::desk::text(&output.stdout), super::desk::text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{line}\n{out}\n{err}");
        assert!(!is_obeyed(&out), "{line}: {out:?}");
        assert!(!is_obeyed(&err), "{line}: {err:?}");
    }
    let prompt = desk.command("ask --model MODEL --color always").arg(ORDERS).output();
    let shown = super::desk::text(&prompt.expect("the binary runs").stdout);
    assert!(shown.contains("title") && !is_obeyed(&shown), "{shown:?}");
}

#[test]
fn an_entry_of_another_model_in_the_cache_is_computed_anew_and_named() {
    let desk = Desk::new();
    let edit = |model: &str| format!("{EDIT} --force").replace("MODEL", model);
    desk.ok(&edit("MODEL"));
    let whole = desk.read(PATCH);
    let own = desk.names("cache");
    desk.model_with("other", |it| {
        let file = it.join("model.safetensors");
        let mut bytes = std::fs::read(&file).expect("weights");
        let at = bytes.len() - 4000;
        bytes[at] ^= 0x40;
        std::fs::write(file, bytes).expect("weights");
    });
    desk.ok(&edit("other"));
    let foreign = desk.names("cache").into_iter().filter(|name| !own.contains(name));
    let foreign: Vec<String> = foreign.collect();
    for kind in ["second-moment-", "general-", "factor-"] {
        let of = |names: &[String]| names.iter().find(|name| name.starts_with(kind)).cloned();
        let (ours, theirs) = (of(&own).expect(kind), of(&foreign).expect(kind));
        std::fs::write(desk.path(&format!("cache/{ours}")), desk.read(&format!("cache/{theirs}")))
            .expect("a writable file");
        let said = desk.says(&edit("MODEL"));
        assert!(said.contains(&ours) && said.contains("computed again"), "{kind}: {said}");
        assert!(desk.read(PATCH) == whole, "{kind}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_files_without_end_are_refused_at_once() {
    let desk = Desk::new();
    let made = std::process::Command::new("mkfifo").arg(desk.path("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    let replaced = |name: &str, file: &str, target: &str| {
        desk.model_with(name, |it| {
            std::fs::remove_file(it.join(file)).expect("a file");
            std::os::unix::fs::symlink(target, it.join(file)).expect("a link");
        });
    };
    let pipe = desk.path("pipe").display().to_string();
    replaced("piped", "tokenizer.json", &pipe);
    replaced("endless", "config.json", "/dev/zero");
    let sparse = std::fs::File::create(desk.path("sparse.gguf")).expect("a file");
    sparse.set_len(100 << 30).expect("a length without data");
    desk.write("of_pipe.toml", "[[learn]]\npassages = \"pipe\"\n");
    desk.write("of_folder.toml", "[[learn]]\npassages = \"piped\"\n");
    let rows = [
        ("plan of_pipe.toml --model MODEL", 2, "it is a pipe, expected a regular file"),
        ("plan of_folder.toml --model MODEL", 2, "it is a folder, expected a regular file"),
        ("ask --model piped The", 3, "tokenizer.json"),
        ("ask --model endless The", 3, "config.json"),
        ("ask --model sparse.gguf The", 3, "sparse.gguf"),
        ("ask --model MODEL --patch pipe The", 3, "it is a pipe"),
        ("stats --model MODEL --corpus pipe", 3, "it is a pipe"),
        ("stats --model MODEL --corpus /dev/zero", 3, "it is a device"),
        ("inspect pipe", 3, "it is a pipe"),
        ("edit pipe --model MODEL", 2, "it is a pipe"),
        ("probe pipe --model MODEL", 2, "it is a pipe"),
    ];
    for (line, code, says) in rows {
        desk.fails(line, code, &[says]);
    }
}

#[test]
fn a_hostile_tokenizer_is_one_line() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(model("llama").join("tokenizer.json")).expect("a tokenizer");
    let hostile = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut tokenizer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        change(&mut tokenizer);
        desk.model_with(name, |it| {
            std::fs::write(it.join("tokenizer.json"), tokenizer.to_string()).expect("a file");
        });
        let line = format!("ask --model {name} --tokens 4 Paris");
        desk.fails(&line, 3, &["tokenizer.json cannot be used: "]);
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let replace = |from: &str, to: &str| serde_json::json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
    hostile("junk", &|it| {
        it["normalizer"] = json(r#"{ "type": "Precompiled", "precompiled_charsmap": "AAAA" }"#);
    });
    hostile("empty", &|it| it["normalizer"] = replace("", "x"));
    hostile("long", &|it| it["normalizer"] = replace("a", &"b".repeat(1_000_000)));
    hostile("cut", &|it| it["pre_tokenizer"] = json(r#"{ "type": "FixedLength", "length": 0 }"#));
    hostile("merges", &|it| it["model"]["merges"] = json(r#"[["never", "there"]]"#));
}
