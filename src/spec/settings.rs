//! Settings, each declared once: its key, its kind of value, its conditions, and one line about it.
//!
//! A group of settings is a table of a spec (`[rank_one]`, `[gradient]`, `[verdict]`) and as many
//! flags. Its `settings!` list is the only place that names them: the typed options, the reader of
//! the table, the flags with their help, the error of a value out of range, and the refusal of a
//! setting that a run does not use are all made from that list.

mod kind;
mod text;
mod unused;
mod value;

use std::path::Path;

pub use kind::{Kind, Reals};
pub use unused::{Condition, Unused, Uses};
pub(super) use value::Typed;
pub use value::Value;

use super::table::Fields;
use super::text_file::FileCheck;

/// One key of a table, which is also a flag.
#[derive(Debug)]
pub struct Setting {
    /// The key in the table.
    pub key: &'static str,
    /// The kind of value that it takes.
    pub kind: Kind,
    /// The line of documentation, as in the list.
    doc: &'static str,
    /// Conditions under which a run uses it; none: every run of the group does.
    pub conditions: &'static [Condition],
}

impl Setting {
    pub(super) const fn new(
        key: &'static str,
        kind: Kind,
        doc: &'static str,
        conditions: &'static [Condition],
    ) -> Self {
        Self { key, kind, doc, conditions }
    }

    /// The line of documentation, without a full stop.
    pub fn doc(&self) -> &'static str {
        self.doc.trim().trim_end_matches('.')
    }
}

/// The settings of one table.
#[derive(Debug)]
pub struct Group {
    /// The table in a spec.
    pub table: &'static str,
    /// The prefix of its flags, after the two dashes.
    pub prefix: &'static str,
    /// The settings of the group, in the order of the documentation.
    pub settings: &'static [Setting],
}

impl Group {
    /// The name of a setting's flag, without the two dashes.
    pub fn flag(&self, setting: &Setting) -> String {
        format!("{}{}", self.prefix, setting.key.replace('_', "-"))
    }

    /// The setting that a flag sets, if it is one of this group's.
    pub fn of_flag(&self, flag: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| self.flag(setting) == flag)
    }
}

/// Typed options of one group; `None` is what the user left out.
pub trait Options: Clone + Default + PartialEq {
    /// The list from which they are made.
    const GROUP: &'static Group;

    /// Sets the option of `key` to a value of the kind that the setting takes.
    fn set(&mut self, key: &str, value: Value);

    /// The value of `key`, if it has one.
    fn get(&self, key: &str) -> Option<Value>;

    /// The options as keys of their table, one a line; paths as seen from `folder`.
    fn lines(&self, folder: &Path) -> String {
        text::lines(self, folder)
    }
}

/// Declares a group: `key: Type = kind, conditions...;`, with its line of documentation above it.
macro_rules! settings {
    (
        $(#[$about:meta])*
        $name:ident = [$table:literal], flags $prefix:literal {
            $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $kind:expr $(, $when:expr)*;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: Option<$type>,)*
        }

        impl $crate::spec::settings::Options for $name {
            const GROUP: &'static $crate::spec::settings::Group = &$crate::spec::settings::Group {
                table: $table,
                prefix: $prefix,
                settings: &[$($crate::spec::settings::Setting::new(
                    stringify!($key), $kind, concat!($($doc),+), &[$($when),*],
                )),*],
            };

            fn set(&mut self, key: &str, value: $crate::spec::settings::Value) {
                match key {
                    $(stringify!($key) => self.$key = $crate::spec::settings::Typed::of(value),)*
                    _ => unreachable!("{key} is no key of [{}]", $table),
                }
            }

            fn get(&self, key: &str) -> Option<$crate::spec::settings::Value> {
                match key {
                    $(stringify!($key) => {
                        self.$key.as_ref().map($crate::spec::settings::Typed::value)
                    })*
                    _ => None,
                }
            }
        }
    };
}

/// Gives an enum without fields the words that name its variants in specs and flags.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All words, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word in specs and flags.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The variant that a word in specs and flags names.
            pub fn of_name(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl $crate::spec::settings::Typed for $name {
            fn of(value: $crate::spec::settings::Value) -> Option<Self> {
                match value {
                    $crate::spec::settings::Value::Word(word) => Self::of_name(word),
                    _ => None,
                }
            }

            fn value(&self) -> $crate::spec::settings::Value {
                $crate::spec::settings::Value::Word(self.name())
            }
        }
    };
}

pub(super) use {settings, words};

/// Reads the table of a group; `files` decides whether files that it names must exist.
pub(super) fn read<O: Options>(mut fields: Fields<'_>, folder: &Path, files: FileCheck) -> O {
    let mut options = O::default();
    for setting in O::GROUP.settings {
        if let Some(value) = setting.kind.read(setting.key, &mut fields, folder, files) {
            options.set(setting.key, value);
        }
    }
    fields.finish();
    options
}

#[cfg(test)]
mod tests;
