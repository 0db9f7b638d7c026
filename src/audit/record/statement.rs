//! `verify.intoto.json`: what was tested and with which result, as an in-toto test-result.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::signature::root;
use super::{FileDigest, Request};
use crate::audit::{Audit, AuditReason, Check};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// A statement about the audited model.
pub(super) fn about(request: &Request, predicate_type: &str, predicate: &Value) -> Value {
    let (name, files) = &request.model;
    let whole = json!({ "name": name, "digest": { "sha256": root(files) } });
    json!({
        "_type": STATEMENT,
        "subject": std::iter::once(whole).chain(files.iter().map(described)).collect::<Vec<_>>(),
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

/// A file as a resource descriptor.
pub(super) fn described(file: &FileDigest) -> Value {
    json!({ "name": file.name, "digest": { "sha256": file.sha256 } })
}

/// The spec as a resource descriptor: its digest has a salt, and so a name of its own.
pub(super) fn described_spec(request: &Request) -> Value {
    let (name, salted) = &request.spec;
    json!({
        "name": name,
        "uri": format!("urn:uuid:{}#spec", request.id),
        "annotations": { "rescribe:saltedSha256": salted },
    })
}

/// The statement of an audit.
pub(super) fn verify(audit: &Audit, request: &Request) -> Value {
    let results = Results::of(audit);
    let limits = json!({
        "name": format!("thresholds ({})", audit.limits.name),
        "digest": { "sha256": audit.limits.sha256 },
        "annotations": { "rescribe:values": audit.limits.limits },
    });
    let not_run: Vec<Value> = audit
        .not_run
        .iter()
        .map(|it| json!({ "check": it.check.name(), "reason": it.reason }))
        .collect();
    let seconds: Vec<Value> = audit
        .done
        .iter()
        .map(|it| json!({ "check": it.check.name(), "seconds": it.seconds }))
        .collect();
    let predicate = json!({
        "result": results.word(audit),
        "configuration": [limits, described_spec(request)],
        "passedTests": results.passed,
        "warnedTests": results.warned,
        "failedTests": results.failed,
        "annotations": {
            "rescribe:startedOn": request.times[0],
            "rescribe:finishedOn": request.times[1],
            "rescribe:verdicts": audit.verdicts,
            "rescribe:measures": audit.measures,
            "rescribe:equivalence": audit.equivalence,
            "rescribe:seconds": seconds,
            "rescribe:notRun": not_run,
            "rescribe:seed": audit.seed,
        },
    });
    about(request, TEST_RESULT, &predicate)
}

/// Checks by their result.
pub(super) struct Results {
    passed: Vec<&'static str>,
    warned: Vec<&'static str>,
    failed: Vec<&'static str>,
}

impl Results {
    /// A check that was run failed where something that it found speaks against the edit; one that a
    /// verdict needs and that was not run is a warning.
    pub(super) fn of(audit: &Audit) -> Self {
        let reasons: Vec<&AuditReason> = audit.verdicts.iter().flat_map(|it| &it.reasons).collect();
        let speaking = |is: fn(&AuditReason) -> bool| -> BTreeSet<&'static str> {
            reasons.iter().filter(|it| is(it)).map(|it| it.check.name()).collect()
        };
        let found = speaking(|it| it.reason.found.is_some());
        let missing = speaking(|it| it.reason.found.is_none());
        let done = |check: &&Check| audit.done.iter().any(|done| done.check == **check);
        let run: Vec<&'static str> = Check::ALL.iter().filter(done).map(|it| it.name()).collect();
        let is_warned = |name: &&&str| missing.contains(**name) && !found.contains(**name);
        Self {
            failed: found.iter().copied().collect(),
            warned: missing.iter().filter(is_warned).copied().collect(),
            passed: run
                .into_iter()
                .filter(|name| !found.contains(name) && !missing.contains(name))
                .collect(),
        }
    }

    /// The result of one check in words.
    pub(super) fn of_check(&self, name: &str) -> &'static str {
        let is_in = |list: &[&'static str]| list.contains(&name);
        match (is_in(&self.failed), is_in(&self.warned)) {
            (true, _) => "speaks against it",
            (false, true) => "not enough to tell",
            (false, false) => "passed",
        }
    }

    /// The result of all of them in the word of the predicate.
    pub(super) fn word(&self, audit: &Audit) -> &'static str {
        match (audit.passes(), self.failed.is_empty()) {
            (true, _) => "PASSED",
            (false, true) => "WARNED",
            (false, false) => "FAILED",
        }
    }
}
