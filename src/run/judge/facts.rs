//! Facts: what is said by free decoding, and what is still recoverable.

use super::{Goal, Reached, counts, list, reason, secrets};
use crate::probe::{Leak, PromptKind, Said, SaidShares};
use crate::run::outcome::{FactOutcome, Outcome};
use crate::run::train_plan::counted;
use crate::spec::PassageVerb;
use crate::verdict::{Reason, Thresholds};

/// The goals of facts that were inserted, and of facts that were erased.
pub(super) fn goals(outcome: &Outcome, thresholds: &Thresholds) -> Vec<Goal> {
    let said: Vec<&Said> = outcome.after().flat_map(|after| &after.said).collect();
    let before: Vec<&Said> = outcome.cases.iter().flat_map(|case| &case.before.said).collect();
    let facts: Vec<&FactOutcome> = outcome.facts().filter(|fact| !fact.is_erased).collect();
    // What a prompt asks for after forgetting may be what is to be forgotten: it is no goal.
    let is_forgetting = outcome.trainings.iter().any(|it| it.settings.verb == PassageVerb::Forget);
    let inserted = match facts.is_empty() && is_forgetting {
        true => None,
        false => inserted(&facts, &before, &said, thresholds),
    };
    [inserted, erased(outcome)].into_iter().flatten().collect()
}

fn of_kind<'s>(said: &[&'s Said], kind: PromptKind) -> Vec<&'s Said> {
    said.iter().copied().filter(|said| said.kind == kind).collect()
}

fn inserted(
    facts: &[&FactOutcome],
    before: &[&Said],
    said: &[&Said],
    thresholds: &Thresholds,
) -> Option<Goal> {
    let own = of_kind(said, PromptKind::Rewrite);
    let shares = SaidShares::of(own.iter().copied())?;
    let others = of_kind(said, PromptKind::Paraphrase);
    let paraphrases = SaidShares::of(others.iter().copied());
    let is_unchanged = !facts.is_empty() && facts.iter().all(|fact| fact.relative_norm == 0.);
    let follows = paraphrases.as_ref().is_none_or(|it| it.said.mean >= thresholds.paraphrases);
    let reached = match shares.said.mean {
        _ if is_unchanged => Reached::NotAtAll,
        0. => Reached::NotAtAll,
        share if share >= thresholds.said && follows => Reached::Fully,
        _ => Reached::InPart,
    };
    let mut reasons = vec![reason("said", shares.said.mean, thresholds.said, String::new())];
    if let Some(paraphrases) = &paraphrases {
        let (found, limit) = (paraphrases.said.mean, thresholds.paraphrases);
        reasons.push(reason("said, paraphrased", found, limit, String::new()));
    }
    let open: Vec<&&FactOutcome> =
        facts.iter().filter(|fact| fact.nll > thresholds.nll || fact.nll.is_nan()).collect();
    reasons.extend(open.iter().map(|fact| not_converged(fact, thresholds)));
    let mut sentence = match facts.len() {
        0 => questions(before, &own),
        1 => one(facts[0], before, &own, reached),
        n => many(n, &own, reached),
    };
    if let Some(paraphrases) = &paraphrases {
        let (hits, n) = counts(&paraphrases.said);
        sentence.push_str(&format!("; {hits} of {n} {} it", plural(n, "paraphrase", "follow")));
    }
    if is_unchanged {
        sentence.push_str(", and no weight was changed");
    }
    sentence.push('.');
    sentence.push_str(&endings(facts, &own, &open));
    Some(Goal { reached, reasons, sentence })
}

/// `paraphrase follows` or `paraphrases follow`.
fn plural(n: usize, noun: &str, verb: &str) -> String {
    if n == 1 { format!("{noun} {verb}s") } else { format!("{noun}s {verb}") }
}

fn head(n: usize, reached: Reached) -> &'static str {
    match (n, reached) {
        (1, Reached::Fully) => "The edit took",
        (1, Reached::InPart) => "The edit took in part",
        (1, Reached::NotAtAll) => "The edit did not take",
        (_, Reached::Fully) => "The edits took",
        (_, Reached::InPart) => "The edits took in part",
        (_, Reached::NotAtAll) => "The edits did not take",
    }
}

fn one(fact: &FactOutcome, before: &[&Said], own: &[&Said], reached: Reached) -> String {
    let head = head(1, reached);
    let Some(now) = own.first() else { return head.to_owned() };
    if now.is_said {
        return format!("{head}: asked freely, the model says {:?}", now.target);
    }
    let p = before.iter().find(|said| said.prompt == now.prompt).map(|said| said.probability);
    let rise = p.map(|p| format!(" (P {p:.4} before, {:.4} after)", now.probability));
    let says = short(&now.completion);
    format!(
        "{head}: asked freely, the model says {says:?} and not {:?}{}",
        fact.target_new,
        rise.unwrap_or_default()
    )
}

/// Prompts of a file, where no fact was written.
fn questions(before: &[&Said], own: &[&Said]) -> String {
    let hits = |said: &[&Said]| said.iter().filter(|said| said.is_said).count();
    let before = hits(&of_kind(before, PromptKind::Rewrite));
    let (hits, n) = (hits(own), own.len());
    format!("Asked freely, the model says {hits} of {n} targets ({before} before)")
}

