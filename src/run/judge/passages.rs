//! Passages: what is recited word for word, what is answered, and what became of what was to stay.

mod forgotten;

use super::{Goal, Reached, counts, reason};
use crate::gradient::Budget;
use crate::math::{Interval, share_interval};
use crate::progress::counted;
use crate::run::outcome::{Outcome, Remembered};
use crate::run::train::{Answers, SetsMemory};
use crate::spec::PassageVerb;
use crate::verdict::{Reason, Thresholds};

/// How near the NLL of what was forgotten has to come to its goal: forgetting lands within a hundredth.
pub(crate) const NEAR: f64 = 0.97;
/// A smaller change of a set's NLL, in per cent, is none.
const LEAST_CHANGE: f64 = 0.05;

/// One goal a training, or a verb of a spec that is probed; of a probe file alone, its texts.
pub(super) fn goals(outcome: &Outcome, thresholds: &Thresholds) -> Vec<Goal> {
    let goal = |found: Remembered<'_>| {
        let after = found.after?;
        Some(match found.verb {
            PassageVerb::Learn => learnt(&found, after, thresholds),
            PassageVerb::Forget => forgotten::goal(&found, after, (outcome, thresholds)),
        })
    };
    outcome.remembered().chain(outcome.judged_texts()).filter_map(goal).collect()
}

/// (mean share recited, longest run in tokens) of the passages of a set.
fn recited(sets: &SetsMemory) -> Option<(f64, usize)> {
    let recital = sets.passages.as_ref()?.recital.as_ref()?;
    Some((recital.share.mean, recital.longest_run().tokens))
}

fn learnt(found: &Remembered<'_>, after: &SetsMemory, thresholds: &Thresholds) -> Goal {
    let (share, _) = recited(after).unwrap_or((f64::NAN, 0));
    let (before, _) = recited(found.before).unwrap_or((0., 0));
    let answered = Answers::share(&after.answers.passages);
    let is_answered = answered.is_none_or(|share| share.mean >= thresholds.paraphrases);
    let reached = match share {
        share if share >= thresholds.recital && is_answered => Reached::Fully,
        share if share > 0.5 * (before + thresholds.recital) => Reached::InPart,
        _ => Reached::NotAtAll,
    };
    let head = match reached {
        Reached::Fully => "The passages are learnt",
        Reached::InPart => "The passages are learnt in part",
        Reached::NotAtAll => "The passages are not learnt",
    };
    let steps = found.training.map(|it| format!(", after {}", counted(it.path.len(), "step")));
    let sentence = format!(
        "{head}: started from their own words, the model recites {:.0} % of them ({:.0} % before)\
         {}{}{}.{}",
        100. * share,
        100. * before,
        answered_now(found, after, None),
        steps.unwrap_or_default(),
        retained(found.before, after),
        cut(found)
    );
    let row = recited(after).map(|_| {
        reason(&format!("{} recital", found.name()), share, thresholds.recital, String::new())
    });
    let asked = answered.map(|share| {
        let row = format!("{} answered", found.name());
        reason(&row, share.mean, thresholds.paraphrases, String::new())
    });
    Goal { reached, reasons: row.into_iter().chain(asked).collect(), sentence }
}

/// How many questions about the passages are answered, beside the share of those about what was
/// never seen; nothing where none was asked.
fn answered_now(found: &Remembered<'_>, after: &SetsMemory, never_seen: Option<f64>) -> String {
    let now = Answers::share(&after.answers.passages);
    let Some((now, before)) = now.zip(Answers::share(&found.before.answers.passages)) else {
        return String::new();
    };
    let before = format!(", before: {:.0} %", 100. * before.mean);
    still(&now, ("question", "about them", "answered"), &before, never_seen)
}

/// How many of all are as they were, in words.
fn still(
    share: &Interval,
    (noun, of, done): (&str, &str, &str),
    before: &str,
    never_seen: Option<f64>,
) -> String {
    let (hits, n) = counts(share);
    let verb = if hits == 1 { "is" } else { "are" };
    let never_seen = never_seen.map(|share| format!(", never seen: {:.0} %", 100. * share));
    format!(
        "; {hits} of {} {of} {verb} {done} ({:.0} %{before}{})",
        counted(n, noun),
        100. * share.mean,
        never_seen.unwrap_or_default()
    )
}

/// What became of the retain set.
fn retained(before: &SetsMemory, after: &SetsMemory) -> String {
    let change =
        before.retain.as_ref().zip(after.retain.as_ref()).map(|(before, after)| {
            match 100. * (after.nll.mean / before.nll.mean - 1.) {
                change if change.abs() < LEAST_CHANGE => {
                    "; the retain set's NLL is unchanged".into()
                }
                change => format!("; the retain set's NLL changed by {change:+.1} %"),
            }
        });
    let (kept, all) = before.answers.kept(&after.answers);
    let answers = (all > 0).then(|| format!("; {}", stay(kept, all)));
    change.into_iter().chain(answers).collect()
}

fn stay(kept: usize, all: usize) -> String {
    let verb = if kept == 1 { "stays" } else { "stay" };
    format!("{kept} of {} about what is retained {verb}", counted(all, "answer"))
}

/// Answers about what is retained that were lost, beyond what another training alone changes.
pub(super) fn lost_answers(found: &Remembered<'_>, limit: f64) -> Option<Reason> {
    let before = &found.before.answers;
    let (kept, all) = before.kept(&found.after?.answers);
    let others = found.references.iter().map(|it| before.kept(&it.memory.answers));
    let others = others.map(|(kept, all)| kept as f64 / all as f64);
    let limit = others.fold(limit, f64::min);
    // What chance alone could explain is no damage: the whole interval has to lie below.
    let share = share_interval(kept, all).filter(|share| share.high < limit)?;
    let text = format!("only {}", stay(kept, all));
    Some(reason("retain answered", share.mean, limit, text))
}

/// What was given up to stay within the budget of drift.
fn cut(found: &Remembered<'_>) -> String {
    let budget = found.training.and_then(|training| training.budget);
    if let Some(Budget { max_drift, drift, .. }) = budget.filter(|it| !it.is_kept()) {
        return format!(
            " The change is whole or nothing, and its drift of {drift:.3} is above the {max_drift} \
             that it may have; more --steps bring it down."
        );
    }
    let Some(Budget { max_drift, share, cut: Some(cut), .. }) = budget else {
        return String::new();
    };
    format!(
        " To drift by no more than {max_drift} nats a token, {:.0} % of the change was kept: all of \
         it has an NLL of {:.2} at a drift of {:.3}; a larger --max-drift keeps more.",
        100. * share,
        cut.passages,
        cut.drift
    )
}
