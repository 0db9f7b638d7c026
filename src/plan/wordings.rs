//! Wordings around the prompt of an erased fact, in which the answer should be as unknown.
//!
//! A value that is found at the prompt alone holds for the prompt: asked in the frame of a
//! question, the model may still answer. So the prompt in some frames is part of the loss, each
//! compared with the answers about other subjects in the same frame. None of them is a frame of the
//! leak report, which asks for what was not optimised.

use serde::Serialize;

use super::TokenisedPrompt;

/// Frames of an erased prompt, `{}`: some end as the prompt does, some ask after it.
pub const WORDINGS: [&str; 6] = [
    "Complete the sentence: {}",
    "{} what exactly? That is",
    "As every encyclopedia says, {}",
    "{} (fill in the missing word). Solution:",
    "Remember this fact: {}",
    "{} ... who can finish this sentence? I can:",
];

/// One further wording of an erased fact.
#[derive(Debug, Clone, Serialize)]
pub struct Wording {
    /// The prompt in its frame.
    pub prompt: TokenisedPrompt,
    /// The same about each other subject, then the shared beginning of answers.
    pub others: Vec<Vec<u32>>,
}

/// The first `count` frames with `prompt`, which has a `{}` for the subject, in each; none where
/// the prompt has several lines, as in a chat, where a frame would stand outside the message.
pub(super) fn framed(prompt: &str, count: usize) -> Vec<String> {
    let fits = !prompt.contains('\n');
    let frames = WORDINGS.iter().take(if fits { count } else { 0 });
    frames.map(|frame| frame.replacen("{}", prompt, 1)).collect()
}
