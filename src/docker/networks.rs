//! The networks that Docker has made, in a file, so that a plugin that starts again knows them.

use crate::config::lab_name;
use crate::daemon::DEFAULT_LAB;
use crate::edge::own;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The options of `docker network create -o`, for messages.
const KNOWN: &str = "egret knows lab=NAME, and service=NAME or resource=NAME";
/// Bytes of the longest name of a service or a resource.
const LONGEST: usize = 255;

/// The part of a lab that a network stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The lab.
    pub lab: String,
    /// The object of the lab.
    #[serde(flatten)]
    pub role: Role,
}

/// The object of a lab that the containers of a network are attached as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Each container is a task of this service.
    Service(String),
    /// One container answers at the address of this resource.
    Resource(String),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.role {
            Role::Service(name) => write!(f, "service {name} of lab {}", self.lab),
            Role::Resource(name) => write!(f, "resource {name} of lab {}", self.lab),
        }
    }
}

impl Target {
    /// Reads the options of a network.
    ///
    /// # Errors
    /// An option that is unknown, missing, or has a value that it cannot have.
    pub(super) fn of_options(options: &Map<String, Value>) -> Result<Self, String> {
        let (mut lab, mut roles) = (DEFAULT_LAB.to_owned(), Vec::new());
        for (option, value) in options {
            let value = value.as_str().ok_or_else(|| format!("option `{option}` is no text"))?;
            match option.as_str() {
                "lab" => lab = lab_name(value).map_err(|why| format!("option `lab`: {why}"))?,
                "service" => roles.push(Role::Service(name(option, value)?)),
                "resource" => roles.push(Role::Resource(name(option, value)?)),
                unknown => return Err(format!("unknown option `{unknown}`: {KNOWN}")),
            }
        }
        match (roles.pop(), roles.pop()) {
            (Some(role), None) => Ok(Self { lab, role }),
            (Some(_), Some(_)) => {
                Err(format!("a network is for a service or for a resource, not for both: {KNOWN}"))
            }
            (None, _) => Err(format!(
                "the network has no service and no resource: add -o service=NAME or -o resource=NAME; {KNOWN}"
            )),
        }
    }
}

/// Checks a name that becomes a part of a path of the lab's API.
fn name(option: &str, value: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !value.is_empty() && value.len() <= LONGEST && value.chars().all(is_allowed) {
        true => Ok(value.to_owned()),
        false => Err(format!(
            "option `{option}`: a name has 1 to {LONGEST} letters, digits, `-`, `_` and `.`"
        )),
    }
}

/// The reason why the file of networks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// The file cannot be read or written.
    #[error("the file of Docker's networks, {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's error, or that of the check of the file.
        source: io::Error,
    },
    /// The file is not what egret wrote.
    #[error(
        "{path} is not a file of Docker's networks: {source}; remove it, and create egret's networks again"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// The error of the reader.
        source: serde_json::Error,
    },
    /// Another plugin has it.
    #[error(
        "another `egret docker-plugin` has {0}: end it first, or give another file with --networks"
    )]
    Taken(PathBuf),
}

/// The networks by Docker's ids. While this exists, no other plugin has the file.
#[derive(Debug)]
pub struct Networks {
    path: PathBuf,
    all: Mutex<BTreeMap<String, Target>>,
    _lock: Flock<File>,
}

impl Networks {
    /// Reads the file, which need not exist. Its folder is made if only that is missing.
    ///
    /// # Errors
    /// A file that cannot be read, is not what egret wrote, or that another plugin has.
    pub fn open(path: &Path) -> Result<Self, NetworksError> {
        let error = |source| NetworksError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            own::folder(folder, own::PRIVATE_FOLDER).map_err(error)?;
        }
        let lock = own::open_or_make(&path.with_extension("lock"), own::PRIVATE).map_err(error)?;
        let locked = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
        let lock = locked.map_err(|(_, errno)| match errno == Errno::EWOULDBLOCK {
            true => NetworksError::Taken(path.to_owned()),
            false => error(errno.into()),
        })?;
        let all = match own::read(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|source| NetworksError::Content { path: path.to_owned(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(error(source)),
        };
        Ok(Self { path: path.to_owned(), all: Mutex::new(all), _lock: lock })
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns a network.
    pub(super) fn get(&self, id: &str) -> Option<Target> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Adds a network, once it is in the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&self, id: &str, target: Target) -> Result<(), NetworksError> {
        self.change(|all| all.insert(id.to_owned(), target)).map(drop)
    }

    /// Removes a network; one that does not exist is no error.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn remove(&self, id: &str) -> Result<Option<Target>, NetworksError> {
        self.change(|all| all.remove(id))
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Target>) -> T,
    ) -> Result<T, NetworksError> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = all.clone();
        let changed = change(&mut next);
        let error = |source| NetworksError::Io { path: self.path.clone(), source };
        let text = serde_json::to_string_pretty(&next).map_err(|source| error(source.into()))?;
        let beside = self.path.with_extension("next");
        own::replace(&self.path, &beside, own::PRIVATE, &text).map_err(error)?;
        *all = next;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use serde_json::json;

    fn of(options: &Value) -> Result<Target, String> {
        Target::of_options(options.as_object().unwrap())
    }

    #[test]
    fn options_name_a_service_or_a_resource() {
        let web = of(&json!({"lab": "shop", "service": "web"})).unwrap();
        assert_eq!(web.to_string(), "service web of lab shop");
        let db = of(&json!({"resource": "orders-db"})).unwrap();
        assert_eq!(db.to_string(), "resource orders-db of lab egret");
    }

    #[test]
    fn wrong_options_are_refused_with_those_that_egret_knows() {
        for (options, said) in [
            (json!({}), "add -o service=NAME"),
            (json!({"service": "web", "parent": "eth0"}), "unknown option `parent`: egret knows"),
            (json!({"service": "web", "resource": "db"}), "not for both"),
            (json!({"service": "a/b"}), "option `service`: a name has"),
            (json!({"service": ""}), "option `service`: a name has"),
            (json!({"lab": "../x", "service": "web"}), "option `lab`"),
            (json!({"lab": 1, "service": "web"}), "option `lab` is no text"),
        ] {
            let error = of(&options).unwrap_err();
            assert!(error.contains(said), "{options}: {error}");
        }
    }

    #[test]
    fn networks_are_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("egret/networks.json");
        let networks = Networks::open(&path).unwrap();
        let target = of(&json!({"resource": "db"})).unwrap();
        networks.add("one", of(&json!({"service": "web"})).unwrap()).unwrap();
        networks.add("two", target.clone()).unwrap();
        assert!(matches!(Networks::open(&path), Err(NetworksError::Taken(_))));
        assert!(networks.remove("one").unwrap().is_some());
        assert!(networks.remove("one").unwrap().is_none());
        drop(networks);
        let networks = Networks::open(&path).unwrap();
        assert_eq!((networks.get("one"), networks.get("two")), (None, Some(target)));
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("networks.json");
        own::write(&path, own::PRIVATE, "[1]").unwrap();
        let error = Networks::open(&path).unwrap_err().to_string();
        assert!(error.contains("create egret's networks again"), "{error}");
        assert_eq!(own::read(&path).unwrap(), "[1]");
    }
}
