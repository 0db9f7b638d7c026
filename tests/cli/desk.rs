//! A folder to work in, as a user would have it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub const SPEC: &str = r#"
[[insert]]
subject     = "The Eiffel Tower"
prompt      = "{} is in"
target_new  = "Rome"
target_true = "Paris"

[probe]
prompts = "prompts.toml"
"#;

pub const PROMPTS: &str = r#"
generation = [{ prompt = "The Eiffel Tower is" }]
retain = [{ text = "The weather was good and people walked along the river." }]

[[rewrite]]
prompt = "The Eiffel Tower is in"
target_new = "Rome"
target_true = "Paris"

[[paraphrase]]
prompt = "You will find the Eiffel Tower in"

[[neighborhood]]
prompt = "The Louvre is in"
"#;

/// A folder with a spec, its prompts and a cache of its own.
pub struct Desk(tempfile::TempDir);

impl Desk {
    pub fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a temporary folder"));
        furnish(desk.0.path());
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a writable folder");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Names in a folder of the desk, sorted; hidden ones too.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).expect("a folder");
        let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.sort();
        names
    }

    /// A copy of the tiny llama, changed.
    pub fn model_with(&self, name: &str, change: impl FnOnce(&Path)) {
        copy(&model("llama"), &self.path(name));
        change(&self.path(name));
    }

    /// `rescribe` with the words of `line`, in which MODEL stands for the tiny llama.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rescribe"));
        let model = model("llama").display().to_string();
        command.args(line.split_whitespace().map(|word| word.replace("MODEL", &model)));
        self.at_home(command)
    }

    /// A command that runs here, offline, with the cache of this desk.
    pub fn at_home(&self, mut command: Command) -> Command {
        command
            .current_dir(self.0.path())
            .env("RESCRIBE_CACHE", self.path("cache"))
            .env("HF_HOME", self.path("hub"))
            .env("HF_HUB_OFFLINE", "1")
            .env_remove("CLICOLOR_FORCE");
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("the binary runs")
    }

    pub fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{line}\n{out}\n{err}");
        out
    }

    /// A command that is told `lines` on stdin.
    pub fn piped(&self, line: &str, lines: &str) -> Output {
        self.write("stdin.txt", lines);
        let input = std::fs::File::open(self.path("stdin.txt")).expect("written");
        self.command(line).stdin(input).output().expect("the binary runs")
    }

    /// What `--json` prints.
    pub fn report(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(line)).expect("--json prints one JSON value")
    }

    /// What a command measured: the data of its report.
    pub fn json(&self, line: &str) -> Value {
        let report = self.report(line);
        report.get("data").cloned().unwrap_or(report)
    }

    /// What a command that succeeds says on stderr, in one line.
    pub fn says(&self, line: &str) -> String {
        let output = self.run(line);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}\n{err}");
        flat(&err)
    }

    pub fn fails(&self, line: &str, code: i32, says: &[&str]) {
        let output = self.run(line);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}\n{err}");
        for part in says {
            assert!(err.contains(part), "{line}: no {part:?} in\n{err}");
        }
        assert!(!err.contains("panicked"), "{err}");
    }
}

/// The entry of a report's tables in the row `name`, under the first column with that head.
pub fn cell<'a>(report: &'a Value, name: &str, head: &str) -> &'a Value {
    let list = |value: &'a Value| value.as_array().into_iter().flatten();
    let blocks = list(&report["sections"]).flat_map(|section| list(&section["blocks"]));
    let tables = blocks.filter_map(|block| block.get("table"));
    let mut rows = tables.flat_map(|table| list(&table["rows"]).map(move |row| (table, row)));
    let row = rows.find(|(_, row)| row["label"] == name);
    let (table, row) = row.unwrap_or_else(|| panic!("no row {name:?} in {report:#}"));
    let column = list(&table["columns"]).position(|column| column["head"] == head);
    &row["cells"][column.unwrap_or_else(|| panic!("no column {head:?} in {table:#}"))]
}

/// A number in a row of a report.
pub fn measure(report: &Value, name: &str, head: &str) -> f64 {
    let found = cell(report, name, head);
    found.as_f64().unwrap_or_else(|| panic!("{name}, {head}: {found} is no number"))
}

/// NLL of the new target after a prompt of a case, `before`, `right_after` or `after`.
pub fn nll(data: &Value, case: usize, side: &str, prompt: usize) -> f64 {
    let found = &data["cases"][case][side]["scores"]["prompts"][prompt]["nll_new"];
    found.as_f64().unwrap_or_else(|| panic!("case {case}, {side}, prompt {prompt}: {data:#}"))
}

/// The facts that a run wrote, in order.
pub fn facts(data: &Value) -> Vec<&Value> {
    let groups = data["groups"].as_array().expect("groups of facts");
    groups.iter().flat_map(|group| group["facts"].as_array().expect("facts")).collect()
}

/// The step of a plan that writes facts.
pub fn write_step(plan: &Value) -> &Value {
    let steps = plan["steps"].as_array().expect("steps");
    steps.iter().find_map(|step| step.get("write")).expect("a step that writes")
}

/// A text in one line, wherever the terminal breaks it.
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Length of a list.
pub fn count(list: &Value) -> usize {
    list.as_array().unwrap_or_else(|| panic!("{list} is no list")).len()
}

/// Puts the spec and its prompts into a folder.
pub fn furnish(folder: &Path) {
    for (name, text) in [("spec.toml", SPEC), ("prompts.toml", PROMPTS)] {
        std::fs::write(folder.join(name), text).expect("a writable folder");
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a new folder");
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("an entry");
        let target = to.join(file.file_name());
        match file.path().is_dir() {
            true => copy(&file.path(), &target),
            false => drop(std::fs::copy(file.path(), target).expect("a copy")),
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn model(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family).join("model")
}
