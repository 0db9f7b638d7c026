//! Prompt files and collections of records.

use insta::assert_snapshot;

use super::super::collections::COUNTERFACT;
use super::*;

#[test]
fn prompts_that_cannot_be_measured() {
    assert_snapshot!(bad_prompts("prompts/bad.toml", r#"[[rewrite]]
prompt = "{} is in"

[[ripple]]
prompt = "The tower stands in the country of"

[[paraphrase]]
promt = "The tower is in"

[[neighborhood]]
prompt = "The Louvre is in"
target_new = "Paris"
target_true = "Paris"

[[retain]]
text = " "

[[generation]]
prompt = "The tower"
target_new = "x"
"#), @r##"
prompts/bad.toml has 7 problems
  × `prompt` has `{}`, but a prompt file has no subject
   ╭─[prompts/bad.toml:2:10]
 1 │ [[rewrite]]
 2 │ prompt = "{} is in"
   ·          ─────┬────
   ·               ╰── write the name out
 3 │
   ╰────

  × `[[ripple]]` has no `target_new`
   ╭─[prompts/bad.toml:4:1]
 3 │
 4 │ [[ripple]]
   · ─────┬────
   ·      ╰── another fact than the edit, so its targets are its own
 5 │ prompt = "The tower stands in the country of"
   ╰────
  help: for example: target_new = "Italy", target_true = "France"

  × `[[paraphrase]]` has no `prompt`
   ╭─[prompts/bad.toml:7:1]
 6 │
 7 │ [[paraphrase]]
   · ───────┬──────
   ·        ╰── in this table
 8 │ promt = "The tower is in"
   ╰────
  help: for example: prompt = "The Louvre is located in the city of"

  × unknown key `promt` in `[[paraphrase]]`
   ╭─[prompts/bad.toml:8:1]
 7 │ [[paraphrase]]
 8 │ promt = "The tower is in"
   · ──┬──
   ·   ╰── did you mean `prompt`?
 9 │
   ╰────
  help: known keys: prompt, target_new, target_true

  × `target_new` is the same as `target_true`: there is nothing to compare
    ╭─[prompts/bad.toml:12:14]
 11 │ prompt = "The Louvre is in"
 12 │ target_new = "Paris"
    ·              ───┬───
    ·                 ╰── this
 13 │ target_true = "Paris"
    ·               ───┬───
    ·                  ╰── and this
 14 │
    ╰────

  × `text` is empty
    ╭─[prompts/bad.toml:16:8]
 15 │ [[retain]]
 16 │ text = " "
    ·        ─┬─
    ·         ╰── no text here
 17 │
    ╰────

  × unknown key `target_new` in `[[generation]]`
    ╭─[prompts/bad.toml:20:1]
 19 │ prompt = "The tower"
 20 │ target_new = "x"
    · ─────┬────
    ·      ╰── not known here
    ╰────
  help: known keys: prompt
"##);
    assert_snapshot!(bad_prompts("prompts/bad.toml", ""), @r##"
prompts/bad.toml: the file has no prompts
  × the file has no prompts
  help: for example: [[rewrite]] with prompt, target_new and target_true
"##);
}

#[test]
fn records_that_cannot_be_used_are_named() {
    let broken = COUNTERFACT.replace("\"str\": \"English\"", "\"text\": \"English\"");
    let lines = format!("{COUNTERFACT}\n{broken}\n{{\"question\": \"Who?\", \"answer\": \"I\"}}\n");
    assert_snapshot!(bad_prompts("records.json", &lines), @r##"
records.json has 2 problems
  × line 2: record 1 (id 7) has no `requested_rewrite.target_new.str`

  × line 3: record 2 (id 2) is a question with its answer, as in TOFU, MUSE
  │ and RWKU, and not an edit: name the file with `passages` in a spec
"##);
    let array = format!("[{COUNTERFACT}, {broken}, {{\"a\": 1}}, 5]");
    assert_snapshot!(bad_prompts("records.json", &array), @r##"
records.json has 3 problems
  × line 1: record 1 (id 7) has no `requested_rewrite.target_new.str`

  × line 1: record 2 (id 2) has no known form, as an object with `a`: expected
  │ `requested_rewrite` (CounterFact, MQuAKE), `src` and `alt` (zsRE), `edit`
  │ (RippleEdits), or `subject`, `prompt` and `target_new` (KnowEdit)

  × line 1: record 3 (id 3) has no known form, as a number: expected
  │ `requested_rewrite` (CounterFact, MQuAKE), `src` and `alt` (zsRE), `edit`
  │ (RippleEdits), or `subject`, `prompt` and `target_new` (KnowEdit)
"##);
    assert_snapshot!(bad_prompts("records.json", "[\n  {\"case_id\": 1,\n   \"é\": }\n]"), @r##"
records.json, line 3: not valid JSON: expected value, at column 9
  × not valid JSON: expected value, at column 9
   ╭─[records.json:3:10]
 2 │   {"case_id": 1,
 3 │    "é": }
   ·         ┬
   ·         ╰── here
 4 │ ]
   ╰────
"##);
    assert_snapshot!(bad_prompts("records.json", "[]"), @r##"
records.json: the file has no records
  × the file has no records
"##);
}

#[test]
fn only_the_first_problems_are_shown() {
    let line = "{\"a\": 1}\n";
    let text = bad_prompts("records.json", &line.repeat(25));
    assert!(text.starts_with("records.json has 25 problems"));
    assert!(text.ends_with("  and 5 more\n"));
}
