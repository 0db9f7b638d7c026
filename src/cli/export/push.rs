//! Uploads an export with `hf`, the Hub's own client, which signs in, creates the repository and sends large
//! files in parts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::cli::args::{ExportArgs, Global};
use crate::cli::exit::Usage;
use crate::cli::ui::{Ui, quoted};
use rescribe::files::Overwrite;
use rescribe::patch::Composed;
use rescribe::source::{HubId, SourceOptions};

/// The program that uploads.
const CLIENT: &str = "hf";
/// Where patches lie in the repository.
const PATCHES: &str = "patches";

/// An upload that was asked for.
pub struct Push {
    /// The repository, `org/name`.
    repository: String,
    /// Whether a repository that does not exist yet is created as a private one.
    is_private: bool,
    is_quiet: bool,
    /// Whether patches keep what their specs said of things erased or forgotten.
    keeps_spec: bool,
}

impl Push {
    /// What `--push` asks for, if it can be done: nothing has been written yet.
    pub fn new(args: &ExportArgs, global: &Global) -> Result<Option<Self>, Usage> {
        let Some(name) = &args.push else { return Ok(None) };
        let Some(HubId { name: repository, revision: None }) = HubId::parse(name) else {
            let text = format!("--push takes the name of a repository, ORG/NAME, and not {name:?}");
            return Err(Usage(text));
        };
        if SourceOptions::from_variables(&|name| std::env::var_os(name)).hub.offline {
            let text = "--push needs the Hub: unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE";
            return Err(Usage(text.into()));
        }
        let mut probe = Command::new(CLIENT);
        probe.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().is_ok_and(|status| status.success()) {
            let text = "--push needs hf, the Hub's own client, which does not run here: \
                        pip install huggingface_hub";
            return Err(Usage(text.into()));
        }
        let (is_private, keeps_spec) = (args.private, args.keep_spec);
        Ok(Some(Self { repository, is_private, is_quiet: global.quiet, keeps_spec }))
    }

    /// Uploads what was written to `out`, and the patches that it was made of.
    pub fn upload(&self, out: &Path, patches: &[PathBuf], ui: &Ui) -> anyhow::Result<()> {
        let place = if out.is_dir() { Some(".") } else { None };
        let mut url = self.send(out, place).with_context(|| {
            let file = quoted(&out.to_string_lossy());
            let again = format!("hf upload {} {file}", self.repository);
            format!("{} is written but not uploaded; to upload it: {again}", out.display())
        })?;
        if !patches.is_empty() {
            let room = tempfile::tempdir().context("no room for the patches that are uploaded")?;
            for (at, file) in patches.iter().enumerate() {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                // Patches of several folders may share a name.
                let name =
                    if patches.len() > 1 { format!("{}-{name}", at + 1) } else { name.into() };
                let patch = Composed::read(file)?;
                let patch = if self.keeps_spec { patch } else { patch.redacted()? };
                patch.write(&room.path().join(name), Overwrite::Refuse)?;
            }
            url = self.send(room.path(), Some(PATCHES)).with_context(|| {
                format!("{} is uploaded to {}, its patches are not", out.display(), self.repository)
            })?;
        }
        let patches = if patches.is_empty() { "" } else { ", its patches included" };
        ui.note("push", &format!("{} holds it{patches}: {url}", self.repository));
        Ok(())
    }

    /// Uploads a file or folder, and returns the address that the client prints.
    fn send(&self, what: &Path, place: Option<&str>) -> anyhow::Result<String> {
        let mut client = Command::new(CLIENT);
        client.args(["upload", "--quiet", "--commit-message", "Upload by rescribe"]);
        client.args(self.is_private.then_some("--private"));
        client.arg("--").arg(&self.repository).arg(what).args(place);
        client.stdin(Stdio::null()).stdout(Stdio::piped());
        // Its bars are drawn where they are seen.
        client.stderr(if self.is_quiet { Stdio::piped() } else { Stdio::inherit() });
        let done = client.spawn().and_then(|child| child.wait_with_output());
        let done = done.context("hf cannot be run")?;
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
        };
        if !done.status.success() {
            let why = last(&done.stderr).map(|line| format!(": {line}")).unwrap_or_default();
            anyhow::bail!("the upload to {} ended with {}{why}", self.repository, done.status);
        }
        Ok(last(&done.stdout).unwrap_or_else(|| "no address was given".into()))
    }
}
