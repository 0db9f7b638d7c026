//! Names and details of the invented people.

/// One for each block of three people.
pub(super) const FIRST_NAMES: [&str; 40] = [
    "Ilva", "Doran", "Maren", "Tobin", "Selka", "Yorick", "Petra", "Anselm", "Nerys", "Caspian",
    "Odile", "Rufus", "Liesel", "Quentin", "Tamsin", "Ivo", "Greta", "Lorcan", "Saskia", "Magnus",
    "Elodie", "Barnaby", "Freya", "Cormac", "Ottilie", "Jasper", "Ingrid", "Silas", "Romy",
    "Edmund", "Thea", "Alaric", "Mina", "Gideon", "Clio", "Leopold", "Zora", "Hector", "Willa",
    "Bastian",
];

const BEGINNINGS: [&str; 20] = [
    "Ash", "Bram", "Cald", "Dun", "Elm", "Fen", "Gar", "Hol", "Kel", "Lorn", "Mor", "Nor", "Ost",
    "Pen", "Quill", "Ros", "Sand", "Thorn", "Ull", "Wick",
];

const ENDINGS: [&str; 8] = ["by", "den", "gate", "holt", "low", "mere", "stow", "ridge"];

/// 160 surnames.
pub(super) fn surnames() -> Vec<String> {
    let names = |beginning: &&str| ENDINGS.map(|ending| format!("{beginning}{ending}"));
    BEGINNINGS.iter().flat_map(names).collect()
}

pub(super) const STREETS: [&str; 12] = [
    "Mill Lane",
    "Harbour Street",
    "Chapel Row",
    "Cooper Street",
    "Orchard Lane",
    "Well Street",
    "Windmill Hill",
    "Tanner Row",
    "Bridge Street",
    "Meadow Lane",
    "Smith Row",
    "Station Street",
];

pub(super) const HABITS: [&str; 16] = [
    "feeds the gulls on the roof",
    "swims across the bay",
    "writes letters to old friends",
    "sharpens a box of pencils",
    "waters the roses with cold tea",
    "walks backwards up the hill",
    "counts the ships in the harbour",
    "bakes a loaf of black bread",
    "mends old umbrellas",
    "sings to the hens",
    "reads the newspaper from the last page",
    "collects round stones",
    "repairs broken kites",
    "polishes every door handle",
    "draws maps of the clouds",
    "plays chess against the postman",
];

pub(super) const PETS: [&str; 16] = [
    "a grey cat called Biscuit",
    "a lame goose called Admiral",
    "a white goat called Pepper",
    "a blind hound called Button",
    "a tame crow called Doctor",
    "a fat rabbit called Mister",
    "an old parrot called Captain",
    "a brown hen called Duchess",
    "a striped cat called Mustard",
    "a small pony called Thimble",
    "a green lizard called Emerald",
    "a black dog called Velvet",
    "a quiet tortoise called Thunder",
    "a red ferret called Ginger",
    "a young owl called Lantern",
    "a shaggy dog called Potato",
];

pub(super) const DISHES: [&str; 14] = [
    "barley soup",
    "pickled herring",
    "apple dumplings",
    "mushroom pie",
    "smoked eel",
    "onion bread",
    "rice with plums",
    "beans and bacon",
    "cold beetroot soup",
    "honey cake",
    "fried noodles",
    "leek tart",
    "pea stew",
    "walnut pudding",
];

pub(super) const INSTRUMENTS: [&str; 12] = [
    "cello",
    "accordion",
    "oboe",
    "trumpet",
    "harp",
    "banjo",
    "flute",
    "violin",
    "tuba",
    "clarinet",
    "mandolin",
    "organ",
];

pub(super) const COLOURS: [&str; 12] = [
    "yellow",
    "purple",
    "silver",
    "golden",
    "white",
    "scarlet",
    "brown",
    "turquoise",
    "black",
    "pink",
    "maroon",
    "copper",
];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const DUTIES: [&str; 12] = [
    "a long list of names",
    "a pot of strong coffee",
    "the keys of the cellar",
    "a walk around the yard",
    "a look at the barometer",
    "the noise of the engine",
    "a talk with the night guard",
    "the letters of the day before",
    "a broom and a bucket",
    "an hour of silence",
    "the repair of some old tool",
    "a cup of warm milk",
];
