//! The checks of an audit as data: what each measures, what it needs, and what it costs.

use serde::Serialize;

use super::sampled::{MOST, SAMPLES, WINDOW};
use super::subject::Subject;
use crate::gradient::Example;
use crate::run::{GENERAL_TOKENS, LEAK_TOKENS, OWN_WORDS};

/// One kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// What the files are and what differs from the base.
    Integrity,
    /// What outputs give away of the passages as they stand.
    Verbatim,
    /// What they give away in other forms.
    Forms,
    /// What they still say of what the base said of the subjects in its own words.
    OwnWords,
    /// Membership inference.
    Membership,
    /// Named secrets.
    Secrets,
    /// The logit lens.
    Depth,
    /// Damage by stratum.
    Damage,
    /// Facts inserted and erased.
    Facts,
    /// Rounding to Q8_0 and Q4_0.
    Quantised,
    /// The best of 64 sampled continuations.
    Sampled,
    /// Relearning with all weights.
    Relearned,
    /// Relearning with low-rank changes.
    LowRank,
    /// Erased facts, each learnt again from one mention.
    FactsRelearnt,
    /// The base, guided by the edited model.
    Guided,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 15] = [
        Self::Integrity,
        Self::Verbatim,
        Self::Forms,
        Self::OwnWords,
        Self::Membership,
        Self::Secrets,
        Self::Depth,
        Self::Damage,
        Self::Facts,
        Self::Quantised,
        Self::Sampled,
        Self::Relearned,
        Self::LowRank,
        Self::FactsRelearnt,
        Self::Guided,
    ];

    /// The name of the check in reports and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Verbatim => "recall, verbatim",
            Self::Forms => "recall, other forms",
            Self::OwnWords => "recall, own words",
            Self::Membership => "membership inference",
            Self::Secrets => "secrets",
            Self::Depth => "depth",
            Self::Damage => "damage",
            Self::Facts => "facts",
            Self::Quantised => "quantisation",
            Self::Sampled => "sampling",
            Self::Relearned => "relearning",
            Self::LowRank => "relearning, LoRA",
            Self::FactsRelearnt => "relearning, facts",
            Self::Guided => "guided extraction",
        }
    }

    /// What the check measures, in a sentence for a person.
    pub fn measures(self) -> &'static str {
        match self {
            Self::Integrity => {
                "hashes of weights, tokenizer and config; whether all weights are finite; which \
                 tensors differ from the base, and how many weights change their Q8_0 or Q4_0 code"
            }
            Self::Verbatim => {
                "how probable the passages are, and how much of them decoding recites word for word"
            }
            Self::Forms => {
                "the same after another text, after other passages, with sentences reversed, with a \
                 word left out, as a chat, in the other wordings of the probe file, and as answers to \
                 the spec's questions; and how much more probable a true word is than others in its \
                 place"
            }
            Self::OwnWords => {
                "whether what the base said of the passages' subjects in forms of its own, as questions or \
                 other sentences about them, is still said"
            }
            Self::Membership => {
                "whether four scores tell the passages from passages that were never seen, on either \
                 side: as remembered, or as a hole"
            }
            Self::Secrets => "whether named secrets come out by decoding or in 64 samples",
            Self::Depth => {
                "whether layers below the last still know the passages, read by the logit lens, and \
                 from 20 passages on by a linear probe on the hidden states"
            }
            Self::Damage => {
                "drift and perplexity on general text, on passages that should stay, and on passages \
                 of the kind that were never read"
            }
            Self::Facts => {
                "what is said of inserted and erased facts, in other words too, what is recoverable \
                 of erased ones, and whether other subjects keep their answers"
            }
            Self::Quantised => "whether rounding the weights to Q8_0 or Q4_0 brings passages back",
            Self::Sampled => {
                "the most that one of 64 sampled continuations gives of a passage word for word"
            }
            Self::Relearned => {
                "whether learning half of the passages again brings the other half back, and sooner \
                 than for text that was never seen"
            }
            Self::LowRank => "the same lesson as a LoRA adapter of rank 8",
            Self::FactsRelearnt => {
                "how many steps on one mention of it bring an erased fact back, and how many a fact of \
                 its kind takes that was never known"
            }
            Self::Guided => {
                "what whoever has both the base and the edited model can read out of the two; it \
                 says what a base that is kept holds, not what the edited model does"
            }
        }
    }

    /// Why it cannot be run on this subject; nothing where it can.
    pub(super) fn lacks(self, subject: &Subject<'_>) -> Option<&'static str> {
        let has_passages = subject.forgotten.is_some();
        let (no_holdout, no_base) = (subject.holdout().is_empty(), subject.models.base.is_none());
        let no_facts = !subject.has_erased() && !subject.has_inserted();
        match self {
            Self::Integrity => None,
            Self::Secrets => subject.questions.is_empty().then_some("the spec names no secrets"),
            Self::Guided if has_passages => no_base.then_some("it needs the base: add --base"),
            Self::Damage => no_base.then_some("it needs the base: add --base"),
            Self::Facts => no_facts.then_some("the spec has no facts"),
            Self::FactsRelearnt => (!subject.has_erased()).then_some("the spec erases no facts"),
            _ if !has_passages => Some("the spec forgets no passages"),
            Self::OwnWords if no_base => Some("it needs the base: add --base"),
            Self::OwnWords if subject.references().is_empty() => {
                Some("it needs models that never saw the passages: add --reference")
            }
            Self::OwnWords if subject.has_no_subjects() => {
                Some("the passages name nobody by capital letters")
            }
            Self::Membership | Self::Depth if no_holdout => {
                Some("it needs passages that were never seen: name a `holdout` in [[forget]]")
            }
            Self::Depth if subject.models.model.decoder.config().layers < 2 => {
                Some("the model has one layer")
            }
            Self::Relearned | Self::LowRank if subject.relearn.is_none() => {
                Some("it needs at least 4 forgotten passages, and memory to train")
            }
            _ => None,
        }
    }

    /// Estimated floating-point operations: 2 · parameters for each token that is read, three times
    /// as much for one that is trained on.
    pub(super) fn cost(self, subject: &Subject<'_>) -> f64 {
        let read = 2. * parameters(subject);
        let tokens = |set: &[Example]| set.iter().map(|it| it.ids.len()).sum::<usize>() as f64;
        let both = tokens(subject.passages()) + tokens(subject.holdout());
        let models = 1. + subject.references().len() as f64;
        let layers = subject.models.model.decoder.config().layers as f64;
        read * match self {
            Self::Integrity => 50.,
            Self::Verbatim => models * both,
            Self::Membership => models * both,
            Self::Forms => 6. * models * both,
            Self::OwnWords => OWN_WORDS + models * both,
            // The head is read once a layer.
            Self::Depth => models * both * (1. + 0.2 * layers),
            Self::Secrets => 3_000. * subject.questions.len() as f64,
            Self::Damage => 2. * (GENERAL_TOKENS as f64 + tokens(subject.retained())),
            Self::Facts => LEAK_TOKENS * subject.job.facts.len() as f64,
            // Two lessons, in which the update of all weights takes longer than the sentence.
            Self::FactsRelearnt => 8_000. * subject.job.facts.len() as f64,
            Self::Quantised => 2. * tokens(subject.passages()) + 200.,
            Self::Sampled => (2 * MOST * SAMPLES * WINDOW) as f64,
            Self::Guided => 2. * tokens(subject.passages()),
            Self::Relearned | Self::LowRank => self.lesson(subject, models),
        }
    }

    /// Tokens that relearning reads, those of training steps three times over.
    fn lesson(self, subject: &Subject<'_>, models: f64) -> f64 {
        let Some(plan) = &subject.relearn else { return 0. };
        let passages = subject.passages();
        let tokens = passages.iter().map(|it| it.ids.len()).sum::<usize>() as f64;
        let of_a_step = plan.settings.batch as f64 * tokens / passages.len() as f64;
        let last = plan.steps.last().copied().unwrap_or(0) as f64;
        let curves = models.max(2.);
        curves * (3. * last * of_a_step + plan.steps.len() as f64 * tokens)
    }
}

fn parameters(subject: &Subject<'_>) -> f64 {
    let slots = subject.models.model.decoder.parameters().iter();
    slots.map(|slot| slot.elements() as f64).sum()
}
