//! What a terminal can show.

use std::io::{self, IsTerminal};

use journey::State;
use owo_colors::{OwoColorize, Style};

use crate::runtime;

/// What may be used in what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Signs beyond ASCII.
    pub(crate) signs: bool,
    /// Colour and bold.
    pub(crate) colour: bool,
}

// === impl Look ===

impl Look {
    /// What stdout can show; neither signs nor colour when `plain` is asked for. `NO_COLOR` and a dumb terminal are
    /// honoured, and a locale that is not UTF-8.
    pub(crate) fn of_stdout(plain: bool) -> Self {
        let set = |name: &str| runtime::variable(name).filter(|v| !v.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let dumb = set("TERM").is_some_and(|t| t == "dumb");
        Self {
            signs: !plain && !dumb && locale.as_deref().is_none_or(is_utf8),
            colour: !plain && !dumb && set("NO_COLOR").is_none() && io::stdout().is_terminal(),
        }
    }

    /// The sign of a stamp, with the blanks that bring each to the same width.
    pub(crate) fn sign(self, state: State) -> String {
        if !self.signs {
            return format!("{:<9}", state.word().replace('_', " "));
        }
        // The cross is one column wide, the others are two.
        let blanks = if state == State::Never { "  " } else { " " };
        format!("{}{blanks}", state.emoji())
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    fn paint(self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
}

/// `en_GB.UTF-8`, `C.utf8`.
fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf_8_locales_show_signs() {
        assert!(is_utf8("en_GB.UTF-8") && is_utf8("C.utf8"));
        assert!(!is_utf8("C") && !is_utf8("POSIX") && !is_utf8("de_DE.ISO-8859-1"));
    }

    #[test]
    fn plain_stamps_are_words_of_ascii_and_all_as_wide() {
        let look = Look { signs: false, colour: false };
        let all = [State::Done, State::Stopped, State::Never, State::UnderWay, State::Missing];
        for sign in all.map(|s| look.sign(s)) {
            assert!(sign.is_ascii() && sign.len() == 9, "{sign:?}");
        }
        assert_eq!(look.bold("x"), "x");
    }
}
