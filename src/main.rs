//! The `rescribe` command: parse arguments, run one verb, return its exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
