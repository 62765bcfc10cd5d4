//! A lab that cannot come up for lack of descriptors, threads or space says so, and leaves nothing.

use crate::lifecycle::{LAB, left_of};
use crate::support::lab::{both_streams, can_run, finish, lab_file, with_descriptors};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A lab file with a name that no other lab has.
struct File {
    file: tempfile::NamedTempFile,
    name: String,
}

impl File {
    fn new() -> Self {
        let (file, name) = lab_file("auto", LAB);
        Self { file, name }
    }

    fn up(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.args(["up", "-q"]).arg(self.file.path());
        command
    }

    /// Asserts that `egret up` fails with all of these words, and leaves nothing.
    #[track_caller]
    fn fails(&self, command: &mut Command, words: &[&str]) {
        let output = run(command);
        let said = both_streams(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} in {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        let left = left_of(&self.name, self.file.path());
        assert_eq!(left, [""; 0], "{said}");
    }
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn too_few_descriptors_are_named_with_the_way_out() {
    if !can_run() {
        return;
    }
    let file = File::new();
    for limit in [10, 14, 20, 24, 28, 32, 40, 48, 64, 100] {
        let mut command = with_descriptors(limit, limit, &file.up());
        let limit = format!("the limit is {limit}");
        file.fails(&mut command, &["descriptors", &limit, "ulimit -n"]);
    }
}

/// A cgroup of the test's own, with a limit of threads.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Creates a cgroup that may have `most` threads. Returns `None` where the machine has no
    /// controller for that.
    fn with_threads(name: &str, most: u32) -> Option<Self> {
        let root = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let root = root.into_iter().find(|root| {
            let path = root.join(name);
            std::fs::create_dir(&path).is_ok()
                && (path.join("pids.max").exists() || std::fs::remove_dir(&path).is_err())
        })?;
        let own = Self(root.join(name));
        std::fs::write(own.0.join("pids.max"), most.to_string()).ok()?;
        Some(own)
    }

    /// Returns the same command, to be run inside the cgroup.
    fn of(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        inside.args(["-c", &enter, "sh"]).arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn too_few_threads_are_named_with_the_way_out() {
    if !can_run() {
        return;
    }
    let file = File::new();
    for most in [1, 2, 3, 5, 8, 12] {
        let Some(cgroup) = Cgroup::with_threads(&file.name, most) else {
            println!("skipped: no cgroup with a limit of threads is to be had");
            return;
        };
        file.fails(&mut cgroup.of(&file.up()), &["threads", "pids.max"]);
    }
}

#[test]
fn run_without_room_is_named_with_the_way_out() {
    if !can_run() {
        return;
    }
    let file = File::new();
    let inside = |mount: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c"]).arg(format!("{mount} && exec \"$@\"")).arg("sh");
        let up = file.up();
        command.arg(up.get_program()).args(up.get_args());
        command
    };
    for (mount, words) in [
        ("mount -t tmpfs -o size=4k none /run", ["/run/egret", "No space left", "df -i"]),
        ("mount -t tmpfs -o size=64k none /run", ["/run/egret", "No space left", "df -i"]),
        ("mount -t tmpfs -o nr_inodes=6 none /run", ["namespace", "No space left", "df -i"]),
        ("mount -t tmpfs -o nr_inodes=9 none /run", ["namespace", "No space left", "df -i"]),
        (
            "mount --bind /run /run && mount -o remount,ro,bind /run",
            ["/run/egret", "Read-only file system", "remount,rw"],
        ),
    ] {
        file.fails(&mut inside(mount), &words);
    }
}

#[test]
fn lab_of_a_killed_run_is_taken_down_where_run_has_no_room() {
    if !can_run() {
        return;
    }
    let file = File::new();
    let egret = env!("CARGO_BIN_EXE_egret");
    // Everything happens in separate mounts, and the test looks for leftovers there, too.
    let script = format!(
        "mount -t tmpfs -o size=1m none /run || exit 2
         {egret} up -q {path} > /run/up & up=$!
         until [ -s /run/up ] && grep -q ready /run/up; do kill -0 $up || exit 3; done
         kill -9 $(cat /run/egret/{name}/lock); wait
         dd if=/dev/zero of=/run/full bs=4k 2>/dev/null
         {egret} up -q {path} && exit 4
         {egret} down --lab {name} || exit 5
         [ -z \"$(ls /run/netns)\" ] && [ ! -e /run/egret ] || exit 6",
        path = file.file.path().display(),
        name = file.name,
    );
    let output = run(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    let said = both_streams(&output);
    assert!(output.status.success() && said.contains("df -i"), "{:?}: {said}", output.status);
    assert_eq!(left_of(&file.name, file.file.path()), [""; 0], "{said}");
}
