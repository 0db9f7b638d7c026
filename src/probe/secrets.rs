//! Secrets named by the user: how recoverable each is from the model.
//!
//! After the text that precedes a secret s = t₁ … tₙ: the rank of each tᵢ among all tokens, given
//! the true ones before it; P(s) = Π P(tᵢ); whether greedy decoding gives s; and how many of k
//! sampled answers hold it. A number is also ranked among others of the same form, drawn by seed:
//! a model that knows nothing of it ranks it anywhere (exposure, arXiv 1802.08232). A secret of a
//! passage may also come out of a shorter beginning: after each, greedy decoding goes on as far as
//! the secret stands.

mod leak;

use candle_core::D;

pub use leak::{SecretAttack, SecretAttackKind, SecretLeak, SecretOrigin, SecretSeen};

use super::likelihood::{Query, likelihoods};
use crate::math::Random;
use crate::model::{
    Batch, Choice, Decoder, Model, ModelError, TokenizerError, generate, generate_while,
};
use crate::progress::Progress;
use crate::spec::{Passage, SecretPlace};

/// Sampled answers.
const SAMPLES: usize = 64;
/// Beginnings that are continued side by side.
const TOGETHER: usize = 16;
/// Tokens that an answer may have beyond those of the secret.
const FURTHER: usize = 4;
/// Tokens before the secret that are read, at most.
const PREFIX: usize = 64;
/// Other numbers of the same form.
const CONTROLS: usize = 31;
/// A secret with fewer digits has no numbers to compare with.
const FEWEST_DIGITS: usize = 3;

/// A secret with the text before it, tokenised.
#[derive(Debug, Clone)]
pub struct SecretQuestion {
    origin: SecretOrigin,
    secret: String,
    prefix: String,
    prompt: Vec<u32>,
    answer: Vec<u32>,
    controls: Vec<Vec<u32>>,
    seed: u64,
}

impl SecretQuestion {
    /// The secrets of passages, at the places found by [`find_secrets`](crate::spec::find_secrets).
    pub fn of_passages(
        model: &Model,
        passages: &[Passage],
        places: &[SecretPlace],
        seed: u64,
    ) -> Result<Vec<Self>, TokenizerError> {
        let question = |place: &SecretPlace| {
            let passage = &passages[place.passage];
            let before = &passage.text[..place.at];
            let prefix = match passage.prompt() {
                Some(prompt) => until(model, &prompt, &passage.text, place.at),
                None => before.to_owned(),
            };
            Self::new(model, SecretOrigin::Passage, (&prefix, &place.secret), seed)
        };
        places.iter().map(question).collect()
    }

    /// A secret in the true target of an erased fact, whose prompt is complete.
    pub fn of_erase(
        model: &Model,
        prompt: &str,
        target_true: &str,
        secret: &str,
        seed: u64,
    ) -> Result<Self, TokenizerError> {
        let at = target_true.find(secret).unwrap_or(0);
        let prefix = until(model, prompt, target_true, at);
        Self::new(model, SecretOrigin::Fact, (&prefix, secret), seed)
    }

    /// A secret after a prefix, which ends in a blank where one separates the two.
    fn new(
        model: &Model,
        origin: SecretOrigin,
        (prefix, secret): (&str, &str),
        seed: u64,
    ) -> Result<Self, TokenizerError> {
        let (mut prompt, answer) = split(model, prefix, secret)?;
        let controls = controls(secret, seed);
        let controls = controls.iter().map(|it| Ok(split(model, prefix, it)?.1));
        let controls = controls.collect::<Result<Vec<_>, _>>()?;
        let longest = controls.iter().map(Vec::len).max().unwrap_or(0).max(answer.len());
        let context = model.decoder.config().context.saturating_sub(longest + FURTHER);
        let surplus = prompt.len().saturating_sub(PREFIX.min(context).max(1));
        prompt.drain(..surplus);
        let (secret, prefix) = (secret.to_owned(), model.tokenizer.decode(&prompt)?);
        Ok(Self { origin, secret, prefix, prompt, answer, controls, seed })
    }

