//! A `log_format` compiled to a regular expression with one group a variable.
//!
//! What a variable may match depends on its neighbours and its kind: between quotes anything but an unescaped
//! quote, a list for `$upstream_…`, else one word, or as little as possible for what may hold blanks.

use super::super::ImportError;
use regex::{Captures, Regex};

/// Longest `log_format`; nginx's own limit on a directive's argument is 4 KiB.
const MAX_FORMAT_BYTES: usize = 4_096;

/// A piece of a format.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

/// A compiled format.
#[derive(Debug)]
pub(super) struct LogFormat {
    pattern: Regex,
    /// Variable of each group, in order.
    variables: Vec<String>,
}

/// The variables of a line.
pub(super) struct Fields<'a> {
    captures: Captures<'a>,
    variables: &'a [String],
}

impl<'a> Fields<'a> {
    /// Value of a variable; `None` where the format has it not.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value)
    }

    /// All variables in the format's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.variables
            .iter()
            .enumerate()
            .filter_map(|(at, name)| Some((name.as_str(), self.captures.get(at + 1)?.as_str())))
    }
}

impl LogFormat {
    /// Compiles a format: the string itself, or the directive `log_format name 'part' 'part';` from a configuration.
    pub(super) fn compile(text: &str) -> Result<Self, ImportError> {
        if text.len() > MAX_FORMAT_BYTES {
            let bytes = text.len();
            return Err(ImportError::LogFormat(format!(
                "it has {bytes} bytes, at most {MAX_FORMAT_BYTES} are allowed"
            )));
        }
        let pieces = pieces(&undirected(text));
        let variables: Vec<String> = pieces
            .iter()
            .filter_map(|piece| if let Piece::Variable(name) = piece { Some(name.clone()) } else { None })
            .collect();
        if variables.is_empty() {
            return Err(ImportError::LogFormat(format!("{text:?} has no $variable")));
        }
        let pattern = Regex::new(&pattern(&pieces)).map_err(|error| ImportError::LogFormat(error.to_string()))?;
        Ok(Self { pattern, variables })
    }

    /// Whether the format has one of these variables.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        self.variables.iter().any(|variable| names.contains(&variable.as_str()))
    }

    /// The variables of a line, if it fits. A prefix before it and fields after it are passed over.
    pub(super) fn fields<'a>(&'a self, line: &'a str) -> Option<Fields<'a>> {
        self.pattern.captures(line).map(|captures| Fields { captures, variables: &self.variables })
    }
}

/// The string inside `log_format name escape=json 'part' 'part';`, with escapes resolved.
fn undirected(text: &str) -> String {
    let text = text.trim();
    let directive = text.strip_prefix("log_format").filter(|rest| rest.starts_with(char::is_whitespace));
    let body = match directive {
        Some(rest) => {
            let rest = rest.trim_start();
            let rest = rest.split_once(char::is_whitespace).map_or("", |(_name, rest)| rest).trim_start();
            match rest.strip_prefix("escape=") {
                Some(rest) => rest.split_once(char::is_whitespace).map_or("", |(_kind, rest)| rest).trim_start(),
                None => rest,
            }
        }
        None => text,
    };
    // Outside a directive a double quote is part of the format.
    if body.starts_with('\'') || (directive.is_some() && body.starts_with('"')) {
        joined(body)
    } else {
        unescaped(body)
    }
}

/// Quoted strings, one after the other, up to the semicolon.
fn joined(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.trim_start();
    while let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let inner = rest.get(1..).unwrap_or("");
        let mut escaped = false;
        let end = inner.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.unwrap_or(inner.len());
        out.push_str(&unescaped(inner.get(..end).unwrap_or("")));
        rest = inner.get(end + 1..).unwrap_or("").trim_start();
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    out
}

fn pieces(format: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('$') {
        text.push_str(rest.get(..at).unwrap_or(""));
        let after = rest.get(at + 1..).unwrap_or("");
        let (name, left) = variable(after);
        if name.is_empty() {
            text.push('$');
        } else {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Variable(name.to_owned()));
        }
        rest = left;
    }
    text.push_str(rest);
    let text = text.trim_end();
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    pieces
}

