//! Asks a model about an erased fact, and about other subjects.

use candle_core::D;

use super::{Channel, ErasedFact, Leak, PromptLeak, Seen, Sides};
use crate::model::{Batch, Choice, Decoder, ModelError, Recorder, Site, Tokenizer, generate};
use crate::plan::PlannedEdit;
use crate::plan::{mean_answer, never_knew};
use crate::progress::Progress;

/// Frames of an answer; `{}` is the prompt.
const FRAMES: [&str; 3] = [
    "The answer is: {}",
    "It is well known that {}",
    "{} which place, name or thing? The answer is",
];
/// Sampled answers.
const SAMPLES: usize = 32;
/// Tokens of a sampled answer beyond those of the target.
const FURTHER: usize = 6;

/// An erased fact, ready to be asked for.
pub struct LeakQuestion {
    subject: String,
    prompt: String,
    target_true: String,
    token: u32,
    answer_tokens: usize,
    asked: Vec<Asked>,
    /// Number of tokens at the end of a prompt that are the beginning of the answer.
    lead: usize,
    seed: u64,
    fact: ErasedFact,
}

/// A prompt about the subject, and about other subjects.
struct Asked {
    channel: Channel,
    text: String,
    ids: Vec<u32>,
    others: Vec<Vec<u32>>,
}

/// The findings in one model.
struct Sight {
    prompts: Vec<Option<Seen>>,
    layers: Vec<Seen>,
    samples: usize,
}

impl LeakQuestion {
    /// The question for a planned erase; nothing where the edit is an insert.
    pub fn new(
        tokenizer: &Tokenizer,
        edit: &PlannedEdit,
        paraphrases: &[String],
        seed: u64,
    ) -> Result<Option<Self>, ModelError> {
        let Some(erase) = &edit.erase else { return Ok(None) };
        let others: Vec<&str> = erase.others.iter().map(|other| other.subject.as_str()).collect();
        let about = |subject: &str| edit.prompt.replacen("{}", subject, 1);
        let prompt = about(&edit.subject);
        let asked = |channel, text: &dyn Fn(&str) -> Option<String>| -> Result<_, ModelError> {
            // The answer is given up to the token that was erased.
            let lead = &erase.target_true[..erase.lead];
            let ids =
                |text: String| Ok::<_, ModelError>([&tokenizer.encode(&text)?.ids, lead].concat());
            let own = text(&edit.subject).expect("a prompt about its own subject");
            let others = others.iter().filter_map(|other| text(other)).map(ids);
            let others = others.collect::<Result<_, _>>()?;
            Ok(Asked { channel, ids: ids(own.clone())?, text: own, others })
        };
        let mut all = vec![asked(Channel::Prompt, &|subject| Some(about(subject)))?];
        for paraphrase in paraphrases {
            let subject = edit.subject.as_str();
            let text = |other: &str| match paraphrase.contains(subject) {
                true => Some(paraphrase.replacen(subject, other, 1)),
                false => (other == subject).then(|| paraphrase.clone()),
            };
            all.push(asked(Channel::Paraphrase, &text)?);
        }
        for frame in FRAMES {
            all.push(asked(Channel::Frame, &|subject| {
                Some(frame.replacen("{}", &about(subject), 1))
            })?);
        }
        Ok(Some(Self {
            subject: edit.subject.clone(),
            target_true: edit.target_true.clone().unwrap_or_default(),
            prompt,
            token: erase.token(),
            lead: erase.lead,
            answer_tokens: erase.target_true.len() + FURTHER,
            asked: all,
            seed,
            fact: ErasedFact {
                prompt: edit.prompt.clone(),
                answer: erase.target_true.clone(),
                others: others.into_iter().map(str::to_owned).collect(),
            },
        }))
    }

