//! The arguments of `rescribe cache`, as typed.

use clap::{Args, Subcommand};

/// `rescribe cache`.
#[derive(Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub verb: CacheVerb,
}

/// The verbs of `rescribe cache`.
#[derive(Subcommand)]
pub enum CacheVerb {
    /// Show what the cache holds, by kind
    List,
    /// Remove what rescribe keeps in the cache, and nothing else; not while another run uses it
    Clean,
}
