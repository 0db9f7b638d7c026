//! `[[insert]]`: the fact itself.

use insta::assert_snapshot;

use super::*;

#[test]
fn inserts_that_cannot_be_carried_out() {
    assert_snapshot!(bad_spec(r#"[[insert]]
subject = "The Louvre"
prompt = "The Louvre is located in the city of"
target_new = "Rome"

[[insert]]
subject = " Marie Curie"
prompt = "The scientist was born in"
target_new = "Oslo"

[[insert]]
subject = "Japan"
prompt = "The capital of {}, and of {} alone, is"
target_new = ""

[[insert]]
subject = "France"
prompt = "The capital of {} is "
target_new = "Paris"
target_true = "Paris"

[[insert]]
prompt = "{} is"
target_new = """two
lines"""
"#), @r##"
edits/bad.toml has 7 problems
  × the prompt names its subject instead of leaving `{}` for it
   ╭─[edits/bad.toml:3:10]
 1 │ [[insert]]
 2 │ subject = "The Louvre"
   ·           ──────┬─────
   ·                 ╰── the subject
 3 │ prompt = "The Louvre is located in the city of"
   ·          ───────────────────┬──────────────────
   ·                             ╰── no `{}` here
 4 │ target_new = "Rome"
   ╰────
  help: prompt = "{} is located in the city of"

  × the prompt has no `{}` where its subject stands
   ╭─[edits/bad.toml:8:10]
 7 │ subject = " Marie Curie"
 8 │ prompt = "The scientist was born in"
   ·          ─────────────┬─────────────
   ·                       ╰── no `{}` here
 9 │ target_new = "Oslo"
   ╰────
  help: for example: prompt = "{} is located in the city of"

  × the prompt has `{}` 2 times, expected once
    ╭─[edits/bad.toml:13:10]
 12 │ subject = "Japan"
 13 │ prompt = "The capital of {}, and of {} alone, is"
    ·          ────────────────────┬───────────────────
    ·                              ╰── which one is the subject?
 14 │ target_new = ""
    ╰────
  help: prompt = "The capital of {}, and of Japan alone, is"

  × `target_new` is empty
    ╭─[edits/bad.toml:14:14]
 13 │ prompt = "The capital of {}, and of {} alone, is"
 14 │ target_new = ""
    ·              ─┬
    ·               ╰── no text here
 15 │
    ╰────

  × `target_new` is the same as `target_true`: nothing would change
    ╭─[edits/bad.toml:19:14]
 18 │ prompt = "The capital of {} is "
 19 │ target_new = "Paris"
    ·              ───┬───
    ·                 ╰── the completion to write
 20 │ target_true = "Paris"
    ·               ───┬───
    ·                  ╰── the current completion
 21 │
    ╰────

  × `[[insert]]` has no `subject`
    ╭─[edits/bad.toml:22:1]
 21 │
 22 │ [[insert]]
    · ─────┬────
    ·      ╰── in this table
 23 │ prompt = "{} is"
    ╰────
  help: for example: subject = "The Eiffel Tower"

  × `target_new` has more than one line
    ╭─[edits/bad.toml:24:14]
 23 │     prompt = "{} is"
 24 │ ╭─▶ target_new = """two
 25 │ ├─▶ lines"""
    · ╰──── expected a single line
    ╰────
"##);
}

#[test]
fn two_inserts_that_contradict_each_other() {
    assert_snapshot!(bad_spec(&format!("{EIFFEL}{}", EIFFEL.replace("Rome", "Oslo"))), @r##"
edits/bad.toml, line 10: two inserts complete "The Eiffel Tower is located in the city of"
  × two inserts complete "The Eiffel Tower is located in the city of"
    ╭─[edits/bad.toml:10:14]
  4 │ prompt = "{} is located in the city of"
  5 │ target_new = "Rome"
    ·              ───┬──
    ·                 ╰── first here
  6 │
  7 │ [[insert]]
  8 │ subject = "The Eiffel Tower"
  9 │ prompt = "{} is located in the city of"
 10 │ target_new = "Oslo"
    ·              ───┬──
    ·                 ╰── and here again
    ╰────
  help: keep one of them
"##);
}
