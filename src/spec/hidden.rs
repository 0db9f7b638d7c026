//! Characters that nobody sees, and letters in two parts: text with them looks like other text and
//! matches none of it.

use unicode_normalization::char::{compose, decompose_canonical};

/// A character that is not seen, or a mark that is apart from its letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenCharacter {
    /// The character.
    pub character: char,
    /// Its byte offset in the text.
    pub at: usize,
    /// The composed letter that it is a part of, where it is a mark.
    pub composed: Option<char>,
}

/// Characters that are not seen, with their names in Unicode.
const NAMES: [(char, &str); 33] = [
    ('\u{a0}', "NO-BREAK SPACE"),
    ('\u{ad}', "SOFT HYPHEN"),
    ('\u{34f}', "COMBINING GRAPHEME JOINER"),
    ('\u{61c}', "ARABIC LETTER MARK"),
    ('\u{115f}', "HANGUL CHOSEONG FILLER"),
    ('\u{1160}', "HANGUL JUNGSEONG FILLER"),
    ('\u{180e}', "MONGOLIAN VOWEL SEPARATOR"),
    ('\u{2007}', "FIGURE SPACE"),
    ('\u{2009}', "THIN SPACE"),
    ('\u{200a}', "HAIR SPACE"),
    ('\u{200b}', "ZERO WIDTH SPACE"),
    ('\u{200c}', "ZERO WIDTH NON-JOINER"),
    ('\u{200d}', "ZERO WIDTH JOINER"),
    ('\u{200e}', "LEFT-TO-RIGHT MARK"),
    ('\u{200f}', "RIGHT-TO-LEFT MARK"),
    ('\u{2028}', "LINE SEPARATOR"),
    ('\u{2029}', "PARAGRAPH SEPARATOR"),
    ('\u{202a}', "LEFT-TO-RIGHT EMBEDDING"),
    ('\u{202b}', "RIGHT-TO-LEFT EMBEDDING"),
    ('\u{202c}', "POP DIRECTIONAL FORMATTING"),
    ('\u{202d}', "LEFT-TO-RIGHT OVERRIDE"),
    ('\u{202e}', "RIGHT-TO-LEFT OVERRIDE"),
    ('\u{202f}', "NARROW NO-BREAK SPACE"),
    ('\u{2060}', "WORD JOINER"),
    ('\u{2061}', "FUNCTION APPLICATION"),
    ('\u{2063}', "INVISIBLE SEPARATOR"),
    ('\u{2066}', "LEFT-TO-RIGHT ISOLATE"),
    ('\u{2067}', "RIGHT-TO-LEFT ISOLATE"),
    ('\u{2068}', "FIRST STRONG ISOLATE"),
    ('\u{2069}', "POP DIRECTIONAL ISOLATE"),
    ('\u{3164}', "HANGUL FILLER"),
    ('\u{ffa0}', "HALFWIDTH HANGUL FILLER"),
    ('\u{feff}', "ZERO WIDTH NO-BREAK SPACE, or byte order mark"),
];

/// The characters of a text that are not seen, and marks that a composed letter exists for.
pub fn hidden_characters(text: &str) -> impl Iterator<Item = HiddenCharacter> + '_ {
    let mut before: Option<char> = None;
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, character) = characters.next()?;
            let last = before.replace(character);
            if matches!(character, ' '..='~' | '\n' | '\r' | '\t') {
                continue;
            }
            let next = characters.peek().map(|(_, next)| *next);
            let composed = last.and_then(|last| compose(last, character));
            if composed.is_some() || is_hidden(last, character, next) {
                return Some(HiddenCharacter { character, at, composed });
            }
        }
    })
}

/// Whether a character is not seen. Joiners belong to the spelling between letters of scripts that
/// join, and inside of emoji.
fn is_hidden(before: Option<char>, character: char, next: Option<char>) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| u32::from(c) > 0x590 && !is_named(c));
    let is_joiner = matches!(character, '\u{200c}' | '\u{200d}');
    let is_control = character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    (is_named(character) || is_control) && !(is_joiner && joins(before) && joins(next))
}

fn is_named(character: char) -> bool {
    NAMES.iter().any(|(known, _)| *known == character)
}

impl HiddenCharacter {
    /// The character by its code and name, such as `U+200B ZERO WIDTH SPACE`.
    pub fn name(&self) -> String {
        let code = format!("U+{:04X}", u32::from(self.character));
        let named = NAMES.iter().find(|(known, _)| *known == self.character);
        match (self.composed, named) {
            (Some(letter), _) => format!("{code} apart from its letter, in place of {letter:?}"),
            (None, Some((_, name))) => format!("{code} {name}"),
            (None, None) => format!("the control character {code}"),
        }
    }

