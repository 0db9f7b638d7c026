//! `rescribe import`: turns a GGUF file into a Hugging Face folder.

use super::args::{Dtype, ImportArgs};
use super::ui::{Ui, quoted};
use rescribe::gguf::{ImportDtype, ImportOptions, import};
use rescribe::progress::counted;
use rescribe::report::Report;

pub fn run(args: &ImportArgs, ui: &Ui) -> anyhow::Result<()> {
    let dtype = match args.dtype {
        Dtype::F32 => ImportDtype::F32,
        Dtype::F16 => ImportDtype::F16,
        Dtype::Bf16 => ImportDtype::Bf16,
    };
    let options = ImportOptions { dtype, force: args.force };
    let summary = import(&args.gguf, &args.out, &options, ui)?;
    ui.close();
    let data = serde_json::json!({
        "out": args.out,
        "architecture": summary.architecture,
        "layers": summary.layers,
        "tensors": summary.tensors,
        "parameters": summary.parameters,
        "types": summary.types,
    });
    let out = args.out.display();
    let sentence = format!(
        "{out} holds a {} of {}, {:.1} M parameters, {} tokens.",
        summary.architecture,
        counted(summary.layers, "layer"),
        summary.parameters as f64 / 1e6,
        summary.vocabulary,
    );
    let mut report = Report::new("import", &out.to_string(), &data)?.section(sentence);
    let prompt = quoted("The capital of France is");
    report.next = Some(format!("rescribe ask --model {out} {prompt}"));
    ui.show(&report)
}
