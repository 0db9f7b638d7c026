//! Reports errors, each with its exit code and a hint at a fix.

use super::exit::{DATA, INTERRUPTED, MISSED, Missed, USAGE, Usage};
use super::ui::{CAUSE, ERROR, HINT, Ui};
use rescribe::checkpoint::CheckpointError;
use rescribe::files::FileError;
use rescribe::gradient::{TooLarge, TrainError};
use rescribe::model::config::ConfigError;
use rescribe::model::family::Family;
use rescribe::model::{ModelError, weights::WeightsError};
use rescribe::patch::PatchError;
use rescribe::plan::PlanError;
use rescribe::progress::Interrupted;
use rescribe::rank_one::RankOneError;
use rescribe::ranks::RankError;
use rescribe::run::RunError;
use rescribe::source::{HubErrorKind, SourceError};
use rescribe::spec::{Look, SpecError};

/// Prints an error and returns the code to exit with.
pub fn report(error: &anyhow::Error, ui: &Ui) -> u8 {
    let code = code(error);
    if code == INTERRUPTED {
        ui.say("Interrupted: nothing was left half-written.");
        return code;
    }
    if let Some(spec) = find::<SpecError>(error).filter(|spec| !spec.problems().is_empty()) {
        let look = Look { width: 80, color: true, unicode: true };
        ui.message(ERROR, "Error:", &spec.to_string());
        ui.say(spec.excerpts(look).trim_end());
    } else {
        ui.message(ERROR, "Error:", &error.to_string());
        let mut shown = error.to_string();
        for cause in error.chain().skip(1) {
            let text = cause.to_string();
            if !shown.contains(&text) {
                ui.message(CAUSE, "  Caused by:", &text);
                shown = text;
            }
        }
    }
    if let Some(hint) = hint(error) {
        ui.message(HINT, "Hint:", &hint);
    }
    code
}

/// The error and its causes in one line, for the rank that reports it.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            line += if line.is_empty() { "" } else { ": " };
            line += &cause;
        }
    }
    line.replace('\n', " ")
}

/// Whether another rank ended the job.
pub fn is_ended(error: &anyhow::Error) -> bool {
    matches!(find(error), Some(RankError::Ended))
}

/// Whether a threshold was missed by work that was done.
pub fn is_missed(error: &anyhow::Error) -> bool {
    code(error) == MISSED
}

/// Whether the user pressed Ctrl-C.
pub fn is_interrupt(error: &anyhow::Error) -> bool {
    code(error) == INTERRUPTED
}

/// The error of that type, however deep: wrapping errors name what they wrap as their source.
fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref::<E>())
}

fn code(error: &anyhow::Error) -> u8 {
    if find::<Interrupted>(error).is_some() {
        return INTERRUPTED;
    }
    if find::<Missed>(error).is_some() {
        return MISSED;
    }
    let plan = matches!(
        find::<PlanError>(error),
        Some(PlanError::SeveralLayers(_) | PlanError::TooLong { .. } | PlanError::NoOthers { .. })
    );
    let layer = matches!(find::<ModelError>(error), Some(ModelError::NoSuchLayer { .. }));
    let usage = find::<Usage>(error).is_some()
        || find::<TooLarge>(error).is_some()
        || find::<RunError>(error).is_some_and(RunError::is_usage)
        || find::<RankError>(error).is_some_and(is_of_command)
        || find::<SpecError>(error).is_some();
    if usage || plan || layer || is_taken(error) || is_kept(error) { USAGE } else { DATA }
}

/// An output exists that may not be overwritten.
fn is_taken(error: &anyhow::Error) -> bool {
    matches!(find::<FileError>(error), Some(FileError::Exists { .. }))
}

/// Whether the command names a journal that it cannot have, or was started as it cannot be.
fn is_of_command(error: &RankError) -> bool {
    matches!(
        error,
        RankError::OtherJob { .. }
            | RankError::InUse { .. }
            | RankError::WithoutMpi { .. }
            | RankError::OtherLauncher { .. }
    )
}

