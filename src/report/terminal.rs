//! Tables for an 80-column terminal.

use super::EditReport;
use super::leaks::{leak_sentence, leak_tables};
use crate::math::Interval;
use crate::probe::{ProbeScores, PromptKind};

/// Label column, right-aligned as in Cargo.
pub(super) const LABEL: usize = 16;

/// A share in per cent.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{:.1}", 100. * value))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}

fn interval(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |i| format!("{:.2}-{:.2}", i.low, i.high))
}

const ROWS: [(&str, PromptKind, &str); 4] = [
    ("rewrite", PromptKind::Rewrite, "P(new) > P(true)"),
    ("paraphrase", PromptKind::Paraphrase, "P(new) > P(true)"),
    ("neighborhood", PromptKind::Neighborhood, "P(true) > P(new)"),
    ("ripple", PromptKind::Ripple, "what follows from it"),
];

fn share(scores: &ProbeScores, kind: PromptKind) -> Option<f64> {
    scores.interval(kind).map(|interval| interval.mean)
}

/// Scores before and after with n and the interval of the last column.
pub fn probe_table(report: &EditReport) -> String {
    let after = report.after.as_ref();
    let last = after.unwrap_or(&report.before);
    let mut out = match after {
        Some(_) => {
            format!("{:LABEL$}  {:>7} {:>7} {:>5}  95 % interval\n", "", "before", "after", "n")
        }
        None => format!("{:LABEL$}  {:>7} {:>5}  95 % interval\n", "", "share", "n"),
    };
    let mut row = |label: &str, before: String, after: Option<String>, n: String, note: String| {
        let after = after.map(|after| format!(" {after:>7}")).unwrap_or_default();
        let line = format!("{label:>LABEL$}  {before:>7}{after} {n:>5}  {note}");
        out.push_str(line.trim_end());
        out.push('\n');
    };
    for (label, kind, meaning) in ROWS {
        let Some(found) = last.interval(kind) else { continue };
        let note = format!("{:<11} {meaning}", interval(Some(found)));
        let after = after.map(|after| number(share(after, kind)));
        row(label, number(share(&report.before, kind)), after, found.n.to_string(), note);
    }
    if last.score.is_some() {
        let after = after.map(|after| number(after.score));
        let note = format!("{:<11} harmonic mean of the three", "");
        row("score", number(report.before.score), after, String::new(), note);
    }
    if let Some(drift) = &report.drift {
        let note = format!("{:<11} KL, nats a token", "");
        row(
            "drift",
            "-".into(),
            Some(format!("{:.4}", drift.kl.mean)),
            drift.kl.n.to_string(),
            note,
        );
        let (before, after) = (drift.perplexity_before, drift.perplexity_after);
        let note = format!("{:<11} same texts", "");
        row("perplexity", format!("{before:.2}"), Some(format!("{after:.2}")), String::new(), note);
    }
    if let Some(without) = &report.without_ripples {
        out.push_str(&ripple_gain(without, last));
    }
    out.push_str(&leak_tables(&report.leaks));
    for completion in &report.completions {
        out.push_str(&format!("\n  {:?}\n", completion.prompt));
        let label = if completion.after.is_some() { "before" } else { "says" };
        out.push_str(&format!("    {label:<6}  {}\n", one_line(&completion.before)));
        if let Some(after) = &completion.after {
            out.push_str(&format!("    after   {}\n", one_line(after)));
        }
    }
    out
}

/// What writing the ripples bought, and what it cost.
fn ripple_gain(without: &ProbeScores, with: &ProbeScores) -> String {
    let change =
        |name: &str, before, after| format!("{name} {} -> {}", number(before), number(after));
    let ripple = change("ripple", without.ripple, with.ripple);
    let neighborhood = change("neighborhood", without.neighborhood, with.neighborhood);
    format!("{:>LABEL$}  {ripple}, {neighborhood}\n", "its ripples")
}

/// The paper's table for a collection of records, in per cent.
pub fn record_table(report: &EditReport) -> String {
    let mut out = format!(
        "{:>LABEL$}  {:>6} {:>8} {:>10} {:>12} {:>10}\n",
        "", "score", "efficacy", "paraphrase", "neighborhood", "exact par."
    );
    for (label, scores) in [("before", Some(&report.before)), ("after", report.after.as_ref())] {
        let Some(scores) = scores else { continue };
        out.push_str(&format!(
            "{label:>LABEL$}  {:>6} {:>8} {:>10} {:>12} {:>10}\n",
            percent(scores.score),
            percent(scores.efficacy),
            percent(scores.paraphrase),
            percent(scores.neighborhood),
            percent(scores.exact_paraphrase)
        ));
    }
    out.push_str(&interval_row(report.after.as_ref().unwrap_or(&report.before)));
    out
}

