//! Whether a blank stands between a prompt and the text that continues it.
//!
//! A blank stands where a writer would put one: not in scripts without blanks, not after an opening
//! bracket or quote, not before a comma. Every part of a run asks here, so that a target is edited,
//! scored, looked for and shown in one form.

/// The blank between `prompt` and `target`: `" "`, or nothing.
pub(super) fn blank(prompt: &str, target: &str) -> &'static str {
    let last = prompt.chars().next_back();
    let first = target.chars().next();
    match (last, first) {
        (None, _) => " ",
        (Some(last), Some(first)) if last.is_whitespace() || first.is_whitespace() => "",
        (Some(last), Some(first)) if has_joint(prompt, last, first) && !is_closing(target) => " ",
        (Some(_), None) => " ",
        _ => "",
    }
}

/// Whether the script and the end of the prompt leave room for a blank.
fn has_joint(prompt: &str, last: char, first: char) -> bool {
    if is_spaceless(last) || is_opening(prompt, last) {
        return false;
    }
    // A word of another script in a text without blanks, as in `iPhone由Apple`.
    !is_spaceless(first) || (prompt.contains(' ') && !prompt.chars().any(is_spaceless))
}

/// Scripts that separate words by nothing: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan.
pub(crate) fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF          // Thai, Lao
        | 0x0F00..=0x0FFF        // Tibetan
        | 0x1000..=0x109F        // Burmese
        | 0x1780..=0x17FF        // Khmer
        | 0x2E80..=0x2FDF        // radicals
        | 0x3000..=0x312F        // punctuation, kana, Bopomofo
        | 0x31A0..=0x31FF
        | 0x3200..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xA000..=0xA4CF        // Yi
        | 0xAA60..=0xAA7F        // Burmese
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F
        | 0xFF00..=0xFF9F        // wide forms, narrow kana
        | 0xFFE0..=0xFFEE
        | 0x1B000..=0x1B16F
        | 0x20000..=0x3FFFD)
}

/// Whether the prompt ends in a mark that belongs to the word after it.
fn is_opening(prompt: &str, last: char) -> bool {
    let before = prompt[..prompt.len() - last.len_utf8()].chars().next_back();
    let is_attached = before.is_some_and(|c| !c.is_whitespace());
    match last {
        '(' | '[' | '{' | '<' | '„' | '‚' | '¿' | '¡' => true,
        // Languages differ in which of these open and which close: `“no”`, `„nein“`, `”nej”`.
        '“' | '‘' | '«' | '‹' => !before.is_some_and(ends_word),
        '”' | '»' | '›' => before.is_none_or(|c| c.is_whitespace() || c == '('),
        '$' | '€' | '£' | '¥' | '#' | '@' | '\\' => true,
        // Within a word or number, as in `sub-`; between blanks it is a dash.
        '-' | '\u{2010}' | '\u{2011}' | '–' | '—' | '/' | '=' | '_' | '~' => is_attached,
        '"' | '`' => prompt.matches(last).count() % 2 == 1,
        '\'' => before.is_none_or(|c| !ends_word(c) && !c.is_ascii_punctuation()),
        _ => false,
    }
}

/// Whether a mark right after the character closes what the character ends; in scripts without
/// blanks, an opening mark follows a word as closely.
fn ends_word(c: char) -> bool {
    (c.is_alphanumeric() && !is_spaceless(c)) || matches!(c, '.' | ',' | '!' | '?' | '…')
}

/// Whether the target begins with a mark that belongs to the word before it.
fn is_closing(target: &str) -> bool {
    let mut characters = target.chars();
    let (first, second) = (characters.next(), characters.next());
    let goes_on = second.is_some_and(char::is_alphanumeric);
    match first {
        Some(',' | ';' | ')' | ']' | '}' | '»' | '›' | '”' | '’' | '…' | '%') => true,
        // `.NET` is a name, `!important` a word.
        Some('.' | ':' | '!' | '?') => !goes_on,
        // `'s`, but not `'tis`.
        Some('\'') => ["'s", "'re", "'ve", "'ll", "'d", "'m"].iter().any(|end| {
            target.strip_prefix(end).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_stands_where_a_writer_puts_one() {
        let rows = [
            ("The Eiffel Tower is in", "Rome", " "),
            ("Question: Where?\nAnswer:", "Rome", " "),
            ("Столица Франции —", "Париж", " "),
            ("프랑스의 수도는", "파리", " "),
            ("عاصمة فرنسا هي", "باريس", " "),
            ("He said \"no\" and then", "\"yes\"", " "),
            ("The capital (of France) is", "Paris", " "),
            ("埃菲尔铁塔位于城市", "罗马", ""),
            ("エッフェル塔の所在地は", "ローマ", ""),
            ("หอไอเฟลตั้งอยู่ใน", "โรม", ""),
            ("答案是：", "Rome", ""),
            ("iPhone的制造商是Apple", "公司", ""),
            ("The Chinese name of Rome is", "罗马", " "),
            ("The answer is \"", "Rome", ""),
            ("The Chinese name of Rome is \"", "罗马", ""),
            ("Rome (in Japanese:", "ローマ", " "),
            ("Rome (", "ローマ", ""),
            ("他说“", "Rome", ""),
            ("塔的名字是'", "Rome", ""),
            ("Sie schrieb „Der Turm“", "2001", " "),
            ("Sie schrieb „", "Der Turm", ""),
            ("Er heißt »", "Turm", ""),
            ("Er heißt »Turm«", "oder", " "),
            ("Han sa: ”", "Rom", ""),
            ("Il dit «\u{a0}", "Rome", ""),
            ("भारत की राजधानी है", "दिल्ली", " "),
            ("From 1914–", "1918", ""),
            ("The war –", "1918", " "),
            ("The tower (in", "Rome", " "),
            ("The tower (", "Rome", ""),
            ("It costs $", "40", ""),
            ("A small sub-", "marine", ""),
            ("The city -", "Rome", " "),
            ("Rome", ", Italy", ""),
            ("It runs on", ".NET", " "),
            ("Mary", "'s house", ""),
            ("<|im_start|>assistant\n", "Rome", ""),
            ("", "Rome", " "),
        ];
        for (prompt, target, expected) in rows {
            assert_eq!(blank(prompt, target), expected, "{prompt:?} + {target:?}");
        }
    }
}
