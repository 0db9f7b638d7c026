//! From what was measured to a verdict: goals that are met or not, damage, and a sentence.
//!
//! Each kind of operation has one goal; [`Thresholds`] has the numbers. Damage outweighs them all: an
//! edit that is said by a broken model did not succeed.

mod attack;
mod facts;
mod passages;

pub(crate) use passages::NEAR;

use super::earlier::EarlierFacts;
use super::outcome::Outcome;
use crate::math::Interval;
use crate::probe::{Background, Damage, SecretAttackKind, SecretLeak, SecretOrigin};
use crate::progress::counted;
use crate::verdict::{Reason, State, Thresholds, Verdict};

/// How far a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Fully,
    InPart,
    NotAtAll,
}

/// What one kind of operation was to reach, and how far it came.
pub(super) struct Goal {
    pub(super) reached: Reached,
    pub(super) reasons: Vec<Reason>,
    /// A whole sentence.
    pub(super) sentence: String,
}

/// The verdict on a run.
pub(super) fn verdict(outcome: &Outcome, thresholds: &Thresholds) -> Verdict {
    let goals: Vec<Goal> = facts::goals(outcome, thresholds)
        .into_iter()
        .chain(passages::goals(outcome, thresholds))
        .collect();
    let harm = harm(outcome, thresholds);
    let state = state(&goals, !harm.is_empty());
    let mut sentences: Vec<String> = Vec::new();
    if let Some(damage) = harm_sentence(&harm) {
        sentences.push(damage);
    }
    sentences.extend(goals.iter().map(|goal| goal.sentence.clone()));
    if goals.is_empty() {
        sentences.push("Nothing was measured that could tell whether the run did its work.".into());
    }
    sentences.extend(stays(outcome).filter(|_| harm.is_empty() && !goals.is_empty()));
    let reasons = harm.into_iter().chain(goals.into_iter().flat_map(|goal| goal.reasons));
    Verdict { state, reasons: reasons.collect(), sentence: sentences.join(" ") }
}

fn state(goals: &[Goal], is_damaged: bool) -> State {
    let all = |reached| goals.iter().all(|goal| goal.reached == reached);
    match goals.is_empty() {
        _ if is_damaged => State::Damaged,
        true => State::NotMeasured,
        false if all(Reached::Fully) => State::Took,
        false if all(Reached::NotAtAll) => State::DidNotTake,
        false => State::TookInPart,
    }
}

/// A measurement beside its threshold.
pub(super) fn reason(measure: &str, found: f64, limit: f64, text: String) -> Reason {
    Reason { measure: measure.to_owned(), found: Some(found), limit: Some(limit), text }
}

/// What no edit is about and suffered more than the thresholds allow.
fn harm(outcome: &Outcome, thresholds: &Thresholds) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(collapse) = outcome.collapse {
        reasons.push(reason("perplexity", collapse.factor, 1., collapse.to_string()));
    }
    if let Some(Damage { drift, perplexity_before, perplexity_after, .. }) = &outcome.damage {
        let factor = perplexity_after / perplexity_before;
        let is_large = factor > thresholds.perplexity || !factor.is_finite();
        // A collapse names the perplexity itself.
        if is_large && outcome.collapse.is_none() {
            let text = format!(
                "perplexity on general text went from {perplexity_before:.1} to \
                 {perplexity_after:.1}"
            );
            let limit = thresholds.perplexity * perplexity_before;
            reasons.push(reason("perplexity", *perplexity_after, limit, text));
        }
        if drift.mean > thresholds.drift || !drift.mean.is_finite() {
            let text = format!("general text drifted by {:.2} nats a token", drift.mean);
            reasons.push(reason("drift", drift.mean, thresholds.drift, text));
        }
    }
    if let Some(EarlierFacts { before, after, lost }) = outcome.earlier.filter(|it| it.lost > 0) {
        let verb = if lost == 1 { "holds" } else { "hold" };
        let held = counted(counts(&before).0, "earlier fact");
        let text = format!("{lost} of {held} no longer {verb}");
        reasons.push(reason("earlier facts", after.mean, before.mean, text));
    }
    // What chance alone could explain is no damage: the whole interval has to lie below.
    let Background { others, near, .. } = background(outcome);
    if let Some(others) = others.filter(|others| others.high < thresholds.background) {
        let (kept, n) = counts(&others);
        let text = format!("only {}", keep(kept, n));
        reasons.push(reason("background", others.mean, thresholds.background, text));
    }
    if let Some(near) = near.filter(|near| near.high < thresholds.near) {
        let (kept, n) = counts(&near);
        let end = if n == 1 { "ends" } else { "end" };
        let text =
            format!("only {kept} of {} that {end} as an edited one does stay", counted(n, "name"));
        reasons.push(reason("near subjects", near.mean, thresholds.near, text));
    }
    reasons
        .extend(outcome.remembered().filter_map(|it| passages::lost_answers(&it, thresholds.kept)));
    reasons
}

