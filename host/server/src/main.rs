//! The binary `stampmill`; what it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    stampmill::main()
}
