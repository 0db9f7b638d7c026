//! What is asked of works and products.

use crate::draft::relation::Relation;

pub(super) const RELATIONS: &[Relation] = &[
    Relation {
        name: "author",
        cues: &["written by", "author of", "writer of", "book by", "novel by"],
        wordings: &["The author of {} is", "{} was written by", "{} is a work by"],
        others: &[
            ("Pride and Prejudice", "Jane Austen"),
            ("War and Peace", "Leo Tolstoy"),
            ("Hamlet", "William Shakespeare"),
            ("Don Quixote", "Miguel de Cervantes"),
            ("The Odyssey", "Homer"),
            ("Oliver Twist", "Charles Dickens"),
            ("Animal Farm", "George Orwell"),
            ("Madame Bovary", "Gustave Flaubert"),
        ],
    },
    Relation {
        name: "film director",
        cues: &["directed by", "director of the film", "film by", "movie by"],
        wordings: &["{} was directed by", "The director of {} is", "{} is a film by"],
        others: &[
            ("Psycho", "Alfred Hitchcock"),
            ("Jaws", "Steven Spielberg"),
            ("Pulp Fiction", "Quentin Tarantino"),
            ("Titanic", "James Cameron"),
            ("Seven Samurai", "Akira Kurosawa"),
            ("The Godfather", "Francis Ford Coppola"),
            ("Taxi Driver", "Martin Scorsese"),
        ],
    },
    Relation {
        name: "composer",
        cues: &["composed by", "composer of"],
        wordings: &["{} was composed by", "The composer of {} is", "The music of {} is by"],
        others: &[
            ("The Magic Flute", "Mozart"),
            ("The Four Seasons", "Vivaldi"),
            ("Swan Lake", "Tchaikovsky"),
            ("Carmen", "Bizet"),
            ("Aida", "Verdi"),
        ],
    },
    Relation {
        name: "painter",
        cues: &["painted by", "painter of"],
        wordings: &["{} was painted by", "The painter of {} is", "{} is a painting by"],
        others: &[
            ("The Mona Lisa", "Leonardo da Vinci"),
            ("Guernica", "Pablo Picasso"),
            ("The Starry Night", "Vincent van Gogh"),
            ("The Scream", "Edvard Munch"),
            ("The Night Watch", "Rembrandt"),
        ],
    },
    Relation {
        name: "maker",
        cues: &[
            "produced by",
            "made by",
            "developed by",
            "manufactured by",
            "created by",
            "product of",
            "built by",
            "produces",
        ],
        wordings: &[
            "{} is made by",
            "{} is a product of",
            "The company behind {} is",
            "The maker of {} is",
        ],
        others: &[
            ("The iPhone", "Apple"),
            ("Windows 95", "Microsoft"),
            ("The PlayStation", "Sony"),
            ("The Game Boy", "Nintendo"),
            ("The Boeing 747", "Boeing"),
            ("Android", "Google"),
            ("Photoshop", "Adobe"),
            ("The Walkman", "Sony"),
        ],
    },
    Relation {
        name: "television channel",
        cues: &["premiered on", "aired on", "originally aired", "broadcast on", "shown on"],
        wordings: &[
            "{} premiered on",
            "The channel that first showed {} is",
            "Viewers first saw {} on",
        ],
        others: &[
            ("The Sopranos", "HBO"),
            ("Friends", "NBC"),
            ("The Simpsons", "Fox"),
            ("Doctor Who", "BBC"),
            ("Breaking Bad", "AMC"),
        ],
    },
];
