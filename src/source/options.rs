//! Where models are kept and how the Hub is reached, as values instead of environment variables.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::read_regular;

/// The Hub that is asked unless `HF_ENDPOINT` names another.
const ENDPOINT: &str = "https://huggingface.co";

/// Variables of which each makes the cache the only source.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];

/// How long a busy server is waited for: the Hub counts requests in windows of five minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A token has some forty characters.
const LARGEST_TOKEN: u64 = 1 << 16;

/// Looks up a setting by the name of its environment variable.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where models are kept and how they are fetched.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// The folder for imported GGUF files.
    pub cache: PathBuf,
    /// How the Hub is reached.
    pub hub: HubOptions,
}

impl SourceOptions {
    /// Settings from environment variables, which `lookup` reads, so that a program can pass
    /// `&|name| std::env::var_os(name)` and a test a table.
    ///
    /// The cache is `RESCRIBE_CACHE`, or `rescribe` in `XDG_CACHE_HOME` or `~/.cache`.
    pub fn from_variables(lookup: Lookup) -> Self {
        let cache =
            path(lookup, "RESCRIBE_CACHE").unwrap_or_else(|| user_cache(lookup).join("rescribe"));
        Self { cache, hub: HubOptions::from_variables(lookup) }
    }
}

/// How the Hub is reached, and where its files are kept.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// The server's address without a trailing slash.
    pub endpoint: String,
    /// The access token, sent with every request to the server.
    pub token: Option<Token>,
    /// The folder with `models--org--name` in it, shared with other programs.
    pub cache: PathBuf,
    /// Whether only the cache is used, without asking the server.
    pub offline: bool,
    /// How long a server that is busy is waited for, all its waits together.
    pub patience: Duration,
    /// Keys of `config.json` that are read as if they were not there.
    pub ignored_config_keys: Vec<String>,
}

impl HubOptions {
    /// Settings from the variables that all of the Hub's programs obey, which `lookup` reads:
    ///
    /// - `HF_ENDPOINT`;
    /// - `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or in `huggingface` in `XDG_CACHE_HOME` or
    ///   `~/.cache`;
    /// - `HF_TOKEN`, or the file `HF_TOKEN_PATH`, or the file `token` in `HF_HOME`;
    /// - `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`: 1, on, yes or true.
    pub fn from_variables(lookup: Lookup) -> Self {
        let home =
            path(lookup, "HF_HOME").unwrap_or_else(|| user_cache(lookup).join("huggingface"));
        let token_file = path(lookup, "HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let endpoint = text(lookup, "HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: text(lookup, "HF_TOKEN")
                .and_then(|token| Token::new(&token))
                .or_else(|| Token::from_file(&token_file)),
            cache: path(lookup, "HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            offline: OFFLINE
                .iter()
                .any(|name| text(lookup, name).is_some_and(|value| is_true(&value))),
            patience: PATIENCE,
            ignored_config_keys: Vec::new(),
        }
    }
}

/// An access token; its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The trimmed text, unless it is empty.
    pub fn new(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        (!trimmed.is_empty()).then(|| Self(trimmed.to_owned()))
    }

    /// The token that `hf auth login` stored, if any.
    fn from_file(path: &Path) -> Option<Self> {
        Self::new(str::from_utf8(&read_regular(path, LARGEST_TOKEN).ok()?).ok()?)
    }

    /// The token itself, for the request's header.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn path(lookup: Lookup, name: &str) -> Option<PathBuf> {
    lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn text(lookup: Lookup, name: &str) -> Option<String> {
    lookup(name)?.into_string().ok().filter(|value| !value.trim().is_empty())
}

fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|yes| value.trim().eq_ignore_ascii_case(yes))
}

/// `~/.cache` or its replacement; without a home, a folder for temporary files, so that no cache
/// appears wherever the program happens to be run.
fn user_cache(lookup: Lookup) -> PathBuf {
    let home = path(lookup, "HOME").or_else(|| path(lookup, "USERPROFILE"));
    let in_home = || home.map(|home| home.join(".cache"));
    let temporary = || path(lookup, "TMPDIR").unwrap_or_else(|| "/tmp".into());
    path(lookup, "XDG_CACHE_HOME").or_else(in_home).unwrap_or_else(temporary)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options(variables: &[(&str, &str)]) -> SourceOptions {
        SourceOptions::from_variables(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn defaults_are_the_hubs_own() {
        let found = options(&[("HOME", "/home/ada")]);
        assert_eq!(found.cache, Path::new("/home/ada/.cache/rescribe"));
        assert_eq!(found.hub.cache, Path::new("/home/ada/.cache/huggingface/hub"));
        assert_eq!(found.hub.endpoint, "https://huggingface.co");
        assert_eq!(found.hub.token, None);
        assert!(!found.hub.offline);
    }

    #[test]
    fn without_a_home_the_cache_is_temporary() {
        assert_eq!(options(&[]).cache, Path::new("/tmp/rescribe"));
        assert_eq!(options(&[("TMPDIR", "/var/tmp")]).cache, Path::new("/var/tmp/rescribe"));
    }

    #[test]
    fn variables_hold() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), "from-file\n").unwrap();
        let home_text = home.path().to_str().unwrap();
        let found = options(&[
            ("HOME", "/home/ada"),
            ("HF_HOME", home_text),
            ("HF_ENDPOINT", "http://localhost:8000/"),
            ("HF_HUB_OFFLINE", "TRUE"),
            ("RESCRIBE_CACHE", "/var/rescribe"),
        ]);
        assert_eq!(found.cache, Path::new("/var/rescribe"));
        assert_eq!(found.hub.cache, home.path().join("hub"));
        assert_eq!(found.hub.endpoint, "http://localhost:8000");
        assert_eq!(found.hub.token, Token::new("from-file"));
        assert!(found.hub.offline);
        let found = options(&[
            ("HF_HOME", home_text),
            ("HF_TOKEN", " named "),
            ("HF_HUB_CACHE", "/hub"),
            ("HF_HUB_OFFLINE", "0"),
        ]);
        assert_eq!(found.hub.token, Token::new("named"));
        assert_eq!(found.hub.cache, Path::new("/hub"));
        assert!(!found.hub.offline);
        assert!(options(&[("TRANSFORMERS_OFFLINE", "1")]).hub.offline);
        assert!(options(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "yes")]).hub.offline);
        assert!(!format!("{found:?}").contains("named"));
    }
}
