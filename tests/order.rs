//! Modules import only from those before them, so that data flows one way.

use std::path::Path;

const ORDER: [&str; 22] = [
    "progress",
    "files",
    "math",
    "ops",
    "spec",
    "delta",
    "model",
    "gguf",
    "source",
    "plan",
    "objective",
    "rank_one",
    "patch",
    "checkpoint",
    "adapter",
    "gradient",
    "probe",
    "verdict",
    "run",
    "atlas",
    "report",
    "cli",
];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("UTF-8 source");
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn imports_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 40, "the walk finds the sources");
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut wrong = Vec::new();
    for (file, text) in &found {
        let inside = file[root.display().to_string().len() + 1..].replace('\\', "/");
        let module = inside.split(['/', '.']).next().expect("a first part").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let own = place(&module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("use crate::")) {
            let used = line.split([':', ';', '{']).next().expect("a first part");
            if place(used).is_none_or(|used| used > own) {
                wrong.push(format!("{inside} imports {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
