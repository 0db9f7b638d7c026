//! The front matter of a model card: what the Hub and other programs read of an exported folder.
//!
//! It is YAML, and names may come from anybody: every text is written as a JSON string, which YAML
//! reads too, unless it consists of letters, digits and a few marks alone.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::CARD;
use crate::files::read_regular;

/// The longest model card or licence of the base that is read.
const LONGEST: u64 = 16 << 20;
/// Names that a licence has as a file.
const LICENCES: [&str; 7] =
    ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt", "COPYING"];
/// Entries about the licence, in the order in which they are written.
const ABOUT_LICENCE: [&str; 3] = ["license", "license_name", "license_link"];

/// The kind of folder that a card describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardKind {
    /// Whole weights, for transformers.
    Checkpoint,
    /// A PEFT adapter.
    Adapter,
    /// A GGUF file or adapter, for llama.cpp.
    Gguf,
}

impl CardKind {
    fn library(self) -> &'static str {
        match self {
            Self::Checkpoint => "transformers",
            Self::Adapter => "peft",
            Self::Gguf => "gguf",
        }
    }

    fn relation(self) -> &'static str {
        match self {
            Self::Checkpoint | Self::Gguf => "finetune",
            Self::Adapter => "adapter",
        }
    }

    fn tag(self) -> Option<&'static str> {
        (self == Self::Adapter).then_some("lora")
    }
}

/// The front matter of a card, with the lines around it.
///
/// `base` is the folder of the base and `name` what the base was called. The base is named by its Hub
/// id, where the name, the folder or the base's own card tells it, and never by a path. The licence
/// is the base's, by its card or by its licence file.
pub fn front_matter(base: &Path, name: &str, kind: CardKind) -> String {
    let card = read(&base.join(CARD)).unwrap_or_default();
    let mut lines = vec!["---".to_owned()];
    if let Some(id) = base_id(base, name, &card) {
        lines.push(format!("base_model: {}", quoted(&id)));
        lines.push(format!("base_model_relation: {}", kind.relation()));
    }
    lines.push(format!("library_name: {}", kind.library()));
    lines.push("pipeline_tag: text-generation".into());
    lines.extend(licence(base, &card));
    lines.push("tags:".into());
    lines.extend(["rescribe", "model-editing"].into_iter().chain(kind.tag()).map(item));
    lines.push("---\n".into());
    lines.join("\n")
}

fn item(text: &str) -> String {
    format!("- {}", scalar(text))
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_regular(path, LONGEST).ok()?).ok()
}

/// The Hub id of the base, or of the model that the base was made from.
fn base_id(base: &Path, name: &str, card: &str) -> Option<String> {
    let named = name.split('@').next().filter(|id| is_hub_id(id) && !Path::new(id).exists());
    let own = named.map(str::to_owned).or_else(|| cached_id(base));
    let above = || entry(card, "base_model").into_iter().find(|id| is_hub_id(id));
    own.or_else(above)
}

/// The id of a snapshot in the Hub's cache: `models--org--name/snapshots/COMMIT`.
fn cached_id(folder: &Path) -> Option<String> {
    let whole = fs::canonicalize(folder).ok()?;
    let snapshots = whole.parent().filter(|it| it.ends_with("snapshots"))?;
    let name = snapshots.parent()?.file_name()?.to_str()?;
    let id = name.strip_prefix("models--")?.replacen("--", "/", 1);
    is_hub_id(&id).then_some(id)
}

/// Whether a name has the form `org/name`.
fn is_hub_id(id: &str) -> bool {
    let is_name = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(is_plain)
    };
    id.split_once('/').is_some_and(|(org, name)| is_name(org) && is_name(name))
}

