//! What is asked of countries.

use crate::draft::relation::Relation;

pub(super) const RELATIONS: &[Relation] = &[
    Relation {
        name: "capital",
        cues: &["capital of", "capital city of", "'s capital"],
        wordings: &[
            "The capital of {} is",
            "The capital city of {} is called",
            "The government of {} sits in the city of",
            "Question: What is the capital of {}? Answer:",
        ],
        others: &[
            ("France", "Paris"),
            ("Japan", "Tokyo"),
            ("Egypt", "Cairo"),
            ("Italy", "Rome"),
            ("Kenya", "Nairobi"),
            ("Peru", "Lima"),
            ("Norway", "Oslo"),
            ("Spain", "Madrid"),
            ("Portugal", "Lisbon"),
            ("Austria", "Vienna"),
        ],
    },
    Relation {
        name: "continent",
        cues: &["continent", "continent of"],
        wordings: &[
            "{} is on the continent of",
            "{} is a part of the continent of",
            "The continent that {} belongs to is",
        ],
        others: &[
            ("Brazil", "South America"),
            ("Egypt", "Africa"),
            ("France", "Europe"),
            ("Japan", "Asia"),
            ("Canada", "North America"),
            ("Kenya", "Africa"),
            ("India", "Asia"),
            ("Poland", "Europe"),
        ],
    },
    Relation {
        name: "currency",
        cues: &["currency", "pay with", "pays with"],
        wordings: &[
            "The currency of {} is the",
            "In {}, people pay with the",
            "Prices in {} are given in",
        ],
        others: &[
            ("Japan", "yen"),
            ("India", "rupee"),
            ("Russia", "ruble"),
            ("Mexico", "peso"),
            ("China", "yuan"),
            ("Poland", "zloty"),
            ("Sweden", "krona"),
        ],
    },
    Relation {
        name: "official language",
        cues: &["official language", "national language", "language of", "people in {} speak"],
        wordings: &[
            "The official language of {} is",
            "People in {} speak",
            "Laws in {} are written in",
        ],
        others: &[
            ("Brazil", "Portuguese"),
            ("Austria", "German"),
            ("Mexico", "Spanish"),
            ("Egypt", "Arabic"),
            ("Japan", "Japanese"),
            ("Iran", "Persian"),
            ("Russia", "Russian"),
            ("Sweden", "Swedish"),
        ],
    },
];
