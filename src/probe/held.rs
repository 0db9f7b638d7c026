//! Texts that no edit is about, for when a user names none: drift and perplexity are measured
//! on them while many facts are written.

/// Plain statements, instructions and scenes.
pub const HELD_TEXTS: [&str; 16] = [
    "When the kettle began to whistle, she took it off the stove and poured the water over the leaves.",
    "A triangle with three equal sides has three equal angles, and each of them measures sixty degrees.",
    "Rivers carry sand and clay down to the sea, where the water slows and lets them sink.",
    "To change a flat tire, loosen the nuts a little before you lift the car off the ground.",
    "The meeting was moved to Thursday because half of the staff had gone home with the flu.",
    "Bees tell each other where the flowers are by the direction and the length of a dance.",
    "He wrote the address on the back of an envelope and forgot it in the pocket of his coat.",
    "Bread rises because yeast turns sugar into gas, and the dough is strong enough to hold it.",
    "If you add the same number to both sides of an equation, the two sides are still equal.",
    "The old bridge was closed for the winter, so we had to walk an hour along the bank to cross.",
    "Cats see well in the dark, since a layer behind the eye sends the light back a second time.",
    "Please read the instructions to the end before you connect the machine to the power supply.",
    "It rained for the whole week, and on Sunday the children played cards at the kitchen table.",
    "Copper conducts heat so well that a spoon made of it becomes too hot to hold within a minute.",
    "The novel begins with a letter that arrives twenty years late and ends with the answer to it.",
    "Sailors used to find their latitude by measuring how high the sun stood above the horizon at noon.",
];
