//! What a report is about: the facts and passages that were asked for, and how it was made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::{PromptKind, Said};
use crate::run::{CaseMeasures, FactOutcome, Outcome};
use crate::spec::PassageVerb;

/// Requests that are listed; the others are counted.
const LISTED: usize = 24;

/// One thing that was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// The operation: `insert`, `erase`, `learn` or `forget`.
    pub verb: String,
    /// The prompt with its subject; empty for passages, and for facts that are only counted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// The target of an insertion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The answer of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The answer of the edited model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether it removes something, so that its texts are not handed on.
    pub is_erased: bool,
    /// Number of facts or passages that it stands for.
    pub count: usize,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
}

/// How a report was made: what gives it again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// Version of the program.
    pub version: String,
    /// The command, as a shell takes it.
    pub command: String,
    /// SHA-256 of the base's weights.
    pub base: String,
    /// The spec as resolved; nothing where the run had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
}

/// What a run was asked for: the first facts one by one, the others counted, then the passages.
pub(super) fn requests(outcome: &Outcome) -> Vec<Request> {
    let facts: Vec<&FactOutcome> = outcome.facts().collect();
    let listed = facts.iter().take(LISTED).map(|fact| of_fact(fact, outcome));
    let mut requests: Vec<Request> = listed.collect();
    let rest = facts.get(LISTED..).unwrap_or_default();
    for is_erased in [false, true] {
        let count = rest.iter().filter(|fact| fact.is_erased == is_erased).count();
        if count > 0 {
            let verb = fact_verb(is_erased).to_owned();
            requests.push(Request { verb, is_erased, count, ..Request::default() });
        }
    }
    let passages = outcome.remembered().filter_map(|found| {
        let set = found.before.passages.as_ref()?;
        let is_erased = found.verb == PassageVerb::Forget;
        let verb = found.name().to_owned();
        Some(Request { verb, is_erased, count: set.nll.n, ..Request::default() })
    });
    requests.extend(passages);
    requests
}

fn fact_verb(is_erased: bool) -> &'static str {
    if is_erased { "erase" } else { "insert" }
}

fn of_fact(fact: &FactOutcome, outcome: &Outcome) -> Request {
    let answer = |side: fn(&crate::run::CaseOutcome) -> Option<&CaseMeasures>| {
        let all = outcome.cases.iter().filter_map(side);
        let mut said = all.flat_map(|it| it.said.iter().chain(&it.erased));
        let own = |said: &&Said| said.kind == PromptKind::Rewrite && said.prompt == fact.prompt;
        said.find(own).map(|said| said.completion.clone())
    };
    Request {
        verb: fact_verb(fact.is_erased).to_owned(),
        prompt: fact.prompt.clone(),
        target: (!fact.is_erased).then(|| fact.target_new.clone()),
        before: answer(|case| Some(&case.before)),
        after: answer(|case| case.after.as_ref()),
        is_erased: fact.is_erased,
        count: 1,
        unwritten: fact.unwritten.clone(),
    }
}
