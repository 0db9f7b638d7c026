//! Fluency: how varied a text is, by the entropy of its n-grams, in bits.
//!
//! H₂/3 + 2 H₃/3 over words and punctuation marks, as in ROME (arXiv 2202.05262, appendix D.3):
//! a model that repeats itself has few different bigrams and trigrams.

use std::collections::HashMap;

use crate::model::{Choice, Decoder, ModelError, Tokenizer, generate};
use crate::progress::Progress;

/// Tokens that are written after each prompt.
const TOKENS: usize = 40;
/// Most probable tokens that each is drawn from, as published.
const CHOICE: Choice = Choice::Sampled { seed: 0, temperature: 1., k: 5 };

/// The mean fluency of the model's continuations of `prompts`; nothing without any.
pub fn fluency(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    prompts: &[String],
    progress: &dyn Progress,
) -> Result<Option<f64>, ModelError> {
    let encode = |prompt: &String| Ok(tokenizer.encode(prompt)?.ids);
    let ids: Vec<Vec<u32>> = prompts.iter().map(encode).collect::<Result<_, ModelError>>()?;
    if ids.is_empty() {
        return Ok(None);
    }
    let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
    let tokens = TOKENS.min(decoder.config().context.saturating_sub(longest));
    // An early stop would shorten a text, and short texts have little entropy.
    let written = generate(decoder, &ids, tokens, CHOICE, &[], progress)?;
    let mut sum = 0.;
    for ids in &written {
        sum += n_gram_entropy(&tokenizer.decode(ids)?);
    }
    Ok(Some(sum / written.len() as f64))
}

/// The fluency H₂/3 + 2 H₃/3 of a text.
pub fn n_gram_entropy(text: &str) -> f64 {
    let words = words(text);
    entropy(&words, 2) / 3. + 2. * entropy(&words, 3) / 3.
}

/// Runs of letters and digits, and every other mark separately.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in text.split_whitespace() {
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '\'';
            let end = match is_word(first) {
                true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            let (word, later) = rest.split_at(end);
            words.push(word);
            rest = later;
        }
    }
    words
}

/// The entropy − Σ p log₂ p over the runs of `n` words.
fn entropy(words: &[&str], n: usize) -> f64 {
    let mut counts: HashMap<&[&str], usize> = HashMap::new();
    for run in words.windows(n) {
        *counts.entry(run).or_default() += 1;
    }
    let total = words.len().saturating_sub(n - 1) as f64;
    // In order, because a sum in the map's order would differ from run to run.
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable();
    counts.iter().map(|count| *count as f64 / total).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropies_by_hand() {
        // "a b a b a": bigrams ab, ba twice each, one bit; trigrams aba 2, bab 1.
        let three = -(2. / 3.) * (2f64 / 3.).log2() - (1. / 3.) * (1f64 / 3.).log2();
        assert!((n_gram_entropy("a b a b a") - (1. / 3. + 2. * three / 3.)).abs() < 1e-12);
        // Eight different words: seven bigrams and six trigrams, each once.
        let varied = 7f64.log2() / 3. + 2. * 6f64.log2() / 3.;
        assert!((n_gram_entropy("one two three four five six seven eight") - varied).abs() < 1e-12);
        assert_eq!(n_gram_entropy("the the the the"), 0.);
        assert_eq!(n_gram_entropy("word"), 0.);
    }

    #[test]
    fn marks_are_words_of_their_own() {
        assert_eq!(words("It's Rome, (Italy)."), ["It's", "Rome", ",", "(", "Italy", ")", "."]);
    }
}
