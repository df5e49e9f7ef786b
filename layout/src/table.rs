// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A line of a mapping's table.

use crate::{Result, Unknown};

/// A line of a mapping's table, as `dmsetup table` prints it without the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The first sector of the mapping.
    pub start: u64,
    /// How many sectors there are.
    pub length: u64,
    /// The name of the target.
    pub target: String,
    /// The arguments of the target.
    pub arguments: Vec<String>,
}

impl Table {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// Fails if it does not begin with two numbers and a name.
    pub fn parse(line: &str) -> Result<Self> {
        let mut words = line.split_whitespace();
        match (
            words.next().map(str::parse),
            words.next().map(str::parse),
            words.next(),
        ) {
            (Some(Ok(start)), Some(Ok(length)), Some(target)) => Ok(Self {
                start,
                length,
                target: target.to_owned(),
                arguments: words.map(str::to_owned).collect(),
            }),
            _ => Err(Unknown::new(format!("not a line of a table: {line}"))),
        }
    }

    /// Returns an argument, or the empty text if there are fewer.
    pub fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// Returns an argument that has to be a number.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn number(&self, at: usize) -> Result<u64> {
        let text = self.argument(at);
        text.parse().map_err(|_| {
            Unknown::new(format!(
                "{}: argument {at} is \"{text}\", a number was expected",
                self.target
            ))
        })
    }

    /// Returns the value of the option `name:VALUE`.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut values = self.arguments.iter().filter_map(|argument| {
            let value = argument.strip_prefix(name)?;
            value.strip_prefix(':')
        });
        values.next()
    }

    /// Returns whether the option `name` is set.
    pub fn has(&self, name: &str) -> bool {
        self.arguments.iter().any(|argument| argument == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let table = Table::parse("0 100 linear 7:0 50").expect("a table");
        assert_eq!((table.start, table.length), (0, 100));
        assert_eq!(
            (table.target.as_str(), table.argument(0)),
            ("linear", "7:0")
        );
        assert_eq!(table.number(1), Ok(50));
        assert!(table.number(2).is_err());
        assert!(Table::parse("0 linear").is_err());
    }
}
