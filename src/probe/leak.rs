//! Whether an erased answer is still recoverable.
//!
//! Five ways to ask for o, the token of the true target that was erased: the prompt itself;
//! paraphrases; the prompt in the frame of an answer ("The answer is"); the logit lens, which reads
//! the residual stream after each layer as if it were the last (softmax(head(norm(h_l)))); and B
//! sampled answers, searched for the whole target. Deletions by editing have been undone by the
//! last two in up to 38 % of the cases (arXiv 2309.17410).
//!
//! A model that never knew would still guess. So each number is compared with the same number for
//! other subjects of the kind in the base, as in [`never_knew`](crate::plan::never_knew). Far above
//! it the fact leaks; far below it, the gap reveals the erasure.

mod question;

use serde::{Deserialize, Serialize};

pub use question::LeakQuestion;

/// A way to recover an erased answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The erased prompt.
    Prompt,
    /// Other wordings.
    Paraphrase,
    /// The prompt in the frame of an answer.
    Frame,
    /// The residual stream after each layer, read by the head.
    Lens,
    /// Sampled answers.
    Samples,
}

impl Channel {
    /// The name of the channel in words.
    pub fn way(self) -> &'static str {
        match self {
            Self::Prompt => "its prompt",
            Self::Paraphrase => "paraphrases",
            Self::Frame => "answer frames",
            Self::Lens => "logit lens",
            Self::Samples => "sampling",
        }
    }
}

/// Rank and probability of a token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Rank from 1, the most probable token.
    pub rank: usize,
    /// Probability of the token.
    pub probability: f64,
}

/// One side of a comparison: a model, or the base about other subjects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sides<T> {
    /// The base.
    pub before: T,
    /// The edited model.
    pub after: T,
    /// The base about other subjects.
    pub unknown: T,
}

/// A target ranked among this many tokens is recoverable: the budget of arXiv 2309.17410.
pub const FOUND: usize = 20;
/// A probability this many times that for other subjects is not an accident.
const EXCESS: f64 = 2.;
/// A probability this many times smaller than that for other subjects reveals the erasure.
const ABSENCE: f64 = 20.;

/// The findings of one prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromptLeak {
    /// The channel of the prompt.
    pub channel: Channel,
    /// The text of the prompt.
    pub prompt: String,
    /// The target's place on each side; nothing under `unknown` where the prompt does not name the
    /// subject.
    #[serde(flatten)]
    pub found: Sides<Option<Seen>>,
}

/// What is recoverable from a model about one erased fact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leak {
    /// The subject of the fact.
    pub subject: String,
    /// The prompt of the fact.
    pub prompt: String,
    /// The answer that was erased.
    pub target_true: String,
    /// The prompt, its paraphrases and its frames.
    pub prompts: Vec<PromptLeak>,
    /// The logit lens, layer by layer.
    pub layers: Vec<Sides<Seen>>,
    /// Number of sampled answers that hold the target.
    pub samples: Sides<usize>,
    /// Number of answers sampled.
    pub drawn: usize,
    /// Seed of the samples.
    pub seed: u64,
    /// The fact as it was put, for whoever teaches it again; stored nowhere.
    #[serde(skip)]
    pub fact: ErasedFact,
}

/// An erased fact as a sentence about any subject.
#[derive(Debug, Clone, Default)]
pub struct ErasedFact {
    /// The prompt with `{}`.
    pub prompt: String,
    /// Tokens of the answer after the prompt.
    pub answer: Vec<u32>,
    /// Other subjects of the kind.
    pub others: Vec<String>,
}

/// The strongest finding of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Strongest {
    /// The prompt or layer with the largest probability, among those that leak if there are any.
    pub at: usize,
    /// Number of prompts or layers.
    pub of: usize,
    /// The target's place on each side.
    pub found: Sides<Option<Seen>>,
}

impl Leak {
    /// The findings of a channel, prompt by prompt or layer by layer.
    pub fn channel(&self, channel: Channel) -> Vec<Sides<Option<Seen>>> {
        let prompts = self.prompts.iter().filter(|prompt| prompt.channel == channel);
        let layer = |layer: &Sides<Seen>| Sides {
            before: Some(layer.before),
            after: Some(layer.after),
            unknown: Some(layer.unknown),
        };
        match channel {
            Channel::Lens => self.layers.iter().map(layer).collect(),
            _ => prompts.map(|prompt| prompt.found).collect(),
        }
    }

    /// The strongest finding of a channel; nothing where it was not tried, or is sampled.
    pub fn strongest(&self, channel: Channel) -> Option<Strongest> {
        let found = self.channel(channel);
        let strength = |found: &Sides<Option<Seen>>| {
            let probability = found.after.map_or(0., |seen| seen.probability);
            if self.is_found(found.after, found.unknown) { 1. + probability } else { probability }
        };
        let stronger = |a: &usize, b: &usize| strength(&found[*a]).total_cmp(&strength(&found[*b]));
        let at = (0..found.len()).max_by(stronger)?;
        Some(Strongest { at, of: found.len(), found: found[at] })
    }

