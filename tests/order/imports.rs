//! Which file of `src` uses which, read from the text: `use` trees and paths in code alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file as its module path: `["spec", "read"]`; `lib.rs` and `main.rs` are the empty path.
pub type Module = Vec<String>;

/// The files of a crate, without their tests.
pub struct Sources {
    code: BTreeMap<Module, String>,
    /// What a module exports under a name of its own, and the module that it comes from.
    exported: BTreeMap<(Module, String), Module>,
}

impl Sources {
    /// Reads every file below `root`.
    pub fn read(root: &Path) -> Self {
        let mut code = BTreeMap::new();
        collect(root, &mut Vec::new(), &mut code);
        Self::new(code)
    }

    /// The files with these texts.
    pub fn new(code: BTreeMap<Module, String>) -> Self {
        let mut code: BTreeMap<Module, String> = code;
        code.values_mut().for_each(|text| *text = bare(text));
        let mut sources = Self { code, exported: BTreeMap::new() };
        for (module, text) in &sources.code {
            for path in
                uses(text).filter(|(is_public, _)| *is_public).flat_map(|(_, tree)| leaves(tree))
            {
                let (found, rest) = sources.walk(module, &path);
                if let ([name], true) = (rest, found != *module) {
                    sources.exported.insert((module.clone(), name.clone()), found);
                }
            }
        }
        sources
    }

    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.code.keys()
    }

    /// The files that a file uses, names that others re-export followed to where they come from.
    pub fn used_by(&self, module: &Module) -> BTreeSet<Module> {
        let text = &self.code[module];
        let listed = uses(text).flat_map(|(_, tree)| leaves(tree));
        let found = listed.chain(inline(text)).map(|path| self.origin(module, &path));
        found.filter(|found| found != module && !found.is_empty()).collect()
    }

    /// The file that a path in `module` leads to.
    fn origin(&self, module: &Module, path: &[String]) -> Module {
        let (mut found, rest) = self.walk(module, path);
        while let Some(next) = rest.first().and_then(|name| {
            self.exported.get(&(found.clone(), name.clone())).filter(|next| **next != found)
        }) {
            found = next.clone();
        }
        found
    }

    /// The deepest file that a path names, and the names after it.
    fn walk<'a>(&self, module: &Module, path: &'a [String]) -> (Module, &'a [String]) {
        let (mut at, mut rest) = (module.clone(), path);
        if rest.first().is_some_and(|name| name == "crate") {
            (at, rest) = (Vec::new(), &rest[1..]);
        }
        while let Some((name, after)) = rest.split_first() {
            match name.as_str() {
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            rest = after;
        }
        while let Some((name, after)) = rest.split_first() {
            let inner = [at.as_slice(), std::slice::from_ref(name)].concat();
            if !self.code.contains_key(&inner) {
                break;
            }
            (at, rest) = (inner, after);
        }
        (at, rest)
    }
}

fn collect(folder: &Path, module: &mut Module, code: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            module.push(name);
            collect(&path, module, code);
            module.pop();
        } else if path.extension().is_some_and(|it| it == "rs") && name != "tests" {
            let is_root = module.is_empty() && ["lib", "main"].contains(&name.as_str());
            let own = if is_root { Vec::new() } else { [module.as_slice(), &[name]].concat() };
            let text = std::fs::read_to_string(&path).expect("UTF-8 source");
            code.entry(own).or_default().push_str(&text);
        }
    }
}

/// The code before the tests, without comments and without what stands in quotes.
fn bare(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let (mut out, mut is_quoted, mut last) = (String::new(), false, ' ');
    for character in lines.flat_map(|line| line.chars().chain(['\n'])) {
        let is_mark = character == '"' && last != '\\' && last != '\'';
        is_quoted ^= is_mark;
        if !is_quoted && !is_mark {
            out.push(character);
        }
        last = if last == '\\' && character == '\\' { ' ' } else { character };
    }
    out
}

/// `use` trees, and whether each is public.
fn uses(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.match_indices("use ").filter_map(|(at, _)| {
        let line = text[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_statement = line.is_empty() || line.starts_with("pub");
        let tree = text[at + 4..].split(';').next()?;
        is_statement.then_some((!line.is_empty(), tree))
    })
}

/// The paths of a `use` tree, one for each name.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|name| name.trim().to_owned()).collect()];
    };
    let head: Vec<String> = head
        .split("::")
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let group = group.trim_end().strip_suffix('}').expect("a closed group");
    let (mut paths, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let inner = group[start..at].trim();
                let inner = if inner.is_empty() { Vec::new() } else { leaves(inner) };
                paths.extend(inner.into_iter().map(|path| [head.clone(), path].concat()));
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// Paths that begin with `crate` or `super` outside `use`.
fn inline(text: &str) -> impl Iterator<Item = Vec<String>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    ["crate::", "super::"].into_iter().flat_map(move |start| {
        text.match_indices(start).filter_map(move |(at, _)| {
            let before = text[..at].chars().next_back().unwrap_or(' ');
            let statement = text[..at].rsplit([';', '}']).next().unwrap_or_default().trim_start();
            let is_listed = statement.starts_with("use ") || statement.starts_with("pub use ");
            let length = text[at..].find(|c: char| !is_name(c) && c != ':');
            let path = &text[at..at + length.unwrap_or(text.len() - at)];
            let is_path = !is_name(before) && before != ':' && !is_listed;
            is_path.then(|| path.trim_end_matches(':').split("::").map(str::to_owned).collect())
        })
    })
}
