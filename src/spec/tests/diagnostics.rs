//! Wrong files, and what is said about them.

use super::*;

mod erase;
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
