// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Answers in text. Sectors that follow each other are one line.

use super::answer::{Answer, Data, Holder, Place, What};
use super::files::shown;
use crate::terminal::{BAD, FAINT, NAME, Terminal};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// Maximum number of names, tasks and the like of one place.
const MOST: usize = 20;

/// Writes `answers` as text.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn text(answers: &[Answer], terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
    lines(answers, terminal, out)?;
    if answers.len() > 1 {
        writeln!(out, "{}", summary(answers))?;
    }
    Ok(())
}

/// The same, without the summary.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn lines(answers: &[Answer], terminal: &Terminal, out: &mut dyn Write) -> io::Result<()> {
    for run in runs(answers) {
        let Some(first) = run.first() else { continue };
        let head = head(first, run.len() as u64);
        for place in &first.places {
            let bytes = run.len() as u64 * 512;
            writeln!(
                out,
                "{}: {}",
                terminal.paint(NAME, &head),
                sentence(place, bytes, terminal)
            )?;
            for line in details(place) {
                writeln!(out, "    {}", terminal.paint(FAINT, &line))?;
            }
        }
        if first.places.is_empty() {
            writeln!(out, "{}: nothing is known", terminal.paint(NAME, &head))?;
        }
    }
    Ok(())
}

/// Writes `answers` as JSON, one object a line.
///
/// # Errors
///
/// Fails if `out` cannot be written to.
pub fn json(answers: &[Answer], out: &mut dyn Write) -> io::Result<()> {
    for answer in answers {
        serde_json::to_writer(&mut *out, &object(answer))?;
        writeln!(out)?;
    }
    Ok(())
}

/// Returns `answer` as an object. docs/reference/locate.md has its fields.
pub fn object(answer: &Answer) -> Value {
    let mut object = json!(answer);
    object["kind"] = json!("sector");
    object
}

/// Returns `answers` as lines of text without colour, with all names of each file in its line.
pub fn sentences(answers: &[Answer]) -> Vec<String> {
    let mut lines = Vec::new();
    for run in runs(answers) {
        let Some(first) = run.first() else { continue };
        let head = head(first, run.len() as u64);
        lines.extend(first.places.iter().map(|place| {
            let sentence = sentence(place, run.len() as u64 * 512, &Terminal::FILE);
            let details = details(place);
            match details.is_empty() {
                true => format!("{head}: {sentence}"),
                false => format!("{head}: {sentence} ({})", details.join("; ")),
            }
        }));
    }
    lines
}

/// Returns `253:0 (it), sectors 10-11`.
fn head(first: &Answer, sectors: u64) -> String {
    let name = first.name.as_ref().map(|name| format!(" ({name})"));
    let of = match sectors {
        1 => format!("sector {}", first.sector),
        n => format!("sectors {}-{}", first.sector, first.sector + n - 1),
    };
    plain(&format!(
        "{}{}, {of}",
        first.device,
        name.unwrap_or_default()
    ))
}

/// Returns the answers in runs: sectors that follow each other in the same file, or in the same sort of place.
pub fn runs(answers: &[Answer]) -> Vec<&[Answer]> {
    let mut runs = Vec::new();
    let mut begin = 0;
    for end in 1..=answers.len() {
        let continues = answers
            .get(end)
            .is_some_and(|next| follows(&answers[begin], next, (end - begin) as u64));
        if !continues {
            runs.push(&answers[begin..end]);
            begin = end;
        }
    }
    runs
}

/// Returns whether `next` is the same place as `first`, `by` sectors later.
fn follows(first: &Answer, next: &Answer, by: u64) -> bool {
    let same = |(a, b): (&Place, &Place)| {
        let layers = a.layers.len() == b.layers.len()
            && a.layers
                .iter()
                .zip(&b.layers)
                .all(|(a, b)| a.device == b.device && a.by == b.by && a.sector + by == b.sector);
        let moved = |what: &What| {
            let mut what = what.clone();
            if let Some(offset) = what.data_mut().and_then(|data| data.offset.as_mut()) {
                *offset += by * 512;
            }
            what
        };
        layers && a.remarks == b.remarks && a.certain == b.certain && moved(&a.what) == b.what
    };
    first.device == next.device
        && first.sector + by == next.sector
        && first.places.len() == next.places.len()
        && first.places.iter().zip(&next.places).all(same)
}

