// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `dmns-audit spec`: the contract, printed from `dmns_audit_uapi`, so that it cannot drift.

use crate::table::{Table, plain, styled};
use crate::terminal::{FAINT, NAME, TITLE, Terminal};
use dmns_audit_log::contract::Field;
use dmns_audit_log::contract::layout;
use dmns_audit_log::forms::{Form, OFFERED};
use dmns_audit_log::rules::{self, Dev, OPS, Unit};
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

/// For people.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn text(terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
    let mut fields = Table::new(&["", "field", "value", "example", ""], &[]);
    let rows = |layout: &'static [Field]| {
        layout.iter().map(|field| {
            [
                plain("   "),
                styled(NAME, field.name.to_string()),
                plain(field.syntax.describe()),
                plain(rules::example(field)),
                styled(FAINT, if field.optional { "optional" } else { "" }),
            ]
        })
    };
    let layouts = records().map(|record| record.fields);
    layouts
        .chain(SHAPES.iter().map(|shape| shape.fields))
        .for_each(|layout| rows(layout).for_each(|row| fields.measure(&row)));
    fields.fit(terminal);
    for record in records() {
        let title = terminal.paint(TITLE, &format!("{} {}", record.number, record.name));
        writeln!(out, "{title}: {}", record.meaning)?;
        writeln!(out, "     {}", rules::describe_grouping(record.ty))?;
        writeln!(
            out,
            "     {}",
            terminal.paint(FAINT, rules::source(record.ty))
        )?;
        for row in rows(record.fields) {
            fields.row(&row, terminal, out)?;
        }
        writeln!(out)?;
    }
    let (number, name, meaning) = CHANGE;
    let title_of = terminal.paint(TITLE, &format!("{number} {name}"));
    writeln!(out, "{title_of}: {meaning}")?;
    for (example, meaning) in changes() {
        writeln!(out, "    {example}")?;
        writeln!(out, "         {}", terminal.paint(FAINT, meaning))?;
    }
    writeln!(out)?;
    for shape in &SHAPES {
        let title = terminal.paint(TITLE, &title(shape));
        writeln!(out, "{title}: {}", shape.meaning)?;
        writeln!(out, "     {}", terminal.paint(FAINT, shape.source))?;
        for row in rows(shape.fields) {
            fields.row(&row, terminal, out)?;
        }
        writeln!(out)?;
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
    let rows: Vec<_> = OPS
        .iter()
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
fn table(layout: &[Field], out: &mut dyn Write) -> io::Result<()> {
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
            cell(rules::example(field))
        )?;
    }
    Ok(())
}

/// A record's fields in JSON.
fn objects(layout: &[Field]) -> Vec<Value> {
    layout
        .iter()
        .map(|field| {
            json!({
                "name": field.name.to_string(),
                "syntax": format!("{:?}", field.syntax),
                "value": field.syntax.describe(),
                "example": rules::example(field),
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
pub fn markdown(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# The contract of the records\n\nMade by `dmns-audit spec --format markdown`.\n"
    )?;
    for note in NOTES {
        writeln!(out, "- {note}")?;
    }
    for record in records() {
        writeln!(out, "\n## {} ({})\n", record.name, record.number)?;
        writeln!(
            out,
            "Meaning: {}. Event: {}. Source: `{}`.\n",
            record.meaning,
            rules::describe_grouping(record.ty),
            rules::source(record.ty)
        )?;
        table(record.fields, out)?;
    }
    let (number, name, meaning) = CHANGE;
    writeln!(out, "\n## {name} ({number})\n\nMeaning: {meaning}.\n")?;
    writeln!(out, "| example | meaning |\n| --- | --- |")?;
    for (example, meaning) in changes() {
        writeln!(out, "| `{example}` | {meaning} |")?;
    }
    for shape in &SHAPES {
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
        table(shape.fields, out)?;
    }
    writeln!(
        out,
        "\n## Operations\n\n| module | op | record | dev | sector | meaning |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for op in &OPS {
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
pub fn json(out: &mut dyn Write) -> io::Result<()> {
    let types: Vec<Value> = records()
        .map(|record| {
            json!({
                "number": record.number,
                "name": record.name,
                "meaning": record.meaning,
                "event": rules::describe_grouping(record.ty),
                "source": rules::source(record.ty),
                "fields": objects(record.fields),
            })
        })
        .collect();
    let guests: Vec<Value> = SHAPES
        .iter()
        .map(|shape| {
            json!({
                "number": shape.ty.number(),
                "name": shape.ty.name(),
                "about": shape.about,
                "meaning": shape.meaning,
                "source": shape.source,
                "outer": objects(OUTER),
                "fields": objects(shape.fields),
            })
        })
        .collect();
    let ops: Vec<Value> = OPS
        .iter()
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

    #[test]
    fn every_type_and_field_is_in_each_form() {
        let text = printed(|out| text(&Terminal::FILE, out));
        let markdown = printed(|out| markdown(out));
        let json: Value = serde_json::from_str(&printed(|out| json(out))).expect("JSON");
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
