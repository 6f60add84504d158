//! Raw request path to route template: `/users/8231/orders/2024-01-05?x=1` is the route `/users/{id}/orders/{id}`.
//!
//! A learner needs routes that are *kinds* of request: few, stable, and equal for requests that cost the same.
//! The decision is a set of rules on the form of one path segment, because a template must be known at the
//! first request, on any site, with no configuration, and must be the same in the proxy and in a log recorded
//! elsewhere. Rejected: clustering the paths seen so far (the name of a route would change as traffic arrives,
//! and with it the meaning of every statistic kept under that name), and regular expressions (several times the
//! cost, and no clearer than the rules below).
//!
//! Templates are idempotent: `template(template(p)) == template(p)`, so that a recorded template can be replayed.

use std::collections::HashMap;
use std::sync::Arc;

/// Longest template in bytes. Real routes rarely pass 100; the bound is what a metric label may cost.
pub const MAX_TEMPLATE_BYTES: usize = 160;

/// Most segments kept. The deepest REST routes in public API catalogues have seven or eight.
pub const MAX_SEGMENTS: usize = 8;

/// Longest segment that can be a word of a route. Longer ones are titles, tokens or payloads.
const MAX_WORD_BYTES: usize = 40;

/// Longest name inside braces that is believed to be a placeholder.
const MAX_PLACEHOLDER_BYTES: usize = 32;

/// Longest file extension (`woff2`, `xhtml`).
const MAX_EXTENSION_BYTES: usize = 5;

/// Stands for what was cut off after [`MAX_SEGMENTS`] or [`MAX_TEMPLATE_BYTES`].
const REST: &str = "{rest}";

/// Stands for a segment that names one thing, not a kind.
const ID: &str = "{id}";

/// Name of the route that takes every template beyond the capacity of a [`RouteTable`].
pub const OTHER: &str = "other";

/// The route template of a raw request path or absolute URL.
pub fn template(path: &str) -> String {
    let mut out = String::with_capacity(path.len().min(MAX_TEMPLATE_BYTES));
    template_into(path, &mut out);
    out
}

/// Writes the template of `path` into `out`, which is cleared first: [`template`] without its allocation.
pub fn template_into(path: &str, out: &mut String) {
    out.clear();
    let path = without_authority(path.trim());
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or(path);
    if path == "*" {
        out.push('*');
        return;
    }
    let mut kept = 0;
    for segment in path.split('/') {
        // Matrix parameters (`;jsessionid=…`) are of the request, not of the route.
        let segment = segment.split(';').next().unwrap_or("");
        if segment.is_empty() || segment == "." || segment == ".." {
            continue;
        }
        let class = classify(segment);
        let bytes = 1 + class.len();
        if kept == MAX_SEGMENTS || out.len() + bytes > MAX_TEMPLATE_BYTES - 1 - REST.len() {
            out.push('/');
            out.push_str(REST);
            return;
        }
        out.push('/');
        class.write(out);
        kept += 1;
    }
    if kept == 0 {
        out.push('/');
    }
}

/// The path of an absolute URL; any other text as it is.
fn without_authority(text: &str) -> &str {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if scheme.is_empty() || !scheme.chars().all(plain) {
        return text;
    }
    match rest.find(['/', '?', '#']) {
        Some(at) => rest.get(at..).unwrap_or(""),
        None => "",
    }
}

/// What a segment is.
enum Class<'a> {
    /// A word of the route, kept as it is.
    Word(&'a str),
    /// The name of one thing.
    Id,
    /// A numbered or hashed file with this extension.
    File(&'a str),
}

impl Class<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Word(word) => word.len(),
            Self::Id => ID.len(),
            Self::File(extension) => "{file}.".len() + extension.len(),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Word(word) => out.push_str(word),
            Self::Id => out.push_str(ID),
            Self::File(extension) => {
                out.push_str("{file}.");
                out.push_str(extension);
            }
        }
    }
}

