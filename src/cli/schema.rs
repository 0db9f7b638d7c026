//! `rescribe schema`: the JSON schema of what `--json` prints.

use super::ui::Ui;
use rescribe::report::Report;

pub fn run(ui: &Ui) -> anyhow::Result<()> {
    ui.print_json(&Report::json_schema())
}
