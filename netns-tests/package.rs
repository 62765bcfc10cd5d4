//! The Debian package: dpkg installs and removes it in a copy of the machine's files that ends with
//! the test.

use crate::support::is_root;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exit code of [`IN_A_COPY`] where the kernel allows no copy.
const NO_COPY: i32 = 77;

/// Runs a script in an overlay over the machine's files. What is written there is in memory, and
/// ends with the mount namespace.
const IN_A_COPY: &str = r#"
set -eu
mount -t tmpfs -o mode=0755 egret-copy "$COPY" || exit 77
mkdir "$COPY"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$COPY/upper,workdir=$COPY/work" egret-copy "$COPY/root" || exit 77
mount -t proc proc "$COPY/root/proc"
mount --rbind /dev "$COPY/root/dev"
mount -t tmpfs -o mode=1777 egret-copy "$COPY/root/tmp"
cp "$PACKAGE" "$COPY/root/tmp/egret.deb"
chroot "$COPY/root" bash -c "$SCRIPT"
"#;

/// Images of containers often leave manuals and documentation out of what they install.
const WHOLE: &str = "--path-include=/usr/share/man/* --path-include=/usr/share/doc/*";

fn scripts_package(umask: &str, output: &Path) -> Output {
    let line = r#"umask "$1"; exec scripts/package --quick --binary "$2" --output "$3""#;
    let mut command = Command::new("bash");
    command.args(["-c", line, "bash", umask, env!("CARGO_BIN_EXE_egret")]).arg(output);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

/// Makes the package, and returns its file.
fn package(umask: &str, output: &Path) -> PathBuf {
    let made = scripts_package(umask, output);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let name = String::from_utf8(made.stdout).unwrap();
    let file = PathBuf::from(name.trim());
    assert_eq!(file.parent(), Some(output));
    file
}

/// Returns whether the programs are there that make and install packages.
fn has_dpkg(test: &str) -> bool {
    let there = Command::new("dpkg-deb").arg("--version").output().is_ok();
    if !there {
        println!("skipped: {test} needs dpkg-deb, which Debian and its derivatives have");
    }
    there
}

/// Returns whether dpkg knows a package of egret: a copy of such a machine has its files before.
fn is_installed(test: &str) -> bool {
    let known = Command::new("dpkg-query").args(["--show", "egret"]).output();
    let there = known.is_ok_and(|known| known.status.success());
    if there {
        println!("skipped: {test} needs a machine without the package: apt-get purge egret");
    }
    there
}

#[test]
fn package_of_the_same_program_has_the_same_bytes() {
    if !has_dpkg("package_of_the_same_program_has_the_same_bytes") {
        return;
    }
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = fs::read(package("022", first.path())).unwrap();
    let two = fs::read(package("077", second.path())).unwrap();
    assert!(one == two, "{} and {} bytes", one.len(), two.len());
    let left = fs::read_dir(first.path()).unwrap().count();
    assert_eq!(left, 1, "only the package stays");
}

#[test]
fn package_installs_works_and_is_removed_without_a_trace() {
    let test = "package_installs_works_and_is_removed_without_a_trace";
    if !is_root(test) || !has_dpkg(test) || is_installed(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = package("022", folder.path());
    let copy = tempfile::tempdir().unwrap();
    let script = [INSTALL, USE, REMOVE].concat().replace("WHOLE", WHOLE);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c", IN_A_COPY]);
    command.env("COPY", copy.path()).env("PACKAGE", &file).env("SCRIPT", script);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.code() == Some(NO_COPY) {
        println!("skipped: {test} needs an overlay over the machine's files: {stderr}");
        return;
    }
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    let said = |text: &str| assert!(stdout.contains(text), "no `{text}` in\n{stdout}\n{stderr}");
    said(concat!("version: egret ", env!("CARGO_PKG_VERSION")));
    said("/usr/share/doc/egret/examples/minimal.toml: no errors");
    said("completed: minimal.toml");
    said("completed: sg-untracked-flow");
    said("removed");
    assert!(stdout.contains("page: /usr/share/man/man1/egret.1") || stdout.contains("no man"));
    assert!(!Path::new("/usr/share/doc/egret").exists(), "the machine itself has no package");
}

/// Lists the files before, and installs.
const INSTALL: &str = r#"
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
files() { find /usr /etc /opt -xdev | LC_ALL=C sort; }
files >/tmp/before
dpkg WHOLE --install /tmp/egret.deb
dpkg --verify egret
"#;

/// Uses what the package has, from the places where programs look for it.
const USE: &str = r#"
echo "version: $(egret --version)"
egret check /usr/share/doc/egret/examples/minimal.toml
if command -v man >/dev/null; then
    echo "page: $(man -w egret)"
    man -w egret-task-add
else
    echo "no man"
fi
complete_in_bash() {
    bash --norc -c '
        source /usr/share/bash-completion/completions/egret
        [[ $(complete -p egret) =~ -F\ ([^ ]+) ]]
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        "${BASH_REMATCH[1]}" egret "${!#}" ""
        echo "completed: ${COMPREPLY[*]##*/}"' bash "$@"
}
complete_in_bash egret check /usr/share/doc/egret/examples/min
complete_in_bash egret drops --reason sg-untracked
test -s /usr/share/zsh/vendor-completions/_egret
test -s /usr/share/fish/vendor_completions.d/egret.fish
test -s /usr/share/doc/egret/copyright
zcat /usr/share/doc/egret/changelog.gz | head -n1
test "$(stat -c %U:%G:%a /usr/bin/egret)" = root:root:755
CNI_COMMAND=VERSION /usr/lib/cni/egret-cni </dev/null | grep -q '"supportedVersions"'
"#;

/// Removes, and compares.
const REMOVE: &str = r#"
dpkg --remove egret
dpkg --purge egret
files >/tmp/after
diff /tmp/before /tmp/after
if dpkg --status egret 2>/dev/null; then
    exit 1
fi
echo removed
"#;

#[test]
fn regression_package_without_the_names_of_its_libraries_is_not_made() {
    if !has_dpkg("regression_package_without_the_names_of_its_libraries_is_not_made") {
        return;
    }
    let (programs, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let failing = programs.path().join("dpkg-shlibdeps");
    fs::write(&failing, "#!/bin/sh\necho no such library >&2\nexit 1\n").unwrap();
    fs::set_permissions(&failing, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("scripts/package");
    command.args(["--quick", "--binary", env!("CARGO_BIN_EXE_egret"), "--output"]);
    command.arg(output.path()).env("PATH", path).current_dir(env!("CARGO_MANIFEST_DIR"));
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("no such library\npackage: dpkg-shlibdeps does not name"), "{said}");
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 0);
}

#[test]
fn package_of_no_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("scripts/package");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--binary", "no-such"]);
    let refused = command.arg("--output").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("package: no dpkg-deb") || said.contains("is not a program"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
