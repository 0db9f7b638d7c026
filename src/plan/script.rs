//! Scripts in which the end of a word is not seen.

use crate::model::is_spaceless;

/// Whether words of the character's script follow each other without blanks, or carry particles
/// that are attached to them, as Korean ones do.
pub fn is_unspaced(c: char) -> bool {
    let is_hangul = matches!(u32::from(c), 0x1100..=0x11ff | 0xac00..=0xd7af);
    is_hangul || is_spaceless(c)
}
