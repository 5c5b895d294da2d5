//! A PostgreSQL of our own: private folder, socket in it, gone with the last test that holds it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use pipewright::sync::{Catalog, Cells, PgText, catalog_query};

/// The role of the connection.
pub const READER: &str = "reader";
/// The owner of everything.
pub const OWNER: &str = "postgres";
/// The database that `fixture.sql` makes.
pub const FIXTURE: &str = "fixture";
pub const SCHEMA: &str = "My_Schema$1";

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    binaries: PathBuf,
}

/// A row as PostgreSQL prints it.
pub type Row = Vec<Option<String>>;

static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that runs, or a new one with the fixture in it.
pub fn server() -> Arc<Server> {
    let mut running = RUNNING.lock().unwrap_or_else(|broken| broken.into_inner());
    if let Some(server) = running.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start());
    server.database(FIXTURE);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/fixture.sql");
    server
        .psql(OWNER, FIXTURE, &["-f", fixture.to_str().unwrap()])
        .unwrap();
    *running = Arc::downgrade(&server);
    server
}

/// Where `initdb`, `postgres` and `psql` are: in the path, or where distributions put them.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> = versions
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev());
    }
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| folder.join(name).exists())
    };
    folders.into_iter().find(complete).expect(
        "these checks need PostgreSQL 14 or later: initdb, postgres and psql in one folder of the path, or below /usr/lib/postgresql; on Debian and Ubuntu `apt-get install postgresql`",
    )
}

/// PostgreSQL refuses to run as root: then it runs as `nobody`.
fn nobody() -> Option<u32> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| id(&["-u", "nobody"]).expect("there is a user `nobody`"))
}

impl Server {
    pub fn start() -> Self {
        let binaries = binaries();
        let folder = tempfile::tempdir().unwrap();
        let user = nobody();
        let command = |name: &str| {
            let mut command = Command::new(binaries.join(name));
            command.current_dir(folder.path()).env("LC_ALL", "C");
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command
        };
        if let Some(user) = user {
            chown(folder.path(), Some(user), Some(user)).unwrap();
        }
        let data = folder.path().join("data");
        let initdb = command("initdb")
            .args(["--no-sync", "-E", "UTF8", "--locale=C", "-A", "trust"])
            .args(["-U", OWNER, "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{initdb:?}");
        let mut child = command("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            match log.next() {
                Some(Ok(line)) if line.contains("ready to accept connections") => break,
                Some(Ok(line)) => said.push(line),
                _ => panic!("PostgreSQL did not start:\n{}", said.join("\n")),
            }
        }
        // A full pipe would stop the server.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            child,
            folder,
            binaries,
        }
    }

    /// Where the connection's role finds the server, without a database.
    pub fn address(&self) -> String {
        format!("host={} user={READER}", self.folder.path().display())
    }

    /// Makes an empty database.
    pub fn database(&self, name: &str) {
        let create = format!("CREATE DATABASE {name}");
        self.psql(OWNER, "postgres", &["-c", &create]).unwrap();
    }

    /// Runs statements for their effect.
    pub fn run(&self, database: &str, sql: &str) {
        self.psql(OWNER, database, &["-c", sql]).unwrap();
    }

    /// The rows of one query.
    pub fn rows(&self, role: &str, database: &str, query: &str) -> Result<Vec<Row>, String> {
        let copy = format!("COPY ({query}) TO STDOUT (FORMAT csv, NULL '\\N', FORCE_QUOTE *)");
        self.psql(role, database, &["-c", &copy])
            .map(|text| read_csv(&text))
    }

    /// The rows of an inner query, as BigQuery asks for them.
    pub fn wrapped(
        &self,
        database: &str,
        inner: &PgText,
        cells: &[String],
    ) -> Result<Vec<Row>, String> {
        let cells: Vec<String> = cells.iter().map(|cell| format!("\"{cell}\"")).collect();
        let query = format!("SELECT {} FROM ({inner}) t", cells.join(","));
        self.rows(READER, database, &query)
    }

    /// The type of each column of a query as it goes over the wire, where a domain is its base.
    pub fn described(&self, database: &str, query: &str) -> Vec<u32> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{query} \\gdesc").unwrap();
        let types = self
            .psql(READER, database, &["-f", file.path().to_str().unwrap()])
            .unwrap();
        let names: Vec<&str> = types
            .lines()
            .map(|line| line.rsplit_once('|').unwrap().1)
            .collect();
        let query = format!("SELECT unnest('{{{}}}'::regtype[])::oid", quoted(&names));
        let oids = self.rows(OWNER, database, &query).unwrap();
        oids.into_iter()
            .map(|row| row[0].as_deref().unwrap().parse().unwrap())
            .collect()
    }

    /// What the catalog query says, through its wrapper and in BigQuery's spelling.
    pub fn catalog(&self, database: &str, schema: &str) -> Catalog {
        let cells: Vec<&str> = pipewright::sync::CELLS.to_vec();
        let texts: Vec<String> = cells
            .iter()
            .map(|cell| format!("\"{cell}\"::text"))
            .collect();
        let query = catalog_query(&schema.parse().unwrap());
        let query = format!("SELECT {} FROM ({query}) t", texts.join(","));
        let rows: Vec<Cells> = self
            .rows(READER, database, &query)
            .unwrap()
            .into_iter()
            .map(|row| {
                cells
                    .iter()
                    .map(|cell| (*cell).to_owned())
                    .zip(row)
                    .collect()
            })
            .collect();
        Catalog::from_rows(&rows).unwrap()
    }

    /// Standard output, or what went wrong.
    pub fn psql(&self, role: &str, database: &str, args: &[&str]) -> Result<String, String> {
        let output = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(self.folder.path())
            .args(["-U", role, "-d", database])
            .args(args)
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGTZ", "UTC")
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Immediate shutdown: unlike a kill it gives back the shared memory.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.child.wait();
    }
}

/// Elements of an array literal, without their modifiers: `numeric(10,2)` is a `numeric`.
fn quoted(types: &[&str]) -> String {
    let plain = |name: &&str| {
        let (before, after) = name.split_once('(').unwrap_or((name, ""));
        let after = after.split_once(')').map_or(after, |(_, after)| after);
        format!("\"{before}{after}\"")
    };
    types.iter().map(plain).collect::<Vec<_>>().join(",")
}

/// Every value is in quotes, doubled inside of it; `\N` without quotes is null.
fn read_csv(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = Row::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            let mut after = quoted;
            loop {
                let (part, next) = after.split_once('"').unwrap();
                value.push_str(part);
                match next.strip_prefix('"') {
                    Some(more) => {
                        value.push('"');
                        after = more;
                    }
                    None => {
                        rest = next;
                        break;
                    }
                }
            }
            row.push(Some(value));
        } else if let Some(next) = rest.strip_prefix("\\N") {
            row.push(None);
            rest = next;
        }
        rest = match rest.strip_prefix(',') {
            Some(next) => next,
            None => {
                rows.push(std::mem::take(&mut row));
                rest.strip_prefix('\n').unwrap()
            }
        };
    }
    rows
}