fn classify(segment: &str) -> Class<'_> {
    if is_placeholder(segment) {
        return Class::Word(segment);
    }
    // A mail address names somebody, whatever its domain looks like.
    if segment.contains('@') {
        return Class::Id;
    }
    if let Some((stem, extension)) = segment.rsplit_once('.')
        && is_extension(extension)
        && !stem.is_empty()
    {
        if stem == "{file}" {
            return Class::Word(segment);
        }
        if !stem.bytes().all(is_word_byte) {
            return Class::File(extension);
        }
        if segment.len() > MAX_WORD_BYTES || stem.bytes().any(|b| b.is_ascii_digit()) || is_id(stem) {
            return if is_version(segment) { Class::Word(segment) } else { Class::File(extension) };
        }
        return Class::Word(segment);
    }
    if is_id(segment) { Class::Id } else { Class::Word(segment) }
}

/// `{id}`, `{user_id}`, `{rest}`: a segment that somebody has already templated.
fn is_placeholder(segment: &str) -> bool {
    let Some(inner) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return false };
    !inner.is_empty()
        && inner.len() <= MAX_PLACEHOLDER_BYTES
        && inner.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'*' | b':'))
}

fn is_extension(text: &str) -> bool {
    (1..=MAX_EXTENSION_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Bytes that words of a route are made of. Escapes, spaces and quotes are what people typed, so they are data.
fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b':' | b'$' | b'!' | b'*' | b',' | b'\'')
}

/// `v1`, `v2.3`, `V10`: the version of an API is part of the route.
fn is_version(word: &str) -> bool {
    let Some(rest) = word.strip_prefix(['v', 'V']) else { return false };
    !rest.is_empty() && rest.len() <= 6 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether a segment names one thing: number, date, UUID, hash, token, address, title.
fn is_id(word: &str) -> bool {
    if word.len() > MAX_WORD_BYTES || !word.bytes().all(is_word_byte) {
        return true;
    }
    if is_version(word) {
        return false;
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    // Five words joined by hyphens are a title, four can still be `get-user-by-id`.
    let parts = word.split(['-', '_', '.', '~', ':', ',']);
    if parts.clone().filter(|part| !part.is_empty()).count() >= 5 {
        return true;
    }
    if digits == 0 {
        return false;
    }
    let hex = word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    // Eight hex digits are a short hash or the head of a UUID.
    if hex && word.len() >= 8 {
        return true;
    }
    parts.into_iter().any(is_id_part)
}

/// Whether one part of a hyphenated word is a number or a token of digits and letters.
fn is_id_part(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return false;
    }
    if digits == part.len() {
        return true;
    }
    let changes =
        part.as_bytes().windows(2).filter(|pair| matches!(pair, [a, b] if a.is_ascii_digit() != b.is_ascii_digit()));
    // A long word of both cases with a digit in it is a token: `eyJhbGciOiJIUzI1NiIs`.
    let has = |kind: fn(&u8) -> bool| part.as_bytes().iter().any(kind);
    if part.len() >= 16 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) {
        return true;
    }
    // `sha256`, `oauth2`, `i18n`, `travel2service` are words; `user12345`, `a1b2c3`, `pikachu025` are names.
    digits >= 4 || (digits >= 3 && part.len() >= 10) || (part.len() >= 6 && changes.count() >= 3)
}

/// A bounded set of routes: the first `capacity` distinct templates, and `other` for all that come later.
///
/// First come, first kept: a route's name never changes once a statistic is filed under it. Rejected: evicting
/// rare routes, which would hand the evidence of one route to another.
#[derive(Debug, Clone)]
pub struct RouteTable {
    capacity: usize,
    routes: HashMap<Arc<str>, ()>,
    other: Arc<str>,
    overflowed: u64,
    scratch: String,
}