    /// The character and the word before it in `text`: `U+200B ZERO WIDTH SPACE after "Tower"`.
    pub fn after_word(&self, text: &str) -> String {
        match self.word_before(text) {
            "" => format!("{} at its beginning", self.name()),
            word => format!("{} after {word:?}", self.name()),
        }
    }

    /// The character and its number in `text`, which quotes nothing of it.
    pub fn at_character(&self, text: &str) -> String {
        // A composed letter would say what stands there.
        let code = format!("U+{:04X}", u32::from(self.character));
        let name = if self.composed.is_some() { code } else { self.name() };
        format!("{name} at character {}", 1 + text[..self.at].chars().count())
    }

    /// The end of the text before the character: a word, or a few characters of a long one.
    pub fn word_before<'t>(&self, text: &'t str) -> &'t str {
        const LONGEST: usize = 16;
        let before = text[..self.at].trim_end();
        let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let word = before[start..].trim_start();
        match word.char_indices().rev().nth(LONGEST) {
            Some((at, _)) => &word[at..],
            None => word,
        }
    }
}

/// The part of `text` with exactly the letters and digits of `wanted`, whatever else stands between them
/// and whatever accents are on them.
pub(super) fn alike<'t>(text: &'t str, wanted: &str) -> Option<&'t str> {
    let letters = |text: &str| -> Vec<(usize, char)> {
        let mut all = Vec::new();
        for (at, character) in text.char_indices() {
            decompose_canonical(character, |part| {
                let part = Some(part).filter(|part| part.is_alphanumeric());
                all.extend(part.into_iter().flat_map(char::to_lowercase).map(|part| (at, part)));
            });
        }
        all
    };
    let (all, wanted) = (letters(text), letters(wanted));
    let is_here = |window: &&[(usize, char)]| window.iter().zip(&wanted).all(|(a, b)| a.1 == b.1);
    let window = all.windows(wanted.len().max(1)).find(is_here).filter(|_| !wanted.is_empty())?;
    let (start, end) = (window[0].0, window[window.len() - 1].0);
    let end = end + text[end..].chars().next().map_or(0, char::len_utf8);
    Some(&text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        hidden_characters(text).map(|it| it.after_word(text)).collect()
    }

    #[test]
    fn what_is_not_seen_is_named_with_its_place() {
        let rows = [
            ("The Eiffel Tower\u{200b}", "U+200B ZERO WIDTH SPACE after \"Tower\""),
            ("inter\u{ad}national", "U+00AD SOFT HYPHEN after \"inter\""),
            (
                "\u{feff}Oslo",
                "U+FEFF ZERO WIDTH NO-BREAK SPACE, or byte order mark at its beginning",
            ),
            ("Rue\u{a0}12", "U+00A0 NO-BREAK SPACE after \"Rue\""),
            ("abc \u{202e}fed", "U+202E RIGHT-TO-LEFT OVERRIDE after \"abc\""),
            ("Be\u{301}la", "U+0301 apart from its letter, in place of 'é' after \"Be\""),
            ("bell\u{7}", "the control character U+0007 after \"bell\""),
        ];
        for (text, expected) in rows {
            assert_eq!(found(text), [expected], "{text:?}");
        }
        assert_eq!(found("a\u{200b}b\u{200b}").len(), 2);
        let text = "Zoë Que\u{301}";
        let quiet: Vec<_> = hidden_characters(text).map(|it| it.at_character(text)).collect();
        assert_eq!(quiet, ["U+0301 at character 8"]);
    }

    #[test]
    fn what_is_written_otherwise_is_found_as_it_stands() {
        let rows = [
            ("The capital of Poland is", "poland", Some("Poland")),
            ("The capital of Côte d'Ivoire is", "Côte d\u{2019}Ivoire", Some("Côte d'Ivoire")),
            ("Be\u{301}la Bart\u{f3}k was", "Béla Bartok", Some("Be\u{301}la Bart\u{f3}k")),
            ("The Eiffel Tower is", "Eiffel-Tower", Some("Eiffel Tower")),
            ("The Eiffel Tower is", "The Louvre", None),
            ("anything", "--", None),
        ];
        for (text, wanted, expected) in rows {
            assert_eq!(alike(text, wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn ordinary_text_of_any_script_has_none() {
        let rows = [
            "Zoë’s naïve café — “déjà vu”",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}🚀 and 👍🏽",
            "埃菲尔铁塔　東京",
            "한국어 서울",
            "Tiếng Việt",
            "line\none\ttab\r\n",
        ];
        for text in rows {
            assert_eq!(found(text), [""; 0], "{text:?}");
        }
    }
}
