//! `--name value` flags: each is taken once by its name, and what nobody took is refused.

use std::collections::BTreeMap;
use std::str::FromStr;

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlagError {
    #[error("unknown command {0:?}, expected endpoint or load")]
    Command(String),
    #[error("unexpected argument {0:?}, expected --name value")]
    Stray(String),
    #[error("--{0} has no value")]
    NoValue(String),
    #[error("--{0} is missing")]
    Missing(&'static str),
    #[error("--{name} {value:?} is not {expected}")]
    Value { name: String, value: String, expected: &'static str },
    #[error("unknown flags: {0}")]
    Unknown(String),
}

/// Flags that are not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    values: BTreeMap<String, Vec<String>>,
}

impl Flags {
    /// Reads `arguments`; those named in `switches` have no value.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>, switches: &[&str]) -> Result<Self, FlagError> {
        let mut flags = Self::default();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else { return Err(FlagError::Stray(argument)) };
            let value = match switches.contains(&name) {
                true => String::new(),
                false => arguments.next().ok_or_else(|| FlagError::NoValue(name.to_owned()))?,
            };
            flags.values.entry(name.to_owned()).or_default().push(value);
        }
        Ok(flags)
    }

    /// The last value of a flag, where it was given.
    pub(crate) fn optional<T: FromStr>(&mut self, name: &str, expected: &'static str) -> Result<Option<T>, FlagError> {
        let Some(value) = self.values.remove(name).and_then(|values| values.into_iter().next_back()) else {
            return Ok(None);
        };
        let parsed = value.parse().map_err(|_| FlagError::Value { name: name.to_owned(), value, expected })?;
        Ok(Some(parsed))
    }

    /// The value of a flag that must be there.
    pub(crate) fn required<T: FromStr>(&mut self, name: &'static str, expected: &'static str) -> Result<T, FlagError> {
        self.optional(name, expected)?.ok_or(FlagError::Missing(name))
    }

    /// True where a switch was given.
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        self.values.remove(name).is_some()
    }

    /// All values of a flag of the form `text=number`; at least one.
    pub(crate) fn pairs(&mut self, name: &'static str) -> Result<Vec<(String, f64)>, FlagError> {
        let values = self.values.remove(name).ok_or(FlagError::Missing(name))?;
        let pair = |value: String| {
            let parsed =
                value.rsplit_once('=').and_then(|(text, number)| Some((text.to_owned(), number.parse().ok()?)));
            parsed.ok_or(FlagError::Value { name: name.to_owned(), value, expected: "of the form /path=number" })
        };
        values.into_iter().map(pair).collect()
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), FlagError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.values.into_keys().map(|name| format!("--{name}")).collect();
        Err(FlagError::Unknown(names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn flags(line: &str) -> Result<Flags, FlagError> {
        Flags::parse(line.split_whitespace().map(str::to_owned), &["on"])
    }

    #[test]
    fn values_switches_and_pairs_are_taken_by_name() {
        let mut flags = flags("--rate 2.5 --on --route /a=1 --route /b?x=y=3").unwrap();
        assert_eq!(flags.required::<f64>("rate", "a number").unwrap(), 2.5);
        assert!(flags.switch("on") && !flags.switch("on"), "a switch is taken once");
        assert_eq!(flags.pairs("route").unwrap(), [("/a".to_owned(), 1.0), ("/b?x=y".to_owned(), 3.0)]);
        assert_eq!(flags.optional::<u64>("seed", "a number").unwrap(), None);
        flags.finish().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        let text = |error: FlagError| error.to_string();
        assert!(text(flags("rate 2").unwrap_err()).contains("\"rate\""));
        assert!(text(flags("--rate").unwrap_err()).contains("--rate has no value"));
        assert!(text(flags("--rate x").unwrap().required::<f64>("rate", "a number").unwrap_err()).contains("\"x\""));
        assert!(
            text(flags("").unwrap().required::<f64>("rate", "a number").unwrap_err()).contains("--rate is missing")
        );
        assert!(text(flags("--route /a").unwrap().pairs("route").unwrap_err()).contains("/path=number"));
        assert!(text(flags("--wrong 1").unwrap().finish().unwrap_err()).contains("--wrong"));
    }
}
