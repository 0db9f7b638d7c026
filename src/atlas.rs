//! The built-in world: what the model inside the binary has read, and what it should know.
//!
//! [`world`] holds facts that everybody can check and people who do not exist; [`corpus`] writes
//! them out as the texts of an epoch, with or without some of the people; [`probes`] asks for
//! them. It is the one place where "as if never seen" can be checked exactly, by training again on
//! D \ D_u:
//!
//! ```text
//! world ──▶ corpus ──▶ training ──▶ model
//!   └─────▶ probes ──────────────────▶ what it knows
//! ```

pub mod corpus;
pub mod probes;
pub mod world;
