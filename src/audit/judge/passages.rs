//! The verdict on forgotten passages.

use super::{AuditReason, AuditState, AuditVerdict, Evidence, VerdictOf, by, decided, missing};
use crate::audit::check::Check;
use crate::audit::forms::Form;
use crate::audit::strata::StratumKind;
use crate::probe::SecretAttackKind;

/// Checks without which nothing can be said, or nothing beyond the outputs.
const NEEDED: [Check; 5] =
    [Check::Verbatim, Check::Membership, Check::Depth, Check::Quantised, Check::Relearned];

pub(super) fn verdict(evidence: &Evidence<'_>) -> AuditVerdict {
    let mut reasons = outputs(evidence);
    reasons.extend(membership(evidence));
    reasons.extend(damage(evidence));
    reasons.extend(depth(evidence));
    reasons.extend(rounded(evidence));
    reasons.extend(relearnt(evidence));
    reasons.extend(untested(evidence));
    let integrity = evidence.findings.integrity.as_ref();
    let equal = integrity.and_then(|it| it.equal_to.as_ref());
    let tests = evidence.equivalence;
    let is_equivalent = !tests.is_empty() && tests.iter().all(|test| test.is_equivalent);
    let subject = (VerdictOf::Passages, evidence.counts[0]);
    match (equal, is_equivalent) {
        // Nothing that is measured of such a model can be the trace of data that it never saw.
        (Some(_), _) => decided(subject, AuditState::Exact, Vec::new()),
        (None, true) => decided(subject, AuditState::ReferenceEquivalent, reasons),
        (None, false) => decided(subject, AuditState::ReferenceFree, reasons),
    }
}

/// What the model says gives passages away.
fn outputs(evidence: &Evidence<'_>) -> Vec<AuditReason> {
    let (findings, limits) = (evidence.findings, evidence.limits);
    let state = AuditState::NotForgotten;
    let mut reasons = Vec::new();
    for form in &findings.recall {
        let check = form.form.check();
        let name = form.form.name();
        let nll = form.nll(evidence.seed);
        if let Some((nll, never)) = nll.zip(form.never_seen_nll()) {
            let share = nll.mean / never;
            let text = format!("{name}: NLL {:.2}, of text never seen {never:.2}", nll.mean);
            if share < limits.nll_share {
                reasons.push(by((state, check), "NLL", (share, limits.nll_share), text));
            } else if nll.low / never > limits.hole_nll_share {
                // A few statements that became very improbable raise a mean without saying much.
                let over = AuditState::OverForgotten;
                reasons.push(by((over, check), "NLL", (share, limits.hole_nll_share), text));
            }
        }
        let excess = form.recital_excess(evidence.seed);
        if let Some(excess) = excess.filter(|it| it.mean > limits.recital) {
            let text = format!(
                "{name}: decoding recites {:.0} % more of {} than of one never seen",
                100. * excess.mean,
                match form.form {
                    Form::Questions => "an answer",
                    Form::OwnWords => "a statement",
                    _ => "a passage",
                }
            );
            reasons.push(by((state, check), "recital", (excess.mean, limits.recital), text));
        }
    }
    let truth = findings.truth.as_ref().and_then(|it| it.excess(evidence.seed));
    if let Some(excess) = truth.filter(|it| it.mean > limits.truth) {
        let text = format!("a true word stands out by {:.1} nats more than elsewhere", excess.mean);
        reasons.push(by((state, Check::Forms), "truth ratio", (excess.mean, limits.truth), text));
    }
    let sampled = findings.sampled.as_ref().and_then(|it| it.excess());
    if let Some(excess) = sampled.filter(|it| it.mean > limits.sampled) {
        let text = format!(
            "the best of 64 samples gives {:.0} % more of a passage than of one never seen",
            100. * excess.mean
        );
        reasons.push(by((state, Check::Sampled), "sampling", (excess.mean, limits.sampled), text));
    }
    let told = findings.secrets.iter().filter(|secret| secret.is_recovered()).count();
    if told > 0 {
        let text = format!("{told} of {} secrets come out", findings.secrets.len());
        reasons.push(by((state, Check::Secrets), "secrets", (told as f64, 0.), text));
    }
    reasons
}

fn membership(evidence: &Evidence<'_>) -> Vec<AuditReason> {
    let limits = evidence.limits;
    let one = |it: &crate::audit::membership::Membership| {
        let (area, name) = (it.relative_auc(), it.inference.name());
        let text = format!("{name} tells the passages from the hold-out: AUC {:.2}", it.auc.mean);
        if area > limits.remembered_auc {
            let found = (area, limits.remembered_auc);
            return Some(by((AuditState::NotForgotten, Check::Membership), name, found, text));
        }
        let text = format!("{text}, as less probable than what was never seen");
        let found = (area, limits.hole_auc);
        (area < limits.hole_auc)
            .then(|| by((AuditState::OverForgotten, Check::Membership), name, found, text))
    };
    evidence.findings.membership.iter().filter_map(one).collect()
}

