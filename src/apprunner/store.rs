//! The records of what was created through the API, in a SQLite database beside the lab file. A
//! call is answered when its transaction is on disk, so that a killed process takes nothing back.
//! One process has it open at a time. Every query of a call runs beside the runtime, as it may
//! wait for the disk.

use super::arn::Account;
use super::fault::{Fault, FaultKind};
use super::records::{Connector, Moment, Operation, Service};
use crate::daemon::aside::aside;
use crate::edge::own;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// `EGRT`: identifies the database as egret's.
const APPLICATION: i32 = 0x4547_5254;
const SCHEMA: i32 = 1;
/// Limits the wait for another egret that is just ending.
const PATIENCE: Duration = Duration::from_millis(500);
/// The number of a service's operations that are kept: the newest.
const OPERATIONS: i64 = 1000;

/// An open database.
pub struct Store {
    connection: Connection,
    path: PathBuf,
    token_key: String,
}

/// A record and its position in the order of creation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Positioned<T> {
    pub(super) position: i64,
    pub(super) value: T,
}

/// The reason why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be made or opened.
    #[error("cannot open {path}, where the App Runner API keeps what it creates: {error}")]
    Open {
        /// The database.
        path: PathBuf,
        /// The error.
        error: std::io::Error,
    },
    /// Another process has it open.
    #[error(
        "{path} is in use: another lab serves its App Runner API from it; take that one down, or give this one a `store` of its \
         own in [apprunner]"
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// It is not egret's database.
    #[error(
        "{path} was not made by egret's App Runner API and is left alone: move it away, or give another file as `store` in \
         [apprunner]"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later egret made it.
    #[error(
        "{path} was made by a later egret (its schema is {found}, this one knows {SCHEMA}): use that egret, or delete the file and \
         all that was created in it"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema's number.
        found: i32,
    },
    /// It is damaged.
    #[error(
        "{path} is damaged ({fault}): restore a copy, or delete the file and all that was created in it"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The message of SQLite or of the record's reader.
        fault: String,
    },
    /// Its ARNs are of another account or region.
    #[error(
        "{path} holds what was created in account {account} and region {region}: give these in the lab file (`account` in \
         [apprunner], `region`), or another file as `store`"
    )]
    OtherAccount {
        /// The database.
        path: PathBuf,
        /// Its account.
        account: String,
        /// Its region.
        region: String,
    },
    /// A statement failed.
    #[error("{path}: {error}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// The error.
        error: rusqlite::Error,
    },
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(FaultKind::InternalServiceError, error.to_string())
    }
}

/// The endings of the files that SQLite has beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Returns a database's path without symbolic links, along which no other user can put a file in
/// its place: SQLite opens it by its name, and others beside it.
fn place(path: &Path) -> io::Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = std::fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
    own::check_folders(&folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    for ending in BESIDE {
        let mut beside = name.to_owned();
        beside.push(ending);
        own::check_if_there(&folder.join(&beside))
            .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", beside.display())))?;
    }
    Ok(folder.join(name))
}

/// Makes the file if it does not exist; an existing one must be egret's own. Returns whether it was
/// made.
fn is_made(place: &Path) -> io::Result<bool> {
    match own::open_to_read(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            own::open_or_make(place, own::PRIVATE).map(|_| true)
        }
        there => there.map(|_| false),
    }
}

impl Store {
    /// Opens the database, and makes it if it does not exist.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn open(path: &Path, account: &Account) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Open { path: path.to_owned(), error };
        let place = place(path).map_err(failed)?;
        let is_new = is_made(&place).map_err(failed)?;
        let length = std::fs::metadata(&place).map_err(failed)?.len();
        // A database is never empty: this file belongs to another program.
        if !is_new && length == 0 {
            return Err(StoreError::Foreign { path: path.to_owned() });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let opened = Connection::open_with_flags(&place, flags);
        let opened = opened.map_err(|error| sqlite(path, error));
        let store = opened.and_then(|connection| Self::over(connection, path, account));
        match &store {
            // Not by a descriptor: a process that closes one descriptor of a file gives up SQLite's
            // locks on it.
            Ok(_) => std::fs::set_permissions(&place, Permissions::from_mode(own::PRIVATE))
                .map_err(failed)?,
            // An empty file would be refused as another program's the next time.
            Err(_) if is_new => drop(std::fs::remove_file(&place)),
            Err(_) => {}
        }
        store
    }