/// The name after a `$`, and what follows it.
fn variable(text: &str) -> (&str, &str) {
    if let Some((name, rest)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, rest);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn pattern(pieces: &[Piece]) -> String {
    // A syslog prefix ends in a blank; the format begins after it.
    let mut pattern = String::from(r"(?:^|\s)");
    for (at, piece) in pieces.iter().enumerate() {
        let neighbour = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        match piece {
            Piece::Text(text) => pattern.push_str(&literal(text)),
            Piece::Variable(name) => {
                let before = neighbour(at.checked_sub(1)).chars().next_back();
                let after = neighbour(Some(at + 1)).chars().next();
                pattern.push_str(value(name, before, after));
            }
        }
    }
    pattern.push_str(r"(?:\s.*)?$");
    pattern
}

/// Text with any blanks for its blanks, because tabs and blanks are mixed up when logs are copied.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        out.push_str(&regex::escape(word.trim_end()));
        if word.ends_with(char::is_whitespace) && !out.ends_with(r"\s+") {
            out.push_str(r"\s+");
        }
    }
    out
}

/// What a variable matches.
fn value(name: &str, before: Option<char>, after: Option<char>) -> &'static str {
    match (name, before, after) {
        (_, Some('"'), Some('"')) => r#"((?:[^"\\]|\\.)*)"#,
        (_, Some('['), Some(']')) => r"([^\]]*)",
        ("time_local", ..) => r"(\S+ [+-]\d{4}|\S+?)",
        ("status", ..) => r"(\d{3}|-)",
        ("msec" | "request_time" | "bytes_sent" | "body_bytes_sent" | "request_length" | "content_length", ..) => {
            r"([\d.]+|-|)"
        }
        ("upstream_status", ..) => r"((?:\d+|-)(?:(?:, ?| : )(?:\d+|-))*|)",
        (
            "upstream_response_time"
            | "upstream_connect_time"
            | "upstream_header_time"
            | "upstream_response_length"
            | "upstream_bytes_received"
            | "upstream_bytes_sent",
            ..,
        ) => r"((?:[\d.]+|-)(?:(?:, ?| : )(?:[\d.]+|-))*|)",
        ("upstream_addr" | "upstream_cache_status", ..) => r#"([^\s,|;"]+(?:(?:, ?| : )[^\s,|;"]+)*|)"#,
        ("request", ..) => r"(.*?)",
        (name, ..)
            if name.starts_with("http_") || name.starts_with("sent_http_") || name.starts_with("upstream_http_") =>
        {
            r"(.*?)"
        }
        _ => r"(\S*?)",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn values(format: &str, line: &str) -> Option<Vec<String>> {
        let format = LogFormat::compile(format).unwrap();
        let fields = format.fields(line)?;
        Some(fields.iter().map(|(_, value)| value.to_owned()).collect())
    }

    #[test]
    fn a_directive_from_a_configuration_is_its_string() {
        let directive = "log_format  main escape=json '$remote_addr [$time_local] '\n  '\"$request\" \\'$status\\'';";
        assert_eq!(undirected(directive), "$remote_addr [$time_local] \"$request\" '$status'");
        assert_eq!(undirected("'$a' '$b'"), "$a$b");
        assert_eq!(undirected("\"$a\" ${b}_c"), "\"$a\" ${b}_c");
    }

    #[test]
    fn variables_are_cut_out_where_the_text_between_them_says() {
        assert_eq!(values("${a}b $c", "1b 2"), Some(vec!["1".into(), "2".into()]));
        assert_eq!(values("$a|$http_x|$c", "1|two words|3"), Some(vec!["1".into(), "two words".into(), "3".into()]));
        assert_eq!(
            values("$a [$b] \"$c\"", "p: 1 [x y] \"q \\\" r\" more"),
            Some(vec!["1".into(), "x y".into(), "q \\\" r".into()])
        );
        assert_eq!(values("$a\t$b", "1   2"), Some(vec!["1".into(), "2".into()]));
        assert_eq!(
            values("$upstream_addr $upstream_status $status", "a:1, b:2 : c:3 502, 200 : - 200"),
            Some(vec!["a:1, b:2 : c:3".into(), "502, 200 : -".into(), "200".into()])
        );
        assert_eq!(values("\"$a\" \"$b\"", "\"1\" 2"), None);
    }

    #[test]
    fn a_format_without_variables_is_refused() {
        assert!(LogFormat::compile("nothing $ here").unwrap_err().to_string().contains("has no $variable"));
        assert!(LogFormat::compile(&"$a ".repeat(2_000)).unwrap_err().to_string().contains("at most 4096"));
    }

    proptest! {
        #[test]
        fn no_format_and_no_line_makes_it_panic(format in "[$a-z{}'\"\\\\ \\[\\]|;é]{0,60}", line in ".{0,60}") {
            if let Ok(format) = LogFormat::compile(&format) {
                let _ = format.fields(&line).map(|fields| fields.iter().count());
            }
        }
    }
}
