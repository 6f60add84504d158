//! The sample of lines that could not be read: bounded, one line each, safe to print on a terminal.

use super::ImportError;
use super::draft::Reason;
use super::lines::Line;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lines kept of each reason: enough to see what is wrong with them.
pub(super) const SAMPLES_PER_REASON: u64 = 20;

/// Characters kept of a line.
const SAMPLE_CHARS: usize = 2_000;

/// Writes the sample.
pub(super) struct RejectSample<'a> {
    out: &'a mut dyn Write,
    counts: HashMap<Reason, u64>,
}

impl<'a> RejectSample<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, counts: HashMap::new() }
    }

    /// Counts a line and, while its reason is rare, writes `number <tab> reason <tab> text`.
    pub(super) fn reject(&mut self, line: &Line, reason: Reason) -> Result<(), ImportError> {
        let first = self.counts.is_empty();
        let count = self.counts.entry(reason).or_default();
        *count += 1;
        if *count > SAMPLES_PER_REASON {
            return Ok(());
        }
        let mut text = String::new();
        if first {
            text.push_str(&format!("# line, reason, text: the first {SAMPLES_PER_REASON} lines of each reason\n"));
        }
        text.push_str(&format!("{}\t{reason}\t{}\n", line.number, escaped(&line.text)));
        self.out.write_all(text.as_bytes()).map_err(|source| ImportError::Rejects { source })
    }

    /// Flushes and gives the counts.
    pub(super) fn finish(self) -> Result<HashMap<Reason, u64>, ImportError> {
        self.out.flush().map_err(|source| ImportError::Rejects { source })?;
        Ok(self.counts)
    }
}

/// The line with control characters escaped and its tail cut.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(SAMPLE_CHARS));
    for (number, c) in text.chars().enumerate() {
        if number == SAMPLE_CHARS {
            out.push_str(&format!("… ({} bytes)", text.len()));
            break;
        }
        if c.is_control() || is_direction(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Marks that turn the direction of text, with which a line could make a terminal show another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// A file that comes into being with the first byte written to it.
pub(super) struct LateFile {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl LateFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    /// Ends the file; where nothing was written, one left by an earlier import is removed, because it would lie.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.file.as_mut() {
            Some(file) => file.flush(),
            None if self.path.is_file() => fs::remove_file(&self.path),
            None => Ok(()),
        }
    }
}

impl Write for LateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(File::create(&self.path)?),
        };
        self.file.insert(file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn line(number: u64, text: &str) -> Line {
        Line { number, text: text.to_owned(), cut: false }
    }

    #[test]
    fn the_sample_is_bounded_and_the_count_is_not() {
        let mut out = Vec::new();
        let mut sample = RejectSample::new(&mut out);
        for number in 0..1_000 {
            sample.reject(&line(number, "x"), "common").unwrap();
        }
        sample.reject(&line(1_000, "y"), "rare").unwrap();
        assert_eq!(sample.finish().unwrap(), HashMap::from([("common", 1_000), ("rare", 1)]));
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count() as u64, 1 + SAMPLES_PER_REASON + 1);
        assert!(text.ends_with("1000\trare\ty\n"), "{text}");
    }

    #[test]
    fn control_characters_are_escaped_and_long_lines_cut() {
        assert_eq!(escaped("a\u{1b}[31m\tb\u{202e}c"), "a\\u{1b}[31m\\tb\\u{202e}c");
        let long = escaped(&"é".repeat(3_000));
        assert!(long.ends_with("é… (6000 bytes)") && long.chars().count() < 2_020, "{}", long.chars().count());
    }

    #[test]
    fn no_file_is_left_behind_when_nothing_was_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects");
        LateFile::new(&path).finish().unwrap();
        assert!(!path.exists());
        fs::write(&path, "of an earlier import").unwrap();
        LateFile::new(&path).finish().unwrap();
        assert!(!path.exists());
        let mut file = LateFile::new(&path);
        file.write_all(b"a").unwrap();
        file.write_all(b"b").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ab");
    }
}
