//! Licences, origin and required compiler of everything that is linked, from what Cargo itself knows.
//!
//! This reads `deny.toml` and stands in for `cargo deny check licenses sources bans` where that tool
//! is not installed. A database of advisories does not come with the registry: `.ci/advisories` asks
//! the one that is there.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The table of `deny.toml` with that name.
fn rules(table: &str) -> toml::Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let text = std::fs::read_to_string(file).expect("deny.toml");
    let mut rules: toml::Table = text.parse().expect("TOML");
    match rules.remove(table) {
        Some(toml::Value::Table(rules)) => rules,
        other => panic!("[{table}] is {other:?}"),
    }
}

/// The texts of a list in a table of `deny.toml`.
fn list(table: &str, key: &str) -> Vec<String> {
    let rules = rules(table);
    let items = rules[key].as_array().unwrap_or_else(|| panic!("{key} of [{table}]"));
    let text = |item: &toml::Value| item.get("crate").unwrap_or(item).as_str().map(str::to_owned);
    items.iter().map(|item| text(item).expect("a text")).collect()
}

fn cargo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(words)
        .output()
        .expect("cargo runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    assert!(output.status.success(), "{}", text(output.stderr));
    text(output.stdout)
}

/// Every package that is linked on this machine, but for this one.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().expect("rustc runs").stdout;
    let version = String::from_utf8(version).expect("UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let words = ["metadata", "--format-version=1", "--locked", "--filter-platform", host];
    let mut metadata: Value = serde_json::from_str(&cargo(&words)).expect("JSON");
    let packages = metadata["packages"].take();
    let packages: Vec<Value> = serde_json::from_value(packages).expect("a list");
    packages.into_iter().filter(|package| package["name"] != "rescribe").collect()
}

/// Whether a licence expression offers a way that is allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace(['(', ')'], "").replace('/', " OR ");
    let is_allowed = |licence: &str| allowed.iter().any(|known| known == licence.trim());
    expression.split(" AND ").all(|part| part.split(" OR ").any(is_allowed))
}

fn name(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or("?");
    format!("{} {}", text("name"), text("version"))
}

#[test]
fn every_licence_allows_a_binary_and_every_package_is_of_the_registry() {
    let packages = packages();
    let allowed = list("licenses", "allow");
    assert!(packages.len() > 100, "{} packages", packages.len());
    let licence = |package: &Value| package["license"].as_str().unwrap_or("").to_owned();
    let refused: BTreeSet<String> = packages
        .iter()
        .filter(|package| !is_allowed(&licence(package), &allowed))
        .map(|package| format!("{}: {:?}", name(package), licence(package)))
        .collect();
    assert!(refused.is_empty(), "licences to be looked at: {refused:#?}");
    let registries = list("sources", "allow-registry");
    let registries: Vec<String> = registries.iter().map(|it| format!("registry+{it}")).collect();
    let is_known = |package: &&Value| {
        package["source"].as_str().is_some_and(|source| registries.iter().any(|it| it == source))
    };
    let strange = packages.iter().filter(|package| !is_known(package)).map(name);
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<String>::new(), "not from a known registry");
    assert_eq!(rules("sources")["unknown-registry"].as_str(), Some("deny"));
    let banned = list("bans", "deny");
    assert!(!banned.is_empty());
    let linked = packages.iter().filter(|package| banned.iter().any(|it| package["name"] == **it));
    assert_eq!(linked.map(name).collect::<Vec<_>>(), Vec::<String>::new(), "banned");
}

#[test]
fn expressions_are_read_as_choices_and_sums() {
    let rows = [
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("", false),
    ];
    let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned);
    for (expression, expected) in rows {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

/// A version as numbers, such as 1.90.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

/// The oldest compiler that is stated is one that every package takes; what this package itself uses
/// of the standard library is held against it by clippy.
#[test]
fn no_package_needs_a_newer_compiler_than_is_stated() {
    let stated = env!("CARGO_PKG_RUST_VERSION");
    assert!(!stated.is_empty(), "Cargo.toml states no rust-version");
    let needs = |package: &Value| package["rust_version"].as_str().map(numbers);
    let packages = packages();
    let newer = packages.iter().filter(|package| needs(package) > Some(numbers(stated)));
    assert_eq!(newer.map(name).collect::<Vec<_>>(), Vec::<String>::new(), "newer than {stated}");
    let stating = packages.iter().filter(|package| needs(package).is_some()).count();
    assert!(2 * stating > packages.len(), "only {stating} of {} say so", packages.len());
}

/// The texts of the licence files in a package's folder.
fn texts(package: &Value) -> Vec<String> {
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    let folder = manifest.parent().unwrap_or(Path::new(".")).to_owned();
    let is_notice = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let starts = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
        path.is_file() && starts.iter().any(|start| name.starts_with(start))
    };
    let entries = std::fs::read_dir(folder).expect("the package's folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().filter(|path| is_notice(path)).flat_map(std::fs::read_to_string).collect()
}

#[test]
#[ignore = "writes target/THIRD-PARTY.md, to be handed on with a binary"]
fn notices_for_a_binary() {
    let mut notices = String::from("# Packages in this binary, and their licences\n");
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("?");
        let repository = package["repository"].as_str().unwrap_or("");
        let head = name(&package);
        write!(notices, "\n## {head}\n\n{licence}. {repository}\n").expect("a string");
        for text in texts(&package) {
            write!(notices, "\n```text\n{}\n```\n", text.trim()).expect("a string");
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/THIRD-PARTY.md");
    std::fs::write(&file, &notices).expect("a writable folder");
    assert!(notices.matches("\n## ").count() > 100, "{}", file.display());
}
