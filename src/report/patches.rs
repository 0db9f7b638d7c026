//! The changes of patches, as data and as sections of a report.

use serde::Serialize;

use super::Section;
use super::table::{Cell, Column, Row, Table, Unit};
use crate::delta::Change;
use crate::files::Sha256;
use crate::patch::{Composed, Patch, plain};

/// One patch, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatchDescription {
    /// Digest of the patch.
    pub patch: Sha256,
    /// The base, as named when the patch was made.
    pub model: String,
    /// Operations, one sentence each, as far as the spec can be read.
    pub operations: Vec<String>,
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

/// Describes one patch.
pub fn describe_patch(patch: &Patch) -> candle_core::Result<PatchDescription> {
    let mut changes = Vec::new();
    for (tensor, change) in &patch.delta.changes {
        changes.push(describe_change(tensor, change)?);
    }
    changes.sort_by_key(|change| change.layer);
    Ok(PatchDescription {
        patch: patch.sha256(),
        model: plain(&patch.recipe.model),
        operations: operations(&patch.recipe.spec).iter().map(|line| plain(line)).collect(),
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

/// The operations of a spec, one sentence each.
///
/// The spec may be of a later version, so whatever cannot be read is left out.
fn operations(spec: &str) -> Vec<String> {
    let Ok(spec) = spec.parse::<toml::Table>() else {
        return vec!["made from records or a spec of another form".into()];
    };
    let tables = |key: &'static str| {
        let tables = spec.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        tables.filter_map(toml::Value::as_table).map(move |table| (key, table))
    };
    ["insert", "erase", "forget", "learn"].into_iter().flat_map(tables).map(operation).collect()
}

fn operation((verb, table): (&str, &toml::Table)) -> String {
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str);
    let prompt =
        text("prompt").unwrap_or_default().replacen("{}", text("subject").unwrap_or("…"), 1);
    match (verb, text("target_new"), text("target_true")) {
        ("insert", Some(new), _) => format!("insert  {prompt:?} -> \"{new}\""),
        ("erase", _, Some(old)) => format!("erase  {prompt:?} -> not \"{old}\""),
        _ => format!("{verb}  {}", text("passages").unwrap_or("passages of the spec")),
    }
}

/// The first digits of a digest: enough for a person to tell patches apart.
pub fn short(digest: &Sha256) -> String {
    digest.to_string()[..12].to_owned()
}

/// The most operations or tensors of one patch that are listed by name.
const SHOWN: usize = 4;

impl PatchDescription {
    /// The operations of the patch and what it changes, below the file that holds it.
    pub fn section(&self, file: Option<&str>) -> Section {
        let section = file.map_or_else(Section::default, Section::titled);
        let mut lines = vec![format!("{}  for {}", short(&self.patch), self.model)];
        lines.extend(self.operations.iter().take(SHOWN).map(|line| format!("  {line}")));
        lines.extend(more(self.operations.len()));
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

    #[test]
    fn operations_read_as_sentences() {
        let spec = "[[insert]]\nsubject = \"Oslo\"\nprompt = \"{} lies in\"\ntarget_new = \"Peru\"\n\
                    [[forget]]\npassages = \"alice.txt\"\n[[erase]]\nsubject = \"Oslo\"\n\
                    prompt = \"{} lies in\"\ntarget_true = \"Norway\"\n";
        let expected = [
            "insert  \"Oslo lies in\" -> \"Peru\"",
            "erase  \"Oslo lies in\" -> not \"Norway\"",
            "forget  alice.txt",
        ];
        assert_eq!(operations(spec), expected);
        let chat = "[[insert]]\nsubject = \"Oslo\"\nprompt = \"Q: Where?\\nA: {} is in\"\n\
                    target_new = \"Peru\"\n";
        assert_eq!(operations(chat), [r#"insert  "Q: Where?\nA: Oslo is in" -> "Peru""#]);
        assert_eq!(
            operations("[{\"case_id\": 1}"),
            ["made from records or a spec of another form"]
        );
    }
}
