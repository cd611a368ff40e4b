//! Typed reading from the snapshot; every complaint is kept until the end.

use crate::env::Env;
use crate::error::{BadSetting, InitError};
use std::time::Duration;

pub(super) struct Reader<'a> {
    pub(super) env: &'a Env,
    bad: Vec<BadSetting>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a Env) -> Self {
        Self { env, bad: Vec::new() }
    }

    pub(super) fn complain(&mut self, variable: &str, problem: impl Into<String>) {
        let bad = BadSetting { variable: variable.to_owned(), problem: problem.into() };
        if !self.bad.contains(&bad) {
            self.bad.push(bad);
        }
    }

    /// The value, or all complaints.
    pub(super) fn finish<T>(self, value: T) -> Result<T, InitError> {
        if self.bad.is_empty() { Ok(value) } else { Err(InitError::Settings(self.bad)) }
    }

    pub(super) fn boolean(&mut self, name: &str, default: bool) -> bool {
        match self.env.get(name) {
            None => default,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(value) => {
                self.complain(name, format!("`{value}` is neither true nor false"));
                default
            }
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn number(&mut self, name: &str, least: u64) -> Option<u64> {
        let value = self.env.get(name)?;
        match value.parse::<u64>() {
            Ok(number) if number >= least => Some(number),
            _ => {
                self.complain(name, format!("`{value}` is not a whole number of at least {least}"));
                None
            }
        }
    }

    pub(super) fn millis(&mut self, name: &str, least: u64) -> Option<Duration> {
        let value = self.env.get(name)?;
        match value.parse::<u64>() {
            Ok(number) if number >= least => Some(Duration::from_millis(number)),
            _ => {
                self.complain(
                    name,
                    format!("`{value}` is not a whole number of milliseconds of at least {least}"),
                );
                None
            }
        }
    }

    /// One of the known words, in any case (specification, "Enum").
    pub(super) fn choice<T: Clone>(&mut self, name: &str, known: &[(&str, T)]) -> Option<T> {
        let value = self.env.get(name)?;
        let found = known.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
        if found.is_none() {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            self.complain(name, format!("`{value}` is not known; known are {}", words.join(", ")));
        }
        found.map(|(_, choice)| choice.clone())
    }

    /// The first of the names that is set, with its value: signal first, then general.
    pub(super) fn first<'n>(&self, names: &'n [String]) -> Option<(&'n str, &'a str)> {
        names.iter().find_map(|name| Some((name.as_str(), self.env.get(name)?)))
    }
}
