//! Every setting of every group: as a key, as a flag, as text, and where it is not used.

use super::*;
use crate::spec::{
    EditSpec, ForgetMethod, GradientOptions, LayerChoice, Method, RankOneOptions, VerdictOptions,
    parse_spec, spec_text_with,
};

const FACT: &str =
    "[[insert]]\nsubject = \"Lima\"\nprompt = \"{} is in\"\ntarget_new = \"Chile\"\n";
const FORGET: &str = "[[forget]]\npassages = \"p.txt\"\n";
const LEARN: &str = "[[learn]]\npassages = \"p.txt\"\n";

fn all() -> Vec<(&'static Group, &'static Setting)> {
    let groups = [RankOneOptions::GROUP, GradientOptions::GROUP, VerdictOptions::GROUP];
    groups.iter().flat_map(|group| group.settings.iter().map(|it| (*group, it))).collect()
}

/// Texts that a kind takes, and numbers that it must not take; both are TOML, too.
fn samples(kind: Kind) -> (Vec<String>, Vec<String>) {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let not_numbers = ["nan", "inf", "-inf", "-1", "-1e30", "1e400"];
    match kind {
        Kind::Count(low, high) => {
            let above = [high + 1, u32::MAX as usize, usize::MAX].map(|it| it.to_string());
            let below = [low.checked_sub(1).map_or("-1".into(), |it| it.to_string())];
            (vec![low.to_string(), high.to_string()], [below.to_vec(), above.to_vec()].concat())
        }
        Kind::Seed => {
            (texts(&["0", "18446744073709551615"]), texts(&["-1", "18446744073709551616"]))
        }
        Kind::Real(range) | Kind::Rate(range) => {
            let high = range.to_string().rsplit(' ').next().expect("a last word").to_owned();
            let high: f64 = high.parse().expect("the upper bound");
            let good = vec![format!("{high:?}"), format!("{:?}", high / 3.)];
            let mut bad: Vec<String> = texts(&not_numbers);
            bad.push(format!("{:?}", high * 1.001));
            bad.extend((!range.contains(0.)).then(|| "0".to_owned()));
            (good, bad)
        }
        Kind::Switch => (texts(&["true", "false"]), Vec::new()),
        Kind::Word(words) => (texts(words), Vec::new()),
        Kind::Layers | Kind::LayerChoice => (texts(&["3"]), Vec::new()),
        Kind::File => (texts(&["plain.txt"]), Vec::new()),
    }
}

/// A sample as TOML writes it.
fn toml_of(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Word(_) | Kind::File => format!("{text:?}"),
        Kind::Layers | Kind::LayerChoice => format!("[{text}]"),
        _ => text.to_owned(),
    }
}

fn spec(table: &str, key: &str, value: &str, operations: &str) -> String {
    format!("[{table}]\n{key} = {value}\n{operations}")
}

#[test]
fn a_number_out_of_range_is_refused_alike_as_key_and_as_flag() {
    for (group, setting) in all() {
        let expected = format!("expected {}", setting.kind);
        for bad in samples(setting.kind).1 {
            let name = format!("[{}] {} = {bad}", group.table, setting.key);
            let flag = setting.kind.of_flag(&bad).expect_err(&name);
            assert_eq!(flag, expected, "{name}");
            // TOML knows no 1e400: it is an infinity there, as here.
            let error = parse_spec("a.toml", &spec(group.table, setting.key, &bad, FACT));
            let error = error.expect_err(&name);
            let problem = &error.problems()[0];
            assert_eq!(problem.message, format!("`{}` is out of range", setting.key), "{name}");
            assert_eq!(problem.labels[0].1, expected, "{name}");
        }
    }
}

#[test]
fn a_value_is_the_same_as_key_as_flag_and_as_text() {
    fn value(spec: &EditSpec, table: &str, key: &str) -> Option<Value> {
        match table {
            "rank_one" => spec.rank_one.get(key),
            "gradient" => spec.gradient.get(key),
            _ => spec.verdict.get(key),
        }
    }
    for (group, setting) in all() {
        for text in samples(setting.kind).0 {
            let toml = toml_of(setting.kind, &text);
            let name = format!("[{}] {} = {toml}", group.table, setting.key);
            let read = parse_spec("a.toml", &spec(group.table, setting.key, &toml, FACT));
            let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
            let found = value(&read, group.table, setting.key);
            assert_eq!(found, setting.kind.of_flag(&text).ok(), "{name}");
            assert!(found.is_some(), "{name}");
            // What was read is laid over a spec without it, and read back from its text.
            let mut other = parse_spec("a.toml", FACT).expect("a fact");
            other.rank_one = read.rank_one;
            other.gradient = read.gradient;
            other.verdict = read.verdict;
            let again = parse_spec("a.toml", &other.resolved_text()).expect("its own text");
            assert_eq!(value(&again, group.table, setting.key), found, "{name}");
        }
    }
}