/// The lines about the licence: those of the base's card, else what its licence file says.
fn licence(base: &Path, card: &str) -> Vec<String> {
    let lines = ABOUT_LICENCE.iter().flat_map(|key| match entry(card, key).as_slice() {
        [] => Vec::new(),
        [only] => vec![format!("{key}: {}", scalar(only))],
        several => {
            std::iter::once(format!("{key}:")).chain(several.iter().map(|it| item(it))).collect()
        }
    });
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        return lines;
    }
    let file = LICENCES.iter().find_map(|name| Some((name, read(&base.join(name))?)));
    match file.map(|(name, text)| (name, recognised(&text))) {
        None => Vec::new(),
        Some((_, Some(id))) => vec![format!("license: {id}")],
        Some((name, None)) => {
            vec!["license: other".into(), format!("license_link: {}", scalar(name))]
        }
    }
}

/// The Hub's name of a licence by sentences that only it has.
fn recognised(text: &str) -> Option<&'static str> {
    const LICENCES: [(&[&str], &str); 5] = [
        (&["Apache License", "Version 2.0", "TERMS AND CONDITIONS"], "apache-2.0"),
        (&["Permission is hereby granted, free of charge", "\"Software\""], "mit"),
        (&["Redistribution and use in source", "Neither the name"], "bsd-3-clause"),
        (&["GNU AFFERO GENERAL PUBLIC LICENSE", "Version 3"], "agpl-3.0"),
        (&["GNU GENERAL PUBLIC LICENSE", "Version 3"], "gpl-3.0"),
    ];
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let has_all = |marks: &[&str]| marks.iter().all(|mark| text.contains(mark));
    LICENCES.iter().find(|(marks, _)| has_all(marks)).map(|(_, id)| *id)
}

/// The values of a key in the front matter of a card: a scalar, or a list of them in either form.
/// What has another form is left out.
fn entry(card: &str, key: &str) -> Vec<String> {
    let card = card.trim_start_matches('\u{feff}');
    let mut lines = card.lines().map(str::trim_end);
    if lines.next() != Some("---") {
        return Vec::new();
    }
    let mut front = lines.take_while(|line| *line != "---");
    let start = |line: &str| line.strip_prefix(key)?.strip_prefix(':').map(str::to_owned);
    let Some(first) = front.by_ref().find_map(start) else { return Vec::new() };
    match first.trim() {
        "" => {
            let items = front.map_while(|line| line.trim_start().strip_prefix("- "));
            items.filter_map(value).collect()
        }
        list if list.starts_with('[') => {
            let inside = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
            inside.unwrap_or_default().split(',').filter_map(value).collect()
        }
        only => value(only).into_iter().collect(),
    }
}

/// The text of a YAML scalar on one line.
fn value(text: &str) -> Option<String> {
    let text = text.trim();
    let found = match text.chars().next()? {
        '"' => serde_json::from_str(text).ok()?,
        '\'' => text.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'"),
        c if "{}[]&*!|>%@`#,?:-".contains(c) => return None,
        _ => text.split(" #").next()?.trim().to_owned(),
    };
    (!found.is_empty()).then_some(found)
}

/// A text as a YAML scalar: bare where every reader takes it for a text.
fn scalar(text: &str) -> String {
    let is_tame = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let is_bare = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_tame);
    if is_bare && !is_word { text.to_owned() } else { quoted(text) }
}

