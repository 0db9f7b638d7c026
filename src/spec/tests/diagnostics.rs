//! Wrong files, and what is said about them.

use super::*;

mod file;
mod insert;
mod prompts;
mod rank_one;

fn bad_spec(text: &str) -> String {
    shown(&parse_spec("edits/bad.toml", text).expect_err("the spec is wrong"))
}

fn bad_prompts(name: &str, text: &str) -> String {
    shown(&parse_prompts(name, text).expect_err("the file is wrong"))
}
<<<<<<< HEAD
=======

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
edits/bad.toml has 9 problems
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

  × `subject` has blanks around its text
   ╭─[edits/bad.toml:7:11]
 6 │ [[insert]]
 7 │ subject = " Marie Curie"
   ·           ───────┬──────
   ·                  ╰── blank at the start or end
 8 │ prompt = "The scientist was born in"
   ╰────
  help: subject = "Marie Curie"

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

  × `prompt` has blanks around its text
    ╭─[edits/bad.toml:18:10]
 17 │ subject = "France"
 18 │ prompt = "The capital of {} is "
    ·          ───────────┬───────────
    ·                     ╰── blank at the start or end
 19 │ target_new = "Paris"
    ╰────
  help: prompt = "The capital of {} is"

  × `target_new` is the same as `target_true`: nothing would change
    ╭─[edits/bad.toml:19:14]
 18 │ prompt = "The capital of {} is "
 19 │ target_new = "Paris"
    ·              ───┬───
    ·                 ╰── the completion to write
 20 │ target_true = "Paris"
    ·               ───┬───
    ·                  ╰── the completion of today
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

