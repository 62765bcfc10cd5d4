//! A VPC at another EC2 endpoint (moto), built with the AWS CLI.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A `moto_server` on its own loopback port, until the test ends.
pub struct Moto {
    child: Child,
    pub endpoint: String,
    venv: PathBuf,
}

impl Moto {
    pub fn start(venv: PathBuf) -> Self {
        let mut child = Command::new(venv.join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let endpoint = lines
            .find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()))
            .expect("moto_server says where it listens");
        // Continues to read, so that the server's log does not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, endpoint, venv }
    }

    /// Returns a command that finds the test's own AWS CLI first, and no other account's keys.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.venv.join("bin").display()))
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env_remove("AWS_PROFILE");
        command
    }

    /// Returns the AWS CLI's answer to a call, as one word.
    pub fn aws(&self, arguments: &[&str]) -> String {
        let mut command = self.command(self.venv.join("bin/aws"));
        command.args(["ec2", "--endpoint-url", &self.endpoint, "--output", "text"]).args(arguments);
        text(&command.output().unwrap()).trim().to_owned()
    }

    /// Creates two public and three private subnets, gateways, groups that name each other, an ACL,
    /// a prefix list, endpoints, and the interfaces of two databases; returns all ids by name.
    pub fn build(&self) -> HashMap<String, String> {
        let vpc = self.aws(&["create-vpc", "--cidr-block", "10.0.0.0/16", "--query", "Vpc.VpcId"]);
        let group = ["create-security-group", "--group-name", "app", "--description", "app"];
        let group = self.aws(&[&group[..], &["--vpc-id", &vpc, "--query", "GroupId"]].concat());
        let mut command = self.command(self.venv.join("bin/python"));
        command.arg(root().join("netns-tests/import/vpc_in_moto.py"));
        command.args([&self.endpoint, &vpc, &group]);
        serde_json::from_str(&text(&command.output().unwrap())).unwrap()
    }

    pub fn snapshot(&self, vpc: &str, folder: &Path) -> Output {
        let mut command = self.command(root().join("scripts/snapshot-vpc"));
        command.args(["--endpoint-url", &self.endpoint, "--vpc-id", vpc, "--output"]).arg(folder);
        command.output().unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
