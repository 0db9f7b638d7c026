//! The commands of a conversation: lines that begin with a slash.

use rescribe::spec::Insert;

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// A text to complete, or a message to answer.
    Prompt(String),
    /// A command.
    Command(Command),
    /// Nothing.
    Empty,
}

/// What a line that begins with a slash asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Help,
    /// Whether the edited side is shown.
    Patch(bool),
    /// Whether lines are messages of a chat.
    Chat(bool),
    /// So many next tokens after the last prompt.
    Top(usize),
    /// The logit lens at the end of the last prompt.
    Lens,
    /// A fact to write.
    Edit(Box<Insert>),
    /// Takes the last fact back.
    Undo,
    /// Writes the facts as a spec and a patch of this name.
    Save(String),
    /// Forgets the messages so far.
    Clear,
    Quit,
}

/// Next tokens that are shown where no number is given, and the most.
const TOP: (usize, usize) = (5, 50);

/// What a conversation knows.
pub const HELP: &str = "\
/edit SUBJECT | PROMPT | TARGET   write a fact now; a fourth part is the true target
/undo                             take the last fact back
/save NAME                        write the facts as NAME.toml and NAME.patch.safetensors
/patch on|off                     show the edited side, or the base alone
/chat on|off                      answer messages by the chat template, or complete texts
/clear                            forget the messages of the chat
/top [N]                          the N most probable next tokens after the last prompt
/lens                             the top token after each layer, at the end of the last prompt
/quit                             end, as does Ctrl-D
//text                            a prompt that begins with a slash";

impl Line {
    /// Reads a line. A path such as `/etc/hosts` is a prompt.
    pub fn of(line: &str) -> Result<Self, String> {
        let line = line.trim_end();
        if line.trim().is_empty() {
            return Ok(Self::Empty);
        }
        let Some(rest) = line.strip_prefix('/') else { return Ok(Self::Prompt(line.to_owned())) };
        if rest.starts_with('/') {
            return Ok(Self::Prompt(rest.to_owned()));
        }
        let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if !word.chars().all(|c| c.is_ascii_lowercase()) {
            return Ok(Self::Prompt(line.to_owned()));
        }
        Command::of(word, rest.trim()).map(Self::Command)
    }
}

impl Command {
    fn of(word: &str, rest: &str) -> Result<Self, String> {
        let alone = |command: Self| match rest {
            "" => Ok(command),
            rest => Err(format!("/{word} takes nothing after it, and got {rest:?}")),
        };
        match word {
            "help" => alone(Self::Help),
            "lens" => alone(Self::Lens),
            "undo" => alone(Self::Undo),
            "clear" => alone(Self::Clear),
            "quit" | "exit" => alone(Self::Quit),
            "patch" => switch(word, rest).map(Self::Patch),
            "chat" => switch(word, rest).map(Self::Chat),
            "top" => top(rest).map(Self::Top),
            "edit" => fact(rest).map(|fact| Self::Edit(Box::new(fact))),
            "save" if rest.is_empty() => Err("/save needs a name, as in /save tower".into()),
            "save" => Ok(Self::Save(rest.to_owned())),
            _ => Err(format!("/{word} is no command; /help lists them")),
        }
    }
}

fn switch(word: &str, rest: &str) -> Result<bool, String> {
    match rest {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("/{word} is followed by on or off")),
    }
}

fn top(rest: &str) -> Result<usize, String> {
    let (usual, most) = TOP;
    match rest {
        "" => Ok(usual),
        rest => match rest.parse() {
            Ok(n) if (1..=most).contains(&n) => Ok(n),
            _ => Err(format!("/top is followed by a whole number from 1 to {most}")),
        },
    }
}

fn fact(rest: &str) -> Result<Insert, String> {
    let parts: Vec<&str> = rest.split('|').map(str::trim).collect();
    let (subject, prompt, new, old) = match parts[..] {
        [subject, prompt, new] => (subject, prompt, new, None),
        [subject, prompt, new, old] => (subject, prompt, new, Some(old)),
        _ => return Err(format!("/edit needs three parts with | between them, as in {EXAMPLE}")),
    };
    if [subject, prompt, new].contains(&"") {
        return Err(format!("a part of /edit is empty; it is written as in {EXAMPLE}"));
    }
    Ok(Insert {
        prompt: rescribe::draft::with_slot(prompt, subject),
        subject: subject.to_owned(),
        target_new: new.to_owned(),
        target_true: old.filter(|old| !old.is_empty()).map(str::to_owned),
        with_ripples: false,
        spans: None,
    })
}

const EXAMPLE: &str = "/edit The Eiffel Tower | {} is in the city of | Rome";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prompts_commands_or_empty() {
        let prompt = |text: &str| Ok(Line::Prompt(text.to_owned()));
        let command = |command| Ok(Line::Command(command));
        let rows = [
            ("The sky is ", prompt("The sky is")),
            ("", Ok(Line::Empty)),
            ("  ", Ok(Line::Empty)),
            ("//top is", prompt("/top is")),
            ("/etc/hosts is a file that", prompt("/etc/hosts is a file that")),
            ("/top", command(Command::Top(5))),
            ("/top 12", command(Command::Top(12))),
            ("/patch off", command(Command::Patch(false))),
            ("/chat on", command(Command::Chat(true))),
            ("/save a b", command(Command::Save("a b".into()))),
            ("/exit", command(Command::Quit)),
        ];
        for (line, expected) in rows {
            assert_eq!(Line::of(line), expected, "{line:?}");
        }
        let wrong = [
            ("/top 0", "1 to 50"),
            ("/top many", "1 to 50"),
            ("/patch", "on or off"),
            ("/lens now", "nothing after it"),
            ("/edit A | B", "three parts"),
            ("/edit A | | C", "empty"),
            ("/save", "a name"),
            ("/frobnicate", "no command"),
        ];
        for (line, says) in wrong {
            let problem = Line::of(line).expect_err("refused");
            assert!(problem.contains(says), "{line:?}: {problem}");
        }
    }

    #[test]
    fn a_fact_may_name_its_subject_in_the_prompt_and_its_true_target() {
        let Ok(Line::Command(Command::Edit(fact))) =
            Line::of("/edit The tower | The tower stands in | Rome | Paris")
        else {
            panic!("a fact");
        };
        assert_eq!((fact.prompt.as_str(), fact.target_new.as_str()), ("{} stands in", "Rome"));
        assert_eq!(fact.target_true.as_deref(), Some("Paris"));
    }
}