#[test]
fn doc_lines_are_sentences_that_stand_alone() {
    for (group, setting) in all() {
        let doc = setting.doc();
        assert!(doc.len() > 8 && !doc.ends_with('.'), "[{}] {}: {doc:?}", group.table, setting.key);
        let starts_well = doc.chars().next().is_some_and(|c| c.is_uppercase() || "λβδ".contains(c));
        assert!(starts_well, "[{}] {}: {doc:?}", group.table, setting.key);
    }
}

#[test]
fn layers_are_numbers_and_ranges() {
    let layers = [
        ("auto", Some(Value::Auto)),
        ("sweep", Some(Value::Sweep)),
        ("6", Some(Value::Layers(vec![6]))),
        ("4-8", Some(Value::Layers(vec![4, 5, 6, 7, 8]))),
        ("7, 4-5,4", Some(Value::Layers(vec![4, 5, 7]))),
        ("", None),
        ("8-4", None),
        ("4-", None),
        ("four", None),
        ("-1", None),
        ("0-99999999", None),
        ("10000", None),
    ];
    for (text, expected) in layers {
        assert_eq!(Kind::LayerChoice.of_flag(text).ok(), expected, "{text}");
    }
}

#[test]
fn the_resolved_text_keeps_operations_and_comments() {
    let heads = [
        "# why\n[rank_one] # how\nseed = 3 # old\n# of\nlayers = [\n  1,\n]\n\n",
        "# why\nrank_one.seed = 3\nrank_one.layers = [1]\n# of\n",
        "# why\nrank_one = { seed = 3, layers = [1] }\n# of\n",
    ];
    for head in heads {
        let text = format!("{head}# the fact\n{FACT}");
        let mut spec = parse_spec("edits/a.toml", &text).expect("a spec");
        assert_eq!(spec.resolved_text(), text, "nothing was set");
        spec.rank_one.seed = Some(u64::MAX);
        spec.rank_one.corpus = Some("edits/plain.txt".into());
        spec.verdict.drift = Some(0.25);
        let resolved = spec.resolved_text();
        assert!(resolved.starts_with("# why\n# of\n"), "{resolved}");
        assert!(resolved.contains(&format!("# the fact\n{FACT}")), "{resolved}");
        assert!(resolved.contains("corpus = \"plain.txt\"\n"), "{resolved}");
        let again = parse_spec("edits/a.toml", &resolved).expect(&resolved);
        assert_eq!(again.settings(), spec.settings(), "{resolved}");
        assert_eq!(again.inserts.len(), 1);
    }
}

#[test]
fn the_text_of_records_asks_for_their_settings() {
    let spec = parse_spec("a.toml", FACT).expect("a spec");
    let facts: Vec<_> = spec.inserts.iter().cloned().map(crate::spec::Fact::from).collect();
    let options = RankOneOptions {
        method: Some(Method::Memit),
        layers: Some(LayerChoice::Given(vec![0, 1])),
        clamp: Some(0.1 + 0.2),
        ..RankOneOptions::default()
    };
    let again = parse_spec("a.toml", &spec_text_with(&facts, &options)).expect("a spec");
    assert_eq!(again.rank_one, options);
    let bare = spec_text_with(&facts, &RankOneOptions::default());
    assert!(!bare.contains("rank_one"), "{bare}");
}

