//! ROUGE-L recall as `rouge_score` computes it with its stemmer: the longest common subsequence of
//! words over the words of the reference answer.

use super::stem::stem;

/// Lower case, runs of a-z and 0-9; words of more than three letters become stems.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let runs = lower.split(|c: char| !matches!(c, 'a'..='z' | '0'..='9'));
    let word = |run: &str| if run.len() > 3 { stem(run) } else { run.to_owned() };
    runs.filter(|run| !run.is_empty()).map(word).collect()
}

/// Share of the reference's words that the answer gives in their order; 0 where either has none.
pub fn rouge_l_recall(reference: &str, answer: &str) -> f64 {
    let (reference, answer) = (words(reference), words(answer));
    if reference.is_empty() || answer.is_empty() {
        return 0.;
    }
    // best[j]: the longest common subsequence with the first j words of the answer.
    let mut best = vec![0usize; answer.len() + 1];
    for word in &reference {
        let mut diagonal = 0;
        for (j, other) in answer.iter().enumerate() {
            let above = best[j + 1];
            best[j + 1] = if word == other { diagonal + 1 } else { above.max(best[j]) };
            diagonal = above;
        }
    }
    best[answer.len()] as f64 / reference.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_stems_in_order() {
        for (reference, answer, expected) in [
            ("The cat sat.", "the CAT sat", 1.),
            ("The cat sat on the mat", "the mat: the cat", 2. / 6.),
            // Stems of long words agree; short ones stay as they are.
            ("She writes novels", "she writing a novel", 1.),
            ("He was", "he is", 0.5),
            ("Hina Ameen", "", 0.),
            ("…", "anything", 0.),
            ("born 06/30/1975", "born on 06/30/1975", 1.),
        ] {
            assert_eq!(rouge_l_recall(reference, answer), expected, "{reference} | {answer}");
        }
        assert_eq!(words("Élan d'Étretat"), ["lan", "d", "tretat"]);
    }
}
