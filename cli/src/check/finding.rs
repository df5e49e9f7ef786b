// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Findings: the rule, the place, the text, and the contract.

use crate::record::place::Place;
use crate::record::value::printable;
use std::ops::Range;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It may be right: the log may begin late, or the kernel may be newer than the contract.
    Note,
    /// It differs from the contract.
    Error,
}

impl Severity {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Error => "error",
        }
    }
}

/// A rule. Its name is that in `--format json` and `sarif`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A line that is no record.
    NotARecord,
    /// An unknown type with the prefix `DM_`, `NS_` or `VIRT_`.
    UnknownType,
    /// A byte that is no printable ASCII.
    Bytes,
    /// A field is missing.
    MissingField,
    /// A field that the record does not have.
    UnexpectedField,
    /// A field is before one that has to precede it.
    FieldOrder,
    /// A field occurs twice.
    DuplicateField,
    /// Two fields without exactly one space between.
    Spacing,
    /// A value with the wrong syntax.
    ValueSyntax,
    /// A number is too great or too small.
    ValueRange,
    /// An untrusted string is neither quoted nor in upper-case hex, or is the wrong of the two.
    Encoding,
    /// `res=` contradicts another field.
    Result,
    /// `op=` contradicts another field, or is unknown.
    Operation,
    /// A record is without the companion that its event must have.
    Grouping,
    /// A record has another subject than the SYSCALL of its event.
    Subject,
    /// A constructor failed without a destructor.
    FailedCtr,
    /// A namespace is deleted, and its creation is not in the log.
    DeletionWithoutCreation,
    /// A mapping is destroyed, and its constructor is not in the log.
    DtrWithoutCtr,
    /// An `ns_id` is assigned twice.
    ReusedId,
    /// A namespace's number is reused while the namespace exists.
    ReusedNumber,
    /// A namespace is deleted twice.
    DeletedTwice,
    /// Namespaces were created or deleted while nothing was recorded.
    Gap,
    /// A guest is started without the records that a start begins with.
    GuestStart,
    /// A record names a namespace that the log never had.
    UnknownNamespace,
    /// A violation is on a device without a mapping.
    ViolationWithoutMapping,
    /// The module's CONFIG_CHANGE has a wrong value, or is missing.
    ConfigChange,
    /// A guest is stopped, or started, twice.
    GuestStop,
    /// An interface is attached, and no descriptor was opened for it.
    NetWithoutOpen,
    /// A resource is detached that was not attached.
    DetachWithoutAttach,
    /// A container names namespaces that are not active.
    GuestNamespace,
    /// The log reports that records are missing.
    LostRecords,
    /// A record is in several logs.
    Repeated,
    /// A record has the number of the first patches.
    FirstNumber,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 33] = [
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
        Self::Subject,
        Self::FailedCtr,
        Self::DeletionWithoutCreation,
        Self::DtrWithoutCtr,
        Self::ReusedId,
        Self::ReusedNumber,
        Self::DeletedTwice,
        Self::Gap,
        Self::UnknownNamespace,
        Self::ViolationWithoutMapping,
        Self::ConfigChange,
        Self::GuestStart,
        Self::GuestStop,
        Self::NetWithoutOpen,
        Self::DetachWithoutAttach,
        Self::GuestNamespace,
        Self::LostRecords,
        Self::Repeated,
        Self::FirstNumber,
    ];

    /// Returns the rule that is called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        self.about().0
    }

    /// Returns its requirement.
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
            Self::Spacing => ("spacing", "one space is between fields"),
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
            Self::Subject => (
                "subject",
                "a record has the subject of the SYSCALL of its event",
            ),
            Self::FailedCtr => (
                "failed-ctr",
                "a failed constructor's event has the destructor that cleaned up",
            ),
            Self::DeletionWithoutCreation => {
                ("deletion-without-creation", "a deletion follows a creation")
            }
            Self::DtrWithoutCtr => ("dtr-without-ctr", "a dtr follows a ctr"),
            Self::ReusedId => ("reused-id", "an ns_id is never reused"),
            Self::ReusedNumber => (
                "reused-number",
                "a namespace's number is not reused while it is active",
            ),
            Self::DeletedTwice => ("deleted-twice", "a namespace is deleted once"),
            Self::Gap => (
                "gap",
                "no namespace is created or deleted between two loads of the module",
            ),
            Self::UnknownNamespace => ("unknown-namespace", "a record names namespaces that exist"),
            Self::ViolationWithoutMapping => (
                "violation-without-mapping",
                "a violation is in a mapping that exists",
            ),
            Self::ConfigChange => (
                "config-change",
                "a baseline has the CONFIG_CHANGE of its cause, with the values of the module",
            ),
            Self::GuestStart => ("guest-start", "a guest's start begins with VIRT_MACHINE_ID"),
            Self::GuestStop => ("guest-stop", "a guest is stopped once for each start"),
            Self::NetWithoutOpen => (
                "net-without-open",
                "an interface is attached after a descriptor was opened for it",
            ),
            Self::DetachWithoutAttach => (
                "detach-without-attach",
                "a resource is attached before it is detached",
            ),
            Self::GuestNamespace => ("guest-namespace", "a container names active namespaces"),
            Self::LostRecords => ("lost-records", "a log has every record"),
            Self::Repeated => ("repeated", "a record is in one log, once"),
            Self::FirstNumber => ("first-number", "a type has the number that it has today"),
        }
    }
}

/// A difference from the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The severity.
    pub severity: Severity,
    /// The place of the record.
    pub place: Place,
    /// The line, with one character for each byte. A byte that is not printable ASCII reads `?`.
    pub line: String,
    /// The bytes of the line that it is about.
    pub span: Range<usize>,
    /// The message.
    pub message: String,
    /// The label below the place; may be empty.
    pub label: String,
    /// The contract's requirement and its source.
    pub contract: String,
    /// Advice, if there is any.
    pub help: Option<String>,
}

impl Finding {
    /// Returns an error at `span` of `line`.
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

    /// Returns the finding as a note.
    pub fn note(self) -> Self {
        Self {
            severity: Severity::Note,
            ..self
        }
    }

    /// Returns the column of its place in bytes; the first is 1.
    pub fn column(&self) -> usize {
        self.span.start + 1
    }
}
