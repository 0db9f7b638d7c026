//! `RECORD.md`: the record for a person who has to answer for it and was not there.

use super::signature::root;
use super::statement::Results;
use super::{BOM, EDIT, LEDGER, MODEL_SIGNATURE, PUBLIC_KEY, Request, SIGNATURE, VERIFY};
use crate::audit::{Audit, AuditMeasure, AuditVerdict};

/// Measures of a check that the page shows; all are in the statement.
const SHOWN: usize = 3;

/// The page of an audit.
pub(super) fn page(audit: &Audit, request: &Request) -> String {
    let parts = [
        format!("# Record of an edit of {}", request.model.0),
        summary(audit),
        format!("## What was asked\n\n{}", asked(request)),
        format!("## What was done\n\n{}", done(audit, request)),
        format!("## What was tested, and with which result\n\n{}", tested(audit)),
        format!("## What was not tested\n\n{}", not_tested(audit)),
        format!("## What still holds the data\n\n{}", remaining(request)),
        format!("## How to check this record\n\n{}", files(audit, request)),
    ];
    parts.join("\n\n") + "\n"
}

fn summary(audit: &Audit) -> String {
    let line = |it: &AuditVerdict| {
        let head = format!("**{} ({}): {}.**", it.of.name(), it.n, it.state.name());
        let reasons = it.reasons.iter().take(SHOWN);
        let reasons: Vec<String> = reasons.map(|it| format!("\n- {}", it.reason.text)).collect();
        format!("{head} That is: {}.{}", it.state.meaning(), reasons.concat())
    };
    let lines: Vec<String> = audit.verdicts.iter().map(line).collect();
    match lines.is_empty() {
        true => "**No verdict was reached:** nothing that was asked for could be measured.".into(),
        false => lines.join("\n\n"),
    }
}

fn asked(request: &Request) -> String {
    let asked = request.asked.iter().map(|(n, what)| format!("{n} {what}"));
    format!(
        "Request `{}`, audited from {} to {}: {}.\n\nThe request itself is in {}, which \
         stays with its author. It is named here by a digest with a salt that is not in this record (`{}`), so that \
         nobody can guess it from this page; whoever has the file can show that it is the one.",
        request.id,
        request.times[0],
        request.times[1],
        asked.collect::<Vec<_>>().join(", "),
        request.spec.0,
        request.spec.1
    )
}

fn done(audit: &Audit, request: &Request) -> String {
    let (name, files) = &request.model;
    let mut text = format!(
        "The audited weights are {name} ({} files, digest `{}`).",
        files.len(),
        root(files)
    );
    match &request.base {
        Some((base, files)) => {
            text +=
                &format!(" They were compared with the base {base} (digest `{}`).", root(files));
        }
        None => text += " The model before the edit was not at hand.",
    }
    let changed = audit.findings.integrity.as_ref().and_then(|it| it.changed.as_ref());
    if let Some(changed) = changed {
        let largest = changed.first().map_or(0., |it| 100. * it.relative);
        let n = changed.len();
        text +=
            &format!(" {n} tensors differ, the most changed one by {largest:.1} % of its size.");
    }
    for patch in &request.patches {
        text += &format!("\n\nPatch {}, digest `{}`.", patch.name, patch.sha256);
    }
    text
}

fn tested(audit: &Audit) -> String {
    let results = Results::of(audit);
    let mut text = format!(
        "Result of all tests together: {}. Thresholds: {}, digest `{}`, taken before anything was \
         measured.\n\n| test | result | what it found (95 % interval, n) | seconds |\n|---|---|---|---|\n",
        results.word(audit),
        audit.limits.name,
        audit.limits.sha256
    );
    for done in &audit.done {
        let name = done.check.name();
        let own: Vec<&AuditMeasure> = audit.measures.iter().filter(|it| it.check == name).collect();
        let found: Vec<String> = own.iter().take(SHOWN).map(|it| number(it)).collect();
        let word = results.of_check(name);
        text += &format!("| {name} | {word} | {} | {:.1} |\n", found.join("; "), done.seconds);
    }
    text += "\nWhat each test measures:\n";
    for done in &audit.done {
        text += &format!("\n- {}: {}", done.check.name(), done.check.measures());
    }
    text
}

fn number(measure: &AuditMeasure) -> String {
    let found = &measure.found;
    let compared = measure.compared.map(|it| format!(", compared with {it:.2}"));
    let interval = match found.low < found.high {
        true => format!("{:.2} to {:.2}, ", found.low, found.high),
        false => String::new(),
    };
    let compared = compared.unwrap_or_default();
    format!("{} {:.2} ({interval}n = {}){compared}", measure.name, found.mean, found.n)
}

fn not_tested(audit: &Audit) -> String {
    let mut lines: Vec<String> =
        audit.not_run.iter().map(|it| format!("- {}: {}", it.check.name(), it.reason)).collect();
    lines.push(
        "- any way to find the data that is not in the table above: what was not found by these \
         tests may be found by others"
            .into(),
    );
    lines.join("\n")
}

fn remaining(request: &Request) -> String {
    let lines = request.remaining.iter().map(|line| format!("- {line}"));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if request.base.is_some() || !request.patches.is_empty() {
        text += "\n\nWhoever has the base as well as the edited model can compare the two: the \
                 difference points at what was removed.";
    }
    text
}

fn files(audit: &Audit, request: &Request) -> String {
    let references = match audit.references.len() {
        0 => "No model that was trained without the data was at hand.".to_owned(),
        n => format!("{n} models that were trained without the data were compared with."),
    };
    format!(
        "- `rescribe verify-record` on this folder finds a change of any byte in it.\n- \
         `{VERIFY}` and `{EDIT}` are in-toto statements of the tests and of the edit; `{BOM}` is a \
         CycloneDX bill of materials.\n- `{MODEL_SIGNATURE}` signs the {} audited files, \
         `{SIGNATURE}` this folder, both in the form of OpenSSF model signing, with the key \
         `{PUBLIC_KEY}`. A signature shows who signed only to those who know whose key it is.\n- \
         `{LEDGER}` lists the requests, each chained to the one before.\n\n{references} Seed of all \
         samples: {}. This page says what the model was tested against, and no more.",
        request.model.1.len(),
        audit.seed
    )
}
