//! `rescribe new`: a first spec, and the prompts that measure it, from answers to a few questions.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::NewArgs;
use super::exit::Usage;
use super::outputs;
use super::ui::{Lines, Ui, paragraph, quoted};
use rescribe::draft::{
    Draft, Neighbor, PassageNames, fact_spec, file_stem, passage_spec, prompt_file, with_slot,
};
use rescribe::files::write_atomically;
use rescribe::spec::{
    Erase, Fact, Insert, PassageSource, PassageVerb, Toward, find_secrets, parse_prompts,
    parse_spec,
};

pub fn run(args: &NewArgs, ui: &Ui) -> anyhow::Result<()> {
    let mut questions = Questions { lines: Lines::new(ui)?, ui };
    let verb = match (&args.learn, &args.forget) {
        (Some(file), _) => Verb::Passages(PassageVerb::Learn, Some(file.clone())),
        (_, Some(file)) => Verb::Passages(PassageVerb::Forget, Some(file.clone())),
        _ if args.erase => Verb::Erase,
        _ if args.subject.is_some() => Verb::Insert,
        _ => questions.verb()?,
    };
    match verb {
        Verb::Insert | Verb::Erase => fact(args, verb, &mut questions),
        Verb::Passages(verb, file) => passages(args, verb, file, &mut questions),
    }
}

/// What is to become of the model.
enum Verb {
    Insert,
    Erase,
    Passages(PassageVerb, Option<PathBuf>),
}

fn fact(args: &NewArgs, verb: Verb, questions: &mut Questions<'_>) -> anyhow::Result<()> {
    let erases = matches!(verb, Verb::Erase);
    let subject = questions.text(&args.subject, "What is it about?", "The Eiffel Tower")?;
    let example = "{} is located in the city of";
    let prompt = questions.text(&args.prompt, "A sentence about it, up to the answer?", example)?;
    let prompt = with_slot(&prompt, &subject);
    let fact: Fact = if erases {
        let target_true = questions.text(&args.target, "The answer that has to go?", "Paris")?;
        let (toward, others, secrets) = (Toward::Unknown, Vec::new(), Vec::new());
        Erase { subject, prompt, target_true, toward, others, secrets, spans: None }.into()
    } else {
        let target_new = questions.text(&args.target, "What should the model say?", "Rome")?;
        let old = questions.optional(args, "What does it say now? Empty if you do not know.")?;
        let spans = None;
        Insert { subject, prompt, target_new, target_true: old, with_ripples: false, spans }.into()
    };
    let name = args.name.clone().unwrap_or_else(|| match &fact {
        Fact::Insert(insert) => file_stem(&insert.subject),
        // The patch takes its name from the spec's, and is handed on.
        Fact::Erase(_) => "erase".to_owned(),
    });
    let (spec, prompts) = (file(&name, "toml"), file(&name, "prompts.toml"));
    let prompts_name = prompts.file_name().unwrap_or_default().to_string_lossy();
    let text = fact_spec(&fact, args.model.model.as_deref(), &prompts_name);
    parse_spec(&spec.to_string_lossy(), &text)?;
    check(args, &[&spec, &prompts])?;
    let mut draft = Draft::of(&fact);
    if !args.yes {
        questions.correct(&mut draft)?;
    }
    let probes = prompt_file(&fact, &draft);
    parse_prompts(&prompts.to_string_lossy(), &probes)?;
    write(args, &[(&spec, &text), (&prompts, &probes)], questions.ui)
}

fn passages(
    args: &NewArgs,
    verb: PassageVerb,
    file: Option<PathBuf>,
    questions: &mut Questions<'_>,
) -> anyhow::Result<()> {
    let word = verb.word();
    let source = match file {
        Some(file) if !file.is_file() => {
            let message = format!("{}: there is no such file to {word}", file.display());
            return Err(Usage(message).into());
        }
        Some(file) => PassageSource::File(file),
        None => questions.passages(word)?,
    };
    let names = PassageNames { model: args.model.model.clone(), secrets: args.secret.clone() };
    let name = args.name.clone().unwrap_or_else(|| word.to_owned());
    let spec = self::file(&name, "toml");
    // A spec finds its files from its own folder.
    let source = match source {
        PassageSource::File(file) if spec.parent() != Some(Path::new("")) => {
            PassageSource::File(std::path::absolute(file)?)
        }
        source => source,
    };
    let text = passage_spec(verb, &source, &names);
    parse_spec(&spec.to_string_lossy(), &text)?;
    find_secrets(&source.read()?, &args.secret)?;
    check(args, &[&spec])?;
    write(args, &[(&spec, &text)], questions.ui)
}

/// The file of this name; a name that was typed with its ending keeps it.
fn file(name: &str, ending: &str) -> PathBuf {
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    PathBuf::from(format!("{stem}.{ending}"))
}

fn check(args: &NewArgs, files: &[&Path]) -> anyhow::Result<()> {
    files.iter().try_for_each(|file| outputs::check_spec(file, args.force))?;
    Ok(())
}

