//! Passages: what is recited word for word, and how improbable what was to go has become.

use super::{Goal, Reached, reason, secrets};
use crate::gradient::Stopped;
use crate::run::outcome::Outcome;
use crate::run::train::{SetsMemory, TrainingOutcome};
use crate::run::train_plan::counted;
use crate::spec::PassageVerb;
use crate::verdict::{Reason, Thresholds};

/// How near the NLL of what was forgotten has to come to its goal: forgetting lands within a hundredth.
const NEAR: f64 = 0.97;
/// Tokens in a row that any text of the kind may share.
const COMMON_RUN: usize = 8;

/// One goal a training.
pub(super) fn goals(outcome: &Outcome, thresholds: &Thresholds) -> Vec<Goal> {
    let goal = |training: &TrainingOutcome| match training.settings.verb {
        PassageVerb::Learn => learnt(training, thresholds),
        PassageVerb::Forget => forgotten(training, outcome),
    };
    outcome.trainings.iter().map(goal).collect()
}

/// (mean share recited, longest run in tokens) of the passages of a training.
fn recited(sets: &SetsMemory) -> Option<(f64, usize)> {
    let recital = sets.passages.as_ref()?.recital.as_ref()?;
    Some((recital.share.mean, recital.longest_run().tokens))
}

fn learnt(training: &TrainingOutcome, thresholds: &Thresholds) -> Goal {
    let (share, _) = recited(&training.after).unwrap_or((f64::NAN, 0));
    let (before, _) = recited(&training.before).unwrap_or((0., 0));
    let reached = match share {
        share if share >= thresholds.recital => Reached::Fully,
        share if share > 0.5 * (before + thresholds.recital) => Reached::InPart,
        _ => Reached::NotAtAll,
    };
    let head = match reached {
        Reached::Fully => "The passages are learnt",
        Reached::InPart => "The passages are learnt in part",
        Reached::NotAtAll => "The passages are not learnt",
    };
    let sentence = format!(
        "{head}: started from their own words, the model recites {:.0} % of them ({:.0} % before), \
         after {}{}.",
        100. * share,
        100. * before,
        counted(training.path.len(), "step"),
        retained(training)
    );
    let reasons = vec![reason("learn recital", share, thresholds.recital, String::new())];
    Goal { reached, reasons, sentence }
}

/// What became of the retain set.
fn retained(training: &TrainingOutcome) -> String {
    match (&training.before.retain, &training.after.retain) {
        (Some(before), Some(after)) => {
            let change = 100. * (after.nll.mean / before.nll.mean - 1.);
            format!("; the retain set's NLL changed by {change:+.1} %")
        }
        _ => String::new(),
    }
}

/// What forgetting is held against, and how far it came.
struct Sight {
    nll: f64,
    goal: Option<f64>,
    longest: usize,
    /// Longest run of passages that were never seen, or by models that never saw these.
    never_seen_run: Option<usize>,
    secrets: usize,
}

impl Sight {
    fn of(training: &TrainingOutcome, outcome: &Outcome) -> Self {
        let run = |sets: &SetsMemory| recited(sets).map_or(0, |(_, longest)| longest);
        let holdout = training.after.holdout.as_ref().and_then(|set| set.recital.as_ref());
        let references = training.references.iter().map(|reference| run(&reference.memory));
        let never_seen_run =
            references.chain(holdout.map(|recital| recital.longest_run().tokens)).max();
        Self {
            nll: training.after.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean),
            goal: training.goal,
            longest: run(&training.after),
            never_seen_run,
            secrets: outcome.secrets.iter().filter(|secret| secret.after.is_recovered()).count(),
        }
    }

    /// The longest run that says nothing of having seen the passages.
    fn allowed_run(&self) -> usize {
        self.never_seen_run.unwrap_or(0).max(COMMON_RUN)
    }

    fn is_improbable(&self) -> bool {
        self.goal.is_some_and(|goal| self.nll >= NEAR * goal)
    }

    fn is_unrecited(&self) -> bool {
        self.longest <= self.allowed_run() && self.secrets == 0
    }
}

fn forgotten(training: &TrainingOutcome, outcome: &Outcome) -> Goal {
    let sight = Sight::of(training, outcome);
    let reached = match (sight.is_improbable(), sight.is_unrecited()) {
        (true, true) => Reached::Fully,
        (false, false) => Reached::NotAtAll,
        // Without anything to compare with, silence is not yet forgetting.
        (true, false) | (false, true) => Reached::InPart,
    };
    let head = match reached {
        Reached::Fully => "The passages are forgotten",
        Reached::InPart => "The passages are forgotten in part",
        Reached::NotAtAll => "The passages are not forgotten",
    };
    let sentence = format!(
        "{head}: {}; {}{}.{}",
        probability(&sight, training),
        recital(&sight),
        retained(training),
        advice(&sight, training)
    );
    Goal { reached, reasons: reasons(&sight), sentence }
}

fn probability(sight: &Sight, training: &TrainingOutcome) -> String {
    let before = training.before.passages.as_ref().map_or(f64::NAN, |set| set.nll.mean);
    let never_saw = match training.references.is_empty() {
        true => "the hold-out's",
        false => "that of models that never saw them",
    };
    match sight.goal {
        Some(goal) => {
            format!("their NLL went from {before:.2} to {:.2}, {never_saw} is {goal:.2}", sight.nll)
        }
        None => format!(
            "their NLL went from {before:.2} to {:.2}, with no hold-out to compare with",
            sight.nll
        ),
    }
}

fn recital(sight: &Sight) -> String {
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
    match sight.secrets {
        0 => run,
        told => format!("{run}, and {} still given away", secrets(told)),
    }
}

/// What to do about what was not reached.
fn advice(sight: &Sight, training: &TrainingOutcome) -> String {
    match (sight.goal, training.stopped) {
        (None, _) => " Name passages of the same kind that the model never saw with `holdout` in \
                      [[forget]]: they say when enough is forgotten."
            .into(),
        (_, Stopped::Damage) => {
            " Forgetting was stopped because the retain set suffered; a larger \
                                 --max-damage lets it go on."
                .into()
        }
        (Some(_), Stopped::Steps) if !sight.is_improbable() => {
            " All steps were taken: try more --steps or a higher --learning-rate.".into()
        }
        _ if !sight.is_unrecited() => {
            " Name what must not be said with `secrets` in [[forget]], and forget the sentences \
             that hold it as passages of their own."
                .into()
        }
        _ => String::new(),
    }
}

fn reasons(sight: &Sight) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(goal) = sight.goal {
        reasons.push(reason("forget NLL", sight.nll, goal, String::new()));
    }
    let (longest, limit) = (sight.longest as f64, sight.allowed_run() as f64);
    reasons.push(reason("forget longest run", longest, limit, String::new()));
    if sight.secrets > 0 {
        reasons.push(reason("secrets", sight.secrets as f64, 0., String::new()));
    }
    reasons
}
