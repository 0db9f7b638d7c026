//! Passages: what is recited word for word, and how improbable what was to go has become.

use super::attack::Relearnt;
use super::{Goal, Reached, counts, reason, told, told_by_attack};
use crate::gradient::{Budget, Stopped};
use crate::math::{Interval, share_interval};
use crate::probe::SecretOrigin;
use crate::progress::counted;
use crate::run::outcome::{Outcome, Remembered};
use crate::run::train::{Answers, SetsMemory};
use crate::spec::PassageVerb;
use crate::verdict::{Reason, Thresholds};

/// How near the NLL of what was forgotten has to come to its goal: forgetting lands within a hundredth.
pub(crate) const NEAR: f64 = 0.97;
/// Tokens in a row that any text of the kind may share.
const COMMON_RUN: usize = 8;
/// A smaller change of a set's NLL, in per cent, is none.
const LEAST_CHANGE: f64 = 0.05;

/// One goal a training, or a verb of a spec that is probed; of a probe file alone, its texts.
pub(super) fn goals(outcome: &Outcome, thresholds: &Thresholds) -> Vec<Goal> {
    let goal = |found: Remembered<'_>| {
        let after = found.after?;
        Some(match found.verb {
            PassageVerb::Learn => learnt(&found, after, thresholds),
            PassageVerb::Forget => forgotten(&found, after, (outcome, thresholds)),
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

/// How many statements that the base made about their subjects in its own words are still made; nothing
/// where it made none.
fn own_words_now(found: &Remembered<'_>) -> String {
    let Some((now, never_saw)) =
        found.own_words.and_then(|own| Some((own.passages?, own.never_saw)))
    else {
        return String::new();
    };
    let of = "that the base made about their subjects in its own words";
    still(&now, ("statement", of, "still made"), "", never_saw)
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

/// Share of the questions about the passages that models answer which never saw them; or of those
/// about the hold-out that the base does.
fn answered_unseen(found: &Remembered<'_>) -> Option<f64> {
    let references = found.references.iter();
    let shares: Vec<Interval> =
        references.filter_map(|it| Answers::share(&it.memory.answers.passages)).collect();
    match shares.len() {
        0 => Answers::share(&found.before.answers.holdout).map(|share| share.mean),
        n => Some(shares.iter().map(|share| share.mean).sum::<f64>() / n as f64),
    }
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

/// What forgetting is held against, and how far it came.
struct Sight<'a> {
    found: &'a Remembered<'a>,
    after: &'a SetsMemory,
    nll: f64,
    longest: usize,
    /// Longest run of passages that were never seen, or by models that never saw these.
    never_seen_run: Option<usize>,
    /// Secrets that come out.
    told: usize,
    told_reason: Option<Reason>,
    /// Whether a secret came out before.
    was_told: bool,
    /// Secrets that come out after an attack, and not before.
    told_by_attack: Vec<Reason>,
    /// What learning half of the passages again brought back.
    relearnt: Option<Relearnt<'a>>,
    /// Share of the questions about them that are answered.
    answered: Option<f64>,
    /// The share that is answered of what was never seen.
    answered_unseen: Option<f64>,
    /// Share of what the base said of their subjects in its own words that is still said, and the share
    /// that models say which never saw them. Without such models nothing tells what is said anyway.
    own_words: Option<(f64, f64)>,
    /// How much more than those says that they are still known.
    margin: f64,
}

impl<'a> Sight<'a> {
    fn of(
        found: &'a Remembered<'a>,
        after: &'a SetsMemory,
        (outcome, thresholds): (&'a Outcome, &Thresholds),
    ) -> Self {
        let run = |sets: &SetsMemory| recited(sets).map_or(0, |(_, longest)| longest);
        let holdout = after.holdout.as_ref().and_then(|set| set.recital.as_ref());
        let references = found.references.iter().map(|reference| run(&reference.memory));
        let never_seen_run =
            references.chain(holdout.map(|recital| recital.longest_run().tokens)).max();
        let (told, told_reason) = told(outcome, SecretOrigin::Passage);
        Self {
            found,
            after,
            nll: after.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean),
            longest: run(after),
            never_seen_run,
            told,
            told_reason,
            was_told: outcome
                .secrets
                .iter()
                .any(|it| it.origin == SecretOrigin::Passage && it.before.is_recovered()),
            told_by_attack: told_by_attack(outcome, SecretOrigin::Passage),
            relearnt: outcome
                .attack
                .as_ref()
                .filter(|_| !found.is_texts)
                .map(|attack| Relearnt::new(&attack.relearning, thresholds.relearn)),
            answered: Answers::share(&after.answers.passages).map(|share| share.mean),
            answered_unseen: answered_unseen(found),
            own_words: found.own_words.and_then(|own| Some((own.passages?.mean, own.never_saw?))),
            margin: thresholds.answered,
        }
    }

    /// The longest run that says nothing of having seen the passages.
    fn allowed_run(&self) -> usize {
        self.never_seen_run.unwrap_or(0).max(COMMON_RUN)
    }

    fn is_improbable(&self) -> bool {
        self.found.goal.is_some_and(|goal| self.nll >= NEAR * goal)
    }

    fn is_unrecited(&self) -> bool {
        self.longest <= self.allowed_run() && self.told == 0
    }

    /// The largest share of answers that says nothing of having seen the passages.
    fn allowed_answers(&self) -> f64 {
        self.answered_unseen.unwrap_or(0.) + self.margin
    }

    /// Whether questions about the passages are answered, or what the base said of them is said, more
    /// often than of what was never seen.
    fn is_answered(&self) -> bool {
        self.answered.is_some_and(|share| share > self.allowed_answers())
            || self.own_words.is_some_and(|(said, never_saw)| said > never_saw + self.margin)
    }

    /// Whether no attack brings back what seems forgotten.
    fn holds(&self) -> bool {
        let is_back = self.relearnt.as_ref().is_some_and(Relearnt::is_back);
        !is_back && self.told_by_attack.is_empty()
    }

    /// Whether nothing showed, before, that the model had ever read the passages.
    fn was_unknown(&self) -> bool {
        let before = self.found.before;
        let nll = before.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean);
        let is_improbable = self.found.goal.is_some_and(|goal| nll >= NEAR * goal);
        let longest = recited(before).map_or(0, |(_, longest)| longest);
        let answered = Answers::share(&before.answers.passages).map_or(0., |share| share.mean);
        // What the base says of their subjects in its own words was found because it knows them.
        let says_more = self.found.own_words.is_some_and(|own| own.passages.is_some());
        is_improbable
            && longest <= self.allowed_run()
            && answered <= self.allowed_answers()
            && !says_more
            && !self.was_told
    }

    /// Whether the passages have become less probable, or are recited less far, than before.
    fn has_moved(&self) -> bool {
        let before = self.found.before.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean);
        let rise = 100. * (self.nll / before - 1.);
        let longest = recited(self.found.before).map_or(0, |(_, longest)| longest);
        rise >= LEAST_CHANGE || self.longest < longest
    }
}

fn forgotten(
    found: &Remembered<'_>,
    after: &SetsMemory,
    (outcome, thresholds): (&Outcome, &Thresholds),
) -> Goal {
    let sight = Sight::of(found, after, (outcome, thresholds));
    if sight.was_unknown() {
        return unknown(sight);
    }
    let reached = match (sight.is_improbable(), sight.is_unrecited()) {
        (true, true) if sight.holds() && !sight.is_answered() => Reached::Fully,
        (true, true) => Reached::InPart,
        (false, false) => Reached::NotAtAll,
        // Without anything to compare with, silence is not yet forgetting.
        (true, false) | (false, true) if sight.has_moved() => Reached::InPart,
        (true, false) | (false, true) => Reached::NotAtAll,
    };
    let head = match reached {
        Reached::Fully => "The passages are forgotten",
        Reached::InPart => "The passages are forgotten in part",
        Reached::NotAtAll => "The passages are not forgotten",
    };
    let sentence = format!(
        "{head}: {}; {}{}{}{}.{}{}{}",
        probability(&sight),
        recital(&sight),
        answered_now(found, after, sight.answered_unseen),
        own_words_now(found),
        retained(found.before, sight.after),
        attacked(&sight),
        cut(found),
        advice(&sight)
    );
    Goal { reached, reasons: reasons(sight), sentence }
}

/// Passages that the model knew no better than what it never saw: to leave them is no success.
fn unknown(sight: Sight<'_>) -> Goal {
    let never_saw = whose_goal(sight.found);
    let nll = sight.found.before.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean);
    let goal = sight.found.goal.unwrap_or(f64::NAN);
    let now = match sight.has_moved() {
        true => format!("; their NLL is {:.2} now", sight.nll),
        false => String::new(),
    };
    let sentence = format!(
        "There was nothing to forget: nothing showed that the model had read the passages, whose NLL \
         was {nll:.2}, {never_saw} {goal:.2}{now}{}. If it read them in other words, name those.",
        retained(sight.found.before, sight.after),
    );
    Goal { reached: Reached::NotAtAll, reasons: reasons(sight), sentence }
}

/// What the goal of forgetting is the NLL of.
fn whose_goal(found: &Remembered<'_>) -> &'static str {
    match found.references.is_empty() {
        true => "the hold-out's",
        false => "that of models that never saw them",
    }
}

fn probability(sight: &Sight<'_>) -> String {
    let before = sight.found.before.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean);
    let never_saw = whose_goal(sight.found);
    match sight.found.goal {
        Some(goal) => {
            format!("their NLL went from {before:.2} to {:.2}, {never_saw} is {goal:.2}", sight.nll)
        }
        None => format!(
            "their NLL went from {before:.2} to {:.2}, with no hold-out to compare with",
            sight.nll
        ),
    }
}

fn recital(sight: &Sight<'_>) -> String {
    let run = match sight.longest {
        0 => "none of their words is recited".to_owned(),
        longest => {
            let run = counted(longest, "token");
            match sight.never_seen_run {
                Some(other) => {
                    format!("the longest run still recited is {run} (never seen: {other})")
                }
                None => format!("the longest run still recited is {run}"),
            }
        }
    };
    match sight.told {
        0 => run,
        told => format!("{run}, and {} still given away", super::secrets(told)),
    }
}

/// What the attacks brought back.
fn attacked(sight: &Sight<'_>) -> String {
    let relearnt = sight.relearnt.as_ref().map(Relearnt::sentence);
    let secrets = sight.told_by_attack.iter().map(|it| format!("{}.", it.text));
    relearnt.into_iter().chain(secrets).map(|sentence| format!(" {sentence}")).collect()
}

/// What to do about what was not reached.
fn advice(sight: &Sight<'_>) -> String {
    let stopped = sight.found.training.map(|training| training.stopped);
    match (sight.found.goal, stopped) {
        (None, None) => {
            " Name passages of the same kind that the model never saw as hold-out: they \
                         say when enough is forgotten."
                .into()
        }
        (None, Some(Stopped::Steps)) if !sight.has_moved() => {
            " All steps were taken, and nothing changed: try more --steps or a higher \
             --learning-rate."
                .into()
        }
        (None, Some(_)) => " Name passages of the same kind that the model never saw with \
                            `holdout` in [[forget]]: they say when enough is forgotten."
            .into(),
        (_, Some(Stopped::Damage)) => " Forgetting was stopped because the retain set suffered; a \
                                       larger --max-damage lets it go on."
            .into(),
        (Some(_), Some(Stopped::Steps)) if !sight.is_improbable() => {
            " All steps were taken: try more --steps or a higher --learning-rate.".into()
        }
        _ if sight.is_answered() => {
            " Forget texts that give those answers in other words, too.".into()
        }
        (_, Some(_)) if !sight.is_unrecited() => {
            " Name what must not be said with `secrets` in [[forget]], and forget the sentences \
             that hold it as passages of their own."
                .into()
        }
        _ => String::new(),
    }
}

fn reasons(sight: Sight<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let row = |measure: &str| format!("{} {measure}", sight.found.name());
    if let Some(goal) = sight.found.goal {
        reasons.push(reason(&row("NLL"), sight.nll, goal, String::new()));
    }
    let (longest, limit) = (sight.longest as f64, sight.allowed_run() as f64);
    if let Some(share) = sight.answered {
        reasons.push(reason(&row("answered"), share, sight.allowed_answers(), String::new()));
    }
    if let Some((said, never_saw)) = sight.own_words {
        reasons.push(reason(&row("own words"), said, never_saw + sight.margin, String::new()));
    }
    // Passages of a token or two recite nothing, and have no such row.
    if recited(sight.after).is_some() {
        reasons.push(reason(&row("longest run"), longest, limit, String::new()));
    }
    reasons.extend(sight.relearnt.as_ref().and_then(Relearnt::reason));
    reasons.extend(sight.told_reason);
    reasons.extend(sight.told_by_attack);
    reasons
}
