//! Every number of an audit as a row: name, value, interval, n, and what it is compared with.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::compared::mean;
use super::findings::Findings;
use crate::math::{Interval, mean_bootstrap, share_interval};
use crate::probe::{PromptKind, SaidShares, SecretAttackKind};

/// A number with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditMeasure {
    /// The check that it belongs to, by name.
    pub check: String,
    /// What was measured.
    pub name: String,
    /// The number, its interval and its n; of a number without a sample the interval is itself.
    #[serde(flatten)]
    pub found: Interval,
    /// The same of what it is compared with: text or models that never saw the data, or the base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<f64>,
}

fn exactly(mean: f64, n: usize) -> Interval {
    Interval { mean, low: mean, high: mean, n }
}

struct Rows(Vec<AuditMeasure>);

impl Rows {
    fn add(
        &mut self,
        check: Check,
        name: impl Into<String>,
        found: Option<Interval>,
        compared: Option<f64>,
    ) {
        let (check, name) = (check.name().to_owned(), name.into());
        self.0.extend(found.map(|found| AuditMeasure { check, name, found, compared }));
    }
}

/// The rows of everything that was found; `seed` is that of the bootstraps.
pub(super) fn measures(findings: &Findings, seed: u64) -> Vec<AuditMeasure> {
    let mut rows = Rows(Vec::new());
    integrity(findings, &mut rows);
    recall(findings, seed, &mut rows);
    membership(findings, &mut rows);
    secrets(findings, &mut rows);
    for lens in &findings.depth {
        let compared = mean(&lens.references).or(Some(0.5));
        let name = format!("AUC after layer {}", lens.layer);
        rows.add(Check::Depth, name, Some(lens.auc), compared);
        if let Some(probe) = &lens.probe {
            let compared = mean(&probe.references).or(Some(0.5));
            let name = format!("AUC of a probe after layer {}", lens.layer);
            rows.add(Check::Depth, name, Some(probe.auc), compared);
        }
    }
    damage(findings, &mut rows);
    facts(findings, &mut rows);
    attacks(findings, seed, &mut rows);
    rows.0
}

fn integrity(findings: &Findings, rows: &mut Rows) {
    let Some(found) = &findings.integrity else { return };
    let check = Check::Integrity;
    let n = found.parameters;
    rows.add(check, "weights not finite", Some(exactly(found.not_finite as f64, n)), Some(0.));
    if let Some(changed) = &found.changed {
        rows.add(check, "tensors changed", Some(exactly(changed.len() as f64, n)), None);
        let largest = changed.first().map_or(0., |tensor| tensor.relative);
        rows.add(check, "largest change, |dW|/|W|", Some(exactly(largest, changed.len())), None);
    }
    for codes in found.codes.iter().filter(|it| it.of > 0) {
        let name = format!("{} codes changed", codes.kind.name());
        let share = codes.changed as f64 / codes.of.max(1) as f64;
        rows.add(check, name, Some(exactly(share, codes.of)), None);
    }
}

fn recall(findings: &Findings, seed: u64, rows: &mut Rows) {
    for form in &findings.recall {
        let check = form.form.check();
        let name = form.form.name();
        let (own, others) = (&form.forgotten, &form.holdout);
        rows.add(check, format!("NLL, {name}"), form.nll(seed), form.never_seen_nll());
        let pairs = [
            ("extraction", &own.extraction, &others.extraction),
            ("recital", &own.recital, &others.recital),
        ];
        for (what, own, others) in pairs {
            rows.add(check, format!("{what}, {name}"), mean_bootstrap(own, seed), mean(others));
        }
    }
    if let Some(truth) = &findings.truth {
        let found = mean_bootstrap(&truth.forgotten, seed);
        rows.add(Check::Forms, "log truth ratio, cloze", found, mean(&truth.holdout));
    }
    if let Some(guided) = &findings.guided {
        let found = mean_bootstrap(&guided.guided, seed);
        rows.add(Check::Guided, "recital, guided base", found, mean(&guided.base));
    }
    if let Some(sampled) = &findings.sampled {
        let found = mean_bootstrap(&sampled.forgotten, sampled.seed);
        let name = format!("leak of {} samples", sampled.drawn);
        rows.add(Check::Sampled, name, found, mean(&sampled.holdout));
    }
}

