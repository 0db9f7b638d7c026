//! One fact, and what follows from it.

use serde::{Deserialize, Serialize};

use super::relation::{Relation, Template, TemplateUse};

/// A fact as the corpus states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The subject as written inside a sentence ("the Eiffel Tower").
    pub subject: String,
    /// The relation between subject and object.
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

/// A fact that a counterfactual changes in addition to its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ripple {
    /// The fact that would be true.
    pub fact: Fact,
    /// The object in the corpus, where there is one.
    pub was: Option<String>,
}
