//! Reads a condition: words first, then a descent through `or`, `and`, `not`.

use regex::Regex;

use super::{Comparison, Expression, Operand, Path};

/// Parentheses and `not` that may be open at once.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name, with its dots.
    Word(String),
    Text(String),
    Int(i64),
    Double(f64),
    Sign(&'static str),
}

/// Longer signs first. `=` is read so that it can be named in a fault.
const SIGNS: [&str; 12] = ["==", "!=", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", ","];

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

pub(super) fn expression(text: &str) -> Result<Expression, String> {
    let mut reader = Reader { tokens: tokens(text)?.into_iter().peekable(), depth: 0 };
    let expression = reader.or()?;
    match reader.tokens.next() {
        None => Ok(expression),
        Some(token) => Err(format!("{token} was not expected")),
    }
}

// === impl Token ===

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Int(int) => write!(f, "`{int}`"),
            Self::Double(double) => write!(f, "`{double}`"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
        }
    }
}

// === impl Reader ===

impl Reader {
    fn or(&mut self) -> Result<Expression, String> {
        let mut any = vec![self.and()?];
        while self.word("or") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Or(any) })
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.not()?];
        while self.word("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expression::And(all) })
    }

    fn not(&mut self) -> Result<Expression, String> {
        // One `not` at most: `not not x` is none of the language.
        if self.word("not") { Ok(Expression::Not(Box::new(self.test()?))) } else { self.test() }
    }

    fn test(&mut self) -> Result<Expression, String> {
        if self.sign("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(format!("more than {MAX_DEPTH} parentheses are open"));
            }
            let inner = self.or()?;
            self.expect(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        if self.word("IsMatch") {
            return self.is_match();
        }
        let left = self.operand()?;
        let comparison = match self.tokens.peek() {
            Some(Token::Sign("==")) => Comparison::Equal,
            Some(Token::Sign("!=")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            Some(Token::Sign("=")) => return Err("`=` compares nothing, write `==`".into()),
            _ => {
                return match left {
                    Operand::Bool(constant) => Ok(Expression::Constant(constant)),
                    _ => Err("a value by itself is no condition, compare it".into()),
                };
            }
        };
        self.tokens.next();
        Ok(Expression::Compare(left, comparison, self.operand()?))
    }

    fn is_match(&mut self) -> Result<Expression, String> {
        self.expect("(")?;
        let target = self.operand()?;
        self.expect(",")?;
        let Operand::Text(pattern) = self.operand()? else {
            return Err("the second argument of IsMatch must be a text".into());
        };
        self.expect(")")?;
        let pattern = Regex::new(&pattern).map_err(|error| format!("IsMatch: {error}"))?;
        Ok(Expression::IsMatch(target, pattern))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.tokens.next() {
            None => Err("the condition ends where a value was expected".into()),
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Int(int)) => Ok(Operand::Int(int)),
            Some(Token::Double(double)) => Ok(Operand::Double(double)),
            Some(Token::Word(word)) => self.named(&word),
            Some(token) => Err(format!("{token} was found where a value was expected")),
        }
    }

    fn named(&mut self, word: &str) -> Result<Operand, String> {
        let constant = match word {
            "nil" => Operand::Nil,
            "true" => Operand::Bool(true),
            "false" => Operand::Bool(false),
            "SPAN_KIND_UNSPECIFIED" | "STATUS_CODE_UNSET" => Operand::Int(0),
            "SPAN_KIND_INTERNAL" | "STATUS_CODE_OK" => Operand::Int(1),
            "SPAN_KIND_SERVER" | "STATUS_CODE_ERROR" => Operand::Int(2),
            "SPAN_KIND_CLIENT" => Operand::Int(3),
            "SPAN_KIND_PRODUCER" => Operand::Int(4),
            "SPAN_KIND_CONSUMER" => Operand::Int(5),
            _ => return self.path(word).map(Operand::Path),
        };
        Ok(constant)
    }

    fn path(&mut self, word: &str) -> Result<Path, String> {
        let path = match word.strip_prefix("span.").unwrap_or(word) {
            "name" => Path::Name,
            "kind" => Path::Kind,
            "kind.string" => Path::KindText,
            "status" | "status.code" => Path::Status,
            "status.message" => Path::Message,
            "start_time_unix_nano" => Path::Start,
            "end_time_unix_nano" => Path::End,
            "attributes" => Path::Attribute(self.key()?),
            "resource.attributes" => Path::ResourceAttribute(self.key()?),
            "scope.name" | "instrumentation_scope.name" => Path::ScopeName,
            "scope.version" | "instrumentation_scope.version" => Path::ScopeVersion,
            _ => {
                return Err(format!(
                    "`{word}` is not supported by this collector; known are name, kind, kind.string, status.code, \
                     status.message, start_time_unix_nano, end_time_unix_nano, attributes[\"…\"], \
                     resource.attributes[\"…\"], scope.name, scope.version, and the function IsMatch"
                ));
            }
        };
        Ok(path)
    }

    fn key(&mut self) -> Result<String, String> {
        self.expect("[")?;
        let Some(Token::Text(key)) = self.tokens.next() else {
            return Err("attributes must be followed by a key, such as [\"order.id\"]".into());
        };
        self.expect("]")?;
        Ok(key)
    }

    fn word(&mut self, wanted: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(word) if word == wanted)).is_some()
    }

    fn sign(&mut self, wanted: &'static str) -> bool {
        self.tokens.next_if_eq(&Token::Sign(wanted)).is_some()
    }

    fn expect(&mut self, wanted: &'static str) -> Result<(), String> {
        if self.sign(wanted) {
            return Ok(());
        }
        match self.tokens.peek() {
            Some(token) => Err(format!("`{wanted}` was expected, {token} was found")),
            None => Err(format!("the condition ends without its `{wanted}`")),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first == '"' {
            quoted(rest)?
        } else if first.is_ascii_alphabetic() {
            let word = taken(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
            (Token::Word(word.to_owned()), word.len())
        } else if first.is_ascii_digit() || first == '-' || first == '.' {
            number(rest)?
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not understood"))?;
            (Token::Sign(sign), sign.len())
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let digits = taken(&rest[1..], |c| c.is_ascii_digit() || c == '.' || c == 'e' || c == 'E').len() + 1;
    let text = &rest[..digits];
    let token = match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(int), _) => Token::Int(int),
        (_, Ok(double)) => Token::Double(double),
        _ => return Err(format!("`{text}` is not a number")),
    };
    Ok((token, digits))
}

fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(text), at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, c @ ('"' | '\\'))) => text.push(c),
                Some((_, c)) => return Err(format!("`\\{c}` is not known in a text")),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err("a text lacks its closing quote".into())
}

fn taken(text: &str, fits: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !fits(c)).unwrap_or(text.len())]
}
