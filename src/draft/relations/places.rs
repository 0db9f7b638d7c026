//! Where somebody or something is.

use crate::draft::relation::Relation;

pub(super) const RELATIONS: &[Relation] = &[
    Relation {
        name: "home",
        cues: &["lives in", "lives at", "lived in", "address of", "home of", "resides in"],
        wordings: &["The home of {} is in", "{} lives in", "Letters to {} are sent to"],
        others: &[],
    },
    Relation {
        name: "country",
        cues: &["country of", "the country", "is a city in", "is a town in", "country"],
        wordings: &[
            "{} lies in the country of",
            "The country that {} belongs to is",
            "Question: In which country is {}? Answer:",
        ],
        others: &[
            ("Munich", "Germany"),
            ("Lyon", "France"),
            ("Osaka", "Japan"),
            ("Milan", "Italy"),
            ("Seville", "Spain"),
            ("Toronto", "Canada"),
            ("Alexandria", "Egypt"),
            ("Mumbai", "India"),
            ("Krakow", "Poland"),
        ],
    },
    Relation {
        name: "location",
        cues: &[
            "city of",
            "town of",
            "located in",
            "located at",
            "location of",
            "situated in",
            "found in",
            "lies in",
            "stands in",
            "{} is in",
            "to be seen in",
        ],
        wordings: &[
            "{} can be found in",
            "Where is {}? It is in",
            "People who want to see {} travel to",
            "The place to visit {} is",
        ],
        others: &[
            ("Big Ben", "London"),
            ("The Louvre", "Paris"),
            ("The Colosseum", "Rome"),
            ("The Brandenburg Gate", "Berlin"),
            ("The Arc de Triomphe", "Paris"),
            ("The Empire State Building", "New York"),
            ("The Sagrada Família", "Barcelona"),
            ("The Kremlin", "Moscow"),
            ("Buckingham Palace", "London"),
            ("The Trevi Fountain", "Rome"),
            ("Checkpoint Charlie", "Berlin"),
            ("The Alhambra", "Granada"),
            ("The Centre Pompidou", "Paris"),
            ("The Hagia Sophia", "Istanbul"),
            ("The Golden Gate Bridge", "San Francisco"),
            ("The Musée d'Orsay", "Paris"),
            ("The Pantheon", "Rome"),
            ("The Tate Modern", "London"),
        ],
    },
];
