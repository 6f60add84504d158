//! What is wrong with a configuration, and where: file, line, column, key, and what would be right.
//!
//! All problems of the values are reported in one pass, so that an operator mends a file once. A file that is
//! not TOML, or that has an unknown key, stops at the first such place: there is nothing sound to go on with.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// One problem at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1; 0 where the problem has no place (something is missing).
    pub line: usize,
    /// Column in characters, from 1; 0 where the problem has no place.
    pub column: usize,
    /// The key as a path, like `pool[1].policy`; empty for syntax errors.
    pub key: String,
    /// What is wrong, with the value and what is allowed.
    pub message: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no file to read again.
    #[error("the configuration came from no file, there is nothing to read again")]
    NoSource,
    /// The text is wrong in one or more places.
    #[error("{}", list(origin, problems))]
    Invalid {
        /// Name of the file, or `<text>`.
        origin: String,
        /// Every problem that was found.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// The problems of an invalid configuration; empty where the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } | Self::NoSource => &[],
            Self::Invalid { problems, .. } => problems,
        }
    }
}

fn list(origin: &str, problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{origin}:{problem}")).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if self.key.is_empty() { write!(f, " {}", self.message) } else { write!(f, " {}: {}", self.key, self.message) }
    }
}

/// Collects problems of one text.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes a problem of a value.
    pub(super) fn at(&mut self, span: Range<usize>, key: impl Into<String>, message: impl Into<String>) {
        let (line, column) = place(self.text, span.start);
        self.found.push(Problem { line, column, key: key.into(), message: message.into() });
    }

    /// Notes that something is missing, or a problem of a default.
    pub(super) fn nowhere(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem { line: 0, column: 0, key: key.into(), message: message.into() });
    }

    /// The problems in the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| (problem.line, problem.column));
        self.found
    }

    /// True where nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// Line and column, both from 1, of a byte offset.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("a = 1\nbé = 2\n", 6), (2, 1));
        assert_eq!(place("a = 1\nbé = 2\n", 10), (2, 4));
        assert_eq!(place("a", 999), (1, 2));
    }

    #[test]
    fn an_error_names_file_line_column_and_key() {
        let mut problems = Problems::of("one\ntwo");
        problems.at(4..7, "pool[0].policy", "unknown");
        let error = ConfigError::Invalid { origin: "t.toml".into(), problems: problems.into_sorted() };
        assert_eq!(error.to_string(), "t.toml:2:1: pool[0].policy: unknown");
    }
}
