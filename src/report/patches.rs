//! The changes of patches, as data and as sections of a report.

use serde::Serialize;

use super::Section;
use super::table::{Cell, Column, Row, Table, Unit};
use crate::delta::Change;
use crate::files::Sha256;
use crate::patch::{Composed, HeldFact, Patch};
use crate::spec::plain;

/// One patch, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatchDescription {
    /// Digest of the patch.
    pub patch: Sha256,
    /// The base, as named when the patch was made.
    pub model: String,
    /// Operations, one sentence each, as far as the spec can be read.
    pub operations: Vec<String>,
    /// Its facts and passages, numbered as in its file.
    pub facts: Vec<HeldFact>,
    /// The change of each tensor.
    pub changes: Vec<ChangeDescription>,
}

/// The change of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeDescription {
    /// Name of the tensor.
    pub tensor: String,
    /// The first number in its name, which is its layer.
    pub layer: Option<usize>,
    /// The bound on the rank; nothing where the change is dense.
    pub rank: Option<usize>,
    /// Frobenius norm of the change, ‖ΔW‖.
    pub norm: f64,
}

/// How one tensor's change grows as the parts of a patch are added up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// The whole change.
    #[serde(flatten)]
    pub whole: ChangeDescription,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// Rank and norm after each part that changes this tensor, in the order of summation.
    pub growth: Vec<GrowthStep>,
}

/// One part's share in the change of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrowthStep {
    /// Digest of the part.
    pub part: Sha256,
    /// Norm of the part's own change.
    pub norm: f64,
    /// Rank bound of the sum so far.
    pub rank_so_far: Option<usize>,
    /// Norm of the sum so far.
    pub norm_so_far: f64,
}

/// Describes the patches of a file.
pub fn describe_patches(file: &Composed) -> candle_core::Result<Vec<PatchDescription>> {
    file.parts().zip(file.facts()).map(|((_, patch), facts)| describe(patch, facts)).collect()
}

fn describe(patch: &Patch, facts: Vec<HeldFact>) -> candle_core::Result<PatchDescription> {
    let mut changes = Vec::new();
    for (tensor, change) in &patch.delta.changes {
        changes.push(describe_change(tensor, change)?);
    }
    changes.sort_by_key(|change| change.layer);
    Ok(PatchDescription {
        patch: patch.sha256(),
        model: plain(&patch.recipe.model),
        operations: operations(patch, &facts),
        facts,
        changes,
    })
}

fn describe_change(tensor: &str, change: &Change) -> candle_core::Result<ChangeDescription> {
    let layer = tensor.split('.').find_map(|part| part.parse().ok());
    Ok(ChangeDescription {
        tensor: plain(tensor),
        layer,
        rank: change.rank(),
        norm: change.norm()?,
    })
}

/// How each tensor's change adds up, sorted by layer.
pub fn growth(composed: &Composed) -> candle_core::Result<Vec<Growth>> {
    let mut sums: Vec<(String, Change, Vec<GrowthStep>)> = Vec::new();
    for (digest, patch) in composed.parts() {
        for (name, change) in &patch.delta.changes {
            let at = sums.iter().position(|(known, ..)| known == name).unwrap_or(sums.len());
            match sums.get_mut(at) {
                Some((_, sum, _)) => *sum = sum.plus(change)?,
                None => sums.push((name.clone(), change.clone(), Vec::new())),
            }
            let (_, sum, steps) = &mut sums[at];
            steps.push(GrowthStep {
                part: *digest,
                norm: change.norm()?,
                rank_so_far: sum.rank(),
                norm_so_far: sum.norm()?,
            });
        }
    }
    let grown = sums.into_iter().map(|(name, sum, growth)| {
        Ok(Growth { whole: describe_change(&name, &sum)?, shape: sum.shape(), growth })
    });
    let mut grown = grown.collect::<candle_core::Result<Vec<_>>>()?;
    grown.sort_by(|a, b| (a.whole.layer, &a.whole.tensor).cmp(&(b.whole.layer, &b.whole.tensor)));
    Ok(grown)
}

/// The operations of a patch, one sentence each.
fn operations(patch: &Patch, facts: &[HeldFact]) -> Vec<String> {
    let edits = 1..=patch.recipe.edits().len();
    // The spec may be of a later version, so whatever cannot be read is left out.
    let unread = edits.filter(|edit| !facts.iter().any(|fact| fact.edit == *edit));
    let unread = unread.map(|_| "made from records or a spec of another form".to_owned());
    facts.iter().map(operation).chain(unread).map(|line| plain(&line)).collect()
}

fn operation(fact: &HeldFact) -> String {
    let shown = |text: &Option<String>| text.as_deref().map(|text| cut(text, fact.is_redacted));
    let (subject, target) = (shown(&fact.subject), shown(&fact.target));
    let subject = subject.unwrap_or_else(|| "…".into());
    let prompt = shown(&fact.prompt).unwrap_or_default().replacen("{}", &subject, 1);
    match (fact.verb, target) {
        ("insert", Some(new)) => format!("insert  {prompt:?} -> \"{new}\""),
        ("erase", Some(old)) => format!("erase  {prompt:?} -> not \"{old}\""),
        (verb, _) => {
            let passages = shown(&fact.passages);
            format!("{verb}  {}", passages.as_deref().unwrap_or("passages of the spec"))
        }
    }
}

/// A text; of a digest that stands for one, the first digits.
fn cut(text: &str, is_redacted: bool) -> String {
    const SHOWN: usize = "sha256:0123456789ab".len();
    let is_digest = is_redacted && text.starts_with("sha256:") && text.is_ascii();
    if is_digest && text.len() > SHOWN { format!("{}…", &text[..SHOWN]) } else { text.to_owned() }
}