#[test]
fn options_out_of_range() {
    assert_snapshot!(bad_spec(&format!(r#"[rank_one]
method = "memti"
layers = []
seed = -1
parity = "yes"
steps = 0
learning_rate = nan
clamp = 0
weight_decay = -0.5
second_moment_tokens = 99999999999999999999
{EIFFEL}"#)), @r##"
edits/bad.toml has 9 problems
  × unknown method "memti"
   ╭─[edits/bad.toml:2:10]
 1 │ [rank_one]
 2 │ method = "memti"
   ·          ───┬───
   ·             ╰── did you mean "memit"?
 3 │ layers = []
   ╰────
  help: methods: rome, emmet, memit, alphaedit

  × `layers` is empty
   ╭─[edits/bad.toml:3:10]
 2 │ method = "memti"
 3 │ layers = []
   ·          ─┬
   ·           ╰── this
 4 │ seed = -1
   ╰────
  help: name a layer, or write layers = "auto"

  × `seed` is out of range
   ╭─[edits/bad.toml:4:8]
 3 │ layers = []
 4 │ seed = -1
   ·        ─┬
   ·         ╰── expected a whole number from 0 to 18446744073709551615
 5 │ parity = "yes"
   ╰────

  × `parity` is text, expected true or false
   ╭─[edits/bad.toml:5:10]
 4 │ seed = -1
 5 │ parity = "yes"
   ·          ──┬──
   ·            ╰── this
 6 │ steps = 0
   ╰────

  × `steps` is out of range
   ╭─[edits/bad.toml:6:9]
 5 │ parity = "yes"
 6 │ steps = 0
   ·         ┬
   ·         ╰── expected a whole number from 1 to 10000
 7 │ learning_rate = nan
   ╰────

  × `learning_rate` is out of range
   ╭─[edits/bad.toml:7:17]
 6 │ steps = 0
 7 │ learning_rate = nan
   ·                 ─┬─
   ·                  ╰── expected a number above 0
 8 │ clamp = 0
   ╰────

  × `clamp` is out of range
   ╭─[edits/bad.toml:8:9]
 7 │ learning_rate = nan
 8 │ clamp = 0
   ·         ┬
   ·         ╰── expected a number above 0
 9 │ weight_decay = -0.5
   ╰────

  × `weight_decay` is out of range
    ╭─[edits/bad.toml:9:16]
  8 │ clamp = 0
  9 │ weight_decay = -0.5
    ·                ──┬─
    ·                  ╰── expected a number of at least 0
 10 │ second_moment_tokens = 99999999999999999999
    ╰────

  × `second_moment_tokens` is out of range
    ╭─[edits/bad.toml:10:24]
  9 │ weight_decay = -0.5
 10 │ second_moment_tokens = 99999999999999999999
    ·                        ──────────┬─────────
    ·                                  ╰── expected a whole number from 1 to 1000000000
 11 │
    ╰────
"##);
}

#[test]
fn layers_and_methods_that_do_not_exist() {
    let rows = [
        ("layers = 3", "`layers` is a list"),
        ("layers = \"all\"", "`layers` is neither a list nor \"auto\""),
        ("layers = [-1]", "a layer is a whole number, counted from 0"),
        ("layers = [4, 5]", "`layers` names 2 layers, but method \"rome\" writes at one"),
        ("method = \"memit\"\nlayers = [4, 5, 4]", "`layers` names a layer twice"),
        ("method = \"rmoe\"", "unknown method \"rmoe\""),
    ];
    for (line, expected) in rows {
        let error = parse_spec("a.toml", &format!("[rank_one]\n{line}\n{EIFFEL}")).unwrap_err();
        assert_eq!(error.problems()[0].message, expected, "{line}");
    }
}

#[test]
fn keys_that_are_not_known() {
    assert_snapshot!(bad_spec(r#"modle = "smollm2"

[rank_one]
stepps = 20
colour = "blue"

[insert]
subject = "Rome"

[probe]
prompt = "a.toml"
"#), @r##"
edits/bad.toml has 6 problems
  × unknown key `modle`
   ╭─[edits/bad.toml:1:1]
 1 │ modle = "smollm2"
   · ──┬──
   ·   ╰── did you mean `model`?
 2 │
   ╰────
  help: known keys: model, rank_one, insert, probe, erase, forget, learn

  × unknown key `stepps` in `[rank_one]`
   ╭─[edits/bad.toml:4:1]
 3 │ [rank_one]
 4 │ stepps = 20
   · ───┬──
   ·    ╰── did you mean `steps`?
 5 │ colour = "blue"
   ╰────
  help: known keys: method, layers, seed, parity, contexts, context_tokens,
        steps, learning_rate, clamp, weight_decay, kl_weight, stop_loss,
        second_moment_tokens, ridge, corpus, max_delta, lambda, null_space,
        sequential, max_perplexity

  × unknown key `colour` in `[rank_one]`
   ╭─[edits/bad.toml:5:1]
 4 │ stepps = 20
 5 │ colour = "blue"
   · ───┬──
   ·    ╰── not known here
 6 │
   ╰────
  help: known keys: method, layers, seed, parity, contexts, context_tokens,
        steps, learning_rate, clamp, weight_decay, kl_weight, stop_loss,
        second_moment_tokens, ridge, corpus, max_delta, lambda, null_space,
        sequential, max_perplexity

  × `insert` is a table, expected a list of tables, each under `[[insert]]`
   ╭─[edits/bad.toml:7:1]
 6 │
 7 │ [insert]
   · ────┬───
   ·     ╰── this
 8 │ subject = "Rome"
   ╰────

  × `[probe]` has no `prompts`
    ╭─[edits/bad.toml:10:1]
  9 │
 10 │ [probe]
    · ───┬───
    ·    ╰── in this table
 11 │ prompt = "a.toml"
    ╰────
  help: for example: prompts = "../prompts/eiffel.toml"

  × unknown key `prompt` in `[probe]`
    ╭─[edits/bad.toml:11:1]
 10 │ [probe]
 11 │ prompt = "a.toml"
    · ───┬──
    ·    ╰── did you mean `prompts`?
    ╰────
  help: known keys: prompts
"##);
}

#[test]
fn text_that_is_not_toml() {
    assert_snapshot!(bad_spec("[[insert]]\nsubject = \"The Eiffel Tower\nprompt = \"{} is in\"\n"), @r##"
edits/bad.toml, line 2: not valid TOML: invalid basic string, expected `"`
  × not valid TOML: invalid basic string, expected `"`
   ╭─[edits/bad.toml:2:28]
 1 │ [[insert]]
 2 │ subject = "The Eiffel Tower
   ·                            ▲
   ·                            ╰── here
 3 │ prompt = "{} is in"
   ╰────
"##);
    assert_snapshot!(bad_spec("model = 1\nmodel = 2\n"), @r##"
edits/bad.toml, line 2: not valid TOML: duplicate key
  × not valid TOML: duplicate key
   ╭─[edits/bad.toml:2:1]
 1 │ model = 1
 2 │ model = 2
   · ──┬──
   ·   ╰── here
   ╰────
"##);
}

#[test]
fn operations_of_other_versions_and_none_at_all() {
    assert_snapshot!(bad_spec("[[erase]]\nsubject = \"Marie Curie\"\n\n[[forget]]\ntext = \"a\"\n"), @r##"
edits/bad.toml has 2 problems
  × `[[erase]]` is not part of this version
   ╭─[edits/bad.toml:1:1]
 1 │ [[erase]]
   · ────┬────
   ·     ╰── known, but not built yet
 2 │ subject = "Marie Curie"
   ╰────
  help: operations of this version: [[insert]]

  × `[[forget]]` is not part of this version
   ╭─[edits/bad.toml:4:1]
 3 │
 4 │ [[forget]]
   · ─────┬────
   ·      ╰── known, but not built yet
 5 │ text = "a"
   ╰────
  help: operations of this version: [[insert]]
"##);
    assert_snapshot!(bad_spec("# nothing yet\n"), @r##"
edits/bad.toml: the spec has no operation
  × the spec has no operation
  help: add an [[insert]] with subject, prompt and target_new
"##);
}

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

  × line 3: record 2 (id 2) is a question with its answer, as in TOFU, and not
  │ an edit
"##);
    let array = format!("[{COUNTERFACT}, {broken}, {{\"a\": 1}}, 5]");
    assert_snapshot!(bad_prompts("records.json", &array), @r##"
records.json has 3 problems
  × record 1 (id 7) has no `requested_rewrite.target_new.str`

  × record 2 (id 2) is of no known form: expected `requested_rewrite`
  │ (CounterFact), `src` and `alt` (zsRE), or `subject`, `prompt` and
  │ `target_new` (KnowEdit)

  × record 3 (id 3) is of no known form: expected `requested_rewrite`
  │ (CounterFact), `src` and `alt` (zsRE), or `subject`, `prompt` and
  │ `target_new` (KnowEdit)
"##);
    assert_snapshot!(bad_prompts("records.json", "[\n  {\"case_id\": 1,\n   \"é\": }\n]"), @r##"
records.json, line 3: not valid JSON: expected value at line 3 column 10
  × not valid JSON: expected value at line 3 column 10
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
>>>>>>> 6b056ae (rank_one: rome, emmet, memit and alphaedit from one solve; batches and sequences of facts)
