//! For this crate's tests: the program that puts up the sandbox, and nothing else.

fn main() -> std::process::ExitCode {
    stampmill_sandbox::enter_if_asked();
    std::process::ExitCode::FAILURE
}
