//! Turns the documents of a corpus into the steps of a training.
//!
//! A sequence is `<|endoftext|> document <|endoftext|>`. Sequences follow each other in the order
//! of the corpus, epoch by epoch, and a step takes as many as fill its number of tokens. The corpus
//! without some people is the corpus less their documents, so a reference reads the same sequences
//! in the same order, less theirs.

/// How documents become steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    /// Tokens of a step, at least.
    pub batch: usize,
    /// Longest sequence; the rest of a longer document is left out.
    pub context: usize,
    /// Id of the token `<|endoftext|>`.
    pub separator: u32,
}

/// The sequences of every step, from the tokens of every document.
pub(super) fn steps(
    documents: impl Iterator<Item = Vec<u32>>,
    packing: Packing,
) -> Vec<Vec<Vec<u32>>> {
    let (mut steps, mut step, mut tokens) = (Vec::new(), Vec::new(), 0);
    for mut ids in documents {
        ids.truncate(packing.context - 2);
        ids.insert(0, packing.separator);
        ids.push(packing.separator);
        tokens += ids.len();
        step.push(ids);
        if tokens >= packing.batch {
            steps.push(std::mem::take(&mut step));
            tokens = 0;
        }
    }
    if !step.is_empty() {
        steps.push(step);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_long_as_asked_and_hold_every_document() {
        let documents = (1..=30u32).map(|n| vec![n; 2 + n as usize % 20]);
        let packing = Packing { batch: 24, context: 16, separator: 0 };
        let steps = steps(documents, packing);
        let sequences: Vec<&Vec<u32>> = steps.iter().flatten().collect();
        assert_eq!(sequences.len(), 30);
        assert!(sequences.iter().all(|it| it.len() <= 16 && it[0] == 0 && it.ends_with(&[0])));
        assert!(sequences.iter().zip(1..).all(|(it, n)| it[1] == n), "in their order");
        let (_, full) = steps.split_last().expect("some steps");
        let tokens = full.iter().map(|step| step.iter().map(Vec::len).sum::<usize>());
        assert!(tokens.into_iter().all(|tokens| (24..24 + 16).contains(&tokens)));
    }
}
