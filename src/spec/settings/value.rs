//! The value of a setting, before it is converted to the type of its option.

use std::path::PathBuf;

/// A value that a [`Kind`](super::Kind) has accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(usize),
    /// A seed, which may be any number of 64 bits.
    Seed(u64),
    /// A real number, always finite.
    Real(f64),
    /// `true` or `false`.
    Switch(bool),
    /// One of the words of the kind.
    Word(&'static str),
    /// `"auto"`: the plan chooses.
    Auto,
    /// `"sweep"`: what suits best is found by trying.
    Sweep,
    /// Layers, ascending and without repeats; at least one.
    Layers(Vec<usize>),
    /// A file, joined to the folder of the spec that names it.
    File(PathBuf),
}

/// The type of an option, to and from a value.
pub(in crate::spec) trait Typed: Sized {
    /// `None` where the kind of the setting does not fit the type of its option.
    fn of(value: Value) -> Option<Self>;

    /// The value that [`of`](Self::of) takes.
    fn value(&self) -> Value;
}

/// Implements [`Typed`] for a type that one variant holds.
macro_rules! typed {
    ($($type:ty = $variant:ident),+ $(,)?) => {$(
        impl Typed for $type {
            fn of(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(inner) => Some(inner),
                    _ => None,
                }
            }

            fn value(&self) -> Value {
                Value::$variant(self.clone())
            }
        }
    )+};
}

typed!(
    usize = Count,
    u64 = Seed,
    f64 = Real,
    bool = Switch,
    Vec<usize> = Layers,
    PathBuf = File,
);