fn sentence(place: &Place, bytes: u64, terminal: &Terminal) -> String {
    let mut parts: Vec<String> = Vec::new();
    for layer in &place.layers {
        let name = layer.name.as_deref().unwrap_or(&layer.device);
        parts.push(format!("{name} sector {} ({})", layer.sector, layer.by));
    }
    if let Some(filesystem) = &place.filesystem {
        parts.push(match &filesystem.point {
            Some(point) => format!("{} at {point}", filesystem.kind),
            None => format!("{}, not mounted", filesystem.kind),
        });
    }
    let mut parts: Vec<String> = parts.iter().map(|part| plain(part)).collect();
    let is_bad = place.what.data().is_some();
    let what = plain(&what(&place.what, bytes));
    parts.push(if is_bad {
        terminal.paint(BAD, &what)
    } else {
        what
    });
    parts.join(": ")
}

fn what(what: &What, bytes: u64) -> String {
    match what {
        What::File(data) => format!("file {}", at(data, bytes)),
        What::Deleted(data) => format!("deleted file, {}", at(data, bytes)),
        What::Directory(data) => format!("directory {}", at(data, bytes)),
        What::Belonging { kind, of } => format!("{kind} of {}", at(of, bytes)),
        What::Free => "free space".to_owned(),
        What::Journal => "journal".to_owned(),
        What::Metadata { kind } => format!("metadata: {kind}"),
        What::Swap => "swap".to_owned(),
        What::Other { kind } => kind.clone(),
        What::Unknown { reason } => format!("unknown: {reason}"),
    }
}

/// Returns `/srv/a, bytes 4096-8191 of 10000, inode 12`.
fn at(data: &Data, bytes: u64) -> String {
    let mut parts: Vec<String> = data.paths.iter().take(1).cloned().collect();
    if let Some(offset) = data.offset {
        let last = offset + bytes - 1;
        let of = data
            .size
            .map(|size| format!(" of {size}"))
            .unwrap_or_default();
        parts.push(match data.size {
            Some(size) if offset >= size => format!("byte {offset}, behind its end ({size})"),
            _ => format!("bytes {offset}-{last}{of}"),
        });
    }
    parts.push(format!("inode {}", data.inode));
    parts.join(", ")
}

/// Returns what is below the sentence of a place.
fn details(place: &Place) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(data) = place.what.data() {
        lines.extend(
            data.paths
                .iter()
                .skip(1)
                .take(MOST)
                .map(|path| format!("also {path}")),
        );
        if data.paths.len() > MOST + 1 {
            lines.push(format!("and {} more names", data.paths.len() - MOST - 1));
        }
        lines.extend(data.open.iter().take(MOST).map(holder));
        if data.open.len() > MOST {
            lines.push(format!("and {} more tasks", data.open.len() - MOST));
        }
    }
    lines.extend(place.remarks.iter().cloned());
    if !place.certain && !matches!(place.what, What::Unknown { .. }) {
        lines.push("not certain".to_owned());
    }
    lines.iter().map(|line| plain(line)).collect()
}

/// Returns `text` without what would disturb a terminal: mount points, images and tasks have names of any kind.
fn plain(text: &str) -> String {
    shown(Path::new(text))
}

fn holder(holder: &Holder) -> String {
    let guest = holder
        .guest
        .as_ref()
        .map(|guest| format!(", guest {guest}"));
    let guest = guest.unwrap_or_default();
    format!("open by {} (pid {}){guest}", holder.comm, holder.pid)
}

