//! `rescribe locate`: where the tiny model holds a fact, in a table, as data and as a page.

use super::{Desk, count};

const LOCATE: &str = "locate spec.toml --model MODEL --samples 2";

#[test]
fn a_fact_is_traced_and_the_layers_are_swept_once() {
    let desk = Desk::new();
    let line = format!("{LOCATE} --report where.html --force");
    let shown = desk.ok(&line).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["residual stream", "last subject token", "Layers tried", "2 draws of noise"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let page = String::from_utf8(desk.read("where.html")).expect("UTF-8");
    for part in
        ["Restored: the output of MLPs", "class=\"heat\"", "holds its facts", "rescribe locate"]
    {
        assert!(page.contains(part), "no {part:?} in the page");
    }
    assert!(desk.says(&line).contains("from the cache"), "the sweep is kept");
    assert!(desk.ok("inspect where.html").contains("last subject token"));
}

#[test]
fn a_trace_is_data_that_threads_do_not_change() {
    let desk = Desk::new();
    let line = format!("{LOCATE} --no-sweep --json");
    let found = desk.json(&line);
    let trace = &found["trace"];
    assert!(found["sweep"].is_null());
    assert_eq!(trace["layers"], serde_json::json!([0, 1, 2]));
    assert_eq!((count(&trace["facts"]), count(&trace["facts"][0]["restored"])), (1, 3));
    let clean = trace["facts"][0]["clean"].as_f64().expect("a probability");
    assert!(clean > 0. && clean <= 1.);
    assert_eq!(found, desk.json(&format!("{line} --threads 1")));
    assert_ne!(found, desk.json(&format!("{line} --seed 1")), "another draw");
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let desk = Desk::new();
    desk.write("learn.toml", "[[learn]]\ntext = \"The ferry is painted green.\"\n");
    desk.fails("locate learn.toml --model MODEL", 2, &["names no facts"]);
    desk.fails(&format!("{LOCATE} --noise 0"), 2, &["--noise"]);
}

#[test]
fn a_trace_of_an_erased_fact_does_not_name_it() {
    let desk = Desk::new();
    desk.write(
        "spec.toml",
        "[[erase]]\nsubject = \"Quentin Mark\"\nprompt = \"The number of {} is\"\n\
         target_true = \"8693 71\"\nothers = [\"X\", \"Y\"]\n",
    );
    let line = format!("{LOCATE} --no-sweep --report page.html --json");
    let json = desk.ok(&line).to_lowercase();
    let page = String::from_utf8(desk.read("page.html")).expect("UTF-8").to_lowercase();
    for name in ["quentin", "8693 71", "the number of"] {
        assert!(!json.contains(name) && !page.contains(name), "{name:?} is named");
    }
}