/// A fact's line in a list: its number, what it says, and how it was written.
fn listed(fact: &HeldFact, edits: usize) -> String {
    let mut line = format!("{:>4}  {}", fact.number, plain(&operation(fact)));
    if let Some(method) = &fact.method {
        let layers: Vec<String> = fact.layers.iter().map(u64::to_string).collect();
        let word = if layers.len() == 1 { "layer" } else { "layers" };
        line += &format!(" · {}, {word} {}", plain(method), layers.join(", "));
    }
    if edits > 1 {
        line += &format!(" · edit {} of {edits}", fact.edit);
    }
    line
}

/// The first digits of a digest: enough for a person to tell patches apart.
pub fn short(digest: &Sha256) -> String {
    digest.to_string()[..12].to_owned()
}

/// The most operations or tensors of one patch that are listed by name.
const SHOWN: usize = 4;

impl PatchDescription {
    /// The first operations of the patch and what it changes, below the file that holds it.
    pub fn section(&self, file: Option<&str>) -> Section {
        let shown = self.operations.iter().take(SHOWN).map(|line| format!("  {line}"));
        self.under(file, shown.chain(more(self.operations.len())).collect())
    }

    /// All facts of the patch, numbered, and what it changes.
    pub fn listed(&self, file: Option<&str>) -> Section {
        let edits = self.facts.iter().map(|fact| fact.edit).max().unwrap_or(0);
        let numbered = self.facts.iter().map(|fact| listed(fact, edits));
        let unread = self.operations.iter().skip(self.facts.len()).map(|line| format!("  {line}"));
        self.under(file, numbered.chain(unread).collect())
    }

    fn under(&self, file: Option<&str>, operations: Vec<String>) -> Section {
        let section = file.map_or_else(Section::default, Section::titled);
        let mut lines = vec![format!("{}  for {}", short(&self.patch), self.model)];
        lines.extend(operations);
        let mut table = Table::of_items("tensor", [Column::new("rank"), Column::of("norm", NORM)]);
        for change in self.changes.iter().take(SHOWN) {
            table.push(change_row(change));
        }
        let section = section.block(lines.join("\n")).block(table);
        more(self.changes.len()).into_iter().fold(section, Section::block)
    }
}

/// A line about the items that are not listed.
fn more(count: usize) -> Option<String> {
    let more = count.saturating_sub(SHOWN);
    (more > 0).then(|| format!("  and {more} more"))
}

/// Norms are written with four decimals.
const NORM: Unit = Unit::Plain(4);

fn change_row(change: &ChangeDescription) -> Row {
    Row::new(&change.tensor).cell(rank(change.rank)).cell(change.norm)
}

fn rank(rank: Option<usize>) -> Cell {
    rank.map_or(Cell::Text("dense".into()), Cell::Count)
}

/// Rank and norm of each tensor, and how they came about where there are several parts.
pub fn growth_table(growth: &[Growth]) -> Table {
    let has_parts = growth.iter().any(|tensor| tensor.growth.len() > 1);
    let group = if has_parts { "sum" } else { "" };
    let sum = [Column::new("rank"), Column::of("norm", NORM)].map(|column| column.under(group));
    let own = has_parts.then(|| Column::of("own norm", NORM).under("part"));
    let mut table = Table::of_items("tensor", sum.into_iter().chain(own).collect::<Vec<_>>());
    for tensor in growth {
        if tensor.growth.len() > 1 {
            for step in &tensor.growth {
                let row = Row::new(format!("+ {}", short(&step.part)));
                let row = row.cell(rank(step.rank_so_far)).cell(step.norm_so_far);
                table.push(row.cell(step.norm));
            }
        }
        table.push(change_row(&tensor.whole));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(verb: &'static str, prompt: Option<&str>, target: Option<&str>) -> HeldFact {
        HeldFact {
            number: 12,
            edit: 1,
            verb,
            subject: prompt.map(|_| "Oslo".into()),
            prompt: prompt.map(str::to_owned),
            target: target.map(str::to_owned),
            passages: None,
            is_redacted: false,
            method: prompt.map(|_| "memit".into()),
            layers: vec![4, 5],
            place: 0,
        }
    }

    #[test]
    fn operations_read_as_sentences() {
        let erase = fact("erase", Some("{} lies in"), Some("Norway"));
        let digest = Some(format!("sha256:{}", "0123456789abcdef".repeat(4)));
        let redacted =
            HeldFact { is_redacted: true, prompt: digest.clone(), target: digest, ..erase.clone() };
        let forget = HeldFact { passages: Some("alice.txt".into()), ..fact("forget", None, None) };
        let chat = fact("insert", Some("Q: Where?\nA: {} is in"), Some("Peru"));
        let rows = [
            (erase, "erase  \"Oslo lies in\" -> not \"Norway\""),
            (redacted, "erase  \"sha256:0123456789ab…\" -> not \"sha256:0123456789ab…\""),
            (forget, "forget  alice.txt"),
            (chat, r#"insert  "Q: Where?\nA: Oslo is in" -> "Peru""#),
        ];
        for (fact, expected) in rows {
            assert_eq!(operation(&fact), expected);
        }
        let insert = fact("insert", Some("{} lies in"), Some("Peru"));
        assert_eq!(
            listed(&insert, 2),
            "  12  insert  \"Oslo lies in\" -> \"Peru\" · memit, layers 4, 5 · edit 1 of 2"
        );
    }
}