    /// Makes a database that is lost with the process.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn in_memory(account: &Account) -> Result<Self, StoreError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| sqlite(path, error))?;
        Self::over(connection, path, account)
    }

    fn over(connection: Connection, path: &Path, account: &Account) -> Result<Self, StoreError> {
        let mut store = Self { connection, path: path.to_owned(), token_key: String::new() };
        store.lock()?;
        store.prepare(account)?;
        store.check(account)?;
        Ok(store)
    }

    fn lock(&self) -> Result<(), StoreError> {
        let pragma = |name, value: &str| self.connection.pragma_update(None, name, value);
        self.connection.busy_timeout(PATIENCE).map_err(|e| self.fault(e))?;
        // The lock is held from the first transaction until the process ends, also by a signal.
        pragma("locking_mode", "EXCLUSIVE").map_err(|e| self.fault(e))?;
        self.connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(|e| self.fault(e))?;
        if self.number("application_id")? != APPLICATION && self.tables()? > 0 {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        // With the write-ahead log a transaction is one append; FULL puts it on the disk before the
        // answer is sent.
        pragma("journal_mode", "WAL").map_err(|e| self.fault(e))?;
        // Some builds of SQLite enforce foreign keys by default, and Debian's does not.
        pragma("foreign_keys", "ON").map_err(|e| self.fault(e))?;
        pragma("synchronous", "FULL").map_err(|e| self.fault(e))
    }

    fn prepare(&self, account: &Account) -> Result<(), StoreError> {
        if self.tables()? > 0 {
            // A store of an earlier egret has no such table; the next step refuses one of a later
            // schema.
            let eni = "CREATE TABLE IF NOT EXISTS eni(id TEXT PRIMARY KEY, up_at INTEGER NOT NULL) WITHOUT ROWID";
            return match self.number("user_version")? {
                SCHEMA => self.execute(eni, []),
                _ => Ok(()),
            };
        }
        self.begin()?;
        let made = self
            .connection
            .execute_batch(
                "CREATE TABLE account(id TEXT NOT NULL, region TEXT NOT NULL, token_key TEXT NOT NULL);
                 CREATE TABLE connector(position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
                 CREATE TABLE service(position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
                 CREATE TABLE operation(position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, service TEXT NOT NULL,
                     document TEXT NOT NULL);
                 CREATE INDEX operation_service ON operation(service);
                 CREATE TABLE eni(id TEXT PRIMARY KEY, up_at INTEGER NOT NULL) WITHOUT ROWID;
                 CREATE TABLE tag(arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(arn, key)) WITHOUT ROWID;",
            )
            .and_then(|()| {
                let row = params![account.id, account.region, Uuid::new_v4().simple().to_string()];
                self.connection.execute("INSERT INTO account VALUES(?1, ?2, ?3)", row)
            })
            .and_then(|_| self.connection.pragma_update(None, "user_version", SCHEMA))
            .and_then(|()| self.connection.pragma_update(None, "application_id", APPLICATION));
        made.map_err(|e| self.fault(e))?;
        self.commit()
    }

    fn check(&mut self, account: &Account) -> Result<(), StoreError> {
        let found = self.number("user_version")?;
        if found > SCHEMA {
            return Err(StoreError::Newer { path: self.path.clone(), found });
        }
        let verdict = self.connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0));
        let verdict: String = verdict.map_err(|e| self.fault(e))?;
        if verdict != "ok" {
            return Err(self.damaged(verdict));
        }
        let row = self.connection.query_row("SELECT id, region, token_key FROM account", [], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get(2)?))
        });
        let (id, region, token_key) = row.map_err(|error| self.damaged(error))?;
        if (&id, &region) != (&account.id, &account.region) {
            return Err(StoreError::OtherAccount { path: self.path.clone(), account: id, region });
        }
        self.token_key = token_key;
        // Unreadable records are better found now than in the middle of a call.
        self.connectors()?;
        self.services()?;
        self.all_operations()?;
        Ok(())
    }

    /// Begins a transaction. One that was not ended is rolled back.
    pub(super) fn begin(&self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.roll_back();
        }
        self.execute("BEGIN IMMEDIATE", [])
    }

    /// Ends the transaction; its changes are permanent.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.execute("COMMIT", [])
    }

    /// Ends the transaction without its changes.
    pub(super) fn roll_back(&self) {
        // It fails if SQLite has rolled back already.
        let _ = aside(|| self.connection.execute_batch("ROLLBACK"));
    }

    /// Returns the key that signs the tokens of lists, so that those given out before a restart
    /// stay valid.
    pub(super) fn token_key(&self) -> &str {
        &self.token_key
    }

    /// Lists the ENIs that were ever made for the API, each with the time at which it is up.
    pub(super) fn enis(&self) -> Result<Vec<(String, Moment)>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT id, up_at FROM eni ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
            rows.collect::<Result<Vec<(String, i64)>, _>>()
        };
        let rows = aside(read).map_err(|error| self.fault(error))?;
        let moment = |at: i64| Moment(u64::try_from(at).unwrap_or_default());
        Ok(rows.into_iter().map(|(id, at)| (id, moment(at))).collect())
    }

    /// Keeps the time at which an ENI is up; the first time stays.
    pub(super) fn put_eni(&self, id: &str, up_at: Moment) -> Result<(), StoreError> {
        let at = i64::try_from(up_at.0).unwrap_or(i64::MAX);
        self.execute("INSERT OR IGNORE INTO eni VALUES(?1, ?2)", params![id, at])
    }

    /// Returns all connectors in the order of their creation.
    pub(super) fn connectors(&self) -> Result<Vec<Positioned<Connector>>, StoreError> {
        self.read("SELECT position, document FROM connector ORDER BY position", [])
    }

    pub(super) fn connector(&self, arn: &str) -> Result<Option<Connector>, StoreError> {
        self.one("SELECT position, document FROM connector WHERE key = ?1", arn)
    }

    pub(super) fn put_connector(&self, connector: &Connector) -> Result<(), StoreError> {
        self.put("connector", &connector.arn, connector)
    }

    /// Returns all services in the order of their creation.
    pub(super) fn services(&self) -> Result<Vec<Positioned<Service>>, StoreError> {
        self.read("SELECT position, document FROM service ORDER BY position", [])
    }

    pub(super) fn service(&self, arn: &str) -> Result<Option<Service>, StoreError> {
        self.one("SELECT position, document FROM service WHERE key = ?1", arn)
    }

    pub(super) fn put_service(&self, service: &Service) -> Result<(), StoreError> {
        self.put("service", &service.arn, service)
    }

    /// Returns a service's operations, the newest first.
    pub(super) fn operations(
        &self,
        service: &str,
    ) -> Result<Vec<Positioned<Operation>>, StoreError> {
        self.read(
            "SELECT position, document FROM operation WHERE service = ?1 ORDER BY position DESC",
            [service],
        )
    }

    /// Returns every service's operations.
    pub(super) fn all_operations(&self) -> Result<Vec<Operation>, StoreError> {
        let all: Vec<Positioned<Operation>> =
            self.read("SELECT position, document FROM operation ORDER BY position", [])?;
        Ok(all.into_iter().map(|entry| entry.value).collect())
    }

    pub(super) fn operation(&self, id: &str) -> Result<Option<Operation>, StoreError> {
        self.one("SELECT position, document FROM operation WHERE key = ?1", id)
    }

    pub(super) fn put_operation(&self, operation: &Operation) -> Result<(), StoreError> {
        let document = document(operation).map_err(|e| self.damaged(e))?;
        self.execute(
            "INSERT INTO operation(key, service, document) VALUES(?1, ?2, ?3)
             ON CONFLICT(key) DO UPDATE SET document = ?3",
            params![operation.id, operation.service_arn, document],
        )?;
        self.execute(
            "DELETE FROM operation WHERE service = ?1 AND position NOT IN
             (SELECT position FROM operation WHERE service = ?1 ORDER BY position DESC LIMIT ?2)",
            params![operation.service_arn, OPERATIONS],
        )
    }

    /// Forgets a resource with all that belongs to it.
    pub(super) fn forget(&self, arn: &str) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM connector WHERE key = ?1",
            "DELETE FROM service WHERE key = ?1",
            "DELETE FROM operation WHERE service = ?1",
            "DELETE FROM tag WHERE arn = ?1",
        ] {
            self.execute(statement, [arn])?;
        }
        Ok(())
    }

    /// Returns a resource's tags, by key.
    pub(super) fn tags(&self, arn: &str) -> Result<Vec<(String, String)>, StoreError> {
        let read = || {
            let query = "SELECT key, value FROM tag WHERE arn = ?1 ORDER BY key";
            let mut statement = self.connection.prepare_cached(query)?;
            let rows = statement.query_map([arn], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        aside(read).map_err(|error| self.fault(error))
    }

    pub(super) fn put_tag(&self, arn: &str, key: &str, value: &str) -> Result<(), StoreError> {
        self.execute("INSERT OR REPLACE INTO tag VALUES(?1, ?2, ?3)", [arn, key, value])
    }

    pub(super) fn remove_tag(&self, arn: &str, key: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM tag WHERE arn = ?1 AND key = ?2", [arn, key])
    }

    fn put(&self, table: &str, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let document = document(value).map_err(|e| self.damaged(e))?;
        let statement = format!(
            "INSERT INTO {table}(key, document) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET document = ?2"
        );
        self.execute(&statement, params![key, document])
    }

    fn one<T: DeserializeOwned>(&self, query: &str, key: &str) -> Result<Option<T>, StoreError> {
        Ok(self.read(query, [key])?.pop().map(|entry: Positioned<T>| entry.value))
    }

    fn read<T: DeserializeOwned>(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Positioned<T>>, StoreError> {
        aside(|| self.read_here(query, parameters))
    }

    fn read_here<T: DeserializeOwned>(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Positioned<T>>, StoreError> {
        let mut statement = self.connection.prepare_cached(query).map_err(|e| self.fault(e))?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
        let rows = statement.query_map(parameters, row).map_err(|e| self.fault(e))?;
        rows.map(|row| {
            let (position, document) = row.map_err(|e| self.fault(e))?;
            let value = serde_json::from_str(&document).map_err(|e| self.damaged(e))?;
            Ok(Positioned { position, value })
        })
        .collect()
    }

    /// Runs statements by which a test makes the store fail.
    #[cfg(test)]
    pub(super) fn meddle(&self, statements: &str) {
        self.connection.execute_batch(statements).unwrap();
    }

    fn execute(
        &self,
        statement: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        let executed = aside(|| {
            let prepared = self.connection.prepare_cached(statement);
            prepared.and_then(|mut s| s.execute(parameters))
        });
        executed.map(drop).map_err(|e| self.fault(e))
    }

    fn number(&self, pragma: &str) -> Result<i32, StoreError> {
        let number = self.connection.pragma_query_value(None, pragma, |row| row.get(0));
        number.map_err(|e| self.fault(e))
    }

    fn tables(&self) -> Result<i64, StoreError> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .optional();
        Ok(count.map_err(|e| self.fault(e))?.unwrap_or_default())
    }

    fn fault(&self, error: rusqlite::Error) -> StoreError {
        sqlite(&self.path, error)
    }

    fn damaged(&self, fault: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), fault: fault.to_string() }
    }
}