/// A text in quotes, with everything escaped that YAML does not allow in it.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let is_strange = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    let shown = |c: char| match is_strange(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn hub_ids_are_told_from_paths() {
        for (model, expected) in [
            ("HuggingFaceTB/SmolLM2-135M-Instruct", true),
            ("smollm2", false),
            ("./models/a", false),
            ("/models/a", false),
            ("a/b/c", false),
            ("~/model", false),
        ] {
            assert_eq!(is_hub_id(model), expected, "{model}");
        }
    }

    #[test]
    fn each_kind_says_what_reads_it_and_what_it_was_made_from() {
        let folder =
            base(&[("LICENSE", "Apache License\nVersion 2.0, January 2004\nTERMS AND CONDITIONS")]);
        let card = |kind| front_matter(folder.path(), "org/name@v2", kind);
        assert_eq!(
            card(CardKind::Checkpoint),
            "---\nbase_model: \"org/name\"\nbase_model_relation: finetune\n\
             library_name: transformers\npipeline_tag: text-generation\nlicense: apache-2.0\n\
             tags:\n- rescribe\n- model-editing\n---\n"
        );
        let adapter = card(CardKind::Adapter);
        assert!(adapter.contains("relation: adapter\nlibrary_name: peft\n"), "{adapter}");
        assert!(adapter.contains("- lora\n"), "{adapter}");
        assert!(card(CardKind::Gguf).contains("library_name: gguf\n"));
    }

    #[test]
    fn the_base_is_named_by_its_hub_id_and_never_by_a_path() {
        let path = "/models/secret/mine";
        let named = |folder: &Path, name: &str| front_matter(folder, name, CardKind::Checkpoint);
        let bare = base(&[]);
        // Tests run in the folder of this package, which has a folder src/model.
        for name in [path, "mine", "../a/b", "src/model", "C:\\models\\mine"] {
            let front = named(bare.path(), name);
            assert!(!front.contains("base_model"), "{name}: {front}");
        }
        let child =
            base(&[("README.md", "---\r\nbase_model:\r\n- org/parent\r\n---\r\n# Child\r\n")]);
        assert!(named(child.path(), "child").contains("base_model: \"org/parent\"\n"));
        let cache = base(&[]);
        let snapshot = cache.path().join("models--acme--tiny--chat/snapshots/abc");
        fs::create_dir_all(&snapshot).expect("a folder");
        assert!(named(&snapshot, "abc").contains("base_model: \"acme/tiny--chat\"\n"));
    }

    #[test]
    fn the_licence_is_taken_over_in_every_form_and_nothing_else() {
        let rows = [
            ("license: apache-2.0\nlanguage: en", &["license: apache-2.0"][..]),
            ("license: \"mit\" ", &["license: mit"]),
            ("license: mit # as before", &["license: mit"]),
            (
                "license:\n  - mit\n  - apache-2.0\ntags:\n- x",
                &["license:", "- mit", "- apache-2.0"],
            ),
            ("license: [mit, 'cc-by-4.0']", &["license:", "- mit", "- cc-by-4.0"]),
            (
                "license: other\nlicense_name: \"a: b\"\nlicense_link: https://x.org/l",
                &["license: other", "license_name: \"a: b\"", "license_link: \"https://x.org/l\""],
            ),
            ("license: &anchor mit", &[]),
            ("license: \"broken", &[]),
            ("licenses: mit", &[]),
        ];
        for (front, expected) in rows {
            let card = format!("---\n{front}\n---\nlicense: fake\n");
            assert_eq!(licence(Path::new("/nowhere"), &card), expected, "{front}");
        }
        assert!(licence(Path::new("/nowhere"), "license: mit\n").is_empty(), "no front matter");
    }

    #[test]
    fn a_licence_file_says_which_licence_it_is() {
        let mit =
            "Permission is hereby granted, free of\n charge, to any person (the \"Software\")";
        for (name, text, expected) in [
            ("LICENSE.txt", mit, &["license: mit"][..]),
            ("LICENSE", "You may use it on Sundays.", &["license: other", "license_link: LICENSE"]),
        ] {
            assert_eq!(licence(base(&[(name, text)]).path(), ""), expected);
        }
        let both = base(&[("LICENSE", mit)]);
        assert_eq!(licence(both.path(), "---\nlicense: gemma\n---\n"), ["license: gemma"]);
    }

    #[test]
    fn any_text_is_one_scalar_of_one_line() {
        let rows = [
            ("apache-2.0", "apache-2.0"),
            ("yes", "\"yes\""),
            ("1.0", "\"1.0\""),
            ("a: b", "\"a: b\""),
            ("- x", "\"- x\""),
            ("a\nlicense: mit", "\"a\\nlicense: mit\""),
            ("q\"q", "\"q\\\"q\""),
            ("\u{85}\u{2028}", "\"\\u0085\\u2028\""),
        ];
        for (text, expected) in rows {
            assert_eq!(scalar(text), expected, "{text:?}");
            let read: String = match expected.strip_prefix('"') {
                Some(_) => serde_json::from_str(expected).expect("JSON"),
                None => expected.to_owned(),
            };
            assert_eq!(read, text);
        }
    }
}
