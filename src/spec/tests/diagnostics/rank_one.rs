//! `[rank_one]`: how facts are written.

use insta::assert_snapshot;

use super::*;

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
  help: expected one of rome, emmet, memit, alphaedit

  × `layers` is empty
   ╭─[edits/bad.toml:3:10]
 2 │ method = "memti"
 3 │ layers = []
   ·          ─┬
   ·           ╰── this
 4 │ seed = -1
   ╰────
  help: name a layer, or leave `layers` out

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
   ·                  ╰── expected a number above 0, at most 100
 8 │ clamp = 0
   ╰────

  × `clamp` is out of range
   ╭─[edits/bad.toml:8:9]
 7 │ learning_rate = nan
 8 │ clamp = 0
   ·         ┬
   ·         ╰── expected a number above 0, at most 1e6
 9 │ weight_decay = -0.5
   ╰────

  × `weight_decay` is out of range
    ╭─[edits/bad.toml:9:16]
  8 │ clamp = 0
  9 │ weight_decay = -0.5
    ·                ──┬─
    ·                  ╰── expected a number from 0 to 1e6
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
        ("layers = \"all\"", "`layers` is neither a list nor \"auto\" or \"sweep\""),
        ("layers = [-1]", "a layer is a whole number, counted from 0"),
        ("method = \"memit\"\nlayers = [4, 5, 4]", "`layers` names a layer twice"),
        ("method = \"rmoe\"", "unknown method \"rmoe\""),
    ];
    for (line, expected) in rows {
        let error = parse_spec("a.toml", &format!("[rank_one]\n{line}\n{EIFFEL}")).unwrap_err();
        assert_eq!(error.problems()[0].message, expected, "{line}");
    }
}
