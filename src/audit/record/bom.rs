//! `bom.cdx.json`: the audited model as a CycloneDX bill of materials; the edit is a patch of its
//! pedigree.

use serde_json::{Value, json};

use super::signature::root;
use super::{FileDigest, Request};
use crate::audit::{Audit, AuditMeasure};

const SCHEMA: &str = "http://cyclonedx.org/schema/bom-1.7.schema.json";
const VERSION: &str = "1.7";

/// The bill of materials of the audited model.
pub(super) fn bom(audit: &Audit, request: &Request) -> Value {
    json!({
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": VERSION,
        "serialNumber": format!("urn:uuid:{}", request.id),
        "version": 1,
        "metadata": {
            "timestamp": request.times[1],
            "tools": { "components": [{
                "type": "application",
                "name": "rescribe",
                "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": component(audit, request),
        },
    })
}

fn model(name: &str, reference: &str, files: &[FileDigest]) -> Value {
    json!({
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": name,
        "hashes": [{ "alg": "SHA-256", "content": root(files) }],
    })
}

fn component(audit: &Audit, request: &Request) -> Value {
    let (name, files) = &request.model;
    let mut component = model(name, "model", files);
    let base = request.base.iter().map(|(name, files)| model(name, "base", files));
    component["pedigree"] = json!({
        "ancestors": base.collect::<Vec<_>>(),
        "patches": [patch(request)],
        "notes": "The forgotten and erased data is not in this document.",
    });
    component["modelCard"] = json!({
        "modelParameters": {
            "task": "text-generation",
            "architectureFamily": "transformer",
            "modelArchitecture": request.architecture,
        },
        "quantitativeAnalysis": {
            "performanceMetrics": audit.measures.iter().map(metric).collect::<Vec<_>>(),
        },
        "considerations": { "technicalLimitations": limitations(audit) },
    });
    component
}

/// The edit: what was asked, by its number, and the digests of the patches.
fn patch(request: &Request) -> Value {
    let asked = request.asked.iter().map(|(n, what)| format!("{n} {what}"));
    let asked = asked.collect::<Vec<_>>().join(", ");
    let patches = request.patches.iter().map(|file| format!("{} {}", file.name, file.sha256));
    let text = patches.collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { "weights, see edit.intoto.json".into() } else { text };
    json!({
        "type": "unofficial",
        "diff": { "text": { "contentType": "text/plain", "content": text } },
        "resolves": [{ "type": "enhancement", "id": request.id, "description": asked }],
    })
}

fn metric(measure: &AuditMeasure) -> Value {
    let found = &measure.found;
    json!({
        "type": measure.name,
        "value": number(found.mean),
        "slice": format!("{}, n = {}", measure.check, found.n),
        "confidenceInterval": {
            "lowerBound": number(found.low),
            "upperBound": number(found.high),
        },
    })
}

/// A number as text, which is how this format holds it.
fn number(value: f64) -> String {
    format!("{value:.6}")
}

/// What the verdicts say, and what was not run.
fn limitations(audit: &Audit) -> Vec<String> {
    let verdict = audit.verdicts.iter().map(|it| {
        format!("{} ({}): {}: {}", it.of.name(), it.n, it.state.name(), it.state.meaning())
    });
    let not_run = audit.not_run.iter();
    let not_run = not_run.map(|it| format!("not run: {}: {}", it.check.name(), it.reason));
    verdict.chain(not_run).collect()
}