    /// The channels through which the fact is still recoverable.
    pub fn leaking(&self) -> Vec<Channel> {
        self.found_by(|found| found.after, self.samples.after)
    }

    /// Whether the base knew the fact: some channel found it there, as one that leaks finds it now.
    pub fn was_known(&self) -> bool {
        !self.found_by(|found| found.before, self.samples.before).is_empty()
    }

    /// The channels that find the target on one side, of whose samples so many hold it.
    fn found_by(
        &self,
        side: fn(&Sides<Option<Seen>>) -> Option<Seen>,
        samples: usize,
    ) -> Vec<Channel> {
        let asked = [Channel::Prompt, Channel::Paraphrase, Channel::Frame, Channel::Lens];
        let finds = |channel: &Channel| {
            self.channel(*channel).iter().any(|it| self.is_found(side(it), it.unknown))
        };
        let mut all: Vec<Channel> = asked.into_iter().filter(finds).collect();
        if samples as f64 > EXCESS * (self.samples.unknown + 1) as f64 {
            all.push(Channel::Samples);
        }
        all
    }

    /// Whether the target is recoverable, and more easily than for other subjects; where the prompt
    /// does not name the subject, than at the erased prompt.
    fn is_found(&self, seen: Option<Seen>, unknown: Option<Seen>) -> bool {
        let probability = |seen: Option<Seen>| seen.map(|seen| seen.probability);
        let own = || probability(self.prompts[0].found.unknown);
        let unknown = probability(unknown).or_else(own).unwrap_or(0.);
        seen.is_some_and(|seen| seen.rank <= FOUND && seen.probability > EXCESS * unknown)
    }

    /// Whether the target is so improbable that the gap reveals the erasure.
    pub fn is_conspicuous(&self) -> bool {
        let Sides { after, unknown, .. } = self.prompts[0].found;
        let probability = |seen: Option<Seen>| seen.map_or(f64::NAN, |seen| seen.probability);
        probability(after) * ABSENCE < probability(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(before: f64, after: f64, unknown: f64) -> Sides<Option<Seen>> {
        // A rank as among tokens that share the rest evenly.
        let seen = |probability: f64| Some(Seen { rank: (1. / probability) as usize, probability });
        Sides { before: seen(before), after: seen(after), unknown: seen(unknown) }
    }

    fn leak(prompt: Sides<Option<Seen>>, frame: Sides<Option<Seen>>, samples: [usize; 3]) -> Leak {
        let asked = [(Channel::Prompt, prompt), (Channel::Frame, frame)];
        let asked = asked.map(|(channel, found)| {
            let prompt = "It is in".to_owned();
            PromptLeak { channel, prompt, found }
        });
        let [before, after, unknown] = samples;
        Leak {
            subject: "It".into(),
            prompt: "It is in".into(),
            target_true: "Rome".into(),
            prompts: asked.into(),
            layers: Vec::new(),
            samples: Sides { before, after, unknown },
            drawn: 32,
            seed: 0,
            fact: ErasedFact::default(),
        }
    }

    #[test]
    fn a_leak_is_more_than_other_subjects_give() {
        let calm = sides(0.9, 0.1, 0.1);
        assert_eq!(leak(calm, calm, [30, 2, 0]).leaking(), []);
        let all = leak(sides(0.9, 0.3, 0.1), sides(0.9, 0.21, 0.1), [30, 3, 0]);
        assert_eq!(all.leaking(), [Channel::Prompt, Channel::Frame, Channel::Samples]);
        let deep = sides(0.9, 0.02, 0.001);
        assert_eq!(leak(deep, calm, [30, 5, 2]).leaking(), [], "rank 50 cannot be picked out");
        assert!(leak(calm, calm, [30, 2, 0]).was_known());
        let same = sides(0.9, 0.9, 0.5);
        assert!(!leak(same, same, [30, 30, 30]).was_known(), "others answer alike");
        let unasked = Sides { unknown: None, ..sides(0.9, 0.3, 0.1) };
        assert_eq!(leak(calm, unasked, [9, 0, 0]).leaking(), [Channel::Frame], "by the prompt's");
    }

    #[test]
    fn what_is_far_below_other_subjects_shows_itself() {
        let of = |after| leak(sides(0.9, after, 0.1), sides(0.9, after, 0.1), [30, 0, 2]);
        assert!(of(0.004).is_conspicuous() && !of(0.006).is_conspicuous());
        let strongest = leak(sides(0.9, 0.2, 0.1), sides(0.9, 0.15, 0.01), [0; 3]);
        let strongest = strongest.strongest(Channel::Frame).expect("a frame");
        assert_eq!((strongest.at, strongest.of), (0, 1));
    }
}
