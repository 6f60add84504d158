//! Tokens of a log line: bare words, `"quoted"`, `[bracketed]` and `{braced}` fields, separated by blanks.

/// What a token was wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    Bare,
    Quoted,
    Bracketed,
    Braced,
}

/// A field of a line, without its wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) wrap: Wrap,
    pub(super) text: &'a str,
}

impl<'a> Token<'a> {
    /// The text of a bare token.
    pub(super) fn bare(self) -> Option<&'a str> {
        (self.wrap == Wrap::Bare).then_some(self.text)
    }

    /// The text of a quoted token.
    pub(super) fn quoted(self) -> Option<&'a str> {
        (self.wrap == Wrap::Quoted).then_some(self.text)
    }
}

/// The tokens of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    fn cut(&mut self, at: usize, skip: usize) -> &'a str {
        let text = self.rest.get(..at).unwrap_or(self.rest);
        self.rest = self.rest.get(at + skip..).unwrap_or("");
        text
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let (wrap, close) = match first {
            '"' => (Wrap::Quoted, '"'),
            '[' if !is_address(self.rest) => (Wrap::Bracketed, ']'),
            '{' => (Wrap::Braced, '}'),
            _ => {
                let end = bare_end(self.rest);
                return Some(Token { wrap: Wrap::Bare, text: self.cut(end, 0) });
            }
        };
        self.rest = self.rest.get(1..).unwrap_or("");
        // A line that its recorder cut short ends inside its last field: the rest is that field.
        let end = closing(self.rest, close).unwrap_or(self.rest.len());
        Some(Token { wrap, text: self.cut(end, 1) })
    }
}

/// `[2001:db8::1]:80`: brackets of an address, which are part of a word.
fn is_address(text: &str) -> bool {
    let word = text.split(char::is_whitespace).next().unwrap_or("");
    word.contains("]:")
}

/// Where a bare word ends: at a blank, but `key="a b"` goes to its closing quote.
fn bare_end(text: &str) -> usize {
    let blank = text.find(char::is_whitespace).unwrap_or(text.len());
    // Looking no further than the word keeps a line of a million words from taking a million times its length.
    let Some(open) = text.get(..blank).and_then(|word| word.find("=\"")) else { return blank };
    let start = open + 2;
    match text.get(start..).and_then(|rest| closing(rest, '"')) {
        Some(end) => start + end + 1,
        None => text.len(),
    }
}

/// The closing mark: not escaped, and followed by a blank or the end of the line, so that stray marks inside stay.
fn closing(text: &str, close: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && close == '"' {
            escaped = true;
        } else if c == close
            && text.get(at + 1..).is_none_or(|rest| rest.chars().next().is_none_or(char::is_whitespace))
        {
            return Some(at);
        }
    }
    None
}

/// A bracketed time and what stands before and after it. Brackets of something else (`haproxy[123]`) are passed.
pub(super) fn dated<'a, T>(
    line: &'a str,
    accept: impl Fn(&'a str, &'a str) -> Option<T>,
) -> Option<(&'a str, T, &'a str)> {
    /// Brackets tried: a prefix of syslog has one or two, and a line of junk may have thousands.
    const TRIED: usize = 8;
    for (open, _) in line.match_indices('[').take(TRIED) {
        let inner = line.get(open + 1..)?;
        let close = inner.find(']')?;
        let (text, rest) = (inner.get(..close)?, inner.get(close + 1..)?);
        if let Some(found) = accept(text, rest) {
            return Some((line.get(..open)?, found, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_told_apart_by_their_wrapping() {
        let tokens: Vec<_> = Tokens::new(r#"a - [b c] "d \"e\" f" {g|h i} k="l m" "" "cut"#).collect();
        let texts: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        assert_eq!(texts, ["a", "-", "b c", r#"d \"e\" f"#, "g|h i", "k=\"l m\"", "", "cut"]);
        assert_eq!(tokens[2].wrap, Wrap::Bracketed);
        assert_eq!(tokens[3].quoted(), Some(r#"d \"e\" f"#));
        assert_eq!(tokens[4].wrap, Wrap::Braced);
        assert_eq!(tokens[0].bare(), Some("a"));
    }

    #[test]
    fn brackets_of_an_address_are_part_of_it() {
        let tokens: Vec<_> = Tokens::new("[2001:db8::1]:80 [a b]").map(|token| token.text).collect();
        assert_eq!(tokens, ["[2001:db8::1]:80", "a b"]);
    }

    #[test]
    fn a_stray_quote_does_not_end_a_field() {
        let tokens: Vec<_> = Tokens::new(r#""a "b" 1 "c"x" 2"#).map(|token| token.text).collect();
        assert_eq!(tokens, [r#"a "b"#, "1", r#"c"x"#, "2"]);
    }

    #[test]
    fn a_line_of_a_million_bytes_takes_no_longer_than_its_length() {
        for piece in ["a ", "[a ", "{a ", "a=\"", "\" ", "]: ", "[a ]: "] {
            let line = piece.repeat((1 << 20) / piece.len());
            let began = std::time::Instant::now();
            assert!(Tokens::new(&line).count() <= line.len());
            let took = began.elapsed();
            assert!(took < std::time::Duration::from_secs(2), "{piece:?} took {took:?}");
        }
    }

    proptest! {
        #[test]
        fn tokens_never_panic_and_end(line in "[ a\"\\\\\\[\\]{}=é\u{0}]{0,60}") {
            prop_assert!(Tokens::new(&line).count() <= line.len());
        }
    }
}
