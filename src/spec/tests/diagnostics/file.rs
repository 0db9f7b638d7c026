//! The file as a whole: its keys, its syntax, its operations.

use insta::assert_snapshot;

use super::*;

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
  help: known keys: model, template, blank, rank_one, insert, erase, gradient,
        learn, forget, verdict, probe

  × unknown key `stepps` in `[rank_one]`
   ╭─[edits/bad.toml:4:1]
 3 │ [rank_one]
 4 │ stepps = 20
   · ───┬──
   ·    ╰── did you mean `steps`?
 5 │ colour = "blue"
   ╰────
  help: known keys: method, layers, seed, parity, contexts, context_tokens,
        steps, learning_rate, clamp, weight_decay, kl_weight, end_weight,
        stop_loss, neighbor_weight, near_weight, scatter_weight, wordings,
        lens_weight, second_moment_tokens, ridge, corpus, max_delta,
        max_drift, price, lambda, null_space, sequential, max_perplexity

  × unknown key `colour` in `[rank_one]`
   ╭─[edits/bad.toml:5:1]
 4 │ stepps = 20
 5 │ colour = "blue"
   · ───┬──
   ·    ╰── not known here
 6 │
   ╰────
  help: known keys: method, layers, seed, parity, contexts, context_tokens,
        steps, learning_rate, clamp, weight_decay, kl_weight, end_weight,
        stop_loss, neighbor_weight, near_weight, scatter_weight, wordings,
        lens_weight, second_moment_tokens, ridge, corpus, max_delta,
        max_drift, price, lambda, null_space, sequential, max_perplexity

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
fn no_operation_at_all() {
    assert_snapshot!(bad_spec("# nothing yet\n"), @r##"
edits/bad.toml: the spec has no operation
  × the spec has no operation
  help: add an [[insert]], an [[erase]], a [[learn]] or a [[forget]]
"##);
}