impl RouteTable {
    /// A table that holds at most `capacity` templates beside `other`.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, routes: HashMap::new(), other: Arc::from(OTHER), overflowed: 0, scratch: String::new() }
    }

    /// The route of a raw path or absolute URL.
    pub fn route(&mut self, path: &str) -> Arc<str> {
        let mut scratch = std::mem::take(&mut self.scratch);
        template_into(path, &mut scratch);
        let route = self.name(&scratch);
        self.scratch = scratch;
        route
    }

    /// The route with this very name: for recorders that log names of operations in place of paths.
    pub fn name(&mut self, name: &str) -> Arc<str> {
        if let Some((known, ())) = self.routes.get_key_value(name) {
            return Arc::clone(known);
        }
        if self.routes.len() >= self.capacity {
            self.overflowed += 1;
            return Arc::clone(&self.other);
        }
        let route: Arc<str> = Arc::from(name);
        self.routes.insert(Arc::clone(&route), ());
        route
    }

    /// How many requests were given the route `other`.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// How many templates the table holds, `other` not counted.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether no template has been seen.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identifiers_become_placeholders_and_words_stay() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("*", "*"),
            ("/users/8231/orders/2024-01-05?x=1#top", "/users/{id}/orders/{id}"),
            ("https://api.example.com:8443/v1/items/42", "/v1/items/{id}"),
            ("http://example.com", "/"),
            ("http://example.com?q=1", "/"),
            ("/api/v1/travel2service/trips/left", "/api/v1/travel2service/trips/left"),
            ("/u/3f8a1c2e-9b1d-4c57-8e55-0f6a2b7c9d10/avatar", "/u/{id}/avatar"),
            ("/commit/9fceb02d0ae598e95dc970b74767f19372d61af8", "/commit/{id}"),
            ("/session/eyJhbGciOiJIUzI1NiIs", "/session/{id}"),
            ("/users/jane.doe@example.com/mail", "/users/{id}/mail"),
            ("/static/app.3f2a9c1b.js", "/static/{file}.js"),
            ("/images/kibana-dashboard3.png", "/images/{file}.png"),
            ("/favicon.ico", "/favicon.ico"),
            ("/js/jquery.min.js", "/js/jquery.min.js"),
            ("/oauth2/token", "/oauth2/token"),
            ("/i18n/sha256", "/i18n/sha256"),
            ("/item-123/", "/{id}"),
            ("/wiki/Caf%C3%A9", "/wiki/{id}"),
            ("//a//b/./c/../d", "/a/b/c/d"),
            ("/cart;jsessionid=AB12?x", "/cart"),
            ("/blog/how-we-cut-our-tail-latency", "/blog/{id}"),
            ("/api/items/{id}/{user_id}", "/api/items/{id}/{user_id}"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{rest}"),
            ("/{file}.png", "/{file}.png"),
            ("/$metadata", "/$metadata"),
            ("/v2.1/pets", "/v2.1/pets"),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }

    #[test]
    fn a_full_table_answers_other_and_keeps_what_it_knows() {
        let mut table = RouteTable::new(2);
        assert_eq!(&*table.route("/a/1"), "/a/{id}");
        assert_eq!(&*table.route("/b"), "/b");
        assert_eq!(&*table.route("/c"), OTHER);
        assert_eq!(&*table.route("/a/2"), "/a/{id}");
        assert_eq!((table.len(), table.overflowed()), (2, 1));
    }

    proptest! {
        #[test]
        fn a_template_is_its_own_template(path in ".{0,400}") {
            let once = template(&path);
            prop_assert_eq!(template(&once), once);
        }

        #[test]
        fn a_template_of_a_path_shaped_text_is_its_own_template(path in "(https?://[a-z.]{1,9})?(/[a-zA-Z0-9{}._%;:@-]{0,45}){0,12}(\\?[a-z=&]{0,9})?") {
            let once = template(&path);
            prop_assert!(once.len() <= MAX_TEMPLATE_BYTES, "{} bytes", once.len());
            prop_assert!(once.split('/').count() <= MAX_SEGMENTS + 2);
            prop_assert_eq!(template(&once), once);
        }

        #[test]
        fn a_template_is_never_longer_than_the_bound(path in ".{0,2000}") {
            prop_assert!(template(&path).len() <= MAX_TEMPLATE_BYTES);
        }

        #[test]
        fn a_table_never_holds_more_than_its_capacity(paths in proptest::collection::vec("/[a-z]{1,3}", 0..200), capacity in 0usize..20) {
            let mut table = RouteTable::new(capacity);
            let names: std::collections::HashSet<_> = paths.iter().map(|path| table.route(path)).collect();
            prop_assert!(table.len() <= capacity && names.len() <= capacity + 1);
        }
    }
}
