//! Programs that were not made for these tests: found or skipped, run, and asked what they saw.
//!
//! `tests/clients/install.sh` installs them. Where one is absent a test skips and says so, because the tests have to run
//! with nothing but Rust; `TAILCAST_REQUIRE_CLIENTS=1`, which CI sets, turns absence into failure.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// What a program printed on both outputs, and how it ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// What it printed; panics with what it complained of where it failed.
    pub(crate) fn success(self) -> String {
        assert!(self.status.success(), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program to its end without holding up the endpoints of the test. `None` where this machine has none.
pub(crate) async fn run<A: AsRef<str>>(program: impl Into<PathBuf>, arguments: &[A]) -> Option<Ended> {
    let program = program.into();
    let mut command = Command::new(&program);
    command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => Some(Ended {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Err(_) => {
            absent(&program.display().to_string());
            None
        }
    }
}

/// Says that a program is absent, past the harness that would swallow what a passing test prints.
pub(crate) fn absent(what: &str) {
    let is_required = std::env::var("TAILCAST_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
    assert!(!is_required, "there is no {what} and TAILCAST_REQUIRE_CLIENTS is 1; tests/clients/install.sh installs it");
    let _ = writeln!(std::io::stderr(), "skipped: no {what}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

/// A script of `tests/clients`.
pub(crate) fn script(name: &str) -> String {
    folder().join(name).display().to_string()
}

/// The Python that runs the scripts: the one with packages where it was installed, else the system's.
pub(crate) fn python() -> PathBuf {
    let own = folder().join("venv/bin/python");
    if own.exists() { own } else { "python3".into() }
}

/// True if Python can import a package; where not, that was said.
pub(crate) async fn has_package(name: &str) -> bool {
    let Some(ended) = run(python(), &["-c", &format!("import {name}")]).await else { return false };
    if !ended.status.success() {
        absent(&format!("Python package {name}"));
    }
    ended.status.success()
}

/// A running script of `tests/clients`, which goes on until its standard input ends; killed when dropped.
pub(crate) struct Script {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Script {
    /// Starts it. `None` where there is no Python.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(python());
        command.arg(script(name)).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            absent("python3");
            return None;
        };
        let stdout = child.stdout.take().map(BufReader::new);
        Some(Self { child, stdout })
    }

    /// The next line that it prints, without holding up the endpoints of the test; empty once it has ended.
    pub(crate) async fn line(&mut self) -> String {
        let mut stdout = self.stdout.take().unwrap();
        let read = move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            (stdout, line)
        };
        let (stdout, line) = tokio::task::spawn_blocking(read).await.unwrap();
        self.stdout = Some(stdout);
        line.trim_end().to_owned()
    }

    /// The port that a serving script prints first, on loopback.
    pub(crate) async fn address(&mut self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.line().await.parse().unwrap()))
    }

    /// Ends it; panics where it had something to complain of.
    pub(crate) async fn end(mut self) {
        drop(self.child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || self.child.wait()).await.unwrap();
        assert!(ended.as_ref().is_ok_and(ExitStatus::success), "{ended:?}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