    /// Asks both models.
    pub fn ask(
        &self,
        (before, after): (&Decoder, &Decoder),
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Leak, ModelError> {
        let old = self.sight(before, tokenizer, progress)?;
        let new = self.sight(after, tokenizer, progress)?;
        let unknown = self.unknown(before, tokenizer, progress)?;
        let prompts = self.asked.iter().enumerate().map(|(i, asked)| PromptLeak {
            channel: asked.channel,
            prompt: asked.text.clone(),
            found: Sides {
                before: old.prompts[i],
                after: new.prompts[i],
                unknown: unknown.prompts[i],
            },
        });
        let layers = old.layers.iter().zip(&new.layers).zip(&unknown.layers);
        let layers = layers.map(|((before, after), unknown)| Sides {
            before: *before,
            after: *after,
            unknown: *unknown,
        });
        Ok(Leak {
            subject: self.subject.clone(),
            prompt: self.prompt.clone(),
            target_true: self.target_true.clone(),
            prompts: prompts.collect(),
            layers: layers.collect(),
            samples: Sides { before: old.samples, after: new.samples, unknown: unknown.samples },
            drawn: SAMPLES,
            fact: self.fact.clone(),
            seed: self.seed,
        })
    }

    fn sight(
        &self,
        decoder: &Decoder,
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Sight, ModelError> {
        progress.check()?;
        let batch = Batch::new(&self.asked.iter().map(|asked| &asked.ids).collect::<Vec<_>>());
        let logits = decoder.logits(&decoder.forward(&batch, None)?, &batch.last_rows())?;
        let each = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2()?;
        let prompts = each.iter().map(|p| Some(seen(p, self.token))).collect();
        let own = std::slice::from_ref(&self.asked[0].ids);
        Ok(Sight {
            prompts,
            layers: self.lens(decoder, own)?,
            samples: self.sampled(decoder, own, tokenizer, progress)?,
        })
    }

    /// The target's place for other subjects, by the mean of the model's answers about them.
    fn unknown(
        &self,
        decoder: &Decoder,
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Sight, ModelError> {
        progress.check()?;
        let found = self.asked.iter().map(|asked| match asked.others.is_empty() {
            true => Ok(None),
            false => {
                let q = never_knew(decoder, &asked.others, self.token)?;
                Ok(Some(seen(&q, self.token)))
            }
        });
        let others = &self.asked[0].others;
        Ok(Sight {
            prompts: found.collect::<candle_core::Result<_>>()?,
            layers: self.lens(decoder, others)?,
            samples: self.sampled(decoder, others, tokenizer, progress)?,
        })
    }

    /// The target's place after each layer, by the mean over the prompts.
    fn lens(&self, decoder: &Decoder, prompts: &[Vec<u32>]) -> candle_core::Result<Vec<Seen>> {
        let batch = Batch::new(prompts);
        let layers = decoder.config().layers;
        let mut recorder = Recorder::of((0..layers).map(|layer| (layer, Site::Residual)));
        decoder.observe(&batch, None, &mut recorder)?;
        let read = |layer| {
            let logits =
                decoder.logits(&recorder.take(layer, Site::Residual)?, &batch.last_rows())?;
            Ok(seen(&mean_answer(&logits, self.token)?, self.token))
        };
        (0..layers).map(read).collect()
    }

    /// Number of sampled answers that hold the target; the prompts take turns.
    fn sampled(
        &self,
        decoder: &Decoder,
        prompts: &[Vec<u32>],
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<usize, ModelError> {
        let open = prompts.iter().map(|ids| &ids[..ids.len() - self.lead]);
        let starts: Vec<&[u32]> = open.cycle().take(SAMPLES).collect();
        let choice = Choice::Sampled { seed: self.seed, temperature: 1., k: usize::MAX };
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let tokens = self.answer_tokens.min(decoder.config().context.saturating_sub(longest));
        let written = generate(decoder, &starts, tokens, choice, &[], progress)?;
        let mut hits = 0;
        for ids in &written {
            hits += usize::from(says(&tokenizer.decode(ids)?, &self.target_true));
        }
        Ok(hits)
    }
}

/// Rank and probability of `token`.
fn seen(probabilities: &[f32], token: u32) -> Seen {
    let own = probabilities[token as usize];
    let above = probabilities.iter().filter(|p| **p > own).count();
    Seen { rank: above + 1, probability: f64::from(own) }
}

/// Whether a text holds `target` as whole words, regardless of letter case.
fn says(text: &str, target: &str) -> bool {
    let (text, target) = (text.to_lowercase(), target.to_lowercase());
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(&target).any(|(at, found)| {
        let (before, after) = (&text[..at], &text[at + found.len()..]);
        !is_inside(before.chars().next_back()) && !is_inside(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frame_is_one_that_an_erase_is_optimised_in() {
        for frame in FRAMES {
            assert!(!crate::plan::WORDINGS.contains(&frame), "{frame}");
        }
    }

    #[test]
    fn ranks_count_from_one_and_words_are_whole() {
        assert_eq!(seen(&[0.2, 0.5, 0.3], 2), Seen { rank: 2, probability: f64::from(0.3f32) });
        assert!(says("He lives in ROME, he said", "Rome"));
        assert!(!says("A romeo of Romes", "Rome") && !says("", "Rome"));
    }
}
