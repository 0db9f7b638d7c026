//! The plan of an erase: other subjects of the kind, and the model's answers about them.

use serde::Serialize;

use super::PlanError;
use super::never_knew::never_knew;
use super::others::{self, folded};
use super::tokenise;
use super::wordings::{Wording, framed};
use crate::model::{Model, ModelError};
use crate::progress::{Progress, counted};
use crate::spec::{Erase, Fact, Toward};

/// How a fact is erased.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedErase {
    /// What the model should say instead.
    pub toward: Toward,
    /// Tokens of the true target after the prompt.
    pub target_true: Vec<u32>,
    /// Number of leading tokens that answers about other subjects share; the token after them is
    /// the first that the model knows, and the one that is erased.
    pub lead: usize,
    /// Other subjects of the kind, with the prompt about each.
    pub others: Vec<OtherSubject>,
    /// The source of the other subjects.
    pub origin: Origin,
    /// Probability of the erased token.
    pub known: f64,
    /// Probability of the erased token where the model knows nothing of the subject, q(o).
    pub unknown: f64,
    /// The most probable answers by q, other than the true target.
    pub guesses: Vec<Guess>,
    /// Further wordings in which the fact is erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wordings: Vec<Wording>,
}

/// The prompt about another subject.
#[derive(Debug, Clone, Serialize)]
pub struct OtherSubject {
    /// The other subject.
    pub subject: String,
    /// Tokens of the prompt about the subject, then the shared beginning of answers.
    pub ids: Vec<u32>,
}

/// The source of other subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Named by the user.
    Given,
    /// Subjects of other facts with the same prompt.
    Facts,
    /// Sampled from the model, which continues a list that begins with the subject.
    Sampled,
    /// Well-known names of the subject's shape, where the model writes no lists.
    Alike,
}

/// The beginning of an answer, up to the token that is compared, and its probability.
#[derive(Debug, Clone, Serialize)]
pub struct Guess {
    /// The text, without blanks around it.
    pub text: String,
    /// Probability of the guess under q.
    pub probability: f64,
}

/// Tokens of q that are shown.
const GUESSES: usize = 5;
/// With fewer subjects than this, their mean is mostly about them.
const FEW: usize = 4;
/// The excess of a known fact: below this multiple of q(o), there is little to erase.
const KNOWN: f64 = 2.;

impl PlannedErase {
    /// Tokens of the prompt about each other subject.
    pub fn other_ids(&self) -> Vec<Vec<u32>> {
        self.others.iter().map(|other| other.ids.clone()).collect()
    }

