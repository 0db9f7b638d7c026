//! A prompt as the decoder reads it.

/// A tokenised prompt and the place in it where the fact is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Index of the subject's last token.
    pub lookup: usize,
}

impl Located {
    /// The prompt, cut off after the lookup token.
    pub fn up_to_lookup(mut self) -> Self {
        self.ids.truncate(self.lookup + 1);
        self
    }
}
