//! The `rescribe` command: parse arguments, run one verb, return its exit code.

fn main() -> std::process::ExitCode {
    rescribe::cli::main()
}
