//! A decoder that can be read and written at every site.

pub mod weights;
