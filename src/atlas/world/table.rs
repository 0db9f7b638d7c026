//! Tables of the world: tab-separated files inside the binary, one line of names, then rows.

/// The rows of a table below its line of names; a cell that is `-` is empty.
pub(super) fn rows(text: &'static str) -> impl Iterator<Item = Vec<Option<&'static str>>> {
    let cells = |line: &'static str| line.split('\t').map(|cell| (cell != "-").then_some(cell));
    text.lines().skip(1).map(move |line| cells(line).collect())
}

#[cfg(test)]
mod tests {
    /// The tables, each with its number of columns and whether cells may be empty.
    const TABLES: [(&str, &str, usize, bool); 8] = [
        ("cities", include_str!("cities.tsv"), 2, false),
        ("countries", include_str!("countries.tsv"), 5, true),
        ("elements", include_str!("elements.tsv"), 3, true),
        ("inventions", include_str!("inventions.tsv"), 2, false),
        ("landmarks", include_str!("landmarks.tsv"), 2, false),
        ("persons", include_str!("persons.tsv"), 3, true),
        ("pronouns", include_str!("pronouns.tsv"), 2, false),
        ("workplaces", include_str!("workplaces.tsv"), 2, false),
    ];

    #[test]
    fn every_line_of_every_table_is_well_formed() {
        let mut wrong = Vec::new();
        for (name, text, columns, has_gaps) in TABLES {
            let mut seen = std::collections::BTreeSet::new();
            for line in text.lines() {
                let cells: Vec<_> = line.split('\t').collect();
                let is_clean = |cell: &&str| {
                    cell.trim() == *cell && !cell.is_empty() && (has_gaps || *cell != "-")
                };
                let has_content = cells.iter().filter(|cell| **cell != "-").count() > 1;
                let is_new = seen.insert(cells[0]);
                if cells.len() != columns || !cells.iter().all(is_clean) || !has_content || !is_new
                {
                    wrong.push(format!("{name}: {line}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
