//! What `--json` prints, held against the schema that the program publishes.

use jsonschema::Validator;
use serde_json::Value;

use super::desk::Desk;

fn problems(schema: &Validator, report: &Value) -> Vec<String> {
    schema.iter_errors(report).map(|it| format!("{}: {it}", it.instance_path())).collect()
}

#[test]
fn every_report_has_the_published_form() {
    let desk = Desk::new();
    let schema: Value = serde_json::from_str(&desk.ok("schema")).expect("a schema");
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    desk.write("forget.toml", "[gradient]\nsteps = 1\n\n[[forget]]\ntext = \"Rome is old.\"\n");
    let lines = [
        "edit spec.toml --model MODEL --max-delta 10 --json",
        "probe spec.toml --model MODEL --json --patch spec.patch.safetensors",
        "verify spec.toml --model MODEL --patch spec.patch.safetensors --json",
        "locate spec.toml --model MODEL --samples 1 --json",
        "compare forget.toml --model MODEL --methods npo --json",
        "ask Rome --model MODEL --json",
    ];
    for line in lines {
        let output = desk.run(line);
        // A check that differs exits with 1, and still reports.
        assert!(output.status.code().is_some_and(|code| code < 2), "{line}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(problems(&validator, &report), Vec::<String>::new(), "{line}");
        // The schema can fail.
        let mut wrong = report.clone();
        wrong["sections"] = Value::from("none");
        assert!(!validator.is_valid(&wrong), "{line}");
    }
}

#[test]
fn every_part_of_the_schema_is_described() {
    let schema: Value = serde_json::from_str(&Desk::new().ok("schema --quiet")).expect("a schema");
    let parts = schema["$defs"].as_object().expect("parts");
    assert!(parts.len() > 10, "{parts:?}");
    for (name, part) in parts.iter().chain([(&"Report".to_owned(), &schema)]) {
        assert!(part["description"].is_string(), "{name} is described");
        for (key, field) in part["properties"].as_object().into_iter().flatten() {
            assert!(field["description"].is_string(), "{name}.{key} is described");
        }
    }
}