/// Returns `10 sectors: 7 in 2 files, 2 free, 1 unknown`.
pub fn summary(answers: &[Answer]) -> String {
    let mut files: BTreeSet<(&str, u64)> = BTreeSet::new();
    let [mut of_files, mut free, mut own, mut unknown] = [0_usize; 4];
    for answer in answers {
        let places = || answer.places.iter();
        for place in places() {
            if let Some(data) = place.what.data() {
                let path = data.paths.first().map_or("", String::as_str);
                files.insert((path, data.inode));
            }
        }
        let is = |of: fn(&What) -> bool| places().any(|place| of(&place.what));
        if is(|what| what.data().is_some()) {
            of_files += 1;
        } else if is(|what| matches!(what, What::Unknown { .. })) || answer.places.is_empty() {
            unknown += 1;
        } else if is(|what| !matches!(what, What::Free)) {
            own += 1;
        } else {
            free += 1;
        }
    }
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let mut parts = Vec::new();
    if of_files > 0 {
        parts.push(format!(
            "{of_files} in {} file{}",
            files.len(),
            s(files.len())
        ));
    }
    for (number, what) in [(own, "no file's"), (free, "free"), (unknown, "unknown")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    format!(
        "{} sector{}: {}",
        answers.len(),
        s(answers.len()),
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Filesystem, Layer};
    use super::*;

    fn answer(sector: u64, what: What) -> Answer {
        let certain = !matches!(what, What::Unknown { .. });
        Answer {
            device: "253:0".to_owned(),
            name: Some("it".to_owned()),
            sector,
            places: vec![Place {
                layers: vec![Layer {
                    device: "253:1".to_owned(),
                    name: Some("lin".to_owned()),
                    by: "linear".to_owned(),
                    sector: sector + 8,
                }],
                filesystem: Some(Filesystem {
                    kind: "ext4".to_owned(),
                    point: Some("/srv".to_owned()),
                }),
                what,
                certain,
                remarks: Vec::new(),
            }],
        }
    }

    fn file(offset: u64) -> What {
        What::File(Data {
            paths: vec!["/srv/a".to_owned(), "/srv/b".to_owned()],
            inode: 12,
            offset: Some(offset),
            size: Some(9000),
            modified: None,
            changed: None,
            open: vec![Holder {
                pid: 7,
                comm: "qemu-system-x86".to_owned(),
                guest: Some("web".to_owned()),
            }],
        })
    }

    #[test]
    fn sectors_that_follow_each_other_are_one_line() {
        let unknown = What::Unknown {
            reason: "no reason".to_owned(),
        };
        let answers = [
            answer(10, file(4096)),
            answer(11, file(4608)),
            answer(12, file(0)),
            answer(13, What::Free),
            answer(14, What::Free),
            answer(15, unknown),
            answer(16, What::Journal),
        ];
        let mut out = Vec::new();
        text(&answers, &Terminal::FILE, &mut out).expect("written");
        insta::assert_snapshot!(String::from_utf8(out).expect("text"), @r"
        253:0 (it), sectors 10-11: lin sector 18 (linear): ext4 at /srv: file /srv/a, bytes 4096-5119 of 9000, inode 12
            also /srv/b
            open by qemu-system-x86 (pid 7), guest web
        253:0 (it), sector 12: lin sector 20 (linear): ext4 at /srv: file /srv/a, bytes 0-511 of 9000, inode 12
            also /srv/b
            open by qemu-system-x86 (pid 7), guest web
        253:0 (it), sectors 13-14: lin sector 21 (linear): ext4 at /srv: free space
        253:0 (it), sector 15: lin sector 23 (linear): ext4 at /srv: unknown: no reason
        253:0 (it), sector 16: lin sector 24 (linear): ext4 at /srv: journal
        7 sectors: 3 in 1 file, 1 no file's, 2 free, 1 unknown
        ");
    }

    #[test]
    fn no_name_disturbs_the_terminal() {
        let mut answer = answer(10, file(0));
        answer.name = Some("/a\nb".to_owned());
        let place = &mut answer.places[0];
        place.layers[0].name = Some("c\x1b[2J".to_owned());
        place.filesystem.as_mut().expect("one").point = Some("/d\ne".to_owned());
        place.remarks.push("f\ng".to_owned());
        if let What::File(data) = &mut place.what {
            data.open[0].comm = "h\x1b[2J".to_owned();
        }
        let mut out = Vec::new();
        text(&[answer], &Terminal::FILE, &mut out).expect("written");
        let out = String::from_utf8(out).expect("text");
        assert_eq!(out.lines().count(), 4, "{out}");
        assert!(!out.contains('\x1b'), "{out}");
    }

    #[test]
    fn an_object_has_the_file() {
        let object = object(&answer(10, file(4096)));
        let place = &object["places"][0];
        assert_eq!(place["what"], "file");
        assert_eq!(place["offset"], 4096);
        assert_eq!(place["open"][0]["guest"], "web");
        assert_eq!(place["layers"][0]["sector"], 18);
    }
}
