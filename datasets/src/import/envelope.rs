//! The log line inside the JSON object that a container runtime or a log shipper wrapped around it.

use serde::Deserialize;
use std::borrow::Cow;

/// Fields in which Docker, Fluentd, journald and the clouds put the line.
#[derive(Debug, Default, Deserialize)]
struct Envelope {
    #[serde(default, alias = "MESSAGE", alias = "message", alias = "msg", alias = "textPayload", alias = "line")]
    log: Option<String>,
}

/// The line itself: unwrapped, or as it is.
pub(super) fn unwrapped(line: &str) -> Cow<'_, str> {
    if line.starts_with('{')
        && let Ok(Envelope { log: Some(inner) }) = serde_json::from_str(line)
    {
        return Cow::Owned(inner.trim_end().to_owned());
    }
    Cow::Borrowed(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_and_journald_wrap_lines_and_others_do_not() {
        assert_eq!(unwrapped(r#"{"log":"a \"b\"\n","stream":"stdout","time":"2024-01-01T00:00:00Z"}"#), r#"a "b""#);
        assert_eq!(unwrapped(r#"{"MESSAGE":"a b","_PID":"1"}"#), "a b");
        assert_eq!(unwrapped(r#"{"other":1}"#), r#"{"other":1}"#);
        assert_eq!(unwrapped("{a|b} c"), "{a|b} c");
    }
}