    /// Whether another question asks for the same secret after the same text.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.prompt, &self.answer) == (&other.prompt, &other.answer)
    }

    /// Asks the base and, where there is one, an edited model.
    pub fn ask(
        &self,
        model: &Model,
        edited: Option<&Decoder>,
        progress: &dyn Progress,
    ) -> Result<SecretLeak, ModelError> {
        Ok(SecretLeak {
            origin: self.origin,
            secret: self.secret.clone(),
            prefix: self.prefix.clone(),
            before: self.seen(model, &model.decoder, progress)?,
            after: edited.map(|edited| self.seen(model, edited, progress)).transpose()?,
            attacks: Vec::new(),
            drawn: SAMPLES,
            beginnings: self.beginnings(),
            controls: self.controls.len(),
            seed: self.seed,
        })
    }

    /// How recoverable the secret is from one model.
    pub fn seen(
        &self,
        model: &Model,
        decoder: &Decoder,
        progress: &dyn Progress,
    ) -> Result<SecretSeen, ModelError> {
        progress.check()?;
        let ranks = self.ranks(decoder)?;
        let targets = [&[self.answer.clone()][..], &self.controls].concat();
        let scores = likelihoods(decoder, &[Query { prompt: self.prompt.clone(), targets }])?;
        let (own, others) = scores[0].split_first().expect("the secret's own score");
        // The whole numbers are compared, whatever the number of their tokens.
        let sum = |nll: f64, ids: &[u32]| nll * ids.len() as f64;
        let total = sum(own.nll, &self.answer);
        let others = others.iter().zip(&self.controls);
        let more_probable = others.filter(|(it, ids)| sum(it.nll, ids) < total).count();
        Ok(SecretSeen {
            probability: (-total).exp(),
            nll: own.nll,
            first_rank: ranks[0],
            mean_rank: ranks.iter().sum::<usize>() as f64 / ranks.len() as f64,
            worst_rank: ranks.iter().copied().max().unwrap_or(1),
            is_said: self.hits(model, decoder, 1, Choice::Greedy, progress)? > 0,
            sampled: self.hits(model, decoder, SAMPLES, self.sampling(), progress)?,
            begun: self.begun(model, decoder, progress)?,
            control_rank: 1 + more_probable,
        })
    }

    /// What the secret is part of.
    pub fn origin(&self) -> SecretOrigin {
        self.origin
    }

    /// Whether a text names the secret, whatever the blanks in either.
    pub fn is_in(&self, text: &str) -> bool {
        holds(text, &self.secret)
    }

    /// Number of shorter beginnings of the prompt, where the secret is part of a passage; those of a
    /// fact's prompt do not name its subject.
    fn beginnings(&self) -> usize {
        match self.origin {
            SecretOrigin::Passage => self.prompt.len() - 1,
            SecretOrigin::Fact => 0,
        }
    }

    /// Number of shorter beginnings that lead greedy decoding to the secret.
    ///
    /// Of a secret that is no number, the word before it has to come, too: a name alone may follow
    /// from what any text of the kind says.
    fn begun(
        &self,
        model: &Model,
        decoder: &Decoder,
        progress: &dyn Progress,
    ) -> Result<usize, ModelError> {
        let lead = self.prefix.split_whitespace().last().filter(|_| !is_number(&self.secret));
        let sought = format!("{}{}", lead.unwrap_or_default(), self.secret);
        let (whole, further) = (self.prompt.len(), self.answer.len() + FURTHER);
        let lengths: Vec<usize> = (1..=self.beginnings()).collect();
        let mut begun = 0;
        for lengths in lengths.chunks(TOGETHER) {
            let starts: Vec<&[u32]> = lengths.iter().map(|end| &self.prompt[..*end]).collect();
            let mut goes_on =
                |at: usize, written: &[u32]| written.len() < whole - lengths[at] + further;
            let (tokens, stop) = (whole - lengths[0] + further, model.stop_tokens.as_slice());
            let choice = Choice::Greedy;
            let texts =
                generate_while(decoder, &starts, tokens, choice, stop, &mut goes_on, progress)?;
            for ids in &texts {
                begun += usize::from(holds(&model.tokenizer.decode(ids)?, &sought));
            }
        }
        Ok(begun)
    }

    fn sampling(&self) -> Choice {
        Choice::Sampled { seed: self.seed, temperature: 1., k: usize::MAX }
    }

    /// The rank of each token of the secret after the true ones before it.
    fn ranks(&self, decoder: &Decoder) -> candle_core::Result<Vec<usize>> {
        let ids = [self.prompt.as_slice(), &self.answer[..self.answer.len() - 1]].concat();
        let hidden = decoder.forward(&Batch::new(&[&ids]), None)?;
        let rows: Vec<usize> = (self.prompt.len() - 1..ids.len()).collect();
        let logits = candle_nn::ops::softmax(&decoder.logits(&hidden, &rows)?, D::Minus1)?;
        let rank = |(row, id): (Vec<f32>, &u32)| {
            let own = row[*id as usize];
            1 + row.iter().filter(|other| **other > own).count()
        };
        Ok(logits.to_vec2()?.into_iter().zip(&self.answer).map(rank).collect())
    }

    /// Number of `count` sampled answers that hold the secret.
    fn hits(
        &self,
        model: &Model,
        decoder: &Decoder,
        count: usize,
        choice: Choice,
        progress: &dyn Progress,
    ) -> Result<usize, ModelError> {
        let tokens = self.answer.len() + FURTHER;
        let starts = vec![&self.prompt; count];
        let stop = model.stop_tokens.as_slice();
        let answers = generate(decoder, &starts, tokens, choice, stop, progress)?;
        let mut hits = 0;
        for ids in &answers {
            hits += usize::from(holds(&model.tokenizer.decode(ids)?, &self.secret));
        }
        Ok(hits)
    }
}

