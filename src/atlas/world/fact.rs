//! One fact, and what follows from it.

use serde::{Deserialize, Serialize};

use super::relation::{Relation, Template, TemplateUse};

/// A fact as the corpus states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about, as written inside a sentence ("the Eiffel Tower").
    pub subject: String,
    /// What it says.
    pub relation: Relation,
    /// The completion of each of the relation's templates, without a leading space.
    pub object: String,
}

impl Fact {
    /// A fact of its three parts.
    pub fn new(subject: &str, relation: Relation, object: &str) -> Self {
        Self { subject: subject.to_owned(), relation, object: object.to_owned() }
    }

    /// The fact up to its object, in each template of one use.
    pub fn prompts(&self, place: TemplateUse) -> impl Iterator<Item = String> {
        self.relation.templates(place).map(|template| template.prompt(&self.subject))
    }

    /// The whole sentence, without a full stop.
    pub fn sentence(&self, template: Template) -> String {
        format!("{} {}", template.prompt(&self.subject), self.object)
    }
}

/// What a counterfactual changes besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ripple {
    /// What would be true.
    pub fact: Fact,
    /// The object that the corpus gives it, where it gives one.
    pub was: Option<String>,
}
