//! `ledger.jsonl`: the requests that were audited, one a line, each with the digest of the line before.
//!
//! A line cannot be changed, taken out or put between others without changing all that follow.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Request;
use crate::audit::Audit;
use crate::files::Sha256;

/// What stands for the line before the first.
const NOTHING: Sha256 = Sha256([0; 32]);

/// The lines of an earlier ledger and one more for this audit.
pub(super) fn extended(
    earlier: &[u8],
    audit: &Audit,
    request: &Request,
    files: &BTreeMap<&str, Sha256>,
) -> String {
    let mut text = String::from_utf8_lossy(earlier).into_owned();
    let previous = text.lines().next_back().map_or(NOTHING, Sha256::of);
    let verdict =
        |it: &crate::audit::AuditVerdict| json!({ "of": it.of, "n": it.n, "state": it.state });
    let line = json!({
        "index": text.lines().count(),
        "previous": previous,
        "request": request.id,
        "finishedOn": request.times[1],
        "spec": request.spec.1,
        "thresholds": audit.limits.sha256,
        "verdicts": audit.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "files": files,
    });
    text += &format!("{line}\n");
    text
}

/// The digests of the record's files by the last line, once the chain is whole.
///
/// # Errors
///
/// A sentence that names the line that breaks it.
pub(super) fn checked(text: &str) -> Result<BTreeMap<String, Sha256>, String> {
    let mut previous = NOTHING;
    let mut files = None;
    for (at, line) in text.lines().enumerate() {
        let fail = |what: &str| format!("line {} {what}", at + 1);
        let entry: Value = serde_json::from_str(line).map_err(|_| fail("is no JSON"))?;
        if entry["index"] != at {
            return Err(fail("has another number"));
        }
        if entry["previous"] != json!(previous) {
            return Err(fail("does not follow from the line before it"));
        }
        previous = Sha256::of(line);
        files = serde_json::from_value(entry["files"].clone()).ok();
    }
    files.ok_or_else(|| "it has no entry".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(lines: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for index in 0..lines {
            let previous = all.last().map_or(NOTHING, Sha256::of);
            let files = json!({ "a": Sha256::of(index.to_string()) });
            let line = json!({ "index": index, "previous": previous, "files": files });
            all.push(line.to_string());
        }
        all
    }

    #[test]
    fn a_line_that_is_changed_or_missing_breaks_the_chain() {
        let lines = chain(3);
        let text = |lines: &[String]| lines.join("\n") + "\n";
        let files = checked(&text(&lines)).expect("a whole chain");
        assert_eq!(files["a"], Sha256::of("2"));
        let without = [lines[0].clone(), lines[2].clone()];
        assert_eq!(checked(&text(&without)), Err("line 2 has another number".into()));
        let changed = [lines[0].replace('a', "b"), lines[1].clone()];
        let error = checked(&text(&changed)).expect_err("broken");
        assert_eq!(error, "line 2 does not follow from the line before it");
        assert_eq!(checked(""), Err("it has no entry".into()));
    }
}