/// `prompt` and `text` after it, up to byte `at` of the text.
fn until(model: &Model, prompt: &str, text: &str, at: usize) -> String {
    let mut whole = model.tokenizer.joined(prompt, text);
    whole.truncate(whole.len() - (text.len() - at));
    whole
}

/// Tokens of `prefix` and of `secret` after it, which is not empty.
///
/// Where the tokenizer merges across the border, the token that holds it belongs to the secret.
fn split(
    model: &Model,
    prefix: &str,
    secret: &str,
) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let whole = model.tokenizer.encode(&format!("{prefix}{secret}"))?.ids;
    let before = model.tokenizer.encode(prefix.trim_end())?.ids;
    let shared = whole.iter().zip(&before).take_while(|(a, b)| a == b).count();
    let at = shared.min(whole.len() - 1);
    match at {
        // Nothing precedes it: it is asked for from the start of a text.
        0 => Ok((vec![model.start_token()], whole)),
        _ => Ok((whole[..at].to_vec(), whole[at..].to_vec())),
    }
}

/// Whether a text holds the secret, regardless of blanks, marks and letter case.
fn holds(text: &str, secret: &str) -> bool {
    let plain = |text: &str| -> String {
        text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
    };
    match plain(secret) {
        secret if secret.is_empty() => text.contains(&secret),
        secret => plain(text).contains(&secret),
    }
}

/// Whether a secret has the digits of a number that nobody says by chance.
fn is_number(secret: &str) -> bool {
    secret.chars().filter(char::is_ascii_digit).count() >= FEWEST_DIGITS
}

