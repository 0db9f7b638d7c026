//! Text as a terminal shows it: paragraphs of its width, and commands that can be pasted.

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use rescribe::spec::plain;
pub use textwrap::core::display_width;

/// Columns that results and messages keep to.
pub const COLUMNS: usize = 80;

/// Columns before the text of a note.
pub const NOTE: usize = 15;

/// `text` broken between words, every line but the first after `indent` blanks; `start` columns of
/// the first line are taken.
pub fn paragraph(start: usize, indent: usize, text: &str) -> String {
    let (taken, further) = (" ".repeat(start), " ".repeat(indent));
    let options = Options::new(COLUMNS)
        .initial_indent(&taken)
        .subsequent_indent(&further)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let filled = textwrap::fill(text, options);
    filled.strip_prefix(&taken).unwrap_or(&filled).to_owned()
}

/// Between two columns of text.
const GAP: &str = " │ ";

/// Two texts side by side, each broken to its half of the terminal.
pub fn columns(texts: [&str; 2]) -> String {
    let width = (COLUMNS - display_width(GAP)) / 2;
    let [left, right] = texts.map(|text| narrow(text, width));
    let none = String::new();
    (0..left.len().max(right.len()))
        .map(|at| {
            let [left, right] = [&left, &right].map(|lines| lines.get(at).unwrap_or(&none));
            format!("{}\n", format!("{}{GAP}{right}", padded(left, width)).trim_end())
        })
        .collect()
}

/// The lines of a text at a width; what has no blank is broken where it must be.
fn narrow(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(|line| line.into_owned()).collect()
}

/// `text` with blanks up to a width; one that is wider stays as it is.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(display_width(text))))
}

/// Words of a line: by blanks, and between the characters of scripts that write none.
///
/// Unicode also breaks after the slash of a path or a model's name, which then cannot be copied:
/// a piece that ends in ASCII without a blank is joined to the next one.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let goes_on = |piece: &Word<'_>| piece.whitespace.is_empty() && piece.word.is_ascii();
    let (mut words, mut start, mut end) = (Vec::new(), 0, 0);
    for piece in WordSeparator::UnicodeBreakProperties.find_words(line) {
        end += piece.word.len() + piece.whitespace.len();
        if !goes_on(&piece) || end == line.len() {
            words.push(Word::from(&line[start..end]));
            start = end;
        }
    }
    Box::new(words.into_iter())
}

/// An argument, quoted for a shell.
pub fn quoted(text: &str) -> String {
    // No argument of a process holds a NUL, the one character that cannot be quoted.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), |quoted| quoted.into_owned())
}

/// Whether a number of an escape sequence means a colour, or bold, faint or underlined text, which
/// is all that this program and its messages use.
fn is_colour(number: &str) -> bool {
    matches!(number.parse::<u8>(), Ok(0..=2 | 4 | 30..=37 | 39 | 90..=97))
}

/// The text with nothing in it that a terminal obeys but the colours of this program. Other texts are
/// escaped where they are known to be a stranger's; here is the last place to do so.
pub fn own(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, from) = rest.split_at(at);
        shown.push_str(&plain(before));
        let length = colour(&from[1..]).map_or(0, |colour| colour.len() + 1);
        shown.push_str(&if length > 0 { from[..length].to_owned() } else { plain(&from[..1]) });
        rest = &from[length.max(1)..];
    }
    shown + &plain(rest)
}

/// The rest of the escape sequence of a colour, where `text` begins with one.
fn colour(text: &str) -> Option<&str> {
    let numbers = text.strip_prefix('[')?.split_once('m')?.0;
    numbers.split(';').all(is_colour).then(|| &text[..numbers.len() + 2])
}

/// JSON with those control characters escaped that it may hold as they are, and a terminal obeys.
pub fn in_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let red = "\u{1b}[1m\u{1b}[31mError:\u{1b}[0m";
        let rows = [
            (format!("{red} a\tb\nç 好"), format!("{red} a\tb\nç 好")),
            ("\u{1b}[2J\u{1b}]0;title\u{7}".into(), "\\u{1b}[2J\\u{1b}]0;title\\u{7}".into()),
            ("\u{1b}[8mhidden\u{9b}2J\r".into(), "\\u{1b}[8mhidden\\u{9b}2J\\u{d}".into()),
            ("\u{1b}[36;1;4mlink".into(), "\u{1b}[36;1;4mlink".into()),
            ("\u{1b}[1;8m\u{1b}[m".into(), "\\u{1b}[1;8m\\u{1b}[m".into()),
            ("ends in \u{1b}".into(), "ends in \\u{1b}".into()),
            ("\u{1b}\u{1b}[0m\u{1b}[".into(), "\\u{1b}\u{1b}[0m\\u{1b}[".into()),
        ];
        for (text, expected) in rows {
            assert_eq!(own(&text), expected);
        }
    }

    #[test]
    fn two_texts_stand_side_by_side() {
        let long = "word ".repeat(20);
        let shown = columns([&long, "好".repeat(30).as_str()]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines.iter().all(|line| display_width(line) <= COLUMNS), "{shown}");
        let bars: Vec<_> = lines.iter().map(|line| line.find('│')).collect();
        assert!(bars.iter().all(|at| *at == bars[0]), "{shown}");
        assert_eq!(columns(["a", ""]), format!("a{}│\n", " ".repeat(38)));
    }

    #[test]
    fn json_stays_json_without_control_characters() {
        let value = serde_json::json!({ "text": "\u{1b}a\u{9b}2J\u{7f}ç好" });
        let shown = in_json(&value.to_string());
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }

    #[test]
    fn paragraphs_fit_the_terminal_and_lose_nothing() {
        let words =
            "The edit took: 10 of 10 paraphrases follow it, 12 of 12 neighbors keep theirs.";
        let broken = paragraph(7, 4, words);
        assert_eq!(broken.split_whitespace().collect::<Vec<_>>().join(" "), words);
        assert_eq!(broken.lines().count(), 2);
        assert!(broken.lines().nth(1).is_some_and(|line| line.starts_with("    ")));
        assert!(broken.lines().all(|line| line.len() <= COLUMNS - 7), "{broken}");
        assert_eq!(paragraph(7, 4, ""), "");
    }

    #[test]
    fn wide_characters_take_two_columns_and_break_anywhere() {
        let broken = paragraph(0, 2, &"埃菲尔铁塔位于".repeat(14));
        let widths: Vec<usize> = broken.lines().map(display_width).collect();
        assert_eq!(widths, [80, 80, 40]);
        assert_eq!(broken.replace("\n  ", ""), "埃菲尔铁塔位于".repeat(14));
    }

    #[test]
    fn paths_and_flags_stay_whole() {
        let path = "/models/some-organisation/a-model-of-its-own/model.safetensors";
        for text in [
            format!("it cannot be read from {path}, where it should stand"),
            "the change is far too large; allow it with the flag that is called --max-delta".into(),
        ] {
            let broken = paragraph(0, 2, &text);
            assert_eq!(broken.replace("\n  ", " "), text);
        }
    }

    #[test]
    fn an_argument_can_be_pasted() {
        for text in ["It is in", "It's $5 in", "plain", ""] {
            let words = shlex::split(&format!("rescribe ask {}", quoted(text))).expect("a line");
            assert_eq!(words.last().map(String::as_str), Some(text));
        }
    }
}
