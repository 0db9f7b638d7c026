//! Facts: what is said by free decoding, and what is still recoverable.

use super::{Goal, Reached, counts, list, reason, told, told_by_attack};
use crate::probe::{Leak, PromptKind, Said, SaidShares, SecretOrigin, probability_text};
use crate::progress::counted;
use crate::run::outcome::{FactOutcome, Outcome};
use crate::spec::PassageVerb;
use crate::verdict::{Reason, Thresholds};

/// The goals of facts that were inserted, and of facts that were erased.
pub(super) fn goals(outcome: &Outcome, thresholds: &Thresholds) -> Vec<Goal> {
    let said: Vec<&Said> = outcome.after().flat_map(|after| &after.said).collect();
    let before: Vec<&Said> = outcome.cases.iter().flat_map(|case| &case.before.said).collect();
    let facts: Vec<&FactOutcome> = outcome.facts().filter(|fact| !fact.is_erased).collect();
    // What a prompt asks for after forgetting may be what is to be forgotten: it is no goal.
    let mut remembered = outcome.remembered().chain(outcome.judged_texts());
    let is_forgetting = remembered.any(|it| it.verb == PassageVerb::Forget);
    let inserted = match is_forgetting && outcome.inserts() == 0 {
        true => None,
        false => {
            // A probe knows of facts that it did not write.
            let n = if facts.is_empty() { outcome.inserts() } else { facts.len() };
            inserted((n, &facts), &before, &said, thresholds)
        }
    };
    [inserted, erased(outcome)].into_iter().flatten().collect()
}

fn of_kind<'s>(said: &[&'s Said], kind: PromptKind) -> Vec<&'s Said> {
    said.iter().copied().filter(|said| said.kind == kind).collect()
}

