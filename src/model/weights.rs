//! The safetensors files of a model folder, mapped.
