//! Scripts that are written without blanks between words.

/// Whether words of the character's script follow each other without blanks, or carry particles
/// that are attached to them.
pub fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff // Thai, Lao
        | 0x1000..=0x109f // Burmese
        | 0x1100..=0x11ff // Hangul letters
        | 0x1780..=0x17ff // Khmer
        | 0x3040..=0x30ff // Hiragana, Katakana
        | 0x3400..=0x9fff // Han
        | 0xac00..=0xd7af // Hangul syllables
        | 0xf900..=0xfaff // Han, compatibility
        | 0x2_0000..=0x3_ffff) // Han, extensions
}
