//! The record of an audit: what `rescribe verify --out` writes, and `rescribe verify-record` checks.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::{VerifyArgs, VerifyRecordArgs};
use super::exit::{Missed, Usage};
use super::outputs::overwrite;
use super::session::Session;
use super::ui::Ui;
use rescribe::audit::Audit;
use rescribe::audit::record::{
    CheckError, FileDigest, RECORD, RecordKey, Request, check_record, folder_files, write_record,
};
use rescribe::files::{FileError, Sha256, check_target, read_regular};
use rescribe::patch::Redactor;
use rescribe::progress::counted;
use rescribe::report::Report;
use rescribe::run::Job;
use rescribe::spec::{EditSpec, Fact, PassageSource};

/// A key in PEM has a few hundred bytes.
const LARGEST_KEY: u64 = 1 << 16;

/// Checks, before any work, that the record can be written, and reads or makes its key.
pub fn ready(args: &VerifyArgs, out: &Path) -> anyhow::Result<RecordKey> {
    let model = args.model.model.iter().chain(&args.base).chain(&args.reference);
    let model = model.map(|name| Path::new(name.as_str()));
    let files = [&args.spec].into_iter().chain(&args.patch).chain(&args.key);
    let uses: Vec<&Path> = files.map(PathBuf::as_path).chain(model).collect();
    check_target(out, overwrite(args.force), &RECORD, &uses)?;
    match &args.key {
        Some(file) => read_key(file),
        None => own_key(out),
    }
}

fn read_key(file: &Path) -> anyhow::Result<RecordKey> {
    let text = read_regular(file, LARGEST_KEY).map_err(FileError::reading(file))?;
    let key = RecordKey::from_pem(&String::from_utf8_lossy(&text), file);
    key.map_err(|error| Usage(format!("--key: {error}")).into())
}

/// The key next to the record, which is made with the first one and never leaves this machine.
fn own_key(out: &Path) -> anyhow::Result<RecordKey> {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let file = out.with_file_name(format!("{name}.key.pem"));
    if file.exists() {
        return read_key(&file);
    }
    let key = RecordKey::generate();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&file).and_then(|mut to| to.write_all(key.to_pem().as_bytes()));
    written.map_err(FileError::writing(&file))?;
    Ok(key)
}

/// What a record says of the request.
pub struct Told<'a> {
    pub args: &'a VerifyArgs,
    pub spec: &'a EditSpec,
    pub job: &'a Job,
    pub redactor: Option<&'a Redactor>,
    pub started: SystemTime,
}

/// Writes the record of an audit.
pub fn write(
    out: &Path,
    key: &RecordKey,
    audit: &Audit,
    told: &Told<'_>,
    (session, base): (&Session, Option<&Session>),
) -> anyhow::Result<()> {
    let patches = (1..).zip(&told.args.patch).map(|(at, file)| told.patch(at, file));
    let patches = patches.collect::<Result<Vec<_>, FileError>>()?;
    let folder = |session: &Session| -> Result<(String, Vec<FileDigest>), FileError> {
        Ok((told.scrubbed(&session.name), folder_files(&session.model.folder, &[])?))
    };
    let (model, base) = match patches.is_empty() {
        true => (folder(session)?, base.map(folder).transpose()?),
        false => {
            let name = format!("{} with patches", told.scrubbed(&session.name));
            ((name, patches.clone()), Some(folder(session)?))
        }
    };
    let request = Request {
        id: uuid(),
        times: [told.started, SystemTime::now()].map(rfc3339),
        spec: (told.named("the spec", &told.args.spec), told.salted()),
        asked: told.asked(audit),
        model,
        base,
        patches,
        architecture: session.model.decoder.config().model_type.to_string(),
        remaining: told.remaining(session, audit),
    };
    Ok(write_record(out, overwrite(told.args.force), (audit, &request), key)?)
}

