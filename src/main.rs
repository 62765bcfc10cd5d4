//! The `egret` binary: parse the arguments, run the command, turn the outcome into an exit code.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
