// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit spec`: the contract, printed from `dmns_audit_uapi`, so that it cannot drift.

use crate::table::{Table, plain, styled};
use crate::terminal::{FAINT, NAME, TITLE, Terminal};
use dmns_audit_log::contract::layout;
use dmns_audit_log::contract::{Field, Name};
use dmns_audit_log::forms::{Form, OFFERED};
use dmns_audit_log::rules::{self, Dev, OPS, Op, Unit};
use dmns_audit_log::virt::layout::{OUTER, SHAPES, Shape};
use dmns_audit_uapi::config::Change;
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Notes that no field shows.
const NOTES: [&str; 6] = [
    "Fields stand in this order, one space between them; new ones come before res=, which is last.",
    "An optional field may be missing as a whole.",
    "Untrusted text is \"quoted\" if every byte is 0x21 to 0x7e and none is a quote, else in upper-case hex.",
    "A record of a guest begins with the kernel's pid= uid= auid= ses= subj=; its own fields stand in msg='...'.",
    "The number of a namespace is its inode number minus 4026531840; it is reused, ns_id never is.",
    "NS_INIT and NS_DEL are what the kernel patches offer in place of a type for each kind: nstype= is net here.",
];

/// A record of the kernel.
struct Record {
    number: u16,
    name: &'static str,
    meaning: &'static str,
    ty: RecordType,
    fields: &'static [Field],
}

/// Returns the records of the kernel: a type for each kind of namespace, and those with `nstype=`.
fn records() -> impl Iterator<Item = Record> {
    let per_kind = RecordType::ALL.into_iter().map(|ty| Record {
        number: ty.number(),
        name: ty.name(),
        meaning: rules::meaning(ty),
        ty,
        fields: layout(ty, Form::TypePerKind),
    });
    let offered = OFFERED.iter().map(|offered| {
        let ty = (offered.of)(Kind::Net);
        Record {
            number: offered.number,
            name: offered.name,
            meaning: offered.meaning,
            ty,
            fields: layout(ty, Form::Offered(offered)),
        }
    });
    per_kind.chain(offered)
}

/// A record that examples are of.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// Of the kernel.
    Kernel(RecordType),
    /// Of a guest, with the values that its shape asks for: `op=start`.
    Guest(&'static str),
}

impl Of {
    /// Returns a value that `field` may have in such a record.
    fn example(self, field: &Field) -> &'static str {
        let Name::Fixed(name) = field.name else {
            return rules::example(field);
        };
        let own = match self {
            Self::Kernel(RecordType::DmEvent) => match name {
                "op" => Some("integrity-checksum"),
                "res" => Some("0"),
                _ => None,
            },
            Self::Kernel(_) => None,
            Self::Guest(shape) => shape.split(' ').find_map(|condition| {
                let (of, value) = condition.split_once('=')?;
                (of == name && !value.is_empty()).then_some(value)
            }),
        };
        own.unwrap_or_else(|| rules::example(field))
    }
}

/// Returns whether `only`, which is empty for all, has this record: its name, the beginning of it, or its number.
fn is_asked(only: &[String], number: u32, name: &str) -> bool {
    let is = |word: &String| {
        let word = word
            .strip_prefix("UNKNOWN[")
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(word);
        name.starts_with(&word.to_ascii_uppercase()) || word.parse() == Ok(number)
    };
    only.is_empty() || only.iter().any(is)
}

/// Returns the records of the kernel that `only` has.
fn records_of(only: &[String]) -> impl Iterator<Item = Record> + '_ {
    records().filter(|record| is_asked(only, record.number.into(), record.name))
}

/// Returns the records of guests that `only` has.
fn shapes_of(only: &[String]) -> impl Iterator<Item = &'static Shape> + '_ {
    SHAPES
        .iter()
        .filter(|shape| is_asked(only, shape.ty.number().into(), shape.ty.name()))
}

