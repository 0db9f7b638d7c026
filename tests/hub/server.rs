//! A server on loopback that speaks as much of the Hub's protocol as a download needs.
//!
//! As on the real Hub, small files come from `resolve/` directly, and large ones are redirected
//! to another address, with their SHA-256 in `x-linked-etag`. Every answer closes its
//! connection. The server ends when it is dropped, or after [`MOST_REQUESTS`].

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rescribe::files::Sha256;

/// More than any test needs.
const MOST_REQUESTS: usize = 200;

/// The repository that every server has.
pub const REPOSITORY: &str = "acme/tiny";

/// Names of files with their contents.
pub type Files = BTreeMap<&'static str, Vec<u8>>;

/// What the server offers, and how it misbehaves.
#[derive(Clone, Default)]
pub struct Offer {
    /// Branch → commit and its files.
    pub branches: BTreeMap<&'static str, (String, Files)>,
    /// The token without which nothing is shown.
    pub token: Option<&'static str>,
    /// The token without which the files are not shown, although the repository is.
    pub gate: Option<&'static str>,
    /// The first answer with a large body ends after so many bytes.
    pub breaks_after: Option<usize>,
    /// The host that large files are said to be on; the server's own without it.
    pub elsewhere: Option<&'static str>,
    /// Large bodies are not those that were announced.
    pub damages: bool,
    /// The host that the list of files is said to have moved to.
    pub moved: Option<&'static str>,
    /// Some answers refuse for now.
    pub busy: Option<Busy>,
    /// Every answer has this status and no body.
    pub outage: Option<u16>,
    /// Every answer is this page.
    pub page: Option<&'static str>,
}

/// A server that has too much to do.
#[derive(Clone, Copy)]
pub struct Busy {
    /// What the paths begin with that it refuses.
    pub path: &'static str,
    /// The status of the refusals.
    pub status: u16,
    /// How long they ask to wait.
    pub retry_after: Option<&'static str>,
    /// How many requests are refused.
    pub times: usize,
}

impl Offer {
    /// One branch `main`.
    pub fn main(files: Files) -> Self {
        Self::default().with("main", 'a', files)
    }

    /// One more branch, whose commit's hash repeats one digit.
    pub fn with(mut self, branch: &'static str, digit: char, files: Files) -> Self {
        self.branches.insert(branch, (commit(digit), files));
        self
    }

    fn find(&self, revision: &str) -> Option<&(String, Files)> {
        let by_commit = || self.branches.values().find(|(commit, _)| commit == revision);
        self.branches.get(revision).or_else(by_commit)
    }

    fn content(&self, hash: &str) -> Option<&Vec<u8>> {
        let mut contents = self.branches.values().flat_map(|(_, files)| files.values());
        contents.find(|content| Sha256::of(content).to_string() == hash)
    }
}

/// The commit whose hash repeats one digit.
pub fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a free port of the loopback device.
    pub fn start(offer: Offer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let log = Arc::new(Mutex::new(Vec::new()));
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (written, stop) = (Arc::clone(&log), Arc::clone(&is_stopped));
        let thread = std::thread::spawn(move || {
            let mut state = State { offer, address, log: written };
            for stream in listener.incoming().take(MOST_REQUESTS).flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // A client that goes away in the middle of an answer is part of some tests.
                let _ = state.serve(stream);
            }
        });
        Self { address, log, is_stopped, thread: Some(thread) }
    }

    /// What `HF_ENDPOINT` would say.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, `path` or `path bytes=from-to`; forgets them.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        // Wakes the thread out of its wait for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

struct State {
    offer: Offer,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

#[derive(Default)]
struct Request {
    path: String,
    range: Option<String>,
    token: Option<String>,
}

fn read_request(stream: &TcpStream) -> io::Result<Request> {
    let mut lines = BufReader::new(stream.take(1 << 14)).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, ..Request::default() };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                request.range = Some(value.to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.token = value.strip_prefix("Bearer ").map(str::to_owned);
            }
            Some(_) => {}
        }
    }
    Ok(request)
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are really sent.
    sent: usize,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, sent: body.len(), body }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Self {
        let headers =
            vec![("x-error-code", code.to_owned()), ("x-error-message", message.to_owned())];
        Self::new(status, headers, Vec::new())
    }

    fn write(&self, mut stream: &TcpStream) -> io::Result<()> {
        write!(stream, "HTTP/1.1 {} Status\r\nconnection: close\r\n", self.status)?;
        write!(stream, "content-length: {}\r\n", self.body.len())?;
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        stream.write_all(&self.body[..self.sent])
    }
}