/// Half the width of each 95 % interval, in per cent.
pub(super) fn interval_row(scores: &ProbeScores) -> String {
    let half = |kind| {
        let half = scores.interval(kind).map(|i| 50. * (i.high - i.low));
        half.map_or_else(|| "-".into(), |half| format!("±{half:.1}"))
    };
    format!(
        "{:>LABEL$}  {:>6} {:>8} {:>10} {:>12}\n",
        "95 %",
        "",
        half(PromptKind::Rewrite),
        half(PromptKind::Paraphrase),
        half(PromptKind::Neighborhood)
    )
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(64).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// The last line: a sentence that a person can repeat.
pub fn sentence(report: &EditReport) -> String {
    let Some(after) = &report.after else {
        return match report.before.score {
            Some(score) => format!("The model's score on these prompts is {score:.2}."),
            None => "The model was measured; no edit was compared.".into(),
        };
    };
    // Records have their prompts each; the facts of a spec share one set.
    if report.prompts_before.len() > 1 {
        return format!(
            "{} facts, each written into the unedited model: score {}.",
            report.n,
            number(after.score)
        );
    }
    if report.leaks.len() == report.n && report.n > 0 {
        return leak_sentence(&report.leaks);
    }
    let counts = |kind| after.interval(kind).map(|i| ((i.mean * i.n as f64).round() as usize, i.n));
    let took = counts(PromptKind::Rewrite).is_none_or(|(hits, n)| hits == n);
    let mut parts = Vec::new();
    if let Some((hits, n)) = counts(PromptKind::Paraphrase) {
        let them = if report.n > 1 { "them" } else { "it" };
        parts.push(format!("{hits} of {n} paraphrases follow {them}"));
    }
    if let Some(now) = after.interval(PromptKind::Neighborhood) {
        let kept = (now.mean * now.n as f64).round() as usize;
        parts.push(format!("{kept} of {} neighbors keep their answer", now.n));
    }
    let head = match (report.n, took) {
        (0 | 1, true) => "The edit took",
        (0 | 1, false) => "The edit did not take",
        (_, true) => "The edits took",
        (_, false) => "Not all edits took",
    };
    let mut out = if parts.is_empty() {
        format!("{head}.")
    } else {
        format!("{head}: {}.", parts.join(", "))
    };
    if !report.leaks.is_empty() {
        out.push_str(&format!(" {}", leak_sentence(&report.leaks)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Measured, PromptScore};

    fn scores(rows: &[(PromptKind, f64, f64)]) -> ProbeScores {
        let prompts = rows.iter().map(|(kind, nll_new, nll_true)| PromptScore {
            kind: *kind,
            prompt: String::new(),
            nll_new: *nll_new,
            nll_true: *nll_true,
            new_is_argmax: false,
            true_is_argmax: false,
        });
        ProbeScores::of_one(&Measured { prompts: prompts.collect() })
    }

    fn report() -> EditReport {
        let (r, p, n) = (PromptKind::Rewrite, PromptKind::Paraphrase, PromptKind::Neighborhood);
        EditReport {
            schema: 1,
            model: "tiny".into(),
            n: 1,
            layer: Some(3),
            before: scores(&[(r, 3., 1.), (p, 3., 1.), (p, 3., 1.), (n, 3., 1.), (n, 3., 1.)]),
            after: Some(scores(&[(r, 0., 5.), (p, 0., 5.), (p, 5., 0.), (n, 3., 1.), (n, 3., 1.)])),
            without_ripples: None,
            drift: None,
            leaks: Vec::new(),
            completions: vec![super::super::Completion {
                prompt: "It is".into(),
                before: "here\nand there".into(),
                after: Some("there".into()),
            }],
            edits: Vec::new(),
            seconds_per_edit: None,
            prompts_before: Vec::new(),
            prompts_after: Vec::new(),
        }
    }

    #[test]
    fn ripples_show_what_they_bought_and_cost() {
        let scores = |ripple, neighborhood| ProbeScores {
            ripple: Some(ripple),
            neighborhood: Some(neighborhood),
            ..ProbeScores::default()
        };
        let (without_ripples, after) = (Some(scores(0.25, 1.)), Some(scores(1., 0.9)));
        let table = probe_table(&EditReport { without_ripples, after, ..report() });
        let line = "     its ripples  ripple 0.25 -> 1.00, neighborhood 1.00 -> 0.90\n";
        assert!(table.contains(line), "{table}");
    }

    #[test]
    fn one_edit_fits_eighty_columns() {
        let table = probe_table(&report());
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        insta::assert_snapshot!(table, @r#"
                           before   after     n  95 % interval
                 rewrite     0.00    1.00     1  0.21-1.00   P(new) > P(true)
              paraphrase     0.00    0.50     2  0.09-0.91   P(new) > P(true)
            neighborhood     1.00    1.00     2  0.34-1.00   P(true) > P(new)
                   score     0.00    0.75                    harmonic mean of the three

          "It is"
            before  here and there
            after   there
        "#);
        let expected =
            "The edit took: 1 of 2 paraphrases follow it, 2 of 2 neighbors keep their answer.";
        assert_eq!(sentence(&report()), expected);
    }
}
