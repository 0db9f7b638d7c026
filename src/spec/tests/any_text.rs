//! Whatever the text, reading it ends in a value or in an error that can be shown.

use proptest::prelude::*;

use super::collections::{COUNTERFACT, KNOWEDIT, MQUAKE, ZSRE};
use super::*;

/// Every entry reads `text`; what comes back is a value, or an error that can be shown.
fn read_every_way(text: &str) {
    let look = Look { width: 40, color: true, unicode: false };
    if let Err(error) = parse_spec("edits/a.toml", text) {
        assert!(!error.excerpts(look).is_empty());
    }
    for name in ["prompts/a.toml", "a.json", "a.csv"] {
        if let Err(error) = parse_prompts(name, text) {
            assert!(!error.excerpts(look).is_empty());
        }
        if let Err(error) = parse_passages(&SourceText::new(name, text)) {
            assert!(!error.excerpts(look).is_empty());
        }
    }
}

/// A good file with one piece cut out or overwritten.
fn damaged() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![EIFFEL, COUNTERFACT, ZSRE, KNOWEDIT, MQUAKE]);
    (good, any::<prop::sample::Index>(), 0..12_usize, "\\PC{0,3}|[\\[\\]{}\",=\n]{1,3}").prop_map(
        |(good, at, length, piece)| {
            let characters: Vec<char> = good.chars().collect();
            let start = at.index(characters.len());
            let end = (start + length).min(characters.len());
            let before: String = characters[..start].iter().collect();
            let after: String = characters[end..].iter().collect();
            format!("{before}{piece}{after}")
        },
    )
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_an_error(text in any::<String>()) {
        read_every_way(&text);
    }

    #[test]
    fn damaged_files_give_a_value_or_an_error(text in damaged()) {
        read_every_way(&text);
    }

    #[test]
    fn made_up_tables_give_a_value_or_an_error(
        lines in prop::collection::vec(
            "(\\[\\[?(insert|rank_one|probe|rewrite|retain|erase|forget|gradient)\\]?\\])|\
             ((subject|prompt|steps|layers|text|target_new|insert|seed|learning_rate|method) = \
             (\"[ {}a-c\\\\]{0,5}\"|-?[0-9]{1,30}|\\[[0-9,]{0,4}\\]|[0-9]\\.[0-9]e[0-9]{1,4}|true|\\{\\}))",
            0..8,
        )
    ) {
        read_every_way(&lines.join("\n"));
    }
}