/// Returns the operations of the records that `only` has.
fn ops_of(only: &[String]) -> impl Iterator<Item = &'static Op> + '_ {
    OPS.iter()
        .filter(|op| is_asked(only, op.ty.number().into(), op.ty.name()))
}

/// Returns what to say of a word of `only` that no record is called, if there is one.
pub fn unknown(only: &[String]) -> Option<String> {
    let mut all: Vec<(u32, &str)> = records()
        .map(|record| (record.number.into(), record.name))
        .collect();
    all.push((CHANGE.0, CHANGE.1));
    all.extend(
        SHAPES
            .iter()
            .map(|shape| (shape.ty.number().into(), shape.ty.name())),
    );
    let is_unknown = |word: &&String| {
        let word = std::slice::from_ref(*word);
        !all.iter()
            .any(|(number, name)| is_asked(word, *number, name))
    };
    let word = only.iter().find(is_unknown)?;
    let mut names: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
    names.dedup();
    Some(format!(
        "no record is called {word}; there are: {}",
        names.join(", ")
    ))
}

/// What follows the head of a CONFIG_CHANGE.
const CHANGE_END: &str = " auid=1000 ses=3 subj=unconfined res=1";

/// Returns the module's changes of its configuration: an example, and its meaning.
fn changes() -> Vec<(String, &'static str)> {
    let ids = |first| {
        let mut ids = [0; 8];
        ids[0] = first;
        ids
    };
    [
        (
            Change::Loaded {
                dm: true,
                ns: true,
                info: 2,
            },
            "the module was loaded: dm= and ns= are 0 or 1, info= is 0 to 2",
        ),
        (Change::Unloaded, "the module is being unloaded"),
        (
            Change::Info { new: 2, old: 0 },
            "another level of NS_INFO, 0 to 2; res=0: it was refused",
        ),
        (
            Change::Select {
                what: "exclude",
                ids: ids(17),
            },
            "a filter: exclude, only, join or clear, and the namespaces of the container",
        ),
    ]
    .into_iter()
    .map(|(change, meaning)| {
        let mut head = Vec::new();
        change.head(&mut head);
        let head = String::from_utf8_lossy(&head);
        (format!("{head}{CHANGE_END}"), meaning)
    })
    .collect()
}

/// The type of these, and how they share events.
const CHANGE: (u32, &str, &str) = (
    1305,
    "CONFIG_CHANGE",
    "the module's configuration; its event has the SYSCALL of the cause, or none",
);

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "none",
        Unit::Sector => "sectors of 512 bytes",
        Unit::Block => "data blocks",
    }
}

fn dev(dev: Dev) -> &'static str {
    match dev {
        Dev::Mapped => "the mapped device",
        Dev::Underlying => "the underlying device",
        Dev::Either => "the mapped device (inline mode: the underlying one)",
    }
}

