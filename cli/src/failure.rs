//! An error and its causes in one line.

/// The messages from the outermost to the innermost. A cause that the message before already says in full is left
/// out: libraries differ in whether a message includes its cause.
pub fn text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_cause_is_said_once() {
        let inner = Err::<(), _>(anyhow!("no such file")).context("cannot read m: no such file").context("--model m");
        let said = inner.map_err(|error| text(&error)).err();
        assert_eq!(said.as_deref(), Some("--model m: cannot read m: no such file"));
    }
}
