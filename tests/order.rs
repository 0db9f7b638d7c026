//! Modules import only from those before them, so that data flows one way, and no two files in one
//! folder lean on each other, however many others stand between them.
//!
//! Where two files differ first in their paths, the import counts as one between these two
//! siblings: `rank_one/value/direct.rs` using `ops/linear.rs` is an import of `ops` by `rank_one`;
//! using `rank_one/key.rs`, one of `key` by `value`. A name that a file re-exports counts as what
//! it comes from: a child that takes `super::Patch` from the `pub use` of its parent imports the
//! sibling that defines it. A parent and its children are one unit: the parent puts together what
//! the children give, and they may use the types that it defines itself. Tests do not count.

#[path = "order/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imports::{Module, Sources};

const ORDER: [&str; 27] = [
    "progress",
    "files",
    "ranks",
    "math",
    "ops",
    "spec",
    "draft",
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
    "locate",
    "probe",
    "verdict",
    "run",
    "audit",
    "atlas",
    "report",
    "untrusted",
    "cli",
];

/// Importing sibling → imported sibling → the files that do it.
type Imports = BTreeMap<Module, BTreeMap<Module, BTreeSet<String>>>;

fn sources() -> Sources {
    Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// Imports between siblings, of rooms and of the files in one folder.
fn imports(sources: &Sources) -> Imports {
    let mut imports = Imports::new();
    for module in sources.modules() {
        for used in sources.used_by(module) {
            let shared = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
            if shared < module.len() && shared < used.len() {
                let (own, other) = (module[..=shared].to_vec(), used[..=shared].to_vec());
                let files = imports.entry(own).or_default().entry(other).or_default();
                files.insert(format!("{} uses {}", module.join("/"), used.join("/")));
            }
        }
    }
    imports
}

/// The imports that lie on a circle: those from whose end a chain of others leads to their start.
fn circular(imports: &Imports) -> Vec<String> {
    let reaches = |from: &Module, goal: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            if at == goal {
                return true;
            }
            if seen.insert(at) {
                open.extend(imports.get(at).into_iter().flat_map(BTreeMap::keys));
            }
        }
        false
    };
    let all = imports.iter().flat_map(|(own, used)| used.iter().map(move |used| (own, used)));
    let circular = all.filter(|(own, (other, _))| reaches(other, own));
    circular.flat_map(|(_, (_, files))| files.iter().cloned()).collect()
}

#[test]
fn rooms_import_from_earlier_rooms_alone() {
    let sources = sources();
    assert!(sources.modules().count() > 40, "the walk finds the sources");
    let place = |module: &Module| ORDER.iter().position(|known| *known == module[0]);
    let unplaced: Vec<_> =
        sources.modules().filter(|it| !it.is_empty() && place(it).is_none()).collect();
    assert!(unplaced.is_empty(), "no place in the order: {unplaced:?}");
    let imports = imports(&sources);
    let rooms = imports.iter().filter(|(own, _)| own.len() == 1);
    let wrong: Vec<_> = rooms
        .flat_map(|(own, used)| used.iter().filter(move |(other, _)| place(other) > place(own)))
        .flat_map(|(_, files)| files)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_import_in_a_circle() {
    let circular = circular(&imports(&sources()));
    assert!(circular.is_empty(), "imports that lie on circles: {circular:#?}");
}

#[test]
fn every_way_to_write_a_path_is_seen() {
    let rows = [
        ("use crate::a::b::Item;", true),
        ("pub use crate::a::{self, b::{Item, Other as Renamed}};", true),
        ("use super::b::Item;", true),
        ("use super::{\n    c,\n    b,\n};", true),
        ("fn f() -> super::b::Item { todo() }", true),
        ("fn f() { crate::a::b::item(\"x\") }", true),
        ("use super::Item;", true),
        ("use crate::Item;", true),
        ("// super::b::Item\nfn f() {}", false),
        ("const TEXT: &str = \"super::b\";", false),
        ("fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::a::b::Item;\n}", false),
        ("use std::b::Item;", false),
        ("use super::Own;", false),
    ];
    for (text, expected) in rows {
        let module = |path: &str| -> Module {
            path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let files = [
            ("", "pub use a::Item;"),
            ("a", "pub use b::Item;\nstruct Own;"),
            ("a/b", "pub struct Item;"),
            ("a/c", text),
        ];
        let files = files.map(|(path, text)| (module(path), text.to_owned()));
        let used = Sources::new(files.into()).used_by(&module("a/c"));
        assert_eq!(used.contains(&module("a/b")), expected, "{text}: {used:?}");
    }
}

#[test]
fn circles_of_any_length_are_found() {
    let module = |name: &str| vec![name.to_owned()];
    let edge = |from: &str, to: &str| {
        (module(from), [(module(to), [format!("{from} uses {to}")].into())].into())
    };
    let circle: Imports = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("d", "a")].into();
    assert_eq!(circular(&circle), ["a uses b", "b uses c", "c uses a"]);
    let line: Imports = [edge("a", "b"), edge("b", "c")].into();
    assert!(circular(&line).is_empty());
}