    /// Plans `erase`, one of `facts`.
    pub(super) fn new(
        model: &Model,
        erase: &Erase,
        facts: &[Fact],
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self, PlanError> {
        let tokenizer = &model.tokenizer;
        let rendered = erase.rendered();
        let target_true = tokenizer.continuation(&rendered, erase.target_true.trim())?;
        let (names, origin) = found(model, erase, facts, seed, progress)?;
        if names.is_empty() {
            return Err(PlanError::NoOthers { prompt: rendered });
        }
        let other = |subject: String| -> Result<OtherSubject, PlanError> {
            let ids = tokenizer.encode(&erase.prompt.replacen("{}", &subject, 1))?.ids;
            Ok(OtherSubject { subject, ids })
        };
        let others: Vec<OtherSubject> =
            names.into_iter().map(other).collect::<Result<_, PlanError>>()?;
        let own =
            OtherSubject { subject: erase.subject.clone(), ids: tokenizer.encode(&rendered)?.ids };
        let mut planned = Self {
            toward: erase.toward.clone(),
            lead: 0,
            others,
            origin,
            known: 0.,
            unknown: 0.,
            guesses: Vec::new(),
            wordings: Vec::new(),
            target_true,
        };
        planned.lead_in(model, own)?;
        Ok(planned)
    }

    /// Finds the first token of the target that the model knows, and its answers about others
    /// there.
    ///
    /// Where it knows none, the first token is used.
    fn lead_in(&mut self, model: &Model, own: OtherSubject) -> Result<(), ModelError> {
        let bare = self.others.clone();
        for lead in (0..self.target_true.len()).chain([0]) {
            let behind = |subject: &OtherSubject| OtherSubject {
                subject: subject.subject.clone(),
                ids: [&subject.ids, &self.target_true[..lead]].concat(),
            };
            self.others = bare.iter().map(behind).collect();
            let (token, own) = (self.target_true[lead], behind(&own));
            self.lead = lead;
            self.known = f64::from(never_knew(&model.decoder, &[own.ids], token)?[token as usize]);
            let q = never_knew(&model.decoder, &self.other_ids(), token)?;
            self.unknown = f64::from(q[token as usize]);
            self.guesses = guesses(model, &q, &self.target_true[..=lead])?;
            if self.is_known() {
                break;
            }
        }
        Ok(())
    }

    /// Adds `count` further wordings of a fact that is erased toward "unknown", as far as they fit
    /// the model's context.
    pub(super) fn add_wordings(
        &mut self,
        model: &Model,
        erase: &Erase,
        count: usize,
    ) -> Result<(), PlanError> {
        if self.toward != Toward::Unknown {
            return Ok(());
        }
        let lead = &self.target_true[..self.lead];
        for framed in framed(&erase.prompt, count) {
            let prompt = tokenise(model, "", &framed, &erase.subject)?;
            let about = |other: &OtherSubject| -> Result<Vec<u32>, PlanError> {
                let ids = model.tokenizer.encode(&framed.replacen("{}", &other.subject, 1))?.ids;
                Ok([&ids, lead].concat())
            };
            let others: Vec<Vec<u32>> = self.others.iter().map(about).collect::<Result<_, _>>()?;
            let longest = others.iter().map(Vec::len).chain([prompt.ids.len() + lead.len()]).max();
            if longest < Some(model.decoder.config().context) {
                self.wordings.push(Wording { prompt, others });
            }
        }
        Ok(())
    }

    /// Whether the erased token is more probable than for other subjects.
    fn is_known(&self) -> bool {
        self.known > KNOWN * self.unknown
    }

    /// The token that is erased, o.
    pub fn token(&self) -> u32 {
        self.target_true[self.lead]
    }

    /// The new target in comparisons: the text, or the most probable guess.
    pub(super) fn target_new(&self) -> String {
        match (&self.toward, self.guesses.first()) {
            (Toward::Text(text), _) => text.clone(),
            (_, Some(guess)) => guess.text.clone(),
            (_, None) => String::new(),
        }
    }

    /// Warnings to show before the erase is executed.
    pub(super) fn warnings(&self, erase: &Erase) -> Vec<String> {
        let (prompt, n) = (erase.rendered(), self.others.len());
        let mut warnings = Vec::new();
        if n < FEW {
            warnings.push(format!(
                "{prompt:?}: the meaning of \"unknown\" rests on only {}; name more of the kind \
                 with others = [...] in [[erase]]",
                counted(n, "other subject")
            ));
        }
        if !self.is_known() {
            warnings.push(format!(
                "{prompt:?}: the model gives {:?} P {:.4}, and {:.4} for other subjects: it hardly \
                 knows the fact, and there is little to erase",
                erase.target_true, self.known, self.unknown
            ));
        }
        warnings
    }
}

/// Other subjects: as given; else of facts with the same prompt and another target; else sampled
/// from the model; else well-known names of the same shape.
fn found(
    model: &Model,
    erase: &Erase,
    facts: &[Fact],
    seed: u64,
    progress: &dyn Progress,
) -> Result<(Vec<String>, Origin), PlanError> {
    if !erase.others.is_empty() {
        return Ok((erase.others.clone(), Origin::Given));
    }
    let mut names: Vec<String> = Vec::new();
    let is_other = |fact: &&Fact| {
        let is_alike = folded(fact.prompt()) == folded(&erase.prompt);
        let target = fact.target_true().map(folded);
        is_alike
            && target != Some(folded(&erase.target_true))
            && folded(fact.subject()) != folded(&erase.subject)
    };
    for fact in facts.iter().filter(is_other) {
        if !names.iter().any(|name| folded(name) == folded(fact.subject())) {
            names.push(fact.subject().to_owned());
        }
    }
    if names.len() >= FEW {
        names.truncate(others::MOST);
        return Ok((names, Origin::Facts));
    }
    let sampled = others::sampled(model, &erase.subject, seed, progress)?;
    match others::alike(&erase.subject) {
        alike if sampled.len() < FEW && alike.len() >= FEW => Ok((alike, Origin::Alike)),
        _ => Ok((sampled, Origin::Sampled)),
    }
}

/// The most probable answers by q, whose last token is another than that of `target`.
fn guesses(model: &Model, q: &[f32], target: &[u32]) -> Result<Vec<Guess>, ModelError> {
    let (token, lead) = target.split_last().expect("a target has a token");
    let mut order: Vec<u32> = (0..q.len() as u32).filter(|id| id != token).collect();
    order.sort_by(|a, b| q[*b as usize].total_cmp(&q[*a as usize]).then(a.cmp(b)));
    let erased = model.tokenizer.decode(target)?;
    let mut guesses = Vec::new();
    for id in order {
        let text = model.tokenizer.decode(&[lead, &[id]].concat())?.trim().to_owned();
        if !text.is_empty() && text != erased.trim() {
            guesses.push(Guess { text, probability: f64::from(q[id as usize]) });
        }
        if guesses.len() == GUESSES {
            break;
        }
    }
    Ok(guesses)
}