impl State {
    fn serve(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let request = read_request(&stream)?;
        let range = request.range.as_ref().map(|range| format!(" {range}")).unwrap_or_default();
        // To another host a token does not go; that is where large files come from.
        let is_leaked = request.path.starts_with("/cdn/") && request.token.is_some();
        let leak = if is_leaked { " with the token" } else { "" };
        self.log.lock().unwrap().push(format!("{}{range}{leak}", request.path));
        self.answer(&request).write(&stream)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if let Some(status) = self.offer.outage {
            return Answer::refusal(status, "", "");
        }
        if let Some(busy) = self.offer.busy.as_mut()
            && busy.times > 0
            && request.path.starts_with(busy.path)
        {
            busy.times -= 1;
            let mut answer = Answer::refusal(busy.status, "", "");
            answer.headers.push(("date", "Sun, 06 Nov 1994 08:49:37 GMT".into()));
            answer.headers.extend(busy.retry_after.map(|time| ("retry-after", time.to_owned())));
            return answer;
        }
        if let (Some(host), true) = (self.offer.moved, request.path.starts_with("/api/")) {
            let address = format!("http://{host}:{}/cdn/list", self.address.port());
            return Answer::new(307, vec![("location", address)], Vec::new());
        }
        if let Some(page) = self.offer.page {
            return Answer::new(200, Vec::new(), page.into());
        }
        if let Some(hash) = request.path.strip_prefix("/cdn/") {
            return self.large(hash, request);
        }
        if let Some(refusal) = self.refuse(request.token.as_deref()) {
            return refusal;
        }
        let description = format!("/api/models/{REPOSITORY}/revision/");
        if let Some(revision) = request.path.strip_prefix(&description) {
            return self.describe(&revision.replace("%2F", "/"));
        }
        match request.path.strip_prefix(&format!("/{REPOSITORY}/resolve/")) {
            Some(rest) => self.resolve(rest, request),
            None => Answer::refusal(404, "RepoNotFound", "Repository not found"),
        }
    }

    fn refuse(&self, token: Option<&str>) -> Option<Answer> {
        let known = self.offer.token.into_iter().chain(self.offer.gate);
        match token {
            // A repository that is open to all takes any token.
            Some(token) if known.clone().any(|right| right != token) => {
                Some(Answer::refusal(401, "", "Invalid credentials in Authorization header"))
            }
            None if self.offer.token.is_some() => {
                Some(Answer::refusal(401, "RepoNotFound", "Repository not found"))
            }
            _ => None,
        }
    }

    fn describe(&self, revision: &str) -> Answer {
        let Some((commit, files)) = self.offer.find(revision) else {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        };
        let siblings: Vec<_> =
            files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({
            "id": REPOSITORY,
            "sha": commit,
            "siblings": siblings,
            "private": self.offer.token.is_some(),
            "gated": self.offer.gate.map_or(serde_json::json!(false), |_| "manual".into()),
        });
        Answer::new(200, Vec::new(), body.to_string().into_bytes())
    }

    fn resolve(&self, rest: &str, request: &Request) -> Answer {
        let Some((revision, name)) = rest.split_once('/') else {
            return Answer::refusal(404, "EntryNotFound", "Entry not found");
        };
        let found = self.offer.find(revision);
        let Some((commit, content)) =
            found.and_then(|(commit, files)| Some((commit, files.get(name)?)))
        else {
            return Answer::refusal(404, "EntryNotFound", "Entry not found");
        };
        if self.offer.gate.is_some() && request.token.is_none() {
            return Answer::refusal(401, "GatedRepo", "Access to model acme/tiny is restricted");
        }
        let hash = Sha256::of(content).to_string();
        if name.ends_with(".safetensors") {
            let host = self.offer.elsewhere.unwrap_or("127.0.0.1");
            let headers = vec![
                ("x-repo-commit", commit.clone()),
                ("x-linked-etag", format!("\"{hash}\"")),
                ("x-linked-size", content.len().to_string()),
                ("location", format!("http://{host}:{}/cdn/{hash}", self.address.port())),
            ];
            return Answer::new(302, headers, Vec::new());
        }
        let mut answer = ranged(content, request);
        answer.headers.push(("x-repo-commit", commit.clone()));
        answer.headers.push(("etag", format!("\"{}\"", &hash[..40])));
        answer
    }

    fn large(&mut self, hash: &str, request: &Request) -> Answer {
        let Some(content) = self.offer.content(hash) else {
            return Answer::refusal(404, "", "");
        };
        let mut answer = ranged(content, request);
        let is_probe = request.range.as_deref() == Some("bytes=0-0");
        if self.offer.damages {
            answer.body.iter_mut().for_each(|byte| *byte ^= 1);
        }
        if !is_probe && let Some(bytes) = self.offer.breaks_after.take() {
            answer.sent = bytes.min(answer.body.len());
        }
        answer
    }
}

/// The bytes that `Range` asks for, with `Content-Range`.
fn ranged(content: &[u8], request: &Request) -> Answer {
    let length = content.len();
    let range = request.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Answer::new(200, Vec::new(), content.to_vec());
    };
    let first: usize = first.parse().unwrap_or(0);
    let end = last.parse().map_or(length, |last: usize| (last + 1).min(length));
    if first >= length {
        let headers = vec![("content-range", format!("bytes */{length}"))];
        return Answer::new(416, headers, Vec::new());
    }
    let headers = vec![("content-range", format!("bytes {first}-{}/{length}", end - 1))];
    Answer::new(206, headers, content[first..end].to_vec())
}
