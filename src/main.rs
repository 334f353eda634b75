//! argv → exit code.

fn main() -> std::process::ExitCode {
    pg_migrator::cli::main().into()
}
