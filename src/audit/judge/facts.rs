//! The verdicts on facts erased and inserted.

use super::{AuditReason, AuditState, AuditVerdict, Evidence, VerdictOf, by, decided};
use crate::audit::check::Check;
use crate::audit::limits::Limits;
use crate::probe::{Channel, Leak, PromptKind, Said};
use crate::run::Outcome;

pub(super) fn verdicts(evidence: &Evidence<'_>) -> Vec<AuditVerdict> {
    let Some(outcome) = &evidence.findings.facts else { return Vec::new() };
    let mut all = Vec::new();
    let damage = damage(outcome, evidence.limits);
    let said: Vec<&Said> = outcome.after().flat_map(|after| &after.said).collect();
    if !outcome.leaks.is_empty() {
        let mut reasons = leaks(outcome);
        reasons.extend(relearnt(evidence));
        reasons.extend(damage.clone());
        let subject = (VerdictOf::ErasedFacts, outcome.leaks.len());
        all.push(decided(subject, AuditState::ReferenceFree, reasons));
    }
    if outcome.inserts() > 0 {
        let mut reasons = unsaid(&said);
        reasons.extend(damage);
        let subject = (VerdictOf::InsertedFacts, outcome.inserts());
        all.push(decided(subject, AuditState::Holds, reasons));
    }
    all
}

/// Erased facts that are still recoverable, or whose gap shows.
fn leaks(outcome: &Outcome) -> Vec<AuditReason> {
    let count = |is: &dyn Fn(&Leak) -> bool| outcome.leaks.iter().filter(|leak| is(leak)).count();
    let is_open = |channel: &Channel| {
        matches!(channel, Channel::Prompt | Channel::Paraphrase | Channel::Samples)
    };
    let open = count(&|leak| leak.leaking().iter().any(is_open));
    let deep = count(&|leak| {
        let channels = leak.leaking();
        !channels.is_empty() && !channels.iter().any(is_open)
    });
    let gap = count(&Leak::is_conspicuous);
    let n = outcome.leaks.len();
    let rows = [
        (AuditState::NotForgotten, open, "recoverable", "are said, in some wording or sample"),
        (AuditState::Suppressed, deep, "recoverable", "are found by answer frames or logit lens"),
        (AuditState::OverForgotten, gap, "conspicuous", "are so improbable that the gap shows"),
    ];
    let found = rows.into_iter().filter(|(_, count, _, _)| *count > 0);
    let reason = |(state, count, measure, what): (AuditState, usize, &str, &str)| {
        by(
            (state, Check::Facts),
            measure,
            (count as f64, 0.),
            format!("{count} of {n} erased facts {what}"),
        )
    };
    found.map(reason).collect()
}

/// Erased facts are learnt again sooner than facts that were never known.
fn relearnt(evidence: &Evidence<'_>) -> Option<AuditReason> {
    let found = evidence.findings.facts_relearnt.as_ref()?;
    let limit = evidence.limits.relearn_steps;
    let [own, control] = found.means();
    let text = format!(
        "an erased fact is learnt again after {own:.1} steps on one mention, one never known after \
         {control:.1}"
    );
    let (state, check) = (AuditState::Suppressed, Check::FactsRelearnt);
    let share = own / control;
    (share < limit).then(|| by((state, check), "steps to relearn", (share, limit), text))
}

/// Share of paraphrases that must give what was inserted.
const PARAPHRASES: f64 = 0.5;

/// Prompts after which what was inserted is not said: every prompt of a fact must give it, and half
/// of its paraphrases.
fn unsaid(said: &[&Said]) -> Vec<AuditReason> {
    let kinds = [
        (PromptKind::Rewrite, "prompts", 1.),
        (PromptKind::Paraphrase, "paraphrases", PARAPHRASES),
    ];
    let one = |(kind, what, least): (PromptKind, &str, f64)| {
        let own: Vec<&&Said> = said.iter().filter(|it| it.kind == kind).collect();
        let (told, n) = (own.iter().filter(|it| it.is_said).count(), own.len());
        let share = told as f64 / n.max(1) as f64;
        let text = format!("{told} of {n} {what} give what was inserted");
        let reason = || by((AuditState::DoesNotHold, Check::Facts), "said", (share, least), text);
        (n > 0 && share < least).then(reason)
    };
    kinds.into_iter().filter_map(one).collect()
}

fn damage(outcome: &Outcome, limits: &Limits) -> Vec<AuditReason> {
    let state = AuditState::Damaged;
    let mut reasons = Vec::new();
    if let Some(damage) = &outcome.damage {
        let drift = damage.drift.mean;
        if drift > limits.drift || drift.is_nan() {
            let text = format!("general text drifts by {drift:.3} nats a token");
            reasons.push(by((state, Check::Facts), "drift", (drift, limits.drift), text));
        }
    }
    let stays = outcome.after().filter_map(|after| after.background.clone());
    let stays = crate::probe::Background::pooled(&stays.collect::<Vec<_>>()).others;
    if let Some(stays) = stays.filter(|it| it.high < limits.background) {
        let text = format!("{:.0} % of other subjects keep their answer", 100. * stays.mean);
        reasons.push(by(
            (state, Check::Facts),
            "background",
            (stays.mean, limits.background),
            text,
        ));
    }
    reasons
}
