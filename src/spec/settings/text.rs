//! Settings as lines of a spec.

use std::path::Path;

use super::{Options, Value};
use crate::spec::table::quoted;

/// The line `key = value` of every option that has a value.
pub(super) fn lines<O: Options>(options: &O, folder: &Path) -> String {
    let line =
        |key: &str| options.get(key).map(|value| format!("{key} = {}\n", written(&value, folder)));
    O::GROUP.settings.iter().filter_map(|setting| line(setting.key)).collect()
}

fn written(value: &Value, folder: &Path) -> String {
    match value {
        Value::Count(number) => number.to_string(),
        Value::Seed(seed) => seed.to_string(),
        // The shortest digits that are read back as this number.
        Value::Real(number) => format!("{number:?}"),
        Value::Switch(is_on) => is_on.to_string(),
        Value::Word(word) => quoted(word),
        Value::Auto => quoted("auto"),
        Value::Sweep => quoted("sweep"),
        Value::Layers(layers) => format!("{layers:?}"),
        Value::File(path) => {
            let path = match path.strip_prefix(folder) {
                Ok(inside) => inside.to_owned(),
                Err(_) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            };
            quoted(&path.to_string_lossy())
        }
    }
}
