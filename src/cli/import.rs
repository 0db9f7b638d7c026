//! `rescribe import`: GGUF to a Hugging Face folder.

use super::args::{Dtype, ImportArgs};
use super::ui::{Ui, next_command};
use rescribe::gguf::{ImportDtype, ImportOptions, import};

pub fn run(args: &ImportArgs, ui: &Ui) -> anyhow::Result<()> {
    let dtype = match args.dtype {
        Dtype::F32 => ImportDtype::F32,
        Dtype::F16 => ImportDtype::F16,
        Dtype::Bf16 => ImportDtype::Bf16,
    };
    let options = ImportOptions { dtype, force: args.force };
    let summary = import(&args.gguf, &args.out, &options, ui)?;
    ui.close();
    if ui.is_json() {
        return ui.print_json(&serde_json::json!({
            "schema": 1,
            "out": args.out,
            "architecture": summary.architecture,
            "tensors": summary.tensors,
            "parameters": summary.parameters,
            "types": summary.types,
        }));
    }
    let ask = format!("rescribe ask --model {}", args.out.display());
    ui.print(&format!(
        "{} holds a {} of {} layers, {:.1} M parameters, {} tokens.\n{}\n",
        args.out.display(),
        summary.architecture,
        summary.layers,
        summary.parameters as f64 / 1e6,
        summary.vocabulary,
        next_command(&ask, "The capital of France is")
    ));
    Ok(())
}
