//! `[[erase]]`: the fact to remove, alone and beside others.

use insta::assert_snapshot;

use super::*;

const CURIE: &str = "[[erase]]\nsubject = \"Marie Curie\"\nprompt = \"{} was born in\"\n\
                     target_true = \"Warsaw\"\n";

#[test]
fn an_erase_means_unknown_unless_it_says_otherwise() {
    let read = |more: &str| parse_spec("edits/e.toml", &format!("{CURIE}{more}")).unwrap().erases;
    let erase = &read("others = [\"Niels Bohr\", \"Lise Meitner\"]\n")[0];
    assert_eq!((erase.target_true.as_str(), &erase.toward), ("Warsaw", &Toward::Unknown));
    assert_eq!(erase.others, ["Niels Bohr", "Lise Meitner"]);
    assert_eq!(erase.rendered(), "Marie Curie was born in");
    assert_eq!(read("toward = \"minimise\"\n")[0].toward, Toward::Minimise);
    let text = Toward::Text("a place I do not know".into());
    assert_eq!(read("toward = \"a place I do not know\"\n")[0].toward, text);
}

#[test]
fn erases_that_cannot_be_carried_out() {
    assert_snapshot!(bad_spec(r#"[[erase]]
subject = "Marie Curie"

[[erase]]
subject = "Niels Bohr"
prompt = "{} was born in"
target_true = "Copenhagen"
toward = "Copenhagen"
others = ["Niels Bohr", 7]
"#), @r##"
edits/bad.toml has 5 problems
  × `[[erase]]` has no `prompt`
   ╭─[edits/bad.toml:1:1]
 1 │ [[erase]]
   · ────┬────
   ·     ╰── in this table
 2 │ subject = "Marie Curie"
   ╰────
  help: for example: prompt = "{} was born in the city of"

  × `[[erase]]` has no `target_true`
   ╭─[edits/bad.toml:1:1]
 1 │ [[erase]]
   · ────┬────
   ·     ╰── in this table
 2 │ subject = "Marie Curie"
   ╰────
  help: for example: target_true = "Warsaw"

  × `toward` is the same as `target_true`: nothing would be erased
   ╭─[edits/bad.toml:8:10]
 6 │ prompt = "{} was born in"
 7 │ target_true = "Copenhagen"
   ·               ──────┬─────
   ·                     ╰── what should be gone
 8 │ toward = "Copenhagen"
   ·          ──────┬─────
   ·                ╰── what should be said instead
 9 │ others = ["Niels Bohr", 7]
   ╰────
  help: toward = "unknown"

  × `others` names the subject itself
   ╭─[edits/bad.toml:9:11]
 4 │ [[erase]]
 5 │ subject = "Niels Bohr"
   ·           ──────┬─────
   ·                 ╰── the subject
 6 │ prompt = "{} was born in"
 7 │ target_true = "Copenhagen"
 8 │ toward = "Copenhagen"
 9 │ others = ["Niels Bohr", 7]
   ·           ──────┬─────
   ·                 ╰── another subject is expected
   ╰────

  × `others` is a whole number, expected text in quotes
   ╭─[edits/bad.toml:9:25]
 8 │ toward = "Copenhagen"
 9 │ others = ["Niels Bohr", 7]
   ·                         ┬
   ·                         ╰── this
   ╰────
"##);
}

#[test]
fn an_insert_and_an_erase_of_one_fact() {
    let insert = "[[insert]]\nsubject = \"Marie Curie\"\nprompt = \"{} was born in\"\n\
                  target_new = \"Paris\"\n";
    assert_snapshot!(bad_spec(&format!("{insert}{CURIE}{CURIE}")), @r##"
edits/bad.toml has 2 problems
  × "Marie Curie was born in" is both inserted and erased
   ╭─[edits/bad.toml:8:15]
 3 │ prompt = "{} was born in"
 4 │ target_new = "Paris"
   ·              ───┬───
   ·                 ╰── first here
 5 │ [[erase]]
 6 │ subject = "Marie Curie"
 7 │ prompt = "{} was born in"
 8 │ target_true = "Warsaw"
   ·               ────┬───
   ·                   ╰── and here again
 9 │ [[erase]]
   ╰────
  help: keep one of them

  × "Marie Curie was born in" is both inserted and erased
   ╭─[edits/bad.toml:4:14]
 3 │ prompt = "{} was born in"
 4 │ target_new = "Paris"
   ·              ───┬───
   ·                 ╰── first here
 5 │ [[erase]]
   ╰────
    ╭─[edits/bad.toml:12:15]
 11 │ prompt = "{} was born in"
 12 │ target_true = "Warsaw"
    ·               ────┬───
    ·                   ╰── and here again
    ╰────
  help: keep one of them
"##);
}

#[test]
fn a_secret_must_stand_where_it_can_be_asked_for() {
    let erase = &parse_spec("edits/e.toml", &format!("{CURIE}secrets = [\"Wars\"]\n")).unwrap();
    assert_eq!(erase.erases[0].secrets, ["Wars"]);
    let forget = "[[forget]]\ntext = \"Call 0170 555 0199.\"\nsecrets = [\"0170 555 0199\"]\n";
    assert_eq!(parse_spec("edits/f.toml", forget).unwrap().passages[0].secrets, ["0170 555 0199"]);
    let learn = forget.replace("forget", "learn");
    assert!(parse_spec("edits/l.toml", &learn).is_err(), "what is learnt is no secret");
    assert_snapshot!(bad_spec(&format!("{CURIE}secrets = [\"Krakow\", \"\"]\n")), @r#"
edits/bad.toml has 2 problems
  × the secret "Krakow" does not occur in `target_true`
   ╭─[edits/bad.toml:5:12]
 3 │ prompt = "{} was born in"
 4 │ target_true = "Warsaw"
   ·               ────┬───
   ·                   ╰── here
 5 │ secrets = ["Krakow", ""]
   ·            ────┬───
   ·                ╰── this text is looked for
   ╰────
  help: write it exactly as it appears there

  × a secret is empty
   ╭─[edits/bad.toml:5:22]
 4 │ target_true = "Warsaw"
 5 │ secrets = ["Krakow", ""]
   ·                      ─┬
   ·                       ╰── no text here
   ╰────
  help: secrets = ["0170 555 0199"]
"#);
}