/// For people: the records of `only`, or all.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn text(only: &[String], terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
    let mut fields = Table::new(&["", "field", "value", "example", ""], &[]);
    let rows = |layout: &'static [Field], of: Of| {
        layout.iter().map(move |field| {
            [
                plain("   "),
                styled(NAME, field.name.to_string()),
                plain(field.syntax.describe()),
                plain(of.example(field)),
                styled(FAINT, if field.optional { "optional" } else { "" }),
            ]
        })
    };
    let layouts = records().map(|record| (record.fields, Of::Kernel(record.ty)));
    layouts
        .chain(
            SHAPES
                .iter()
                .map(|shape| (shape.fields, Of::Guest(shape.about))),
        )
        .for_each(|(layout, of)| rows(layout, of).for_each(|row| fields.measure(&row)));
    fields.fit(terminal);
    for record in records_of(only) {
        let title = terminal.paint(TITLE, &format!("{} {}", record.number, record.name));
        writeln!(out, "{title}: {}", record.meaning)?;
        writeln!(out, "     {}", rules::describe_grouping(record.ty))?;
        writeln!(
            out,
            "     {}",
            terminal.paint(FAINT, rules::source(record.ty))
        )?;
        for row in rows(record.fields, Of::Kernel(record.ty)) {
            fields.row(&row, terminal, out)?;
        }
        writeln!(out)?;
    }
    let (number, name, meaning) = CHANGE;
    if is_asked(only, number, name) {
        let title_of = terminal.paint(TITLE, &format!("{number} {name}"));
        writeln!(out, "{title_of}: {meaning}")?;
        for (example, meaning) in changes() {
            writeln!(out, "    {example}")?;
            writeln!(out, "         {}", terminal.paint(FAINT, meaning))?;
        }
        writeln!(out)?;
    }
    for shape in shapes_of(only) {
        let title = terminal.paint(TITLE, &title(shape));
        writeln!(out, "{title}: {}", shape.meaning)?;
        writeln!(out, "     {}", terminal.paint(FAINT, shape.source))?;
        for row in rows(shape.fields, Of::Guest(shape.about)) {
            fields.row(&row, terminal, out)?;
        }
        writeln!(out)?;
    }
    if ops_of(only).next().is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "{}",
        terminal.paint(TITLE, "Operations of device mapper")
    )?;
    let mut ops = Table::new(
        &["", "module", "op", "dev= is", "sector= counts", "it means"],
        &[],
    );
    let rows: Vec<_> = ops_of(only)
        .map(|op| {
            [
                plain("   "),
                styled(NAME, op.module),
                styled(NAME, op.name),
                plain(dev(op.dev)),
                plain(unit(op.unit)),
                plain(op.meaning),
            ]
        })
        .collect();
    rows.iter().for_each(|row| ops.measure(row));
    ops.fit(terminal);
    ops.head(terminal, out)?;
    for row in &rows {
        ops.row(row, terminal, out)?;
    }
    if !only.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    NOTES.iter().try_for_each(|note| writeln!(out, "{note}"))
}

/// What a record of a guest is called.
fn title(shape: &Shape) -> String {
    let ty = shape.ty;
    format!("{} {} {}", ty.number(), ty.name(), shape.about)
        .trim_end()
        .to_owned()
}

/// The fields of a record in Markdown.
fn table(layout: &[Field], of: Of, out: &mut dyn Write) -> io::Result<()> {
    let cell = |text: &str| text.replace('|', "\\|");
    writeln!(
        out,
        "| # | field | value | example |\n| --- | --- | --- | --- |"
    )?;
    for (i, field) in layout.iter().enumerate() {
        let optional = if field.optional { " (optional)" } else { "" };
        writeln!(
            out,
            "| {} | `{}`{optional} | {} | `{}` |",
            i + 1,
            field.name,
            cell(field.syntax.describe()),
            cell(of.example(field))
        )?;
    }
    Ok(())
}

/// A record's fields in JSON.
fn objects(layout: &[Field], of: Of) -> Vec<Value> {
    layout
        .iter()
        .map(|field| {
            json!({
                "name": field.name.to_string(),
                "syntax": format!("{:?}", field.syntax),
                "value": field.syntax.describe(),
                "example": of.example(field),
                "optional": field.optional,
            })
        })
        .collect()
}

/// For a page of documentation.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn markdown(only: &[String], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# The contract of the records\n\nMade by `dmns-audit spec --format markdown`.\n"
    )?;
    for note in NOTES {
        writeln!(out, "- {note}")?;
    }
    for record in records_of(only) {
        writeln!(out, "\n## {} ({})\n", record.name, record.number)?;
        writeln!(
            out,
            "Meaning: {}. Event: {}. Source: `{}`.\n",
            record.meaning,
            rules::describe_grouping(record.ty),
            rules::source(record.ty)
        )?;
        table(record.fields, Of::Kernel(record.ty), out)?;
    }
    let (number, name, meaning) = CHANGE;
    if is_asked(only, number, name) {
        writeln!(out, "\n## {name} ({number})\n\nMeaning: {meaning}.\n")?;
        writeln!(out, "| example | meaning |\n| --- | --- |")?;
        for (example, meaning) in changes() {
            writeln!(out, "| `{example}` | {meaning} |")?;
        }
    }
    for shape in shapes_of(only) {
        writeln!(out, "\n## {}\n", title(shape))?;
        let names: Vec<_> = OUTER
            .iter()
            .map(|field| format!("`{}`", field.name))
            .collect();
        writeln!(
            out,
            "Meaning: {}. Source: `{}`. After {}, in `msg='...'`:\n",
            shape.meaning,
            shape.source,
            names.join(", ")
        )?;
        table(shape.fields, Of::Guest(shape.about), out)?;
    }
    if ops_of(only).next().is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Operations\n\n| module | op | record | dev | sector | meaning |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for op in ops_of(only) {
        let record = op.ty.name();
        let (dev, unit) = (dev(op.dev), unit(op.unit));
        writeln!(
            out,
            "| {} | {} | {record} | {dev} | {unit} | {} |",
            op.module, op.name, op.meaning
        )?;
    }
    Ok(())
}

