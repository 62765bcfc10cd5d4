//! A local user who is not root cannot put a file where egret, as root, reads, writes or runs one.

use crate::lifecycle::LAB;
use crate::support::lab::{Lab, both_streams, can_run, finish};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chown, mkfifo};
use std::fs::{self, Permissions};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const NOBODY: u32 = 65_534;

/// A folder owned by root with a lab file and its store.
struct Folder {
    directory: tempfile::TempDir,
    name: String,
}

impl Folder {
    fn new(role: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("files{}-{role}", std::process::id());
        let text = format!("lab = \"{name}\"\n{LAB}\n[apprunner]\nstore = \"store\"\n");
        fs::write(directory.path().join("lab.toml"), text).unwrap();
        Self { directory, name }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self) -> PathBuf {
        self.path("lab.toml")
    }

    /// Tries to bring the lab up with the App Runner API, which must fail, and returns what it
    /// prints.
    fn refused(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.arg("up").arg(self.file()).args(["--api", "127.0.0.1:0"]);
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(1), "{}", both_streams(&output));
        assert!(!Path::new("/run/egret").join(&self.name).exists());
        both_streams(&output)
    }
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn give_to_nobody(path: &Path) {
    nix::unistd::fchownat(
        nix::fcntl::AT_FDCWD,
        path,
        Some(Uid::from_raw(NOBODY)),
        Some(Gid::from_raw(NOBODY)),
        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

#[test]
fn store_that_is_no_file_of_the_callers_own_is_refused_and_left_alone() {
    if !can_run() {
        return;
    }
    let folder = Folder::new("store");
    let store = folder.path("store");

    mkfifo(&store, Mode::from_bits_truncate(0o600)).unwrap();
    let said = folder.refused();
    assert!(said.contains("is a FIFO, not a regular file"), "{said}");
    fs::remove_file(&store).unwrap();

    fs::write(&store, "").unwrap();
    let said = folder.refused();
    assert!(said.contains("was not made by egret's App Runner API"), "{said}");
    assert_eq!(fs::metadata(&store).unwrap().len(), 0);

    give_to_nobody(&store);
    let said = folder.refused();
    assert!(said.contains("belongs to user 65534"), "{said}");
    fs::remove_file(&store).unwrap();

    fs::write(&store, "").unwrap();
    fs::set_permissions(&store, Permissions::from_mode(0o666)).unwrap();
    let said = folder.refused();
    assert!(said.contains("others can write to it (mode 0666)"), "{said}");
    assert!(said.contains("chmod 600"), "{said}");
    fs::remove_file(&store).unwrap();

    let elsewhere = folder.path("elsewhere");
    symlink(&elsewhere, &store).unwrap();
    let said = folder.refused();
    assert!(said.contains("is a symbolic link, not a regular file"), "{said}");
    assert!(!elsewhere.exists());
}

#[test]
fn log_of_a_store_that_another_user_could_have_put_there_is_refused() {
    if !can_run() {
        return;
    }
    let folder = Folder::new("wal");
    let log = folder.path("store-wal");
    mkfifo(&log, Mode::from_bits_truncate(0o600)).unwrap();
    let said = folder.refused();
    assert!(said.contains("store-wal: it is a FIFO"), "{said}");
    fs::remove_file(&log).unwrap();

    fs::write(&log, "").unwrap();
    give_to_nobody(&log);
    let said = folder.refused();
    assert!(said.contains("store-wal: it belongs to user 65534"), "{said}");
    fs::remove_file(&log).unwrap();

    fs::set_permissions(folder.directory.path(), Permissions::from_mode(0o1777)).unwrap();
    let said = folder.refused();
    assert!(said.contains("every user can make files there (mode 1777)"), "{said}");
    assert!(!folder.path("store").exists());
}

#[test]
fn modes_of_all_that_a_lab_makes_are_the_same_under_any_umask() {
    if !can_run() {
        return;
    }
    let open = Modes::of_a_lab_under("000");
    let closed = Modes::of_a_lab_under("077");
    assert_eq!(open.0, closed.0);
    for (path, mode) in &open.0 {
        assert_eq!(mode & 0o022, 0, "{path} has mode {mode:o}: others can write to it");
    }
    let found: Vec<&str> = open.0.iter().map(|(path, _)| path.as_str()).collect();
    for expected in
        ["/run/egret/LAB/lock", "/etc/netns/LAB-web-1/resolv.conf", "/run/netns/LAB-web-1"]
    {
        assert!(found.contains(&expected), "{expected} is not in {found:?}");
    }
}

/// The paths that a lab has made, with their modes.
struct Modes(Vec<(String, u32)>);

impl Modes {
    fn of_a_lab_under(umask: &str) -> Self {
        let text = format!("offload_grace = \"5s\"\n{LAB}");
        let mut lab = Lab::up_under_umask(umask, &text);
        lab.egret_ok("task add web");
        let name = lab.name().to_owned();
        let mut found = Vec::new();
        for root in ["/run/egret", "/run/netns", "/etc/netns", "/sys/fs/bpf/egret"] {
            collect(Path::new(root), &name, &mut found);
        }
        found.sort();
        // A task may run as any user.
        let read = "setpriv --reuid=65534 --regid=65534 --clear-groups cat /etc/resolv.conf";
        assert!(lab.exec_ok("web", read).starts_with("nameserver "));
        assert_eq!(lab.end_by(nix::sys::signal::Signal::SIGTERM), Some(0));
        Self(found)
    }
}

/// Collects the paths that contain a lab's name, with the name written as `LAB`.
fn collect(path: &Path, lab: &str, found: &mut Vec<(String, u32)>) {
    let Ok(about) = fs::symlink_metadata(path) else { return };
    let shown = path.display().to_string();
    if shown.contains(lab) && !about.file_type().is_symlink() {
        found.push((shown.replace(lab, "LAB"), about.mode() & 0o7777));
    }
    if about.is_dir() {
        let entries = fs::read_dir(path).unwrap().flatten();
        entries.for_each(|entry| collect(&entry.path(), lab, found));
    }
}

#[test]
fn task_sees_no_file_over_etc_that_egret_did_not_make() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let overlay = PathBuf::from(format!("/etc/netns/{}-web-1", lab.name()));
    fs::write(overlay.join("hostname"), "planted\n").unwrap();
    assert!(!lab.exec_ok("web", "cat /etc/hostname").contains("planted"));
    assert!(lab.exec_ok("web", "cat /etc/hosts").contains(&format!("{}-web-1", lab.name())));

    // One of egret's own names, but not egret's file any more.
    let hosts = overlay.join("hosts");
    give_to_nobody(&hosts);
    let output = lab.egret("exec web -- cat /etc/hosts");
    assert_eq!(output.status.code(), Some(1), "{}", both_streams(&output));
    assert!(both_streams(&output).contains("belongs to user 65534"), "{}", both_streams(&output));
    fs::remove_file(&hosts).unwrap();
    symlink("/etc/shadow", &hosts).unwrap();
    let output = lab.egret("exec web -- cat /etc/hosts");
    assert!(both_streams(&output).contains("is a symbolic link"), "{}", both_streams(&output));
}

#[test]
fn capture_is_written_to_no_link_pipe_or_file_of_another_user() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let capture = |name: &str, more: &[&str]| {
        let file = path(name);
        let words = ["capture", "web", "--duration", "1ms", "-w", file.to_str().unwrap()];
        let output = lab.egret_words(&[&words, more].concat());
        (output.status.code(), both_streams(&output))
    };
    let precious = path("precious");
    fs::write(&precious, "precious").unwrap();

    symlink(&precious, path("theirs")).unwrap();
    give_to_nobody(&path("theirs"));
    let (code, said) = capture("theirs", &["--force"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a symbolic link of user 65534"), "{said}");

    fs::write(path("file"), "").unwrap();
    give_to_nobody(&path("file"));
    let (code, said) = capture("file", &["--force"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("belongs to user 65534"), "{said}");

    mkfifo(&path("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
    let (code, said) = capture("pipe", &["--force"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a FIFO without a reader"), "{said}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");

    // A link of the user's own is followed, and others cannot write to what egret creates.
    symlink(&precious, path("own")).unwrap();
    let (code, said) = capture("own", &["--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(fs::read_to_string(&precious).unwrap_or_default(), "precious");
    let (code, said) = capture("new", &[]);
    assert_eq!((code, mode(&path("new"))), (Some(0), 0o600), "{said}");
}

#[test]
fn folder_under_run_that_is_not_roots_own_is_refused() {
    if !can_run() {
        return;
    }
    let folder = Folder::new("run");
    let state = Path::new("/run/egret").join(&folder.name);
    fs::create_dir_all("/run/egret").unwrap();
    fs::create_dir(&state).unwrap();
    chown(&state, Some(Uid::from_raw(NOBODY)), None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    let output = run(command.arg("up").arg(folder.file()));
    fs::remove_dir_all(&state).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both_streams(&output));
    assert!(both_streams(&output).contains("belongs to user 65534"), "{}", both_streams(&output));
}

#[test]
fn lock_file_that_is_a_link_or_a_pipe_is_refused() {
    if !can_run() {
        return;
    }
    let folder = Folder::new("lock");
    let state = Path::new("/run/egret").join(&folder.name);
    fs::create_dir_all("/run/egret").unwrap();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    let victim = folder.path("victim");
    let mut file = fs::File::create_new(&victim).unwrap();
    write!(file, "precious").unwrap();
    file.rewind().unwrap();
    let up = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        both_streams(&run(command.arg("up").arg(folder.file())))
    };
    symlink(&victim, state.join("lock")).unwrap();
    let said = up();
    assert!(said.contains("lock: it is a symbolic link"), "{said}");
    fs::remove_file(state.join("lock")).unwrap();
    mkfifo(&state.join("lock"), Mode::from_bits_truncate(0o600)).unwrap();
    let said = up();
    assert!(said.contains("lock: it is a FIFO"), "{said}");
    assert!(fs::symlink_metadata(state.join("lock")).unwrap().file_type().is_fifo());
    fs::remove_dir_all(&state).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}
