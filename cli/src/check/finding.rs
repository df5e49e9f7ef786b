// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a check reports: where, by which rule, what is there and what has to be.

use crate::input::Place;
use crate::record::value::is_letter;
use std::ops::Range;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It may be as it should: the log may begin late, or the kernel be newer than the contract.
    Note,
    /// It is not as the contract says.
    Error,
}

impl Severity {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Error => "error",
        }
    }
}

/// By what a record is judged. The name is what `--format json` and `sarif` call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A line that is no record.
    NotARecord,
    /// `DM_` or `NS_`, and unknown.
    UnknownType,
    /// A byte that is no printable ASCII.
    Bytes,
    /// A field is not there.
    MissingField,
    /// A field that the record does not have.
    UnexpectedField,
    /// A field stands before one that has to be before it.
    FieldOrder,
    /// A field is there twice.
    DuplicateField,
    /// Not one space between two fields.
    Spacing,
    /// A value is not written as it has to be.
    ValueSyntax,
    /// A number is too great or too small.
    ValueRange,
    /// An untrusted string is neither quoted nor in upper-case hex, or is the wrong of the two.
    Encoding,
    /// `res=` and what it has to agree with.
    Result,
    /// `op=` and what it has to agree with.
    Operation,
    /// A record that is in an event of its own, and must not be.
    Grouping,
    /// A constructor failed, and nothing cleaned up.
    FailedCtr,
    /// A namespace is deleted whose creation is not in the log.
    NoCreation,
    /// A mapping is destroyed whose constructor is not in the log.
    NoCtr,
    /// An `ns_id` is given twice.
    ReusedId,
    /// A namespace's number is given again while it lives.
    ReusedNumber,
    /// A namespace is deleted twice.
    DeletedTwice,
    /// Namespaces came or went while nothing was recorded.
    Unrecorded,
    /// A guest is started, and what a start begins with is not there.
    GuestStart,
    /// A guest is stopped, or started, twice.
    GuestStop,
    /// An interface is given for which nothing was opened.
    NetOpen,
    /// A guest loses what it was not given.
    NeverGiven,
    /// A container names namespaces that it cannot have.
    GuestNamespace,
    /// The log itself says that records are missing.
    LostRecords,
    /// A record stands in several logs.
    Repeated,
    /// A record has the number of the first patches.
    FirstNumber,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 29] = [
        Self::NotARecord,
        Self::UnknownType,
        Self::Bytes,
        Self::MissingField,
        Self::UnexpectedField,
        Self::FieldOrder,
        Self::DuplicateField,
        Self::Spacing,
        Self::ValueSyntax,
        Self::ValueRange,
        Self::Encoding,
        Self::Result,
        Self::Operation,
        Self::Grouping,
        Self::FailedCtr,
        Self::NoCreation,
        Self::NoCtr,
        Self::ReusedId,
        Self::ReusedNumber,
        Self::DeletedTwice,
        Self::Unrecorded,
        Self::GuestStart,
        Self::GuestStop,
        Self::NetOpen,
        Self::NeverGiven,
        Self::GuestNamespace,
        Self::LostRecords,
        Self::Repeated,
        Self::FirstNumber,
    ];

    /// The rule that is called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        self.about().0
    }

    /// What it asks for.
    pub const fn summary(self) -> &'static str {
        self.about().1
    }

    const fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::NotARecord => ("not-a-record", "every line of a log is an audit record"),
            Self::UnknownType => (
                "unknown-type",
                "every DM_, NS_ and VIRT_ type is one of the contract",
            ),
            Self::Bytes => ("bytes", "a record is printable ASCII"),
            Self::MissingField => ("missing-field", "a record has all its fields"),
            Self::UnexpectedField => ("unexpected-field", "a record has no other fields"),
            Self::FieldOrder => ("field-order", "the order of fields is fixed"),
            Self::DuplicateField => ("duplicate-field", "a field is there once"),
            Self::Spacing => ("spacing", "one space stands between fields"),
            Self::ValueSyntax => ("value-syntax", "a value is written as its field asks"),
            Self::ValueRange => ("value-range", "a number fits its type"),
            Self::Encoding => (
                "encoding",
                "untrusted text is quoted if it is plain, else in upper-case hex",
            ),
            Self::Result => ("result", "res= is 0 or 1, and agrees with the other fields"),
            Self::Operation => ("operation", "op= is one that the target has, in its record"),
            Self::Grouping => (
                "grouping",
                "a record shares its event with the SYSCALL that caused it",
            ),
            Self::FailedCtr => (
                "failed-ctr",
                "a failed constructor's event has the destructor that cleaned up",
            ),
            Self::NoCreation => ("no-creation", "a deletion follows a creation"),
            Self::NoCtr => ("no-ctr", "a dtr follows a ctr"),
            Self::ReusedId => ("reused-id", "an ns_id is never recycled"),
            Self::ReusedNumber => (
                "reused-number",
                "a namespace's number is free when it is given",
            ),
            Self::DeletedTwice => ("deleted-twice", "a namespace is deleted once"),
            Self::Unrecorded => (
                "unrecorded",
                "no namespace comes or goes between two loads of the module",
            ),
            Self::GuestStart => ("guest-start", "a guest's start begins with VIRT_MACHINE_ID"),
            Self::GuestStop => ("guest-stop", "a guest is stopped once for each start"),
            Self::NetOpen => (
                "net-open",
                "a guest is given an interface after something was opened for it",
            ),
            Self::NeverGiven => ("never-given", "a guest loses what it was given"),
            Self::GuestNamespace => ("guest-namespace", "a container names namespaces that live"),
            Self::LostRecords => ("lost-records", "a log has every record"),
            Self::Repeated => ("repeated", "a record stands in one log, once"),
            Self::FirstNumber => ("first-number", "a type has the number that it has today"),
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// By what it was judged.
    pub rule: Rule,
    /// What it weighs.
    pub severity: Severity,
    /// Where the record stands.
    pub place: Place,
    /// The line, one byte a character: what is no printable ASCII reads `?`.
    pub line: String,
    /// Which bytes of the line it is about.
    pub span: Range<usize>,
    /// What was found, in a sentence.
    pub message: String,
    /// What to write beneath the place; may be empty.
    pub label: String,
    /// What the contract says, and where.
    pub contract: String,
    /// What to do, where that is known.
    pub help: Option<String>,
}

impl Finding {
    /// An error at `span` of `line`.
    pub fn new(rule: Rule, place: Place, line: &[u8], span: Range<usize>, message: String) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            place,
            line: printable(line),
            span: span.start.min(line.len())..span.end.min(line.len()),
            message,
            label: String::new(),
            contract: rule.summary().to_owned(),
            help: None,
        }
    }

    /// The same as a note.
    pub fn note(self) -> Self {
        Self {
            severity: Severity::Note,
            ..self
        }
    }

    /// The column of its place in bytes; the first is 1.
    pub fn column(&self) -> usize {
        self.span.start + 1
    }
}

/// `line` with one character for each byte, so that columns stay what they are.
pub fn printable(line: &[u8]) -> String {
    let letter = |&byte: &u8| if is_letter(byte) { byte } else { b'?' };
    let letters = line.iter().map(letter);
    String::from_utf8(letters.collect()).unwrap_or_default()
}