/// For programs: one object.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn json(only: &[String], out: &mut dyn Write) -> io::Result<()> {
    let types: Vec<Value> = records_of(only)
        .map(|record| {
            json!({
                "number": record.number,
                "name": record.name,
                "meaning": record.meaning,
                "event": rules::describe_grouping(record.ty),
                "source": rules::source(record.ty),
                "fields": objects(record.fields, Of::Kernel(record.ty)),
            })
        })
        .collect();
    let guests: Vec<Value> = shapes_of(only)
        .map(|shape| {
            json!({
                "number": shape.ty.number(),
                "name": shape.ty.name(),
                "about": shape.about,
                "meaning": shape.meaning,
                "source": shape.source,
                "outer": objects(OUTER, Of::Guest(shape.about)),
                "fields": objects(shape.fields, Of::Guest(shape.about)),
            })
        })
        .collect();
    let ops: Vec<Value> = ops_of(only)
        .map(|op| {
            json!({
                "module": op.module,
                "op": op.name,
                "record": op.ty.name(),
                "meaning": op.meaning,
                "dev": dev(op.dev),
                "sector": unit(op.unit),
            })
        })
        .collect();
    let (number, name, meaning) = CHANGE;
    let forms: Vec<Value> = changes()
        .into_iter()
        .filter(|_| is_asked(only, number, name))
        .map(|(example, meaning)| json!({ "example": example, "meaning": meaning }))
        .collect();
    let changes = json!({ "number": number, "name": name, "meaning": meaning, "forms": forms });
    let all = json!({ "records": types, "changes": changes, "guests": guests, "operations": ops, "notes": NOTES });
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dmns_audit_log::virt::VirtType;

    fn printed(print: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).expect("printed");
        String::from_utf8(out).expect("text")
    }

    /// Returns the rules that `check` finds errors of in one record, without those about other records.
    fn wrong(line: String) -> Vec<String> {
        let mut log = crate::input::Log::stream("log", io::Cursor::new(line));
        let mut out = Vec::new();
        let mut reporter = crate::check::json::Json(&mut out);
        let totals = crate::check::check(&mut log, false, &[], &mut reporter).expect("read");
        assert_eq!(totals.judged, 1);
        let text = String::from_utf8(out).expect("text");
        let finding = |line: &str| -> Option<String> {
            let finding: Value = serde_json::from_str(line).expect("JSON");
            let rule = finding["rule"].as_str()?;
            let others = ["grouping", "guest-start", "guest-stop", "config-change"];
            let own = finding["severity"] == "error" && !others.contains(&rule);
            own.then(|| format!("{rule}: {}", finding["message"]))
        };
        text.lines().filter_map(finding).collect()
    }

    #[test]
    fn the_examples_of_a_record_are_a_record() {
        let body = |layout: &[Field], of: Of| {
            let fields = layout.iter().filter(|field| !field.optional);
            let fields = fields.map(|field| format!("{}={}", field.name, of.example(field)));
            fields.collect::<Vec<_>>().join(" ")
        };
        for record in records() {
            let body = body(record.fields, Of::Kernel(record.ty));
            let line = format!("type={} msg=audit(1.000:1): {body}\n", record.name);
            assert_eq!(wrong(line.clone()), [""; 0], "{line}");
        }
        for shape in &SHAPES {
            let of = Of::Guest(shape.about);
            let (outer, inner) = (body(OUTER, of), body(shape.fields, of));
            let line = format!(
                "type={} msg=audit(1.000:1): {outer} msg='{inner}'\n",
                shape.ty.name()
            );
            assert_eq!(wrong(line.clone()), [""; 0], "{line}");
        }
    }

    #[test]
    fn a_record_is_asked_for_by_name_or_number() {
        for (asked, has, lacks) in [
            ("NS_INIT_NET", "1385 NS_INIT_NET: ", "NS_INIT_MNT"),
            ("ns_init", "1380 NS_INIT_MNT: ", "NS_DEL"),
            ("UNKNOWN[1339]", "integrity-checksum", "DM_CTRL"),
            ("1305", "op=load", "DM_EVENT"),
            ("VIRT_CONTROL", "2500 VIRT_CONTROL op=start", "DM_EVENT"),
        ] {
            let only = [asked.to_owned()];
            assert_eq!(unknown(&only), None);
            let text = printed(|out| text(&only, &Terminal::FILE, out));
            assert!(
                text.contains(has) && !text.contains(lacks),
                "{asked}: {text}"
            );
            let markdown = printed(|out| markdown(&only, out));
            let json = printed(|out| json(&only, out));
            assert!(!markdown.contains(&format!("## {lacks}")), "{markdown}");
            assert!(!json.contains(&format!("\"name\": \"{lacks}")), "{json}");
        }
        let said = unknown(&["NS_NEW".to_owned()]).expect("no record");
        assert!(
            said.contains("NS_NEW") && said.contains("CONFIG_CHANGE"),
            "{said}"
        );
    }

    #[test]
    fn every_type_and_field_is_in_each_form() {
        let text = printed(|out| text(&[], &Terminal::FILE, out));
        let markdown = printed(|out| markdown(&[], out));
        let json: Value = serde_json::from_str(&printed(|out| json(&[], out))).expect("JSON");
        for (i, record) in records().enumerate() {
            let (number, name) = (record.number, record.name);
            assert!(text.contains(&format!("{number} {name}: ")));
            assert!(markdown.contains(&format!("## {name} ({number})")));
            assert_eq!(json["records"][i]["number"], number);
            for (j, field) in record.fields.iter().enumerate() {
                assert_eq!(
                    json["records"][i]["fields"][j]["name"],
                    field.name.to_string()
                );
            }
        }
        for (i, shape) in SHAPES.iter().enumerate() {
            let title = title(shape);
            assert!(
                text.contains(&title) && markdown.contains(&title),
                "{title}"
            );
            assert_eq!(json["guests"][i]["about"], shape.about);
            let fields = json["guests"][i]["fields"].as_array().expect("fields");
            assert_eq!(fields.len(), shape.fields.len());
        }
        for ty in VirtType::ALL {
            assert!(SHAPES.iter().any(|shape| shape.ty == ty));
        }
        for (at, (example, _)) in changes().into_iter().enumerate() {
            assert!(
                text.contains(&example) && markdown.contains(&example),
                "{example}"
            );
            assert_eq!(json["changes"]["forms"][at]["example"], example);
            // `check` takes it.
            let line = format!("type=CONFIG_CHANGE msg=audit(1.000:1): {example}\n");
            let mut log = crate::input::Log::stream("log", io::Cursor::new(line));
            let mut sink = io::sink();
            let mut reporter = crate::check::json::Json(&mut sink);
            let totals = crate::check::check(&mut log, false, &[], &mut reporter).expect("read");
            assert_eq!((totals.judged, totals.errors), (1, 0), "{example}");
        }
        for op in &OPS {
            assert!(text.contains(op.name) && markdown.contains(op.name));
        }
    }
}