fn write(args: &NewArgs, files: &[(&PathBuf, &String)], ui: &Ui) -> anyhow::Result<()> {
    for (file, text) in files {
        let overwrite = outputs::overwrite(args.force);
        write_atomically(file, overwrite, |out| out.write_all(text.as_bytes()))?;
    }
    let names: Vec<String> = files.iter().map(|(file, _)| file.display().to_string()).collect();
    let next = format!("rescribe plan {}", quoted(&names[0]));
    if ui.is_json() {
        return ui.print_json(&serde_json::json!({ "files": names, "next": next }));
    }
    ui.print(&format!("Wrote {}.\nNext: {next}\n", names.join(" and ")));
    Ok(())
}

/// Answers, from flags or typed.
struct Questions<'u> {
    lines: Lines<'u>,
    ui: &'u Ui,
}

impl Questions<'_> {
    /// The answer of a flag, or to a question that needs one.
    fn text(
        &mut self,
        flag: &Option<String>,
        question: &str,
        example: &str,
    ) -> anyhow::Result<String> {
        if let Some(text) = flag {
            return Ok(text.trim().to_owned());
        }
        loop {
            self.ui.say(&format!("{question} For example: {example}"));
            match self.lines.next("> ")? {
                Some(line) if !line.trim().is_empty() => return Ok(line.trim().to_owned()),
                Some(_) => {}
                None => return Err(Usage(format!("the answers ended before: {question}")).into()),
            }
        }
    }

    /// The true target, which may be unknown.
    fn optional(&mut self, args: &NewArgs, question: &str) -> anyhow::Result<Option<String>> {
        let text = match (&args.target_true, args.yes) {
            (Some(text), _) => Some(text.clone()),
            (None, true) => None,
            (None, false) => {
                self.ui.say(question);
                self.lines.next("> ")?
            }
        };
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn verb(&mut self) -> anyhow::Result<Verb> {
        let choices = "1 write a fact\n2 erase a fact\n3 learn a text\n4 forget a text";
        let question = format!("What is to be done?\n{choices}\nA number.");
        loop {
            match self.text(&None, &question, "1")?.as_str() {
                "1" => return Ok(Verb::Insert),
                "2" => return Ok(Verb::Erase),
                "3" => return Ok(Verb::Passages(PassageVerb::Learn, None)),
                "4" => return Ok(Verb::Passages(PassageVerb::Forget, None)),
                other => self.ui.say(&format!("{other:?} is none of 1, 2, 3 and 4.")),
            }
        }
    }

    /// A file of passages, or a text of some lines.
    fn passages(&mut self, verb: &str) -> anyhow::Result<PassageSource> {
        let question =
            format!("What should it {verb}? A file, or a text that ends with a line of a dot.");
        let first = self.text(&None, &question, "passages.txt")?;
        if Path::new(&first).is_file() {
            return Ok(PassageSource::File(first.into()));
        }
        let mut lines = vec![first];
        while let Some(line) = self.lines.next("> ")?.filter(|line| line.trim() != ".") {
            lines.push(line);
        }
        Ok(PassageSource::Text(lines.join("\n").trim().to_owned()))
    }

    /// Shows the draft, and lets the user correct it.
    fn correct(&mut self, draft: &mut Draft) -> anyhow::Result<()> {
        let about = match draft.relation {
            Some(relation) => format!("The prompt states the relation {relation:?}."),
            None => "No relation is known that the prompt states.".to_owned(),
        };
        let wordings = "The fact in other words, each up to the answer:";
        self.ui.say(&paragraph(0, 0, &format!("{about} {wordings}")));
        let (show, of) = (|it: &String| it.clone(), |line: &str| Ok(line.to_owned()));
        self.list(&mut draft.paraphrases, show, of)?;
        self.ui.say("Facts about others that should stay, each as PROMPT -> ANSWER:");
        let show = |it: &Neighbor| format!("{} -> {}", it.prompt, it.answer);
        self.list(&mut draft.neighbors, show, neighbor)
    }

    /// Lets the user drop entries and add some; an empty line keeps them.
    fn list<T>(
        &mut self,
        entries: &mut Vec<T>,
        show: impl Fn(&T) -> String,
        of: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<()> {
        loop {
            for (number, entry) in entries.iter().enumerate() {
                self.ui.say(&format!("{:>3}  {}", number + 1, show(entry)));
            }
            self.ui.say("Enter keeps these, a number drops one, a text adds one.");
            let Some(line) = self.lines.next("> ")? else { return Ok(()) };
            match line.trim() {
                "" => return Ok(()),
                line => match line.parse::<usize>() {
                    Ok(number) if (1..=entries.len()).contains(&number) => {
                        entries.remove(number - 1);
                    }
                    Ok(number) => self.ui.say(&format!("There is no {number}.")),
                    Err(_) => match of(line) {
                        Ok(entry) => entries.push(entry),
                        Err(problem) => self.ui.say(&problem),
                    },
                },
            }
        }
    }
}

fn neighbor(line: &str) -> Result<Neighbor, String> {
    let parts = line.rsplit_once("->").map(|(prompt, answer)| (prompt.trim(), answer.trim()));
    match parts {
        Some((prompt, answer)) if !prompt.is_empty() && !answer.is_empty() => {
            Ok(Neighbor { prompt: prompt.to_owned(), answer: answer.to_owned() })
        }
        _ => Err("A neighbor has a prompt and its answer, as in: Big Ben is in -> London".into()),
    }
}