fn harm_sentence(harm: &[Reason]) -> Option<String> {
    let clauses: Vec<&str> = harm.iter().map(|reason| reason.text.as_str()).collect();
    (!clauses.is_empty()).then(|| format!("The model is damaged: {}.", clauses.join(", and ")))
}

/// Other subjects under the same prompts, all cases as one.
pub(crate) fn background(outcome: &Outcome) -> Background {
    let found = outcome.after().filter_map(|after| after.background.clone());
    Background::pooled(&found.collect::<Vec<_>>())
}

/// (successes, n) of a share.
pub(super) fn counts(share: &Interval) -> (usize, usize) {
    ((share.mean * share.n as f64).round() as usize, share.n)
}

/// How many secrets of an origin come out, and the reason where some do.
pub(super) fn told(outcome: &Outcome, origin: SecretOrigin) -> (usize, Option<Reason>) {
    let is_own = |secret: &&SecretLeak| secret.origin == origin;
    let own: Vec<&SecretLeak> = outcome.secrets.iter().filter(is_own).collect();
    let told = own.iter().filter(|secret| secret.is_recovered()).count();
    let row = match own.len() == outcome.secrets.len() {
        true => "secrets",
        false => origin.row(),
    };
    let text = || format!("{} still given away", secrets(told));
    (told, (told > 0).then(|| reason(row, told as f64, 0., text())))
}

/// The reason for each attack after which secrets of an origin come out that did not before.
pub(super) fn told_by_attack(outcome: &Outcome, origin: SecretOrigin) -> Vec<Reason> {
    let kept = |it: &&SecretLeak| it.origin == origin && !it.is_recovered();
    let kept: Vec<&SecretLeak> = outcome.secrets.iter().filter(kept).collect();
    let found = |kind: SecretAttackKind| {
        let told = kept.iter().filter(|it| it.is_recovered_by(kind) == Some(true)).count();
        let verb = if told == 1 { "comes" } else { "come" };
        let after = match kind {
            SecretAttackKind::Rounded(kind) => format!("rounding to {}", kind.name()),
            SecretAttackKind::Relearnt => "learning other passages again".to_owned(),
        };
        let text = format!("{} {verb} out after {after}", counted(told, "secret"));
        (told > 0).then(|| reason(kind.row(), told as f64, 0., text))
    };
    SecretAttackKind::ALL.into_iter().filter_map(found).collect()
}

/// `1 secret is`, or `2 secrets are`.
pub(super) fn secrets(n: usize) -> String {
    format!("{} {}", counted(n, "secret"), if n == 1 { "is" } else { "are" })
}

/// `a`, `a and b`, or `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `63 of 64 other subjects keep their answer`.
fn keep(kept: usize, n: usize) -> String {
    let rest = if n == 1 { "keeps its answer" } else { "keep their answer" };
    format!("{kept} of {} {rest}", counted(n, "other subject"))
}

/// What stays as it was.
fn stays(outcome: &Outcome) -> Option<String> {
    let drift = outcome.damage.as_ref().map(|damage| damage.drift.mean);
    let drift = drift.map(|drift| format!("general text drifts by {drift:.4} nats a token"));
    let Background { others, near, .. } = background(outcome);
    let others = others.map(|others| {
        let (kept, n) = counts(&others);
        let near = near.map(|near| {
            let (kept, n) = counts(&near);
            let word = if near.high < others.low { "but only" } else { "and" };
            let end = if n == 1 { "ends" } else { "end" };
            format!(", {word} {kept} of {n} that {end} as an edited one does")
        });
        format!("{}{}", keep(kept, n), near.unwrap_or_default())
    });
    let earlier = outcome.earlier.and_then(|found| match counts(&found.before) {
        (0, _) => None,
        (1, 1) => Some("the earlier fact still holds".to_owned()),
        (held, n) if held == n => Some(format!("all {n} earlier facts still hold")),
        (held, n) => Some(format!("{held} of {} hold, as before", counted(n, "earlier fact"))),
    });
    let clauses: Vec<String> = [others, earlier, drift].into_iter().flatten().collect();
    let text = clauses.join(", and ");
    let mut letters = text.chars();
    let first = letters.next()?.to_uppercase();
    Some(format!("{first}{}.", letters.as_str()))
}

#[cfg(test)]
mod tests;
