//! `edit.intoto.json`: what was changed, as SLSA provenance.

use serde_json::{Value, json};

use super::Request;
use super::statement::{about, described, described_spec};
use crate::audit::Audit;

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What kind of change it is; the parameters mean what this program's documents say.
const BUILD: &str = "urn:rescribe:edit:v1";
const BUILDER: &str = "urn:rescribe";

/// The statement of an edit, as far as the audit can see it.
pub(super) fn edit(audit: &Audit, request: &Request) -> Value {
    let asked: Vec<Value> =
        request.asked.iter().map(|(n, what)| json!({ "n": n, "what": what })).collect();
    let base = request.base.iter().flat_map(|(_, files)| files.iter().map(described));
    let patches = request.patches.iter().map(described);
    let changed = audit.findings.integrity.as_ref().and_then(|it| it.changed.as_ref());
    let predicate = json!({
        "buildDefinition": {
            "buildType": BUILD,
            "externalParameters": { "spec": described_spec(request), "asked": asked },
            "internalParameters": { "seed": audit.seed, "changedTensors": changed },
            "resolvedDependencies": base.chain(patches).collect::<Vec<_>>(),
        },
        "runDetails": {
            "builder": { "id": BUILDER, "version": { "rescribe": env!("CARGO_PKG_VERSION") } },
            "metadata": { "invocationId": format!("urn:uuid:{}", request.id) },
            "byproducts": request.patches.iter().map(described).collect::<Vec<_>>(),
        },
    });
    about(request, PROVENANCE, &predicate)
}
