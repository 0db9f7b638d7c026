//! What the user wrote: text to typed values with spans; no model, no hidden defaults.