fn inserted(
    (n, facts): (usize, &[&FactOutcome]),
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
    let is_whole = facts.iter().all(|fact| fact.unwritten.is_none());
    let reached = match shares.said.mean {
        _ if is_unchanged => Reached::NotAtAll,
        0. => Reached::NotAtAll,
        share if share >= thresholds.said && follows && is_whole => Reached::Fully,
        _ => Reached::InPart,
    };
    let mut reasons = vec![reason("said", shares.said.mean, thresholds.said, String::new())];
    if let Some(paraphrases) = &paraphrases {
        let (found, limit) = (paraphrases.said.mean, thresholds.paraphrases);
        reasons.push(reason("said, paraphrased", found, limit, String::new()));
    }
    let written = facts.iter().filter(|fact| fact.unwritten.is_none());
    let open: Vec<&&FactOutcome> =
        written.filter(|fact| fact.nll > thresholds.nll || fact.nll.is_nan()).collect();
    reasons.extend(not_converged(&open, thresholds));
    let mut sentence = match n {
        0 => questions(before, &own),
        1 => one(before, &own, reached),
        n => many(n, &own, reached),
    };
    if let Some(paraphrases) = &paraphrases {
        let (hits, all) = counts(&paraphrases.said);
        sentence.push_str(&match (n, all) {
            (0, all) => format!("; after other wordings, {hits} of {all}"),
            (_, 1) => format!("; {hits} of 1 paraphrase follows it"),
            (_, all) => format!("; {hits} of {all} paraphrases follow it"),
        });
    }
    if is_unchanged {
        sentence.push_str(", and no weight was changed");
    }
    sentence.push('.');
    sentence.push_str(&unwritten(facts));
    sentence.push_str(&endings(facts, &own, &open));
    Some(Goal { reached, reasons, sentence })
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

fn one(before: &[&Said], own: &[&Said], reached: Reached) -> String {
    let head = head(1, reached);
    let Some(now) = own.first() else { return head.to_owned() };
    if now.is_said {
        return format!("{head}: asked freely, the model says {:?}", now.target);
    }
    let p = before.iter().find(|said| said.prompt == now.prompt).map(|said| said.probability);
    let after = probability_text(now.probability);
    let rise = p.map(|p| format!(" (P {} before, {after} after)", probability_text(p)));
    let says = short(&now.completion);
    format!(
        "{head}: asked freely, the model says {says:?} and not {:?}{}",
        now.target,
        rise.unwrap_or_default()
    )
}

/// Prompts of a file, where no fact was written.
fn questions(before: &[&Said], own: &[&Said]) -> String {
    let hits = |said: &[&Said]| said.iter().filter(|said| said.is_said).count();
    let before = hits(&of_kind(before, PromptKind::Rewrite));
    let (hits, n) = (hits(own), own.len());
    let (targets, missed) = (counted(n, "target"), missed(own));
    format!("Asked freely, the model says {hits} of {targets} ({before} before){missed}")
}

/// `, all but "Rome"`: the targets that are not said, where some are and the others can be named.
fn missed(own: &[&Said]) -> String {
    let missed: Vec<String> =
        own.iter().filter(|said| !said.is_said).map(|said| format!("{:?}", said.target)).collect();
    match missed.len() {
        1..=3 if own.len() <= NAMED && missed.len() < own.len() => {
            format!(", all but {}", list(&missed))
        }
        _ => String::new(),
    }
}

fn many(n: usize, own: &[&Said], reached: Reached) -> String {
    let hits = own.iter().filter(|said| said.is_said).count();
    let head = head(n, reached);
    let (targets, missed) = (counted(own.len(), "target"), missed(own));
    format!("{head}: asked freely, the model says {hits} of {targets}{missed}")
}

/// Row of the largest NLL at which an optimisation of a value ended.
const VALUE_NLL: &str = "value NLL";

/// Facts of a run whose failures are named in its sentence.
const NAMED: usize = 20;

/// The first words of a completion.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(40).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

/// The optimisation that ended farthest from its target.
fn not_converged(open: &[&&FactOutcome], thresholds: &Thresholds) -> Option<Reason> {
    let fact = open.iter().max_by(|a, b| a.nll.total_cmp(&b.nll))?;
    let text = format!(
        "the optimisation for {:?} ended at an NLL of {:.2} after {}; more --steps or a larger \
         --clamp may help",
        fact.prompt,
        fact.nll,
        counted(fact.steps, "step")
    );
    Some(reason(VALUE_NLL, fact.nll, thresholds.nll, text))
}

/// The facts that were not written, and why the first one was not.
fn unwritten(facts: &[&FactOutcome]) -> String {
    let left_out: Vec<(&str, &String)> = facts
        .iter()
        .filter_map(|fact| Some((fact.id.as_str(), fact.unwritten.as_ref()?)))
        .collect();
    let Some((id, why)) = left_out.first() else { return String::new() };
    let (left_out, n) = (left_out.len(), facts.len());
    let others = if left_out > 1 { " and others" } else { "" };
    format!(" Nothing was written for {id:?}{others}, {left_out} of {n} facts: {why}.")
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
    let asked: Vec<&Said> = outcome.after().flat_map(|after| &after.erased).collect();
    let said: Vec<&Said> = asked.iter().copied().filter(|said| said.is_said).collect();
    // Of a single fact, every wording asks for it, whether or not it names the subject.
    let is_still_said = |leak: &&Leak| said.iter().any(|it| leaks.len() == 1 || tells(it, leak));
    let still = leaks.iter().filter(is_still_said).count();
    // Of several, a wording that names no subject asks for an answer, but not for whose.
    let is_of_none = |it: &&&Said| leaks.len() > 1 && !leaks.iter().any(|leak| tells(it, leak));
    let of_none = said.iter().filter(is_of_none).count();
    let leaking = leaks.iter().filter(|leak| !leak.leaking().is_empty()).count();
    let conspicuous = leaks.iter().filter(|leak| leak.is_conspicuous()).count();
    let unknown = leaks.iter().filter(|leak| was_unknown(outcome, leak)).count();
    let (told, secrets) = told(outcome, SecretOrigin::Fact);
    let attacked = told_by_attack(outcome, SecretOrigin::Fact);
    let n = leaks.len();
    let facts: Vec<&FactOutcome> = outcome.facts().filter(|fact| fact.is_erased).collect();
    let is_whole = facts.iter().all(|fact| fact.unwritten.is_none());
    let reached = match leaking + conspicuous + said.len() + told + attacked.len() {
        _ if leaking == n || still == n || unknown == n => Reached::NotAtAll,
        0 if is_whole => Reached::Fully,
        _ => Reached::InPart,
    };
    let clause = |count: usize, what: &str| format!("{count} of {n} {what}");
    let mut reasons = vec![
        reason("recoverable", leaking as f64, 0., clause(leaking, "recoverable")),
        reason("conspicuous", conspicuous as f64, 0., clause(conspicuous, "revealed by the gap")),
    ];
    if still > 0 {
        let text = clause(still, "still said when asked freely");
        reasons.push(reason("still said", still as f64 / n as f64, 0., text));
    }
    let other_wordings = (of_none > 0).then(|| {
        let wordings = counted(of_none, "wording");
        format!("An erased answer still follows {wordings} without an erased subject")
    });
    if let Some(text) = &other_wordings {
        let share = of_none as f64 / asked.len() as f64;
        reasons.push(reason("still said", share, 0., text.clone()));
    }
    reasons.extend(secrets);
    let mut sentence = match leaks {
        [leak] if unknown == 1 && still == 0 => nothing_to_erase(leak),
        [leak] => one_erased(leak, still > 0),
        _ => many_erased(outcome, [leaking, still, conspicuous, unknown]),
    };
    other_wordings.iter().for_each(|text| sentence.push_str(&format!(" {text}.")));
    if told > 0 {
        sentence.push_str(&format!(" {} still given away.", super::secrets(told)));
    }
    attacked.iter().for_each(|it| sentence.push_str(&format!(" {}.", it.text)));
    reasons.extend(attacked);
    sentence.push_str(&unwritten(&facts));
    Some(Goal { reached, reasons, sentence })
}

/// Whether what was said, by a fact's own prompt or another wording about its subject, is its answer.
fn tells(said: &Said, leak: &Leak) -> bool {
    said.prompt == leak.prompt
        || said.target == leak.target_true && said.prompt.contains(&leak.subject)
}

/// Whether the base neither said the answer nor knew it better than of other subjects.
fn was_unknown(outcome: &Outcome, leak: &Leak) -> bool {
    let mut said = outcome.cases.iter().flat_map(|case| &case.before.erased);
    !leak.was_known() && !said.any(|it| it.is_said && it.prompt == leak.prompt)
}

fn nothing_to_erase(leak: &Leak) -> String {
    format!(
        "There was nothing to erase: before, {:?} was not said, and no query found it more often than \
         for other subjects.",
        leak.target_true
    )
}

/// Erased facts: how many are recoverable, still said, and revealed by the gap that they left.
fn many_erased(outcome: &Outcome, [leaking, still, conspicuous, unknown]: [usize; 4]) -> String {
    let toward = outcome.write.as_ref().and_then(|write| write.toward.as_ref());
    let toward = toward.map(|text| format!(" toward {text:?}")).unwrap_or_default();
    let are = |n: usize| if n == 1 { "1 is".to_owned() } else { format!("{n} are") };
    let unknown = match unknown {
        0 => String::new(),
        1 => " 1 of them was not known before.".to_owned(),
        n => format!(" {n} of them were not known before."),
    };
    format!(
        "Of {} facts erased{toward}, {} recoverable, {} still said when asked freely, and {} \
         revealed by the gap they left.{unknown}",
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
