//! `--model org/name`: downloads, the cache and every refusal, against a server on loopback.

#[path = "hub/server.rs"]
mod server;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use candle_core::Device;
use rescribe::model::Model;
use rescribe::progress::{Interrupted, Progress, Silent};
use rescribe::source::{
    FolderError, HubErrorKind, HubOptions, ModelFolder, SourceError, SourceOptions, Token, resolve,
};
use server::{Busy, Files, Offer, REPOSITORY, Server, commit};

/// Longer than one read of a download, so that a file arrives in several pieces.
const WEIGHTS_LENGTH: usize = 300_000;

/// A safetensors file with one tensor.
fn safetensors(seed: u8) -> Vec<u8> {
    let header = format!(
        r#"{{"w":{{"dtype":"U8","shape":[{WEIGHTS_LENGTH}],"data_offsets":[0,{WEIGHTS_LENGTH}]}}}}"#
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.extend((0..WEIGHTS_LENGTH).map(|index| (index as u8).wrapping_mul(7) ^ seed));
    bytes
}

/// A config that is judged before weights come.
const CONFIG: &[u8] = include_bytes!("fixtures/llama/model/config.json");

fn without_weights() -> Files {
    Files::from([
        ("README.md", b"# tiny".to_vec()),
        ("config.json", CONFIG.to_vec()),
        ("tokenizer.json", br#"{"version": "1.0"}"#.to_vec()),
        ("tokenizer_config.json", br#"{"add_bos_token": false}"#.to_vec()),
        ("pytorch_model.bin", b"never asked for".to_vec()),
    ])
}

fn tiny() -> Files {
    let mut files = without_weights();
    files.insert("model.safetensors", safetensors(0));
    files
}

fn sharded() -> Files {
    let index = r#"{"metadata": {}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    let mut files = without_weights();
    files.insert("model.safetensors.index.json", index.into());
    files.insert("model-00001-of-00002.safetensors", safetensors(1));
    files.insert("model-00002-of-00002.safetensors", safetensors(2));
    files
}

/// A cache of its own and a server's address.
struct User {
    home: tempfile::TempDir,
    options: SourceOptions,
}

impl User {
    fn of(server: &Server) -> Self {
        Self::at(server.endpoint())
    }

    fn at(endpoint: String) -> Self {
        let home = tempfile::tempdir().unwrap();
        let cache = home.path().join("hub");
        let ignored_config_keys = Vec::new();
        let (token, offline, patience) = (None, false, Duration::ZERO);
        let hub = HubOptions { endpoint, token, cache, offline, patience, ignored_config_keys };
        Self { options: SourceOptions { cache: home.path().join("rescribe"), hub }, home }
    }

    fn with_token(mut self, token: &str) -> Self {
        self.options.hub.token = Token::new(token);
        self
    }

    /// Waits for a busy server.
    fn patient(mut self) -> Self {
        self.options.hub.patience = Duration::from_secs(20);
        self
    }

    fn go_offline(&mut self) {
        self.options.hub.offline = true;
    }

    fn resolve(&self, model: &str) -> Result<ModelFolder, SourceError> {
        resolve(Some(model), &self.options, &Silent)
    }

    fn refused(&self, model: &str) -> HubErrorKind {
        match self.resolve(model) {
            Err(SourceError::Hub(error)) => {
                assert!(error.to_string().contains(&self.options.hub.endpoint), "{error}");
                assert!(error.to_string().contains(model), "{error}");
                error.kind
            }
            other => panic!("expected a refusal by the Hub, found {other:?}"),
        }
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Record(Mutex<Vec<String>>);

impl Progress for Record {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.0.lock().unwrap().push(format!("{name} {}", total.unwrap_or(0)));
    }

    fn advance(&self, done: u64, _: &str) {
        self.0.lock().unwrap().push(done.to_string());
    }

    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// Keeps the lines that stay on the screen.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Progress for Lines {
    fn advance(&self, _: u64, note: &str) {
        self.0.lock().unwrap().push(note.to_owned());
    }

    fn finish(&self, summary: &str) {
        self.0.lock().unwrap().push(summary.to_owned());
    }

    fn note(&self, label: &str, text: &str) {
        self.0.lock().unwrap().push(format!("{label}: {text}"));
    }
}

/// Asks to stop as soon as bytes of the weights have come.
#[derive(Default)]
struct StopsInWeights {
    is_in_weights: AtomicBool,
    is_stopped: AtomicBool,
}

impl Progress for StopsInWeights {
    fn phase(&self, name: &str, _: Option<u64>) {
        self.is_in_weights.store(name.contains("safetensors"), Ordering::Relaxed);
    }

    fn advance(&self, done: u64, _: &str) {
        if done > 0 && self.is_in_weights.load(Ordering::Relaxed) {
            self.is_stopped.store(true, Ordering::Relaxed);
        }
    }

    fn check(&self) -> Result<(), Interrupted> {
        if self.is_stopped.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}

fn assert_holds(folder: &Path, files: &Files) {
    for (name, content) in files {
        let is_wanted = *name != "pytorch_model.bin";
        match fs::read(folder.join(name)) {
            Ok(found) => assert!(is_wanted && found == *content, "{name} differs or is unwanted"),
            Err(error) => assert!(!is_wanted, "{name}: {error}"),
        }
    }
}

#[test]
fn a_model_is_downloaded_once_and_then_needs_no_server() {
    let server = Server::start(Offer::main(tiny()));
    let mut user = User::of(&server);
    let record = Record::default();
    let first = resolve(Some(REPOSITORY), &user.options, &record).unwrap();
    assert_eq!((first.name.as_str(), first.revision.as_ref()), (REPOSITORY, Some(&commit('a'))));
    assert_holds(&first.path, &tiny());
    let told = record.0.into_inner().unwrap();
    let size = safetensors(0).len();
    assert!(told.contains(&format!("download model.safetensors {size}")), "{told:?}");
    assert_eq!(told.last(), Some(&size.to_string()));
    assert!(!server.take_log().iter().any(|request| request.contains(".bin")));

    assert_eq!(user.resolve(REPOSITORY).unwrap(), first);
    assert_eq!(server.take_log(), ["/api/models/acme/tiny/revision/main"]);

    drop(server);
    let record = Record::default();
    assert_eq!(resolve(Some(REPOSITORY), &user.options, &record).unwrap(), first);
    let told = record.0.into_inner().unwrap();
    assert!(told[0].contains("could not be reached") && told[0].contains("cached commit aaaa"));
    user.go_offline();
    let record = Record::default();
    assert_eq!(resolve(Some(REPOSITORY), &user.options, &record).unwrap(), first);
    assert_eq!(record.0.into_inner().unwrap(), Vec::<String>::new());
}

#[test]
fn a_sharded_model_comes_with_all_its_shards() {
    let server = Server::start(Offer::main(sharded()));
    let mut user = User::of(&server);
    let found = user.resolve(REPOSITORY).unwrap();
    assert_holds(&found.path, &sharded());

    fs::remove_file(found.path.join("model-00002-of-00002.safetensors")).unwrap();
    user.go_offline();
    let refused = user.refused(REPOSITORY).to_string();
    assert!(refused.contains("lacks model-00002-of-00002.safetensors"), "{refused}");
}

#[test]
fn revisions_share_what_they_have_in_common() {
    let mut other = tiny();
    other.insert("config.json", [CONFIG, b"\n"].concat());
    let offer = Offer::main(tiny()).with("v2", 'b', tiny()).with("refs/pr/5", 'c', other.clone());
    let server = Server::start(offer);
    let user = User::of(&server);
    let main = user.resolve(REPOSITORY).unwrap();
    server.take_log();
    for (revision, digit, files) in [("v2", 'b', tiny()), ("refs/pr/5", 'c', other)] {
        let found = user.resolve(&format!("{REPOSITORY}@{revision}")).unwrap();
        assert_eq!(found.revision, Some(commit(digit)));
        assert_ne!(found.path, main.path);
        assert_holds(&found.path, &files);
    }
    let downloads = server.take_log();
    let is_whole = |request: &&String| request.starts_with("/cdn/") && request.ends_with("=0-");
    assert_eq!(downloads.iter().find(is_whole), None, "the weights were there already");

    let pinned = format!("{REPOSITORY}@{}", commit('b'));
    assert_eq!(user.resolve(&pinned).unwrap().revision, Some(commit('b')));
    assert_eq!(server.take_log(), Vec::<String>::new(), "a cached commit needs no question");
    assert!(matches!(
        user.refused("acme/tiny@v3"),
        HubErrorKind::RevisionNotFound { revision } if revision == "v3"
    ));
}

#[test]
fn tokens_and_gates() {
    let server = Server::start(Offer { token: Some("right"), ..Offer::main(tiny()) });
    let user = User::of(&server);
    assert!(matches!(user.refused(REPOSITORY), HubErrorKind::Hidden));
    let user = user.with_token("wrong");
    assert!(matches!(user.refused(REPOSITORY), HubErrorKind::TokenRefused { status: 401 }));
    user.with_token("right").resolve(REPOSITORY).unwrap();

    let server = Server::start(Offer { gate: Some("right"), ..Offer::main(tiny()) });
    let user = User::of(&server);
    assert!(matches!(user.refused(REPOSITORY), HubErrorKind::Gated { is_authorised: false }));
    user.with_token("right").resolve(REPOSITORY).unwrap();
}

#[test]
fn the_token_does_not_follow_a_redirect_of_what_anybody_may_read() {
    let server = Server::start(Offer::main(tiny()));
    User::of(&server).with_token("secret").resolve(REPOSITORY).unwrap();
    let log = server.take_log();
    assert!(log.iter().any(|line| line.starts_with("/cdn/")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("with the token")), "{log:?}");
}

#[test]
fn the_token_of_a_private_model_stays_with_the_hub() {
    let private = || Offer { token: Some("right"), ..Offer::main(tiny()) };
    let gated = || Offer { gate: Some("right"), ..Offer::main(sharded()) };
    for (offer, files) in [(private(), tiny()), (gated(), sharded())] {
        let server = Server::start(Offer { elsewhere: Some("localhost"), ..offer });
        let user = User::of(&server).with_token("right");
        assert_holds(&user.resolve(REPOSITORY).unwrap().path, &files);
        let log = server.take_log();
        assert!(log.iter().any(|line| line.starts_with("/cdn/")), "{log:?}");
        assert!(!log.iter().any(|line| line.contains("with the token")), "{log:?}");
    }
}

#[test]
fn a_private_model_is_resumed_checked_and_interrupted_as_a_public_one() {
    let private = || {
        let elsewhere = Some("localhost");
        Offer { token: Some("right"), elsewhere, ..Offer::main(tiny()) }
    };
    let server = Server::start(Offer { breaks_after: Some(100_000), ..private() });
    let user = User::of(&server).with_token("right");
    assert_holds(&user.resolve(REPOSITORY).unwrap().path, &tiny());
    let log = server.take_log();
    assert!(log.iter().any(|request| request.ends_with("bytes=100000-")), "{log:?}");

    let server = Server::start(Offer { damages: true, ..private() });
    let kind = User::of(&server).with_token("right").refused(REPOSITORY);
    assert!(matches!(kind, HubErrorKind::Damaged { .. }), "{kind}");

    let server = Server::start(private());
    let user = User::of(&server).with_token("right");
    let stopped = resolve(Some(REPOSITORY), &user.options, &StopsInWeights::default());
    assert!(matches!(stopped, Err(SourceError::Interrupted(_))), "{stopped:?}");
    assert_holds(&user.resolve(REPOSITORY).unwrap().path, &tiny());
    let log = server.take_log();
    let resumed = |line: &String| {
        line.starts_with("/cdn/") && line.contains("bytes=") && !line.ends_with("bytes=0-")
    };
    assert!(log.iter().any(resumed), "{log:?}");
}

#[test]
fn a_missing_repository_is_neither_there_nor_here() {
    let server = Server::start(Offer::main(tiny()));
    let kind = User::of(&server).refused("acme/large");
    assert!(matches!(kind, HubErrorKind::RepositoryNotFound), "{kind}");
    assert!(kind.to_string().contains("no local folder of that name"), "{kind}");
}

#[test]
fn without_server_or_cache_nothing_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut user = User::at(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    match user.refused(REPOSITORY) {
        HubErrorKind::Unreachable { source } => {
            assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other}"),
    }
    user.go_offline();
    let refused = user.refused(REPOSITORY).to_string();
    assert!(refused.contains("offline") && refused.contains("no local folder"), "{refused}");
    assert_eq!(fs::read_dir(user.home.path()).unwrap().count(), 0);
}

#[test]
fn repositories_without_a_readable_model_are_refused() {
    let refused = |files: Files| {
        let server = Server::start(Offer::main(files));
        let kind = User::of(&server).refused(REPOSITORY);
        let log = server.take_log();
        (kind, log)
    };
    let (kind, log) = refused(without_weights());
    assert!(
        matches!(&kind, HubErrorKind::NoSafetensors { others } if others == &["pytorch_model.bin"])
    );
    assert_eq!(log.len(), 1, "nothing is downloaded from such a repository");
    for file in ["config.json", "tokenizer.json"] {
        let mut files = tiny();
        files.remove(file);
        let (kind, _) = refused(files);
        assert!(matches!(&kind, HubErrorKind::MissingFile { file: found } if found == file));
    }
    let mut files = sharded();
    let escape = r#"{"weight_map": {"a": "../../../escape.safetensors"}}"#;
    files.insert("model.safetensors.index.json", escape.into());
    let (kind, _) = refused(files);
    assert!(matches!(kind, HubErrorKind::Folder(FolderError::Index { .. })), "{kind}");
}

#[test]
fn a_family_that_is_not_computed_is_refused_before_its_weights_come() {
    let mut files = tiny();
    files.insert("config.json", br#"{"model_type": "martian"}"#.to_vec());
    let server = Server::start(Offer::main(files));
    let kind = User::of(&server).refused(REPOSITORY);
    assert!(matches!(kind, HubErrorKind::Model(_)), "{kind}");
    assert!(kind.to_string().contains("martian"), "{kind}");
    let log = format!("{:?}", server.take_log());
    assert!(!log.contains("safetensors"), "{log}");
}

#[test]
fn ignored_keys_of_the_config_are_ignored_before_weights_come() {
    let mut files = tiny();
    let mut config: serde_json::Value = serde_json::from_slice(CONFIG).expect("JSON");
    config["warp_factor"] = 9.into();
    files.insert("config.json", config.to_string().into_bytes());
    let server = Server::start(Offer::main(files));
    let mut user = User::of(&server);
    let kind = user.refused(REPOSITORY);
    assert!(kind.to_string().contains("warp_factor = 9 is not supported"), "{kind}");
    user.options.hub.ignored_config_keys = vec!["warp_factor".into()];
    user.resolve(REPOSITORY).expect("a model");
}

#[test]
fn licences_and_files_of_the_tokenizer_come_along() {
    let mut files = tiny();
    for name in ["LICENSE", "added_tokens.json", "tokenizer.model", "NOTICE"] {
        files.insert(name, name.as_bytes().to_vec());
    }
    let server = Server::start(Offer::main(files.clone()));
    let user = User::of(&server);
    let found = user.resolve(REPOSITORY).unwrap();
    assert_holds(&found.path, &files);
}

#[test]
fn a_server_that_is_no_hub_is_named() {
    let page = Some("<html>Please log in to the network</html>");
    let server = Server::start(Offer { page, ..Offer::default() });
    let kind = User::of(&server).refused(REPOSITORY);
    assert!(matches!(kind, HubErrorKind::Protocol { .. }), "{kind}");
}

#[test]
fn an_outage_is_bridged_by_the_cache_but_a_refusal_is_not() {
    let server = Server::start(Offer::main(tiny()));
    let mut user = User::of(&server);
    let first = user.resolve(REPOSITORY).unwrap();
    let failing = Server::start(Offer { outage: Some(503), ..Offer::main(tiny()) });
    user.options.hub.endpoint = failing.endpoint();
    let record = Record::default();
    assert_eq!(resolve(Some(REPOSITORY), &user.options, &record).unwrap(), first);
    assert!(record.0.into_inner().unwrap()[0].contains("status 503"));
    assert!(matches!(
        User::of(&failing).refused(REPOSITORY),
        HubErrorKind::Status { status: 503, .. }
    ));
    let closed = Server::start(Offer { token: Some("right"), ..Offer::main(tiny()) });
    user.options.hub.endpoint = closed.endpoint();
    assert!(matches!(user.refused(REPOSITORY), HubErrorKind::Hidden));
}

#[test]
fn a_busy_server_is_asked_again_after_the_time_that_it_names() {
    let small = "/acme/tiny/resolve/";
    let date = "Sun, 06 Nov 1994 08:49:38 GMT";
    let rows = [
        ("/api/", 429, Some("1")),
        (small, 503, Some(date)),
        ("/cdn/", 429, Some("0")),
        ("/api/", 503, None),
    ];
    for (path, status, retry_after) in rows {
        let busy = Some(Busy { path, status, retry_after, times: 2 });
        let server = Server::start(Offer { busy, ..Offer::main(tiny()) });
        let user = User::of(&server).patient();
        let record = Record::default();
        let found = resolve(Some(REPOSITORY), &user.options, &record);
        assert_holds(&found.unwrap_or_else(|error| panic!("{path}: {error}")).path, &tiny());
        let told = record.0.into_inner().unwrap();
        let warned: Vec<&String> = told.iter().filter(|line| line.contains("is busy")).collect();
        assert!(warned.len() == 2 && warned[1].contains("attempt 3 of 5"), "{path}: {told:?}");
        assert!(warned[0].contains(&format!("status {status}")), "{warned:?}");
    }
    // Of a private model, the other host is asked for the bytes.
    let busy = Some(Busy { path: "/cdn/", status: 429, retry_after: Some("1"), times: 1 });
    let private =
        Offer { token: Some("right"), elsewhere: Some("localhost"), ..Offer::main(tiny()) };
    let server = Server::start(Offer { busy, ..private });
    let user = User::of(&server).with_token("right").patient();
    assert_holds(&user.resolve(REPOSITORY).unwrap().path, &tiny());
}

#[test]
fn a_server_that_asks_for_an_hour_is_not_waited_for() {
    let busy = Some(Busy { path: "/api/", status: 429, retry_after: Some("3600"), times: 9 });
    let server = Server::start(Offer { busy, ..Offer::main(tiny()) });
    let refused = User::of(&server).patient().refused(REPOSITORY).to_string();
    assert!(refused.contains("429") && refused.contains("to wait 3600 s"), "{refused}");
    assert_eq!(server.take_log().len(), 1);
}

#[test]
fn the_user_is_told_that_the_hub_is_asked_and_how_fast_it_answers() {
    let server = Server::start(Offer::main(tiny()));
    let mut user = User::of(&server);
    let lines = Lines::default();
    resolve(Some(REPOSITORY), &user.options, &lines).unwrap();
    let told = lines.0.into_inner().unwrap();
    let asked = format!("hub: no file or folder here is named {REPOSITORY}; {}", server.endpoint());
    assert!(told[0].starts_with(&asked), "{told:?}");
    let megabytes = "model.safetensors (0.3 MB)";
    assert!(told.iter().any(|line| line == megabytes), "{told:?}");
    assert!(told.iter().any(|line| line == "0.3 of 0.3 MB"), "{told:?}");
    user.go_offline();
    let lines = Lines::default();
    resolve(Some(REPOSITORY), &user.options, &lines).unwrap();
    assert_eq!(lines.0.into_inner().unwrap(), Vec::<String>::new(), "nobody was asked");
}

#[test]
fn the_token_does_not_follow_a_redirect_of_the_list_of_files() {
    let server = Server::start(Offer { moved: Some("localhost"), ..Offer::main(tiny()) });
    let user = User::of(&server).with_token("secret");
    // The other host has no list, which is not what this test is about.
    let outcome = user.resolve(REPOSITORY);
    assert!(outcome.is_err(), "{outcome:?}");
    let log = server.take_log();
    assert!(log.iter().any(|line| line.starts_with("/cdn/list")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("with the token")), "{log:?}");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let server = Server::start(Offer { breaks_after: Some(100_000), ..Offer::main(tiny()) });
    let user = User::of(&server);
    assert_holds(&user.resolve(REPOSITORY).unwrap().path, &tiny());
    let log = server.take_log();
    assert!(log.iter().any(|request| request.ends_with("bytes=100000-")), "{log:?}");
}

#[test]
fn an_interrupted_download_resumes() {
    let server = Server::start(Offer::main(tiny()));
    let user = User::of(&server);
    let stopped = resolve(Some(REPOSITORY), &user.options, &StopsInWeights::default());
    assert!(matches!(stopped, Err(SourceError::Interrupted(_))), "{stopped:?}");
    server.take_log();
    let found = user.resolve(REPOSITORY).unwrap();
    assert_holds(&found.path, &tiny());
    let log = server.take_log();
    let resumed = log.iter().filter_map(|request| {
        request.strip_prefix("/cdn/")?.split_once("bytes=")?.1.strip_suffix('-')?.parse().ok()
    });
    let starts: Vec<usize> = resumed.collect();
    assert!(matches!(starts[..], [start] if start > 0), "{log:?}");
}

#[test]
fn a_part_that_cannot_be_resumed_is_fetched_anew() {
    let server = Server::start(Offer::main(tiny()));
    let hash = rescribe::files::Sha256::of(safetensors(0));
    for surplus in [0, 10] {
        let user = User::of(&server);
        let blobs = user.options.hub.cache.join("models--acme--tiny/blobs");
        fs::create_dir_all(&blobs).unwrap();
        let part = vec![0; safetensors(0).len() + surplus];
        fs::write(blobs.join(format!("{hash}.part")), part).unwrap();
        assert_holds(&user.resolve(REPOSITORY).unwrap().path, &tiny());
    }
}

#[test]
fn damaged_weights_are_removed() {
    let server = Server::start(Offer { damages: true, ..Offer::main(tiny()) });
    let mut user = User::of(&server);
    let kind = user.refused(REPOSITORY);
    assert!(matches!(&kind, HubErrorKind::Damaged { file, .. } if file == "model.safetensors"));
    drop(server);
    user.go_offline();
    assert!(matches!(user.refused(REPOSITORY), HubErrorKind::Offline { .. }));
}

#[test]
fn two_downloads_at_once_end_in_one_cache() {
    let server = Server::start(Offer::main(tiny()));
    let user = User::of(&server);
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| user.resolve(REPOSITORY).unwrap());
        let other = scope.spawn(|| user.resolve(REPOSITORY).unwrap());
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one, other);
    assert_holds(&one.path, &tiny());
}

#[test]
fn what_was_downloaded_is_a_model() {
    let fixture = Path::new("tests/fixtures/llama_tied_bf16_sharded/model");
    let names = [
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    let files = names.map(|name| (name, fs::read(fixture.join(name)).unwrap()));
    let server = Server::start(Offer::main(Files::from(files)));
    let user = User::of(&server);
    let found = user.resolve(REPOSITORY).unwrap();
    Model::open(&found.path, &Device::Cpu, &Silent).unwrap();
}

#[test]
fn a_file_that_is_no_gguf_leaves_the_cache_empty() {
    let user = User::at("http://127.0.0.1:1".to_owned());
    let file = user.home.path().join("tiny.gguf");
    fs::write(&file, b"not the magic number").unwrap();
    let error = user.resolve(file.to_str().unwrap()).unwrap_err();
    assert!(matches!(error, SourceError::Gguf(_)), "{error}");
    assert!(error.to_string().contains("tiny.gguf"), "{error}");
    assert!(!user.options.cache.join("gguf").exists());
}

#[test]
fn a_local_folder_needs_no_hub() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in tiny() {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let user = User::at("http://127.0.0.1:1".to_owned());
    let found = user.resolve(folder.path().to_str().unwrap()).unwrap();
    assert_eq!((found.path.as_path(), found.revision), (folder.path(), None));
    assert_eq!(found.name, folder.path().file_name().unwrap().to_str().unwrap());
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let error = user.resolve(folder.path().to_str().unwrap()).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json is missing"), "{error}");
}
