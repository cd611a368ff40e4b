//! `ottl_condition`: the part of the OpenTelemetry Transformation Language that compares what a span has with what is
//! written. `and`, `or`, `not`, parentheses, comparisons, `IsMatch`, and the paths of [`Path`]; anything else is a fault
//! of the configuration, never silently false.

mod parse;

use regex::Regex;

use super::view::{Any, Resource, Scope, Span};

/// A condition on one span.
#[derive(Debug, Clone)]
pub(super) struct Condition(Expression);

#[derive(Debug, Clone)]
enum Expression {
    Constant(bool),
    Compare(Operand, Comparison, Operand),
    IsMatch(Operand, Regex),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
}

#[derive(Debug, Clone)]
enum Operand {
    Nil,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Path(Path),
}

/// What can be read of a span; the words before the dot may be left out for those of the span itself.
#[derive(Debug, Clone, PartialEq)]
enum Path {
    /// `span.name`
    Name,
    /// `span.kind`, a number with the names `SPAN_KIND_…`
    Kind,
    /// `span.kind.string`: `Server`, `Client`, …
    KindText,
    /// `span.status.code`, a number with the names `STATUS_CODE_…`
    Status,
    /// `span.status.message`
    Message,
    /// `span.start_time_unix_nano`
    Start,
    /// `span.end_time_unix_nano`
    End,
    /// `span.attributes["key"]`
    Attribute(String),
    /// `resource.attributes["key"]`
    ResourceAttribute(String),
    /// `scope.name`, also `instrumentation_scope.name`
    ScopeName,
    /// `scope.version`
    ScopeVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// One span with what it belongs to.
#[derive(Clone, Copy)]
struct Seen<'s, 'a> {
    resource: &'s Resource<'a>,
    scope: &'s Scope<'a>,
    span: &'s Span<'a>,
}

// === impl Condition ===

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it or not supported, for the configuration's author.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::expression(text).map(Self)
    }

    pub(super) fn holds(&self, resource: &Resource<'_>, scope: &Scope<'_>, span: &Span<'_>) -> bool {
        self.0.holds(Seen { resource, scope, span })
    }
}

// === impl Expression ===

impl Expression {
    fn holds(&self, seen: Seen<'_, '_>) -> bool {
        match self {
            Self::Constant(constant) => *constant,
            Self::Compare(left, comparison, right) => comparison.holds(left.value(seen), right.value(seen)),
            Self::IsMatch(target, pattern) => match target.value(seen) {
                Any::Text(text) => pattern.is_match(text),
                Any::Bool(flag) => pattern.is_match(&flag.to_string()),
                Any::Int(int) => pattern.is_match(&int.to_string()),
                Any::Double(double) => pattern.is_match(&double.to_string()),
                _ => false,
            },
            Self::Not(inner) => !inner.holds(seen),
            Self::And(all) => all.iter().all(|one| one.holds(seen)),
            Self::Or(any) => any.iter().any(|one| one.holds(seen)),
        }
    }
}

// === impl Operand ===

impl Operand {
    fn value<'s>(&'s self, seen: Seen<'s, '_>) -> Any<'s> {
        match self {
            Self::Nil => Any::Empty,
            Self::Text(text) => Any::Text(text),
            Self::Bool(flag) => Any::Bool(*flag),
            Self::Int(int) => Any::Int(*int),
            Self::Double(double) => Any::Double(*double),
            Self::Path(path) => path.value(seen),
        }
    }
}

// === impl Path ===

impl Path {
    fn value<'s>(&self, seen: Seen<'s, '_>) -> Any<'s> {
        let Seen { resource, scope, span } = seen;
        match self {
            Self::Name => Any::Text(span.name),
            Self::Kind => Any::Int(span.kind),
            Self::KindText => Any::Text(match span.kind {
                1 => "Internal",
                2 => "Server",
                3 => "Client",
                4 => "Producer",
                5 => "Consumer",
                _ => "Unspecified",
            }),
            Self::Status => Any::Int(span.status),
            Self::Message => Any::Text(span.message),
            Self::Start => Any::Int(span.start.cast_signed()),
            Self::End => Any::Int(span.end.cast_signed()),
            Self::Attribute(key) => span.attributes.get(key).unwrap_or(Any::Empty),
            Self::ResourceAttribute(key) => resource.attributes.get(key).unwrap_or(Any::Empty),
            Self::ScopeName => Any::Text(scope.name),
            Self::ScopeVersion => Any::Text(scope.version),
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// Values of different types are unequal and neither is less, but whole numbers and fractions compare.
    fn holds(self, left: Any<'_>, right: Any<'_>) -> bool {
        use std::cmp::Ordering;
        let ordering = match (left, right) {
            (Any::Empty, Any::Empty) => Some(Ordering::Equal),
            (Any::Text(left), Any::Text(right)) => Some(left.cmp(right)),
            (Any::Bytes(left), Any::Bytes(right)) => Some(left.cmp(right)),
            (Any::Bool(left), Any::Bool(right)) => Some(left.cmp(&right)),
            (Any::Int(left), Any::Int(right)) => Some(left.cmp(&right)),
            (Any::Int(left), Any::Double(right)) => (left as f64).partial_cmp(&right),
            (Any::Double(left), Any::Int(right)) => left.partial_cmp(&(right as f64)),
            (Any::Double(left), Any::Double(right)) => left.partial_cmp(&right),
            _ => None,
        };
        let Some(ordering) = ordering else { return self == Self::NotEqual };
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn holds(condition: &str) -> bool {
        let span = Span { name: "process x", kind: 5, status: 2, start: 7, ..Default::default() };
        let scope = Scope { name: "lib", ..Default::default() };
        Condition::parse(condition).unwrap().holds(&Resource::default(), &scope, &span)
    }

    #[test]
    fn conditions_hold_as_they_read() {
        for yes in [
            r#"span.name == "process x" and kind == SPAN_KIND_CONSUMER"#,
            r#"name == "no" or not (span.status.code != STATUS_CODE_ERROR)"#,
            r#"span.attributes["missing"] == nil and resource.attributes["a\"b"] != "x""#,
            r#"IsMatch(span.name, "^process .$") and span.kind.string == "Consumer""#,
            r#"span.start_time_unix_nano >= 6.5 and scope.name == "lib" and true"#,
            r#"not span.attributes["missing"] < 3 and "a" < "b""#,
            r#"name == "no" and name == "no" or kind == 5"#,
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            r#"span.name == "process""#,
            r#"span.kind == "5""#,
            r#"false or scope.version != """#,
            r#"not (name == "no" or kind == 5)"#,
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, named) in [
            ("span.events == 1", "`span.events`"),
            ("Len(span.name) == 1", "`Len`"),
            (r#"name == "open"#, "quote"),
            (r#"name = "x""#, "`=`"),
            (r#"name == "x" name"#, "`name`"),
            (r#"(name == "x""#, "`)`"),
            ("name ==", "ends"),
            (r#"IsMatch(name, "(")"#, "regex"),
            ("name", "compare"),
            ("", "ends"),
        ] {
            let fault = Condition::parse(text).unwrap_err();
            assert!(fault.contains(named), "{text}: {fault}");
        }
    }
}
