//! Jinja as the templates of model folders use it: functions, filters and Python's ways of writing.

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Far more bytes than a prompt in its template has.
const LONGEST: usize = 16 << 20;
/// Far more steps than a template takes for one message.
const STEPS: u64 = 10_000_000;

/// Far longer than a template takes.
const TIME: Duration = Duration::from_secs(2);

/// Renders in a separate thread and gives up after [`TIME`]: a single step may double a text, which fuel does
/// not count. A thread that is too late cannot be stopped; it runs on until its step ends.
pub(super) fn in_time(
    render: impl FnOnce() -> Result<String, Error> + Send + 'static,
) -> Result<String, Error> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(render()));
    let late = |_| Err(Error::from(ErrorKind::OutOfFuel));
    receiver.recv_timeout(TIME).unwrap_or_else(late)
}

/// A text that does not grow without end, as a stranger's template might ask for.
pub(super) struct Bounded(pub(super) Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Renders templates as Hugging Face does, with an end to what they may do.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", fixed_date);
    environment.add_filter("tojson", to_json);
    environment
}

/// JSON as Python's `json.dumps` writes it, on one line or indented.
fn to_json(value: minijinja::Value, options: Kwargs) -> Result<minijinja::Value, Error> {
    let failed =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut bytes = Vec::new();
    let indent = " ".repeat(options.get::<Option<usize>>("indent")?.unwrap_or(0));
    let written = match indent.as_str() {
        "" => value.serialize(&mut Serializer::with_formatter(&mut bytes, OneLine)),
        indent => {
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
    };
    written.map_err(failed)?;
    Ok(minijinja::Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A blank after each comma and colon.
struct OneLine;

impl Formatter for OneLine {
    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }
}

/// 26 July 2024, a Friday: the date that Llama's templates name where they are told none.
fn fixed_date(format: &str) -> String {
    let parts = [
        ("%d", "26"),
        ("%b", "Jul"),
        ("%B", "July"),
        ("%Y", "2024"),
        ("%y", "24"),
        ("%m", "07"),
        ("%A", "Friday"),
        ("%a", "Fri"),
        ("%H", "12"),
        ("%M", "00"),
        ("%S", "00"),
        ("%j", "208"),
    ];
    parts.iter().fold(format.to_owned(), |text, (code, value)| text.replace(code, value))
}

/// The text without the block tags of these names; minijinja knows no extensions of its syntax.
pub(super) fn without_tags(text: &str, names: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let end = start + length + 2;
        let inside = rest[start + 2..end - 2].trim_matches(|c: char| c == '-' || c.is_whitespace());
        // Blanks that a tag's dashes cut stay cut, by an empty comment in its place.
        let comment = |tag: &str| tag.replace("{%", "{#").replace("%}", "#}");
        out.push_str(&rest[..start]);
        match names.contains(&inside) {
            true => out.push_str(&comment(&rest[start..end])),
            false => out.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}
