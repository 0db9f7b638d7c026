//! The facts that a patch holds, as its recipe says them: to be listed, and to be taken out.

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::{Composed, EditRecord, Recipe, rewrite};

/// The tables of a spec that say what is done, in the order in which they are listed.
const VERBS: [&str; 4] = ["insert", "erase", "forget", "learn"];

/// Key of a recorded plan: the places, by the name of the table, of facts that are in the spec and
/// were left out of the change.
pub const LEFT_OUT: &str = "left_out";

/// Whether a fact of the spec of an edit is not in its change.
pub fn is_left_out(plan: &serde_json::Value, verb: &str, place: usize) -> bool {
    let places = plan[LEFT_OUT][verb].as_array().into_iter().flatten();
    places.filter_map(serde_json::Value::as_u64).any(|it| it == place as u64)
}

/// A fact, or passages, of a patch file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldFact {
    /// Its number in the file, from 1.
    pub number: usize,
    /// The edit of its patch that wrote it, from 1.
    pub edit: usize,
    /// The name of its table: `insert`, `erase`, `forget` or `learn`.
    pub verb: &'static str,
    /// The subject.
    pub subject: Option<String>,
    /// The prompt, with `{}` where the subject stands.
    pub prompt: Option<String>,
    /// The text that an insert writes, or that an erase takes away.
    pub target: Option<String>,
    /// The file of the passages.
    pub passages: Option<String>,
    /// Whether salted digests stand for texts.
    pub is_redacted: bool,
    /// The method by which facts were written.
    pub method: Option<String>,
    /// The layers that they were written into.
    pub layers: Vec<u64>,
    /// Its place among the tables of its name.
    #[serde(skip)]
    pub place: usize,
}

impl Recipe {
    /// The facts and passages of all edits, numbered from 1; none of an edit whose spec is not TOML.
    pub fn facts(&self) -> Vec<HeldFact> {
        let edits = self.edits();
        let all = edits.iter().enumerate().flat_map(|(at, edit)| of_edit(at, edit));
        let numbered = |(at, fact): (usize, HeldFact)| HeldFact { number: at + 1, ..fact };
        all.enumerate().map(numbered).collect()
    }
}

impl Composed {
    /// The facts and passages of each part, in the order of [`parts`](Self::parts), numbered
    /// throughout.
    pub fn facts(&self) -> Vec<Vec<HeldFact>> {
        let mut before = 0;
        let of_part = |recipe: &Recipe| {
            let mut facts = recipe.facts();
            facts.iter_mut().for_each(|fact| fact.number += before);
            before += facts.len();
            facts
        };
        self.parts().map(|(_, patch)| &patch.recipe).map(of_part).collect()
    }
}

fn of_edit(at: usize, edit: &EditRecord<'_>) -> Vec<HeldFact> {
    let Ok(document) = DeTable::parse(edit.spec) else { return Vec::new() };
    let mut facts = Vec::new();
    for verb in VERBS {
        let value = document.get_ref().get(verb).and_then(|value| value.get_ref().as_array());
        let tables = value.into_iter().flatten().filter_map(|item| item.get_ref().as_table());
        let tables = tables.enumerate().filter(|(at, _)| !is_left_out(edit.plan, verb, *at));
        facts.extend(tables.map(|(place, table)| held((at, edit), verb, place, table)));
    }
    facts
}

fn held(
    (at, edit): (usize, &EditRecord<'_>),
    verb: &'static str,
    place: usize,
    table: &DeTable<'_>,
) -> HeldFact {
    let text = |key: &str| match table.get(key).map(|value| value.get_ref()) {
        Some(DeValue::String(text)) => Some(text.to_string()),
        _ => None,
    };
    let target = if verb == "insert" { "target_new" } else { "target_true" };
    let mut steps = edit.plan["steps"].as_array().into_iter().flatten();
    let write = steps.find_map(|step| step.get("write").filter(|_| text("subject").is_some()));
    let layers = write.and_then(|write| write["layers"].as_array()).into_iter().flatten();
    HeldFact {
        number: 0,
        edit: at + 1,
        verb,
        subject: text("subject"),
        prompt: text("prompt"),
        target: text(target),
        passages: text("passages"),
        is_redacted: edit.is_redacted,
        method: write.and_then(|write| write["method"].as_str()).map(str::to_owned),
        layers: layers.filter_map(serde_json::Value::as_u64).collect(),
        place,
    }
}

/// The text of a spec without these facts, and without comments, which may be about them; nothing
/// where no fact and no passages are left.
pub fn without_facts(spec: &str, removed: &[&HeldFact]) -> Option<String> {
    let document = DeTable::parse(spec).ok()?;
    let document = document.get_ref();
    let is_removed =
        |name: &str, at: usize| removed.iter().any(|fact| fact.verb == name && fact.place == at);
    let count = |verb: &&str| match document.get(*verb).map(|value| value.get_ref()) {
        Some(DeValue::Array(items)) => (0..items.len()).filter(|at| !is_removed(verb, *at)).count(),
        _ => 0,
    };
    if VERBS.iter().map(count).sum::<usize>() == 0 {
        return None;
    }
    let own = |_: &str, text: &str| text.to_owned();
    let table = |name: &str, at: usize, table: &DeTable<'_>| {
        (!is_removed(name, at)).then(|| rewrite::lines(table, &own))
    };
    let text = rewrite::document(document, &table, &|_, _, text| text.to_owned());
    Some(text.trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "# Asked for by Zoë.\nmodel = \"m\"\n\n[rank_one]\nseed = 3 # fixed\n\n\
                        [[insert]]\nsubject = \"A\"\nprompt = \"{} is\"\ntarget_new = \"x\"\n\n\
                        # About B.\n[[insert]]\nsubject = \"B\"\nprompt = \"{} is\"\n\
                        target_new = \"y\"\n\n[[erase]]\nsubject = \"A\"\nprompt = \"{} has\"\n\
                        target_true = \"z\"\n";

    fn facts() -> Vec<HeldFact> {
        let plan = serde_json::json!({
            "steps": [{ "write": { "method": "memit", "layers": [4, 5] } }],
        });
        of_edit(0, &EditRecord { spec: SPEC, is_redacted: false, plan: &plan, from: &[] })
    }

    #[test]
    fn facts_are_listed_with_how_they_were_written() {
        let facts = facts();
        let shown: Vec<_> = facts
            .iter()
            .map(|it| (it.verb, it.subject.as_deref(), it.target.as_deref(), it.place))
            .collect();
        let expected = [
            ("insert", Some("A"), Some("x"), 0),
            ("insert", Some("B"), Some("y"), 1),
            ("erase", Some("A"), Some("z"), 0),
        ];
        assert_eq!(shown, expected);
        assert_eq!(facts[2].method.as_deref(), Some("memit"));
        assert_eq!(facts[2].layers, [4, 5]);
    }

    #[test]
    fn a_fact_that_is_taken_out_leaves_no_word() {
        let facts = facts();
        let rest = without_facts(SPEC, &[&facts[1], &facts[2]]).expect("a fact is left");
        let expected = "model = \"m\"\n\n[rank_one]\nseed = 3\n\n[[insert]]\nsubject = \"A\"\n\
                        prompt = \"{} is\"\ntarget_new = \"x\"\n";
        assert_eq!(rest, expected);
        assert_eq!(without_facts(SPEC, &facts.iter().collect::<Vec<_>>()), None);
    }
}