impl Told<'_> {
    /// A text without what was removed.
    fn scrubbed(&self, text: &str) -> String {
        self.redactor.map_or_else(|| text.to_owned(), |redactor| redactor.scrub(text))
    }

    /// A file by its role, and by its name where nothing was removed: people name files after what
    /// is in them.
    fn named(&self, role: &str, file: &Path) -> String {
        match self.redactor {
            Some(_) => role.to_owned(),
            None => format!("{role} {}", file.file_name().unwrap_or_default().to_string_lossy()),
        }
    }

    /// A patch, by its number where something was removed.
    fn patch(&self, number: usize, file: &Path) -> Result<FileDigest, FileError> {
        let name = match self.redactor {
            Some(_) => format!("patch-{number}.safetensors"),
            None => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        Ok(FileDigest { name, sha256: Sha256::of_file(file)? })
    }

    /// The digest of the spec; with a salt where it names something that was removed.
    fn salted(&self) -> String {
        let text = self.spec.source.text();
        let plain = || format!("sha256:{}", Sha256::of(text));
        self.redactor.map_or_else(plain, |redactor| redactor.digest(text))
    }

    fn asked(&self, audit: &Audit) -> Vec<(usize, &'static str)> {
        let is_erase = |fact: &&Fact| matches!(fact, Fact::Erase(_));
        let erased = self.job.facts.iter().filter(is_erase).count();
        let rows = [
            (audit.passages, "passages to forget"),
            (erased, "facts to erase"),
            (self.job.facts.len() - erased, "facts to insert"),
        ];
        rows.into_iter().filter(|(n, _)| *n > 0).collect()
    }

    /// What still holds the data, as far as this run can know.
    fn remaining(&self, session: &Session, audit: &Audit) -> Vec<String> {
        let mut all = vec![self.named("the spec", &self.args.spec)];
        all.extend(self.spec.probe.iter().map(|file| self.named("its probe file", file)));
        for operation in &self.job.passages {
            if let PassageSource::File(file) = &operation.passages {
                all.push(self.named("the passages file", file));
            }
        }
        let base = self.args.base.as_deref().map(|base| self.scrubbed(base));
        all.push(match (base, self.args.patch.is_empty()) {
            (Some(base), _) => format!("the base {base}: the model before the edit"),
            (None, false) => {
                format!("the base {}: the model before the edit", self.scrubbed(&session.name))
            }
            (None, true) => "the model before the edit, wherever it is kept".into(),
        });
        all.push("checkpoints of the training, and copies of any of these files".into());
        all.push("samples of the base in the cache".into());
        if !audit.passes() {
            all.push("the audited model itself, as far as the verdicts say".into());
        }
        all
    }
}

/// A random UUID, version 4.
fn uuid() -> String {
    let mut bytes = Sha256::random().0;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = |range: std::ops::Range<usize>| -> String {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    [0..4, 4..6, 6..8, 8..10, 10..16].map(digits).join("-")
}

/// A time as RFC 3339, in UTC and whole seconds.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of the year 0, by eras of 400 years (Hinnant, "days_from_civil").
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `rescribe verify-record`.
pub fn check(args: &VerifyRecordArgs, ui: &Ui) -> anyhow::Result<()> {
    let key = args.key.as_deref().map(|file| -> anyhow::Result<(String, String)> {
        let text = read_regular(file, LARGEST_KEY).map_err(FileError::reading(file))?;
        Ok((String::from_utf8_lossy(&text).into_owned(), file.display().to_string()))
    });
    let key = key.transpose()?;
    let key = key.as_ref().map(|(text, name)| (text.as_str(), name.as_str()));
    let found = check_record(&args.record, key, args.model.as_deref());
    let found = found.map_err(|error| match error {
        CheckError::Key(error) => Usage(format!("--key: {error}")).into(),
        error => anyhow::Error::from(error),
    })?;
    let folder = args.record.display();
    let sentence = match (found.problems.as_slice(), found.compared) {
        ([], compared) => {
            let whose = if args.key.is_some() { "the given key" } else { "the key in it" };
            let model = compared.map(|n| {
                format!(" The {} of the model are those that it signs.", counted(n, "file"))
            });
            format!(
                "{folder} is whole: {} and the chain of requests are as they were signed by {whose}, \
                 as are the digests of {} of the model.{}",
                counted(found.files, "file"),
                counted(found.signed, "file"),
                model.unwrap_or_default()
            )
        }
        (problems, _) => {
            format!("{folder} is not as it was signed:\n{}", problems.join("\n"))
        }
    };
    let report = Report::new("verify-record", &folder.to_string(), &found)?.section(sentence);
    ui.show(&report)?;
    match found.is_whole() {
        true => Ok(()),
        false => Err(Missed(format!("{folder}: {}", found.problems.join("; "))).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let id = uuid();
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]) && id != uuid(), "{id}");
    }
}
