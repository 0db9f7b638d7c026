//! Files as people write them, and what they mean.

use std::fs;
use std::path::Path;

use super::*;

mod any_text;
mod collections;
mod diagnostics;

/// The one-line message and the excerpts below it, as a plain terminal shows them.
fn shown(error: &SpecError) -> String {
    let look = Look { width: 80, color: false, unicode: true };
    let lines = format!("{error}\n{}", error.excerpts(look));
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

const EIFFEL: &str = r#"
[[insert]]
subject = "The Eiffel Tower"
prompt = "{} is located in the city of"
target_new = "Rome"
"#;

#[test]
fn a_spec_keeps_what_was_written_and_nothing_else() {
    let text = r#"
model = "org/name"

[rank_one]
method = "rome"
layers = [3]
seed = 18446744073709551615
parity = true
contexts = 0
steps = 0x14
learning_rate = 1
clamp = 0.75
kl_weight = 0.0
corpus = "plain.txt"

[[insert]]
subject = "The Eiffel Tower"
prompt = "{} is located in the city of"
target_new = "Rome"
target_true = "Paris"

[probe]
prompts = "../prompts/eiffel.toml"
"#;
    let spec = parse_spec("edits/eiffel.toml", text).unwrap();
    assert_eq!(spec.source.text(), text);
    assert_eq!(spec.model.as_deref(), Some("org/name"));
    assert_eq!(spec.probe.as_deref(), Some(Path::new("edits/../prompts/eiffel.toml")));
    let expected = RankOneOptions {
        method: Some(Method::Rome),
        layers: Some(LayerChoice::Given(vec![3])),
        seed: Some(u64::MAX),
        parity: Some(true),
        contexts: Some(0),
        steps: Some(20),
        learning_rate: Some(1.0),
        clamp: Some(0.75),
        kl_weight: Some(0.0),
        corpus: Some("edits/plain.txt".into()),
        ..RankOneOptions::default()
    };
    assert_eq!(spec.rank_one, expected);
    let insert = &spec.inserts[0];
    assert_eq!(insert.rendered(), "The Eiffel Tower is located in the city of");
    let fact = Fact::from(insert.clone());
    assert_eq!(&fact.rendered()[fact.subject_range()], "The Eiffel Tower");
    let spans = insert.spans.clone().unwrap();
    assert_eq!(&text[spans.prompt], "\"{} is located in the city of\"");
    assert_eq!(insert.target_true.as_deref(), Some("Paris"));
}

#[test]
fn a_spec_is_read_again_from_its_own_text() {
    let first = parse_spec("edits/eiffel.toml", EIFFEL).unwrap();
    let again = parse_spec(first.source.name(), first.source.text()).unwrap();
    assert_eq!(first.inserts, again.inserts);
    assert_eq!(first.source, again.source);
}

#[test]
fn a_model_that_starts_with_a_dot_is_seen_from_the_spec() {
    let local = parse_spec("edits/a.toml", &format!("model = \"../smollm2\"\n{EIFFEL}")).unwrap();
    assert_eq!(local.model.as_deref(), Some("edits/../smollm2"));
}

#[test]
fn files_that_a_spec_names_are_looked_for_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edit.toml");
    fs::write(&path, format!("{EIFFEL}\n[probe]\nprompts = \"gone.toml\"\n")).unwrap();
    let error = read_spec(&path).unwrap_err();
    assert!(error.problems()[0].message.ends_with("gone.toml, which is not a file"), "{error}");
    fs::write(folder.path().join("gone.toml"), "").unwrap();
    assert_eq!(read_spec(&path).unwrap().probe, Some(folder.path().join("gone.toml")));
}

#[test]
fn files_that_are_missing_or_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edit.toml");
    assert!(matches!(read_spec(&path), Err(SpecError::Unreadable { .. })));
    fs::write(&path, b"abc\xff").unwrap();
    assert!(matches!(read_spec(&path), Err(SpecError::NotText { offset: 3, .. })));
}

#[test]
fn a_prompt_file_takes_the_targets_of_the_edit() {
    let text = "[[paraphrase]]\nprompt = \"a\"\n[[neighborhood]]\nprompt = \"b\"\n\
                target_true = \"c\"\n[[ripple]]\nprompt = \"d\"\ntarget_new = \"e\"\n";
    let PromptFile::Prompts(set) = parse_prompts("p.toml", text).unwrap() else {
        panic!("TOML holds prompts")
    };
    let mut insert = parse_spec("edits/eiffel.toml", EIFFEL).unwrap().inserts.remove(0);
    insert.target_true = Some("Paris".to_owned());
    let filled = set.for_insert(&insert);
    let targets = |comparison: &Comparison| {
        let Comparison { target_new, target_true, .. } = comparison.clone();
        (target_new.unwrap(), target_true.unwrap_or_default())
    };
    assert_eq!(filled.rewrite[0].prompt, insert.rendered());
    assert_eq!(targets(&filled.paraphrase[0]), ("Rome".into(), "Paris".into()));
    assert_eq!(targets(&filled.neighborhood[0]), ("Rome".into(), "c".into()));
    assert_eq!(targets(&filled.ripple[0]), ("e".into(), String::new()));
    assert_eq!(filled.own_targets(), Some(("Rome", "Paris")));
    assert_eq!(set.own_targets(), None);
}

#[test]
fn the_shipped_edits_and_prompts_are_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in fs::read_dir(root.join("edits")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let spec = read_spec(&path).unwrap_or_else(|error| panic!("{}", shown(&error)));
        let prompts = read_prompts(spec.probe.as_deref().expect("each has prompts"));
        let PromptFile::Prompts(set) = prompts.unwrap_or_else(|error| panic!("{}", shown(&error)))
        else {
            panic!("TOML holds prompts")
        };
        count += 1;
        let Some(insert) = spec.inserts.first() else {
            for operation in &spec.passages {
                for (role, source) in operation.sources() {
                    let read = match role.ends_with("questions") {
                        true => source.read_questions(),
                        false => source.read(),
                    };
                    assert!(read.is_ok_and(|passages| passages.len() >= 4), "{role}");
                }
            }
            continue;
        };
        assert_eq!(set.rewrite[0].prompt, insert.rendered(), "{}", path.display());
        let own = set.own_targets().map(|(new, _)| new);
        assert_eq!(own, Some(insert.target_new.as_str()), "{}", path.display());
        assert!(set.paraphrase.len() >= 4 && set.neighborhood.len() >= 10);
    }
    assert_eq!(count, 9);
}
