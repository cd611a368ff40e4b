//! What a person sees: lines on stdout and stderr, coloured when that is wanted.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use owo_colors::{OwoColorize, Style};

/// A line on stdout. A reader that went away is an `io::Error` of kind `BrokenPipe`, which ends the program quietly.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
}

/// A line on stderr, after the program's name. A closed stderr is ignored: there is nobody left to tell.
pub(crate) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "waybill: {line}"));
}

/// An error line on stderr.
pub(crate) fn complain(line: &str) {
    let head = paint("error:", Style::new().red().bold(), io::stderr().is_terminal());
    drop(writeln!(io::stderr().lock(), "{head} {line}"));
}

/// `text` in bold when stdout is a terminal that wants colour.
pub(crate) fn bold(text: &str) -> String {
    paint(text, Style::new().bold(), io::stdout().is_terminal())
}

/// `text` dimmed when stdout is a terminal that wants colour.
pub(crate) fn dim(text: &str) -> String {
    paint(text, Style::new().dimmed(), io::stdout().is_terminal())
}

/// <https://no-color.org>: any value but the empty one switches colour off.
fn paint(text: &str, style: Style, terminal: bool) -> String {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    if terminal && !unwanted { text.style(style).to_string() } else { text.to_owned() }
}