/// The path of the output is taken by something that is never replaced.
fn is_kept(error: &anyhow::Error) -> bool {
    matches!(
        find::<FileError>(error),
        Some(FileError::NotOurs { .. } | FileError::InUse { .. } | FileError::Strange { .. })
    )
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(source) = find::<SourceError>(error) {
        return source_hint(source);
    }
    if let Some(error) = find::<RankOneError>(error) {
        return Some(match error {
            RankOneError::TooLarge { .. } => {
                "allow it with --max-delta, or ask for less with --clamp or another --layer".into()
            }
            RankOneError::SecondMoment { .. } => "raise --ridge or --second-moment-tokens".into(),
            RankOneError::KeyTooSmall { .. } => "try another --layer".into(),
            RankOneError::SameKey { .. } => {
                "use --method memit, which comes as close to all of them as possible, or leave out \
                 one of two facts about one subject"
                    .into()
            }
            _ => "lower --learning-rate, or try another --layer".into(),
        });
    }
    match find::<TrainError>(error) {
        Some(TrainError::NotFinite { .. }) => {
            return Some("lower --learning-rate".into());
        }
        Some(TrainError::State { .. }) => {
            return Some("remove it to start again, or name another file with --checkpoint".into());
        }
        _ => {}
    }
    if find::<TooLarge>(error).is_some() {
        return Some("train less: --rank, --layers or --train mlp".into());
    }
    if find::<SpecError>(error).is_some_and(SpecError::is_of_records) {
        return Some("correct them, or leave them out with --skip-bad".into());
    }
    let of_records = |error: &RunError| match error {
        RunError::Clashes { what, .. } => what.contains("records"),
        _ => false,
    };
    if find::<RunError>(error).is_some_and(of_records) {
        return Some("remove them, or keep the first of each with --skip-conflicts".into());
    }
    if matches!(find::<RunError>(error), Some(RunError::HeldAlready { .. })) {
        return Some(
            "take them out of the edit, or out of the patch: rescribe patch list shows their numbers, \
             and rescribe patch remove takes facts out"
                .into(),
        );
    }
    if let Some(RankError::OtherJob { .. } | RankError::Damaged { .. }) = find(error) {
        return Some("name another file with --journal, or remove this one to begin again".into());
    }
    if is_taken(error) {
        return Some("name another path, or overwrite with --force".into());
    }
    if is_kept(error) {
        return Some("name another path; --force replaces only what rescribe wrote".into());
    }
    if matches!(find::<PatchError>(error), Some(PatchError::OtherBase { .. })) {
        return Some(
            "name the model that the patch was made for: rescribe inspect shows it".into(),
        );
    }
    if matches!(find::<PatchError>(error), Some(PatchError::DifferentBases { .. })) {
        return Some(
            "if one was made on an export with the other, make it again with rescribe edit --from \
             the other, which writes one patch of both"
                .into(),
        );
    }
    if find::<CheckpointError>(error).is_some() || find::<WeightsError>(error).is_some() {
        return None;
    }
    if let Some(ConfigError::UnsupportedKeys { keys }) = find::<ConfigError>(error) {
        if keys.iter().any(|(key, _)| key == "quantization_config") {
            return Some(
                "the weights are quantised: name the model that they were made from, or dequantise \
                 them and save them in bf16"
                    .into(),
            );
        }
        let flags = keys.iter().map(|(key, _)| format!("--ignore-config-key {key}"));
        let flags = flags.collect::<Vec<_>>().join(" ");
        let they = if keys.len() == 1 { "it" } else { "they" };
        return Some(format!("if {they} cannot change what the model computes: {flags}"));
    }
    // An unknown type's own message lists the known ones; sizes and contradictions have nothing to do
    // with them.
    let is_said = |error: &ConfigError| {
        use ConfigError::{Inconsistent, Size, UnknownModelType};
        matches!(error, UnknownModelType { .. } | Size { .. } | Inconsistent(_))
    };
    if find::<ConfigError>(error).is_some_and(|error| !is_said(error)) {
        return Some(format!("supported families: {}", Family::supported()));
    }
    None
}

fn source_hint(source: &SourceError) -> Option<String> {
    if let SourceError::InFolder { id } = source {
        let main = format!("{id}@main");
        return Some(format!("name a folder that exists; for the repository of the Hub, {main}"));
    }
    let SourceError::Hub(error) = source else { return None };
    Some(
        match error.kind {
            HubErrorKind::Hidden | HubErrorKind::TokenRefused { .. } => {
                "set HF_TOKEN to a token that may read it"
            }
            HubErrorKind::Gated { .. } => "accept the terms on the model's page and set HF_TOKEN",
            HubErrorKind::Offline { .. } => {
                "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or name a folder"
            }
            HubErrorKind::Unreachable { .. } => {
                "check the network and HF_ENDPOINT, or name a folder"
            }
            _ => return None,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, Error};
    use rescribe::gguf::GgufError;
    use rescribe::rank_one::statistics::StatisticsError;
    use rescribe::rank_one::value::ValueError;

    #[test]
    fn a_condition_is_known_by_its_type_however_deep_it_lies() {
        let stop = || ModelError::from(Interrupted);
        let layer = || ModelError::NoSuchLayer { layer: 9, last: 2 };
        let taken = || FileError::Exists { path: "out".into() };
        let rows: Vec<(Error, u8)> = vec![
            (Interrupted.into(), INTERRUPTED),
            (PlanError::from(stop()).into(), INTERRUPTED),
            (StatisticsError::from(stop()).into(), INTERRUPTED),
            (RankOneError::from(ValueError::from(Interrupted)).into(), INTERRUPTED),
            (CheckpointError::from(Interrupted).into(), INTERRUPTED),
            (SourceError::from(GgufError::from(Interrupted)).into(), INTERRUPTED),
            (Err::<(), _>(stop()).context("cannot open").unwrap_err(), INTERRUPTED),
            (PlanError::from(layer()).into(), USAGE),
            (StatisticsError::from(layer()).into(), USAGE),
            (TrainError::from(layer()).into(), USAGE),
            (TrainError::from(Interrupted).into(), INTERRUPTED),
            (TrainError::from(stop()).into(), INTERRUPTED),
            (PatchError::from(taken()).into(), USAGE),
            (CheckpointError::from(taken()).into(), USAGE),
            (GgufError::from(taken()).into(), USAGE),
            (Missed("efficacy".into()).into(), MISSED),
            (anyhow::anyhow!("interrupted"), DATA),
        ];
        for (error, expected) in rows {
            assert_eq!(code(&error), expected, "{error:?}");
        }
        assert!(
            hint(&CheckpointError::from(taken()).into()).is_some_and(|it| it.contains("--force"))
        );
    }
}
