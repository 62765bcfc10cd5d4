//! Compiles the tc programs of `src/steer` to BPF objects, which `linux::steer` embeds.

use std::path::{Path, PathBuf};
use std::process::Command;

const STEER: &str = "src/steer";

fn main() {
    println!("cargo::rerun-if-changed={STEER}");
    println!("cargo::rerun-if-env-changed=CLANG");
    if let Err(trouble) = compile_all() {
        for line in trouble.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn compile_all() -> Result<(), String> {
    let out = PathBuf::from(std::env::var("OUT_DIR").map_err(|e| format!("OUT_DIR: {e}"))?);
    let files = std::fs::read_dir(STEER).map_err(|e| format!("{STEER}: {e}"))?;
    for file in files {
        let path = file.map_err(|e| format!("{STEER}: {e}"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(stem) = name.strip_suffix(".c").filter(|stem| stem.ends_with(".bpf")) {
            compile(&path, &out.join(format!("{stem}.o")))?;
        }
    }
    Ok(())
}

fn compile(source: &Path, object: &Path) -> Result<(), String> {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let mut command = Command::new(&clang);
    // v3 has the atomic operations that return the old value, which the flow cache uses. A program
    // that uses none of them still loads on a kernel that does not know v3.
    command.args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3"]);
    if let Some(headers) = asm_headers() {
        command.arg("-I").arg(headers);
    }
    command.arg("-c").arg(source).arg("-o").arg(object);
    let output = command.output().map_err(|e| {
        format!("egret compiles its tc programs with `{clang}`, which did not start: {e}\n{REMEDY}")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let remedy = if said.contains("file not found") { REMEDY } else { "" };
    Err(format!("{clang} could not compile {}:\n{said}\n{remedy}", source.display()))
}

const REMEDY: &str = "install it with `apt-get install clang libbpf-dev` (or run `scripts/setup`)";

/// Finds the directory of `asm/types.h`. Debian and its derivatives keep it in a directory named
/// after the multiarch triplet, which clang does not search when its target is BPF. Elsewhere it is
/// in `/usr/include`, and this returns `None`.
fn asm_headers() -> Option<PathBuf> {
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let asked = ["gcc", "cc"].iter().find_map(|compiler| {
        let output = Command::new(compiler).arg("-print-multiarch").output().ok()?;
        let triplet = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !triplet.is_empty()).then_some(triplet)
    });
    asked
        .into_iter()
        .chain([format!("{arch}-linux-gnu")])
        .map(|triplet| Path::new("/usr/include").join(triplet))
        .find(|directory| directory.join("asm/types.h").exists())
}
