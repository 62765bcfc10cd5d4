//! `egret completions`: prints the script by which a shell completes egret's commands.

use super::completion::VARIABLE;
use super::{CliError, output};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use std::process::ExitCode;

/// The program that the script asks: the one that is found on the PATH.
const PROGRAM: &str = "egret";

/// Completes at once where zsh loads the script as a function of its `fpath`, as that of a package:
/// the script by itself only registers, and the first Tab would do nothing.
const FIRST_CALL: &str = "\
if [[ ${funcstack[1]} == _egret ]]; then
    _clap_dynamic_completer_egret \"$@\"
fi
";

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The script asks egret at each Tab, so that values are completed from what exists: services, tasks, \
ENIs and NAT gateways of the running lab, or of the lab file that --config or another word names; \
labs; drop reasons; rules of `egret check`; lab files. `egret` must be on the PATH.

A running lab answers root only, and a shell completes as its own user, also behind `sudo`. So the \
values of a running lab are completed in a shell of root, such as that of `sudo -s`. In another one, \
commands, options, reasons, rules, files, and the values of a lab file are.

Exit codes:
  0  the script is printed
  1  standard output cannot be written
  2  a usage error

Examples:
  source <(egret completions bash)                       in ~/.bashrc
  source <(egret completions zsh)                        in ~/.zshrc, behind `compinit`
  egret completions fish | source                        in ~/.config/fish/config.fish
  egret completions bash > /etc/bash_completion.d/egret  for all users, as root")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// Bash 4.4 or later
    Bash,
    /// Zsh with `compinit`
    Zsh,
    /// Fish
    Fish,
}

impl Shell {
    fn script(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
        }
    }
}

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    args.shell.script().write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    if args.shell == Shell::Bash {
        script = behind_separator(&script);
    }
    if args.shell == Shell::Zsh {
        script.extend_from_slice(FIRST_CALL.as_bytes());
    }
    output::out(|w| w.write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// The line of the script that takes the word at the cursor.
const CURRENT: &str = r#"words[COMP_CWORD]="$2""#;

/// Leaves a `:` or `=` at the cursor in its place. Bash says of it that the word there is empty, as
/// if a new word began.
fn behind_separator(script: &[u8]) -> Vec<u8> {
    let kept = format!("[[ ${{COMP_WORDS[COMP_CWORD]}} == [:=] ]] || {CURRENT}");
    String::from_utf8_lossy(script).replace(CURRENT, &kept).into_bytes()
}