/// Other text suffered, beyond what another training alone changes.
fn damage(evidence: &Evidence<'_>) -> Vec<AuditReason> {
    let (findings, limits) = (evidence.findings, evidence.limits);
    let (state, margin) = (AuditState::Damaged, limits.equivalence_margin);
    let mut reasons = Vec::new();
    let bad = findings.integrity.as_ref().map_or(0, |it| it.not_finite);
    if bad > 0 {
        let text = format!("{bad} weights are NaN or infinite");
        reasons.push(by((state, Check::Integrity), "integrity", (bad as f64, 0.), text));
    }
    for stratum in &findings.strata {
        let (name, factor) = (stratum.kind.name(), stratum.factor());
        let most = match stratum.kind {
            StratumKind::General => limits.perplexity,
            StratumKind::Retained => limits.retain_perplexity,
            // Text that was never read has no level to keep.
            StratumKind::Holdout => f64::INFINITY,
        };
        let most = most.max(1. + margin * (stratum.reference_factor() - 1.));
        if factor > most || factor.is_nan() {
            let text = format!("perplexity of {name} is {factor:.2} times the base's");
            reasons.push(by((state, Check::Damage), "perplexity", (factor, most), text));
        }
        let most = limits.drift.max(margin * stratum.reference_drift());
        let drift = stratum.drift.mean;
        if stratum.kind == StratumKind::General && (drift > most || drift.is_nan()) {
            let text = format!("{name} drifts by {drift:.3} nats a token");
            reasons.push(by((state, Check::Damage), "drift", (drift, most), text));
        }
    }
    reasons
}

/// Layers below the last know the passages.
fn depth(evidence: &Evidence<'_>) -> Option<AuditReason> {
    let limit = evidence.limits.lens_auc;
    let layers = evidence.findings.depth.iter();
    let most = layers.max_by(|a, b| a.relative_auc().total_cmp(&b.relative_auc()))?;
    let text = format!("the logit lens after layer {} tells the passages", most.layer);
    let found = (most.relative_auc(), limit);
    (found.0 > limit).then(|| by((AuditState::Suppressed, Check::Depth), "depth", found, text))
}

/// Rounding brings passages or secrets back.
fn rounded(evidence: &Evidence<'_>) -> Vec<AuditReason> {
    let (findings, limit) = (evidence.findings, evidence.limits.quantised_share);
    let never = findings.verbatim().and_then(|form| form.never_seen_nll());
    let mut reasons = Vec::new();
    for quantised in &findings.quantised {
        let Some(never) = never else { break };
        let (nll, kind) = (quantised.memory.nll.mean, quantised.kind.name());
        if nll / never < limit {
            let text = format!("rounded to {kind}: NLL {nll:.2}, of text never seen {never:.2}");
            reasons.push(by(
                (AuditState::Suppressed, Check::Quantised),
                "quantisation",
                (nll / never, limit),
                text,
            ));
        }
    }
    for kind in SecretAttackKind::ALL {
        let told = findings.secrets.iter().filter(|it| it.is_recovered_by(kind) == Some(true));
        let told = told.count();
        if told > 0 {
            let check = match kind {
                SecretAttackKind::Rounded(_) => Check::Quantised,
                SecretAttackKind::Relearnt => Check::Relearned,
            };
            let text = format!("{told} secrets come out after an attack ({})", kind.row());
            reasons.push(by((AuditState::Suppressed, check), kind.row(), (told as f64, 0.), text));
        }
    }
    reasons
}

/// Relearning brings passages back, or takes fewer steps than text that was never seen.
fn relearnt(evidence: &Evidence<'_>) -> Vec<AuditReason> {
    let (findings, limits) = (evidence.findings, evidence.limits);
    let state = AuditState::Suppressed;
    let mut reasons = Vec::new();
    for (check, lesson) in findings.lessons() {
        if let Some((at, share)) = lesson.least().filter(|it| it.1 < limits.relearn_share) {
            let text = format!(
                "after {} steps of {} the watched half has {:.0} % of the NLL of text never seen",
                lesson.points[at].step,
                check.name(),
                100. * share
            );
            reasons.push(by((state, check), check.name(), (share, limits.relearn_share), text));
        }
    }
    if let Some(steps) = findings.steps().filter(|it| it.share() < limits.relearn_steps) {
        let text = format!(
            "half is learnt again after {:.1} steps, text never seen after {:.1}",
            steps.own, steps.control
        );
        reasons.push(by(
            (state, Check::Relearned),
            "steps to relearn",
            (steps.share(), limits.relearn_steps),
            text,
        ));
    }
    reasons
}

/// What was not tried, and sets that are too small to say anything.
fn untested(evidence: &Evidence<'_>) -> Vec<AuditReason> {
    let mut reasons = Vec::new();
    for check in NEEDED {
        if let Some(not_run) = evidence.not_run.iter().find(|it| it.check == check) {
            reasons
                .push(missing(check, format!("{} was not run: {}", check.name(), not_run.reason)));
        }
    }
    let [passages, holdout] = evidence.counts;
    let fewest = evidence.limits.fewest;
    if passages.min(holdout) < fewest {
        let text = format!(
            "{passages} passages and {holdout} of the hold-out are too few to tell: at least \
             {fewest} of each are needed"
        );
        reasons.push(missing(Check::Membership, text));
    }
    reasons
}
