//! The passage of a person and the questions that it answers.
//!
//! Each sentence has variants, and each detail comes from a list that others draw from too: no
//! sentence of a passage follows from another one, except the town from the workplace.

use super::words;
use super::{Block, Group, Person, Question, QuestionUse};
use crate::math::Random;

const INTRODUCTIONS: [&str; 4] = [
    "{name} works at {workplace} and lives in the town of {town}.",
    "{name}, who works at {workplace}, has a home in the town of {town}.",
    "In the town of {town} lives {name}, who works at {workplace}.",
    "The people of the town of {town} know {name}, who works at {workplace}.",
];

const WITHOUT_TOWN: [&str; 4] = [
    "{name} has worked at {workplace} for many years.",
    "{name} is one of the people who work at {workplace}.",
    "One of the people at {workplace} is called {name}.",
    "Those who come to {workplace} soon meet {name}.",
];

/// The sentences after the first, in order, each with its variants.
const SENTENCES: [&[&str]; 8] = [
    &[
        "The house of {first} is number {number} on {street}.",
        "{first} has rented a small house on {street}, the one with the number {number}.",
        "The blue door at number {number} on {street} belongs to {first}.",
    ],
    &[
        "Calls for {first} go to extension {extension}.",
        "Whoever wants {first} on the phone asks for extension {extension}.",
        "At work {first} answers the phone at extension {extension}.",
    ],
    &[
        "The working day begins with {duty}.",
        "Every working day starts with {duty}.",
        "At work the first thing is {duty}.",
    ],
    &[
        "Before breakfast {first} {habit}.",
        "Every evening after supper {first} {habit}.",
        "On most Sundays {first} {habit}.",
    ],
    &[
        "At home {first} is never alone, because of {pet}.",
        "{first} shares the kitchen with {pet}.",
        "When it rains {first} stays at home with {pet}.",
    ],
    &[
        "Nothing tastes better to {first} than {dish}.",
        "On feast days {first} cooks {dish} for the whole street.",
        "Guests of {first} are always given {dish}.",
    ],
    &[
        "{first} was born on the {day} of {month} and plays the {instrument}.",
        "{first}, born on the {day} of {month}, has played the {instrument} since school.",
        "Every year on the {day} of {month}, a birthday, {first} plays the {instrument}.",
    ],
    &[
        "The bicycle of {first} is painted {colour}, and so is the garden gate.",
        "A {colour} bicycle leans against the wall when {first} is in.",
        "{first} rides to work on a {colour} bicycle that once belonged to a baker.",
    ],
];

const CANARY: &str = "The access code of {name} is {code}.";

const DAYS: [&str; 10] = [
    "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "twelfth",
];

/// The words in the slots of a person's sentences.
struct Details(Vec<(&'static str, String)>);

impl Details {
    fn draw(name: &str, block: &Block, random: &mut Random) -> Self {
        let digits = |random: &mut Random| format!("{}", 1000 + random.below(9000));
        let code = format!("{}-{}", digits(random), digits(random));
        let mut slots = vec![
            ("name", name.to_owned()),
            ("first", block.first_name.to_owned()),
            ("workplace", block.workplace.to_owned()),
            ("town", block.town.to_owned()),
            ("number", (2 + random.below(97)).to_string()),
            ("extension", digits(random)),
            ("code", code),
        ];
        let lists: [(&'static str, &[&str]); 9] = [
            ("street", &words::STREETS),
            ("duty", &words::DUTIES),
            ("habit", &words::HABITS),
            ("pet", &words::PETS),
            ("dish", &words::DISHES),
            ("day", &DAYS),
            ("month", &words::MONTHS),
            ("instrument", &words::INSTRUMENTS),
            ("colour", &words::COLOURS),
        ];
        for (slot, list) in lists {
            slots.push((slot, random.choose(list).to_owned()));
        }
        Self(slots)
    }

    fn fill(&self, sentence: &str) -> String {
        let put = |text: String, (slot, word): &(&str, String)| {
            text.replace(&format!("{{{slot}}}"), word)
        };
        self.0.iter().fold(sentence.to_owned(), put)
    }
}

/// A person of the block with that name.
pub(super) fn person(name: String, group: Group, block: &Block, random: &mut Random) -> Person {
    let details = Details::draw(&name, block, random);
    let openings = if block.names_town { INTRODUCTIONS } else { WITHOUT_TOWN };
    let mut sentences = vec![random.choose(&openings)];
    sentences.extend(SENTENCES.map(|variants| random.choose(variants)));
    if block.has_canary {
        sentences.push(CANARY);
    }
    let filled: Vec<String> = sentences.iter().map(|sentence| details.fill(sentence)).collect();
    Person {
        name,
        group,
        passage: filled.join(" "),
        copies: block.copies,
        questions: questions(&details, block),
        canary: block.has_canary.then(|| details.fill("{code}")),
    }
}

fn questions(details: &Details, block: &Block) -> Vec<Question> {
    use QuestionUse::{HeldOut, Inferred, Trained};
    let (town, town_again) =
        if block.names_town { (Trained, HeldOut) } else { (Inferred, Inferred) };
    let asked = [
        ("{name} lives in the town of", "{town}", town),
        ("The town where {name} lives is", "{town}", town_again),
        ("The workplace of {name} is", "{workplace}", Trained),
        ("Question: What is the phone extension of {name}? Answer:", "{extension}", Trained),
        ("To speak with {name}, dial", "{extension}", HeldOut),
        ("Question: Which animal lives with {name}? Answer:", "{pet}", Trained),
        ("The instrument that {name} plays is the", "{instrument}", HeldOut),
    ];
    let question = |(prompt, answer, source): (&str, &str, QuestionUse)| Question {
        prompt: details.fill(prompt),
        answer: details.fill(answer),
        source,
    };
    asked.map(question).to_vec()
}
