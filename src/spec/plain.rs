//! Texts of a stranger, as they may be shown.

/// Whether a terminal obeys a character, or shows what follows it in another direction.
pub(super) fn is_obeyed(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// The text with everything escaped that a terminal would obey, or that turns what is read: control
/// characters but line ends and tabs, and marks of writing direction.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if is_obeyed(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_it_would_obey() {
        let rows = [
            ("a\tb\nç 好", "a\tb\nç 好"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}2J\r\u{7}", "\\u{9b}2J\\u{d}\\u{7}"),
            ("to\u{202e}txet", "to\\u{202e}txet"),
        ];
        for (text, expected) in rows {
            assert_eq!(plain(text), expected);
        }
    }
}