#[test]
fn what_a_run_does_not_use_is_named_with_what_would_use_it() {
    let retained = "[[forget]]\npassages = \"p.txt\"\nretain = \"r.txt\"\n";
    let held = "[[forget]]\npassages = \"p.txt\"\nholdout = \"h.txt\"\n";
    let rows = [
        ("[rank_one]\nlambda = 1", FACT, "is not used by method rome; memit and alphaedit use it"),
        (
            "[rank_one]\nmethod = \"memit\"\nnull_space = 0.5",
            FACT,
            "is not used by method memit; alphaedit uses it",
        ),
        (
            "[rank_one]\nmethod = \"memit\"\nscatter_weight = 0.5",
            FACT,
            "is not used by method memit; rome uses it",
        ),
        (
            "[rank_one]\nsequential = 2",
            FACT,
            "is not used by method rome; emmet, memit and alphaedit use it",
        ),
        (
            "[rank_one]\nmethod = \"memit\"\nmax_perplexity = 3",
            FACT,
            "is not used without sequential",
        ),
        ("[rank_one]\nmethod = \"memit\"\nsequential = 3\nmax_perplexity = 3", FACT, ""),
        ("[rank_one]\nparity = true\nneighbor_weight = 1", FACT, ""),
        ("[rank_one]", FORGET, "is not used: the spec has no [[insert]] and no [[erase]]"),
        ("[gradient]", FACT, "is not used: the spec has no [[learn]] and no [[forget]]"),
        (
            "[gradient]\nmethod = \"gradient-difference\"\nbeta = 1",
            FORGET,
            "is not used by method gradient-difference; wga, npo and simnpo use it",
        ),
        (
            "[gradient]\nmethod = \"npo\"\ndelta = 1",
            FORGET,
            "is not used by method npo; simnpo uses it",
        ),
        ("[gradient]\ndelta = 1", FORGET, ""),
        ("[gradient]\nforget_weight = 1", LEARN, "is not used without [[forget]]"),
        ("[gradient]\nmethod = \"npo\"", LEARN, "is not used without [[forget]]"),
        ("[gradient]\nmax_damage = 1", LEARN, "is not used without [[forget]]"),
        ("[gradient]\nmax_damage = 1", FORGET, "is not used without passages to `retain`"),
        ("[gradient]\nbeta = 1", LEARN, "is not used without [[forget]]"),
        ("[gradient]\nstop_loss = 1", FORGET, "is not used without [[learn]]"),
        (
            "[gradient]\nrelearn = 5",
            FORGET,
            "is not used by method simnpo; look-ahead and repselect use it",
        ),
        ("[gradient]\nrelearn = 5", held, ""),
        ("[gradient]\nbeta = 1", held, ""),
        (
            "[gradient]\nbeta = 1\nrelearn = 5",
            held,
            "is not used by method simnpo; look-ahead and repselect use it",
        ),
        ("[gradient]\nnoise = 0.5", FORGET, "is not used by method simnpo; undo uses it"),
        ("[gradient]\nmethod = \"undo\"\nnoise = 0.5\nnoise_scale = 0", FORGET, ""),
        ("[gradient]\ncollapse = 5", FORGET, "is not used by method simnpo; repselect uses it"),
        ("[rank_one]\nwordings = 2", FACT, "is not used without [[erase]]"),
        ("[rank_one]\nlens_weight = 0.5", FACT, "is not used without [[erase]]"),
        ("[gradient]\nmethod = \"look-ahead\"\nrelearn = 5", FORGET, ""),
        (
            "[gradient]\nknown = 0.5",
            FORGET,
            "is not used without [[learn]] or passages to `retain`",
        ),
        ("[gradient]\nknown = 0.5", LEARN, ""),
        ("[gradient]\nknown = 0.5", retained, ""),
        ("[gradient]\nretain_loss = \"kl\"", retained, ""),
        (
            "[gradient]\nmethod = \"gradient-ascent\"\nproject = true",
            retained,
            "is not used by method gradient-ascent; gradient-difference, wga, npo, simnpo, \
             look-ahead, idk, jensun and undo use it",
        ),
    ];
    for (head, operations, expected) in rows {
        let spec = parse_spec("a.toml", &format!("{head}\n{operations}")).expect(head);
        let found: Vec<String> = spec.unused().into_iter().map(|unused| unused.reason).collect();
        let expected: Vec<&str> = Some(expected).filter(|it| !it.is_empty()).into_iter().collect();
        assert_eq!(found, expected, "{head}");
    }
}

#[test]
fn a_comparison_uses_what_one_of_its_methods_uses() {
    let text = format!("[gradient]\nbeta = 1\ndelta = 2\n{FORGET}");
    let spec = parse_spec("a.toml", &text).expect("a spec");
    let unused = |methods: &[ForgetMethod]| -> Vec<String> {
        let found = spec.unused_by(methods).into_iter();
        found.map(|it| format!("{} {}", it.key.unwrap_or_default(), it.reason)).collect()
    };
    assert_eq!(unused(&[ForgetMethod::Idk, ForgetMethod::Simnpo]), Vec::<String>::new());
    let both = unused(&[ForgetMethod::Npo, ForgetMethod::Wga]);
    assert_eq!(both, ["delta is not used by methods npo and wga; simnpo uses it"]);
}

#[test]
fn flags_have_the_names_of_their_keys() {
    let group = VerdictOptions::GROUP;
    assert_eq!(group.of_flag("verdict-said").map(|setting| setting.key), Some("said"));
    let learning_rate = GradientOptions::GROUP.of_flag("learning-rate");
    assert_eq!(learning_rate.map(|setting| setting.key), Some("learning_rate"));
    assert!(RankOneOptions::GROUP.of_flag("said").is_none());
}