fn many(n: usize, own: &[&Said], reached: Reached) -> String {
    let hits = own.iter().filter(|said| said.is_said).count();
    let head = head(n, reached);
    let missed: Vec<String> =
        own.iter().filter(|said| !said.is_said).map(|said| format!("{:?}", said.target)).collect();
    let names = match missed.len() {
        1..=3 if n <= NAMED => format!(", all but {}", list(&missed)),
        _ => String::new(),
    };
    format!("{head}: asked freely, the model says {hits} of {} targets{names}", own.len())
}

/// Facts of a run whose failures are named in its sentence.
const NAMED: usize = 20;

/// The first words of a completion.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(40).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

fn not_converged(fact: &FactOutcome, thresholds: &Thresholds) -> Reason {
    let text = format!(
        "the optimisation for {:?} ended at an NLL of {:.2} after {}; more --steps or a larger \
         --clamp may help",
        fact.prompt,
        fact.nll,
        counted(fact.steps, "step")
    );
    reason("nll", fact.nll, thresholds.nll, text)
}

/// Where the model runs on past its target, and where an optimisation did not converge.
fn endings(facts: &[&FactOutcome], own: &[&Said], open: &[&&FactOutcome]) -> String {
    let mut out = String::new();
    let cut: Vec<String> = own
        .iter()
        .filter(|said| !said.is_said && is_lengthened(said))
        .map(|said| format!("{:?}", short(&said.completion)))
        .collect();
    if let [first, ..] = cut.as_slice() {
        out.push_str(&format!(
            " The target's last word runs on, as in {first}; a larger --end-weight may end it."
        ));
    }
    match open {
        [] => {}
        [fact] => out.push_str(&format!(
            " The optimisation for {:?} did not converge (NLL {:.2} after {}): try more --steps or a \
             larger --clamp.",
            fact.target_new,
            fact.nll,
            counted(fact.steps, "step")
        )),
        several => out.push_str(&format!(
            " {} of {} optimisations did not converge: try more --steps or a larger --clamp.",
            several.len(),
            facts.len()
        )),
    }
    out
}

/// The completion begins with the letters of the target, and its last word goes on.
fn is_lengthened(said: &Said) -> bool {
    said.completion.trim_start().to_lowercase().starts_with(&said.target.to_lowercase())
}

/// The goal of the erased facts: not recoverable, and not conspicuously absent.
fn erased(outcome: &Outcome) -> Option<Goal> {
    let leaks = outcome.leaks.as_slice();
    if leaks.is_empty() {
        return None;
    }
    let still = outcome.after().flat_map(|after| &after.erased);
    let still = still.filter(|said| said.is_said).count();
    let leaking = leaks.iter().filter(|leak| !leak.leaking().is_empty()).count();
    let conspicuous = leaks.iter().filter(|leak| leak.is_conspicuous()).count();
    let told = outcome.secrets.iter().filter(|secret| secret.after.is_recovered()).count();
    let n = leaks.len();
    let reached = match leaking + conspicuous + still + told {
        0 => Reached::Fully,
        _ if leaking == n || still == n => Reached::NotAtAll,
        _ => Reached::InPart,
    };
    let reasons = vec![
        reason("recoverable", leaking as f64, 0., format!("{leaking} of {n} are recoverable")),
        reason("conspicuous", conspicuous as f64, 0., format!("{conspicuous} gaps show")),
    ];
    let mut sentence = match leaks {
        [leak] => one_erased(leak, still > 0),
        _ => many_erased(outcome, [leaking, still, conspicuous]),
    };
    if told > 0 {
        sentence.push_str(&format!(" {} still given away.", secrets(told)));
    }
    Some(Goal { reached, reasons, sentence })
}

/// Erased facts: how many are recoverable, still said, and revealed by the gap that they left.
fn many_erased(outcome: &Outcome, [leaking, still, conspicuous]: [usize; 3]) -> String {
    let toward = outcome.write.as_ref().and_then(|write| write.toward.as_ref());
    let toward = toward.map(|text| format!(" toward {text:?}")).unwrap_or_default();
    let are = |n: usize| if n == 1 { "1 is".to_owned() } else { format!("{n} are") };
    format!(
        "Of {} facts erased{toward}, {} recoverable, {} still said when asked freely, and {} \
         revealed by the gap they left.",
        outcome.leaks.len(),
        are(leaking),
        are(still),
        are(conspicuous)
    )
}

fn one_erased(leak: &Leak, is_said: bool) -> String {
    let target = &leak.target_true;
    if is_said {
        return format!("{target:?} is not erased: asked freely, the model still says it.");
    }
    let ways: Vec<String> = leak.leaking().iter().map(|it| it.way().to_owned()).collect();
    if !ways.is_empty() {
        return format!(
            "{target:?} is still recoverable by {}, more often than for other subjects.",
            list(&ways)
        );
    }
    if leak.is_conspicuous() {
        return format!(
            "{target:?} is so improbable now, far below its probability for other subjects, that \
             the gap reveals the erasure."
        );
    }
    format!(
        "{target:?} is erased: no query ranks it in the top {} more often than for other subjects.",
        crate::probe::FOUND
    )
}