fn membership(findings: &Findings, rows: &mut Rows) {
    for found in &findings.membership {
        let (check, name) = (Check::Membership, found.inference.name());
        let compared = mean(&found.references).or(Some(0.5));
        rows.add(check, format!("AUC, {name}"), Some(found.auc), compared);
        let sides = [("remembered", found.remembered), ("hole", found.hole)];
        for (side, rate) in sides {
            let name = format!("TPR at 1 % FPR, {name}, {side}");
            rows.add(check, name, Some(rate), Some(0.01));
        }
    }
}

fn secrets(findings: &Findings, rows: &mut Rows) {
    let (secrets, check) = (&findings.secrets, Check::Secrets);
    if !findings.asked_secrets {
        return;
    }
    let told = secrets.iter().filter(|it| it.is_recovered()).count();
    rows.add(check, "secrets recovered", share_interval(told, secrets.len()), Some(0.));
    for kind in SecretAttackKind::ALL {
        let tried: Vec<bool> = secrets.iter().filter_map(|it| it.is_recovered_by(kind)).collect();
        let told = tried.iter().filter(|told| **told).count();
        rows.add(check, kind.row(), share_interval(told, tried.len()), Some(0.));
    }
}

fn damage(findings: &Findings, rows: &mut Rows) {
    for stratum in &findings.strata {
        let name = stratum.kind.name();
        let n = stratum.drift.n;
        rows.add(Check::Damage, format!("drift, {name}"), Some(stratum.drift), None);
        let after = exactly(stratum.after, n);
        let label = format!("perplexity, {name}");
        rows.add(Check::Damage, label, Some(after), Some(stratum.before));
    }
}

fn facts(findings: &Findings, rows: &mut Rows) {
    let Some(outcome) = &findings.facts else { return };
    let check = Check::Facts;
    let of = |kind: PromptKind| {
        let said = outcome.after().flat_map(|after| &after.said);
        SaidShares::of(said.filter(|it| it.kind == kind)).map(|it| it.said)
    };
    rows.add(check, "said", of(PromptKind::Rewrite), None);
    rows.add(check, "said, paraphrased", of(PromptKind::Paraphrase), None);
    let n = outcome.leaks.len();
    let leaking = outcome.leaks.iter().filter(|leak| !leak.leaking().is_empty()).count();
    let gaps = outcome.leaks.iter().filter(|leak| leak.is_conspicuous()).count();
    rows.add(check, "erased facts recoverable", share_interval(leaking, n), Some(0.));
    rows.add(check, "erased facts conspicuous", share_interval(gaps, n), Some(0.));
    let pooled: Vec<_> = outcome.after().filter_map(|after| after.background.clone()).collect();
    let pooled = crate::probe::Background::pooled(&pooled);
    rows.add(check, "background", pooled.others, Some(1.));
    rows.add(check, "near subjects", pooled.near, Some(1.));
    let drift = outcome.damage.as_ref().map(|damage| damage.drift);
    rows.add(check, "drift", drift, None);
}

fn attacks(findings: &Findings, seed: u64, rows: &mut Rows) {
    let never = findings.verbatim().and_then(|form| form.never_seen_nll());
    for quantised in &findings.quantised {
        let name = quantised.kind.name();
        let memory = &quantised.memory;
        rows.add(Check::Quantised, format!("NLL, {name}"), Some(memory.nll), never);
        let found = Some(memory.extraction);
        rows.add(Check::Quantised, format!("extraction, {name}"), found, None);
    }
    for (check, lesson) in findings.lessons() {
        if let Some((at, share)) = lesson.least() {
            let name = format!("NLL share of the watched half, step {}", lesson.points[at].step);
            rows.add(check, name, Some(exactly(share, lesson.watched)), Some(1.));
        }
    }
    if let Some(found) = &findings.facts_relearnt {
        let (own, control) = (mean_bootstrap(&found.erased, seed), mean(&found.never_known));
        rows.add(Check::FactsRelearnt, "steps to relearn a fact", own, control);
    }
    if let Some(steps) = findings.steps() {
        let found = exactly(steps.own, 1);
        rows.add(Check::Relearned, "steps to relearn half", Some(found), Some(steps.control));
    }
}