fn sqlite(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, fault: error.to_string() },
        _ => StoreError::Sqlite { path, error },
    }
}

fn document(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

#[cfg(test)]
mod tests {
    use super::super::records::Moment;
    use super::*;

    fn account() -> Account {
        Account { id: "123456789012".to_owned(), region: "us-east-1".to_owned() }
    }

    fn connector(name: &str) -> Connector {
        Connector {
            name: name.to_owned(),
            arn: format!("arn/{name}"),
            subnets: vec!["subnet-a".to_owned()],
            security_groups: Vec::new(),
            created_at: Moment(1),
            deleted_at: None,
        }
    }

    fn error(path: &Path, account: &Account) -> String {
        Store::open(path, account).err().unwrap().to_string()
    }

    #[test]
    fn committed_objects_are_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sqlite");
        let store = Store::open(&path, &account()).unwrap();
        store.begin().unwrap();
        store.put_connector(&connector("first")).unwrap();
        store.put_connector(&connector("second")).unwrap();
        store.put_tag("arn/first", "team", "net").unwrap();
        store.commit().unwrap();
        store.begin().unwrap();
        store.put_connector(&connector("third")).unwrap();
        let key = store.token_key().to_owned();
        // The open transaction ends with the process.
        drop(store);
        let store = Store::open(&path, &account()).unwrap();
        let names: Vec<String> =
            store.connectors().unwrap().into_iter().map(|e| e.value.name).collect();
        assert_eq!(names, ["first", "second"]);
        assert_eq!(store.tags("arn/first").unwrap(), [("team".to_owned(), "net".to_owned())]);
        assert_eq!(store.token_key(), key);
        store.forget("arn/first").unwrap();
        assert_eq!(store.connector("arn/first").unwrap(), None);
        assert_eq!(store.tags("arn/first").unwrap(), []);
    }

    #[test]
    fn an_unfinished_transaction_is_rolled_back_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("a.sqlite"), &account()).unwrap();
        store.begin().unwrap();
        store.put_connector(&connector("lost")).unwrap();
        store.begin().unwrap();
        store.commit().unwrap();
        assert_eq!(store.connectors().unwrap(), []);
    }

    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sqlite");
        let _store = Store::open(&path, &account()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sqlite");
        let _store = Store::open(&path, &account()).unwrap();
        assert!(error(&path, &account()).contains("is in use"));
    }

    #[test]
    fn files_of_other_programs_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("text");
        std::fs::write(&text, "no database, but long enough to look like one".repeat(50)).unwrap();
        assert!(error(&text, &account()).contains("was not made by egret"));
        let foreign = directory.path().join("foreign");
        let other = Connection::open(&foreign).unwrap();
        other.execute_batch("CREATE TABLE theirs(a)").unwrap();
        drop(other);
        let before = std::fs::read(&foreign).unwrap();
        assert!(error(&foreign, &account()).contains("was not made by egret"));
        assert_eq!(std::fs::read(&foreign).unwrap(), before);
        assert!(error(directory.path(), &account()).contains("cannot open"));
    }

    #[test]
    fn another_account_a_later_schema_and_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sqlite");
        let store = Store::open(&path, &account()).unwrap();
        store.put_connector(&connector("first")).unwrap();
        drop(store);
        let other = Account { region: "eu-west-1".to_owned(), ..account() };
        assert!(error(&path, &other).contains("account 123456789012 and region us-east-1"));
        let touch = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        touch("UPDATE connector SET document = '{}'");
        assert!(error(&path, &account()).contains("is damaged (missing field"));
        touch("PRAGMA user_version = 2");
        assert!(error(&path, &account()).contains("made by a later egret"));
    }
}
