//! Porter's stemmer (Program 14, 1980) with the extensions of NLTK, as `rouge_score` calls it.
//!
//! The measure m of a stem is the number of times a consonant follows a vowel in it: \[C\](VC)^m\[V\].

/// The stem of a lower-case word of ASCII letters and digits.
pub(super) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*stem).into();
    }
    if word.len() <= 2 {
        return word.into();
    }
    let mut word = word.to_owned();
    for step in [plural, past, last_y, double_suffix, suffix_3, suffix_4, last_e, double_l] {
        word = step(&word);
    }
    word
}

const IRREGULAR: [(&str, &str); 15] = [
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

fn is_consonant(word: &[u8], at: usize) -> bool {
    match word[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => false,
        b'y' => at == 0 || !is_consonant(word, at - 1),
        _ => true,
    }
}

fn measure(stem: &str) -> usize {
    let word = stem.as_bytes();
    (1..word.len()).filter(|at| is_consonant(word, *at) && !is_consonant(word, at - 1)).count()
}

fn is_long(stem: &str) -> bool {
    measure(stem) > 0
}

fn has_vowel(stem: &str) -> bool {
    (0..stem.len()).any(|at| !is_consonant(stem.as_bytes(), at))
}

fn ends_doubled(word: &str) -> bool {
    let bytes = word.as_bytes();
    let n = bytes.len();
    n >= 2 && bytes[n - 1] == bytes[n - 2] && is_consonant(bytes, n - 1)
}

/// Consonant, vowel, consonant that is not w, x or y; or a word of vowel and consonant.
fn ends_short(word: &str) -> bool {
    let bytes = word.as_bytes();
    let (n, consonant) = (bytes.len(), |at| is_consonant(bytes, at));
    match n {
        0 | 1 => false,
        2 => !consonant(0) && consonant(1),
        _ => {
            consonant(n - 3)
                && !consonant(n - 2)
                && consonant(n - 1)
                && !matches!(bytes[n - 1], b'w' | b'x' | b'y')
        }
    }
}

/// The first suffix that the word has decides: replaced if its stem is `wanted`, else kept.
fn replace(word: &str, suffixes: &[(&str, &str)], wanted: impl Fn(&str, &str) -> bool) -> String {
    for (suffix, new) in suffixes {
        if let Some(stem) = word.strip_suffix(suffix) {
            return if wanted(stem, suffix) { format!("{stem}{new}") } else { word.into() };
        }
    }
    word.into()
}

fn plural(word: &str) -> String {
    if word.len() == 4 && word.ends_with("ies") {
        return word[..3].into();
    }
    replace(word, &[("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")], |_, _| true)
}

fn past(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if is_long(stem) { format!("{stem}ee") } else { word.into() };
    }
    let stems = ["ed", "ing"].into_iter().filter_map(|suffix| word.strip_suffix(suffix));
    let Some(stem) = stems.into_iter().find(|stem| has_vowel(stem)) else { return word.into() };
    if ["at", "bl", "iz"].iter().any(|end| stem.ends_with(end)) {
        return format!("{stem}e");
    }
    if ends_doubled(stem) {
        let is_kept = stem.ends_with(['l', 's', 'z']);
        return if is_kept { stem.into() } else { stem[..stem.len() - 1].into() };
    }
    if measure(stem) == 1 && ends_short(stem) { format!("{stem}e") } else { stem.into() }
}

fn last_y(word: &str) -> String {
    let is_wanted =
        |stem: &str, _: &str| stem.len() > 1 && is_consonant(stem.as_bytes(), stem.len() - 1);
    replace(word, &[("y", "i")], is_wanted)
}

fn double_suffix(word: &str) -> String {
    const SUFFIXES: [(&str, &str); 22] = [
        ("ational", "ate"),
        ("tional", "tion"),
        ("enci", "ence"),
        ("anci", "ance"),
        ("izer", "ize"),
        ("bli", "ble"),
        ("alli", "al"),
        ("entli", "ent"),
        ("eli", "e"),
        ("ousli", "ous"),
        ("ization", "ize"),
        ("ation", "ate"),
        ("ator", "ate"),
        ("alism", "al"),
        ("iveness", "ive"),
        ("fulness", "ful"),
        ("ousness", "ous"),
        ("aliti", "al"),
        ("iviti", "ive"),
        ("biliti", "ble"),
        ("fulli", "ful"),
        ("logi", "log"),
    ];
    if let Some(stem) = word.strip_suffix("alli").filter(|stem| is_long(stem)) {
        return double_suffix(&format!("{stem}al"));
    }
    // The l of "logi" counts for its stem.
    replace(word, &SUFFIXES, |stem, suffix| match suffix {
        "logi" => is_long(&format!("{stem}l")),
        _ => is_long(stem),
    })
}

fn suffix_3(word: &str) -> String {
    const SUFFIXES: [(&str, &str); 7] = [
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    ];
    replace(word, &SUFFIXES, |stem, _| is_long(stem))
}

fn suffix_4(word: &str) -> String {
    const SUFFIXES: [&str; 19] = [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion",
        "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ];
    let suffixes = SUFFIXES.map(|suffix| (suffix, ""));
    replace(word, &suffixes, |stem, suffix| {
        measure(stem) > 1 && (suffix != "ion" || stem.ends_with(['s', 't']))
    })
}

fn last_e(word: &str) -> String {
    let is_wanted = |stem: &str, _: &str| match measure(stem) {
        0 => false,
        1 => !ends_short(stem),
        _ => true,
    };
    replace(word, &[("e", "")], is_wanted)
}

fn double_l(word: &str) -> String {
    let is_wanted = |_: &str, _: &str| measure(&word[..word.len() - 1]) > 1;
    replace(word, &[("ll", "l")], is_wanted)
}

#[cfg(test)]
mod tests {
    use super::stem;

    /// Examples of Porter's paper, and of what NLTK adds.
    #[test]
    fn stems_of_every_step() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("dies", "die"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("tried", "tri"),
            ("died", "die"),
            ("happy", "happi"),
            ("enjoy", "enjoy"),
            ("by", "by"),
            ("relational", "relat"),
            ("conditional", "condit"),
            ("radically", "radic"),
            ("generalization", "gener"),
            ("geology", "geolog"),
            ("hopefully", "hope"),
            ("triplicate", "triplic"),
            ("goodness", "good"),
            ("adoption", "adopt"),
            ("effective", "effect"),
            ("probate", "probat"),
            ("cease", "ceas"),
            ("rate", "rate"),
            ("controlling", "control"),
            ("news", "news"),
            ("1975", "1975"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