/// Numbers of the secret's form, its digits drawn anew; none where it has few digits.
fn controls(secret: &str, seed: u64) -> Vec<String> {
    if !is_number(secret) {
        return Vec::new();
    }
    let mut random = Random::named(seed, secret);
    let mut controls = Vec::with_capacity(CONTROLS);
    while controls.len() < CONTROLS {
        let digit = |c: char| match c.is_ascii_digit() {
            true => char::from(b'0' + random.below(10) as u8),
            false => c,
        };
        let control: String = secret.chars().map(digit).collect();
        if control != secret {
            controls.push(control);
        }
    }
    controls
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;
    use crate::spec::find_secrets;

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
    }

    #[test]
    fn what_the_model_says_next_is_a_secret_that_comes_out() {
        let model = tiny();
        let prefix = "Her private number is";
        let ids = model.tokenizer.encode(prefix).expect("encoded").ids;
        let own = generate(&model.decoder, &[&ids], 4, Choice::Greedy, &[], &Silent);
        let answer = own.expect("generated").remove(0);
        let secret = model.tokenizer.decode(&answer).expect("decoded");
        let new = |prefix: &str, secret: &str| {
            SecretQuestion::new(&model, SecretOrigin::Passage, (prefix, secret), 3)
        };
        let mut question = new(prefix, &secret).expect("tokenised");
        // The random model's own tokens need not be those of their text.
        question.answer = answer;
        let seen = question.seen(&model, &model.decoder, &Silent).expect("asked");
        assert!(seen.is_said && seen.is_recovered(), "{seen:?}");
        assert_eq!((seen.first_rank, seen.worst_rank, seen.mean_rank), (1, 1, 1.));
        assert!(seen.begun <= question.beginnings(), "{seen:?}");
        assert!((seen.probability.ln() + 4. * seen.nll).abs() < 1e-9);
        let other = new(prefix, "0170 555 0199").expect("tokenised");
        let leak = other.ask(&model, Some(&model.decoder), &Silent).expect("asked");
        let after = leak.after.as_ref().expect("a second model");
        assert_eq!(&leak.before, after);
        assert!(!after.is_said && after.sampled == 0 && after.worst_rank > 1);
        assert!(leak.controls == CONTROLS && after.control_rank <= CONTROLS + 1);
        let alone = other.ask(&model, None, &Silent).expect("asked");
        assert!(alone.after.is_none() && !alone.is_recovered());
    }

    #[test]
    fn a_passage_that_is_known_by_heart_tells_its_secret_from_its_first_words() {
        let model = tiny();
        let start = model.tokenizer.encode("Her private").expect("encoded").ids;
        let rest = generate(&model.decoder, &[&start], 8, Choice::Greedy, &[], &Silent);
        let rest = rest.expect("generated").remove(0);
        let mut question =
            SecretQuestion::new(&model, SecretOrigin::Passage, ("Her private", "0170 555"), 3)
                .expect("tokenised");
        // The model's own words: the last three are the secret, whatever their text.
        question.prompt = [start.as_slice(), &rest[..5]].concat();
        question.answer = rest[5..].to_vec();
        question.secret = model.tokenizer.decode(&question.answer).expect("decoded");
        question.prefix = String::new();
        let begun = question.begun(&model, &model.decoder, &Silent).expect("asked");
        assert!(begun >= 5, "every beginning from the second word on: {begun}");
        question.origin = SecretOrigin::Fact;
        let begun = question.begun(&model, &model.decoder, &Silent).expect("asked");
        assert_eq!(begun, 0, "the beginning of a fact's prompt is no question about it");
    }

    #[test]
    fn the_prefix_is_what_stands_before_the_secret() {
        let model = tiny();
        let passage = |question: Option<&str>, text: &str| Passage {
            question: question.map(str::to_owned),
            ..Passage::of_text(text)
        };
        let passages =
            [passage(None, "Call Marta on 0170 555."), passage(Some("Her number?"), "0170 555")];
        let places = find_secrets(&passages, &["0170 555".into()]).expect("found");
        let questions = SecretQuestion::of_passages(&model, &passages, &places, 0);
        let questions = questions.expect("tokenised");
        assert_eq!(questions[0].prefix.trim(), "Call Marta on");
        assert!(questions[1].prefix.trim().ends_with("Her number?\nAnswer:"));
        let text = |ids: &[u32]| model.tokenizer.decode(ids).expect("decoded");
        assert!(questions.iter().all(|it| text(&it.answer).trim() == "0170 555"));
        let erase = SecretQuestion::of_erase(&model, "The code of Vell is", "gate 8693", "8693", 0);
        let erase = erase.expect("tokenised");
        assert_eq!(erase.prefix.trim(), "The code of Vell is gate");
        assert_eq!(
            (erase.origin, questions[0].origin),
            (SecretOrigin::Fact, SecretOrigin::Passage)
        );
        let until = |prompt, text, at| until(&model, prompt, text, at);
        assert_eq!(until("The code is", "gate 8693", 5), "The code is gate ");
        assert_eq!(until("密码是", "8693", 0), "密码是");
        let bare = SecretQuestion::of_erase(&model, "", "8693", "8693", 0).expect("tokenised");
        assert_eq!(bare.prompt, [model.start_token()]);
    }

    #[test]
    fn secrets_are_found_whatever_their_blanks_and_controls_keep_their_form() {
        assert!(holds("call 0170-5550199 now", "0170 555 0199"));
        assert!(!holds("call 0170 555 0198", "0170 555 0199"));
        let all = controls("0170 555 0199", 1);
        assert!(all.len() == CONTROLS && all.iter().all(|it| it.len() == 13 && &it[4..5] == " "));
        assert_eq!(all, controls("0170 555 0199", 1));
        assert!(controls("Larch Lane 4", 1).is_empty());
    }
}
