//! Flags made from the settings of specs, with the same keys, ranges and lines of help.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use crate::cli::exit::Usage;
use rescribe::spec::{
    GradientOptions, Group, Kind, Options, RankOneOptions, Setting, VerdictOptions,
};

/// Groups whose settings a verb takes as flags.
pub trait Groups {
    /// The groups, in the order of the help.
    const GROUPS: &'static [&'static Group];
}

/// Settings of facts and of passages.
pub struct Edits;
/// Settings of passages.
pub struct Passages;
/// Thresholds of the verdict.
pub struct Verdict;

impl Groups for Edits {
    const GROUPS: &'static [&'static Group] = &[RankOneOptions::GROUP, GradientOptions::GROUP];
}

impl Groups for Passages {
    const GROUPS: &'static [&'static Group] = &[GradientOptions::GROUP];
}

impl Groups for Verdict {
    const GROUPS: &'static [&'static Group] = &[VerdictOptions::GROUP];
}

/// The flags of some groups, as typed; each was checked by a group that has it.
pub struct Flags<G> {
    given: BTreeMap<String, String>,
    groups: PhantomData<G>,
}

impl<G: Groups> Flags<G> {
    /// The names of the flags that were given, without dashes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }

    /// The text after a flag, if it was given.
    pub fn text(&self, flag: &str) -> Option<&str> {
        self.given.get(flag).map(String::as_str)
    }

    /// Sets the option that a flag names.
    pub fn set<O: Options>(&self, flag: &str, options: &mut O) -> Result<(), Usage> {
        let setting = O::GROUP.of_flag(flag);
        if let (Some(setting), Some(text)) = (setting, self.text(flag)) {
            let value = setting.kind.of_flag(text);
            let value = value.map_err(|reason| Usage(format!("--{flag} {text}: {reason}")))?;
            options.set(setting.key, value);
        }
        Ok(())
    }

    /// The options, overridden by all flags of their group.
    pub fn over<O: Options>(&self, options: &O) -> Result<O, Usage> {
        let mut options = options.clone();
        self.names().try_for_each(|flag| self.set(flag, &mut options))?;
        Ok(options)
    }
}

/// The settings that share a flag, each with its group.
type Shared = Vec<(&'static Group, &'static Setting)>;

/// Every flag once, with the settings that it sets.
fn flags<G: Groups>() -> Vec<(String, Shared)> {
    let mut flags: Vec<(String, Shared)> = Vec::new();
    for group in G::GROUPS {
        for setting in group.settings {
            let name = group.flag(setting);
            match flags.iter_mut().find(|(known, _)| *known == name) {
                Some((_, settings)) => settings.push((group, setting)),
                None => flags.push((name, vec![(group, setting)])),
            }
        }
    }
    flags
}

impl<G: Groups> Args for Flags<G> {
    fn augment_args(command: Command) -> Command {
        let args = flags::<G>().into_iter().map(|(name, settings)| arg(name, settings));
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: Groups> FromArgMatches for Flags<G> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags::<G>().into_iter().filter_map(|(name, _)| {
            let text = matches.get_one::<String>(&name)?.clone();
            Some((name, text))
        });
        Ok(Self { given: given.collect(), groups: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn arg(name: String, settings: Shared) -> Arg {
    let kind = settings[0].1.kind;
    let arg = Arg::new(name.clone())
        .long(name.clone())
        .help(help(&settings))
        .help_heading(heading(&settings))
        .action(ArgAction::Set)
        .value_name(value_name(kind))
        .allow_negative_numbers(true)
        .value_parser(move |text: &str| accepted(&settings, text));
    match kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::File => arg.value_hint(ValueHint::FilePath),
        Kind::Layers | Kind::LayerChoice => arg.visible_alias("layer"),
        _ => arg,
    }
}

/// The text of a flag, if one of its settings accepts it.
fn accepted(settings: &Shared, text: &str) -> Result<String, String> {
    let mut reasons: Vec<String> = Vec::new();
    for (group, setting) in settings {
        match setting.kind.of_flag(text) {
            Ok(_) => return Ok(text.to_owned()),
            Err(reason) if settings.iter().all(|(_, it)| it.kind == setting.kind) => {
                return Err(reason);
            }
            Err(reason) => reasons.push(format!("{reason} in [{}]", group.table)),
        }
    }
    Err(reasons.join("; "))
}

fn help(settings: &Shared) -> String {
    let mut docs: Vec<String> = Vec::new();
    for (_, setting) in settings {
        let doc = match (setting.kind, setting.doc().split_once(" [")) {
            (Kind::Word(words), Some((doc, default))) => {
                format!("{doc}: {} [{default}", words.join(", "))
            }
            _ => setting.doc().to_owned(),
        };
        docs.push(doc);
    }
    docs.join("; of passages: ")
}

fn heading(settings: &Shared) -> String {
    match settings.as_slice() {
        [(group, _)] => format!("Settings of [{}]", group.table),
        groups => {
            let tables: Vec<String> =
                groups.iter().map(|(group, _)| format!("[{}]", group.table)).collect();
            format!("Settings of {}", tables.join(" and "))
        }
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Count(..) | Kind::Seed | Kind::Real(_) | Kind::Rate(_) => "NUMBER",
        Kind::Switch => "BOOL",
        Kind::Word(_) => "WORD",
        Kind::Layers | Kind::LayerChoice => "LAYERS",
        Kind::File => "FILE",
    }
}
