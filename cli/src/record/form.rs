// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Recognises an input without a record, so that a message can suggest a replacement.

use super::short;
use memchr::memmem;

/// The form of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `journalctl` without `-o`.
    JournalShort,
    /// `journalctl -o verbose`.
    JournalVerbose,
    /// A file of journald's own.
    JournalFile,
    /// `ausearch -i`.
    Interpreted,
    /// `ausearch --format text`.
    Sentences,
    /// `ausearch --format csv`.
    Csv,
    /// `aureport`, `auvirt`, `last`: a table.
    Table,
    /// laurel.
    Laurel,
    /// go-audit.
    GoAudit,
    /// filebeat, auditbeat: the Elastic Common Schema.
    Beat,
    /// `dmns-audit export`, or another command with `--format json`.
    Own,
    /// JSON that has a record as a value.
    Wrapped,
    /// `dmesg --json`.
    Dmesg,
    /// JSON objects in an array.
    Array,
    /// Any other JSON.
    Json,
    /// Records with something before them that is no time and no host.
    Prefixed,
    /// UTF-16 or UTF-32, little endian or big endian.
    Utf16Little,
    /// UTF-16, big endian, or UTF-32.
    Utf16Big,
    /// UTF-16, big endian, or UTF-32.
    Utf32,
    /// A tar archive.
    Tar,
    /// A zip archive.
    Zip,
    /// Any other archive.
    Archive,
    /// A compression that is not read.
    Packed,
    /// HTML or XML.
    Markup,
    /// Any other binary file.
    Binary,
    /// A kernel's log or a syslog, without a record.
    Syslog,
    /// Any other text.
    Text,
}

impl Form {
    /// Returns a description, for a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::JournalShort => {
                "the short output of journalctl, which has no serial numbers and no exact times"
            }
            Self::JournalVerbose => "the verbose output of journalctl",
            Self::JournalFile => "a file of journald",
            Self::Interpreted => "interpreted output of ausearch (-i)",
            Self::Sentences => "sentences of ausearch (--format text)",
            Self::Csv => "comma-separated values",
            Self::Table => "a report, not a log",
            Self::Laurel => "JSON of laurel, not as journalctl writes it",
            Self::GoAudit => "JSON of go-audit, not as journalctl writes it",
            Self::Beat => "JSON of filebeat or auditbeat, not as journalctl writes it",
            Self::Own => "JSON of dmns-audit itself, not as journalctl writes it",
            Self::Wrapped => "JSON that has records as values",
            Self::Dmesg => "JSON of dmesg",
            Self::Array => "an array of JSON",
            Self::Prefixed => "records with something before them, as grep and `cat -n` write it",
            Self::Json => "JSON, not as journalctl writes it",
            Self::Utf16Little | Self::Utf16Big => "UTF-16 text",
            Self::Utf32 => "UTF-32 text",
            Self::Tar => "a tar archive",
            Self::Zip => "a zip archive",
            Self::Archive => "an archive",
            Self::Packed => "compressed in a way that is not read",
            Self::Markup => "HTML or XML",
            Self::Binary => "a binary file",
            Self::Syslog => "a log of the kernel or of syslog without audit records",
            Self::Text => "text without audit records",
        }
    }

    /// Returns the suggested replacement.
    pub const fn instead(self) -> &'static str {
        match self {
            Self::JournalShort | Self::JournalVerbose => {
                "use `journalctl -o export`, or --journal on that machine"
            }
            Self::JournalFile => "use `journalctl --file FILE -o export | dmns-audit ... -`",
            Self::Interpreted | Self::Sentences => "use `ausearch --raw`",
            Self::Csv | Self::Table | Self::Markup => "read the log it was made from",
            Self::Laurel | Self::GoAudit | Self::Beat => {
                "read the log of auditd, or `journalctl -o export`"
            }
            Self::Wrapped => {
                "use `jq -r .message FILE | dmns-audit ... -`, with the name of the field that has `type=`"
            }
            Self::Dmesg => "use `dmesg` without --json",
            Self::Array => "use `jq -c '.[]' FILE | dmns-audit ... -`",
            Self::Prefixed => "leave out what stands before `type=` (`grep -h`, `cat` without -n)",
            Self::Own => "read the log it was made from",
            Self::Json => "use `journalctl -o json` or `journalctl -o export`",
            Self::Utf16Little => "use `iconv -f UTF-16LE -t UTF-8 FILE | dmns-audit ... -`",
            Self::Utf16Big => "use `iconv -f UTF-16BE -t UTF-8 FILE | dmns-audit ... -`",
            Self::Utf32 => "use `iconv -f UTF-32 -t UTF-8 FILE | dmns-audit ... -`",
            Self::Tar => "use `tar -xOf FILE | dmns-audit ... -`",
            Self::Zip => "use `unzip -p FILE | dmns-audit ... -`",
            Self::Archive => "unpack it first",
            Self::Packed => "unpack it first, and read it as `-`",
            Self::Binary => "is it the right file?",
            Self::Syslog => {
                "is audit on (`auditctl -s`), and does auditd write another log? --journal reads the journal"
            }
            Self::Text => "a line of a log is `type=NAME msg=audit(SECONDS.MILLIS:SERIAL): FIELDS`",
        }
    }

    /// Returns whether records that follow may still be read.
    pub const fn is_text(self) -> bool {
        !matches!(
            self,
            Self::JournalFile
                | Self::Utf16Little
                | Self::Utf16Big
                | Self::Utf32
                | Self::Tar
                | Self::Zip
                | Self::Archive
                | Self::Packed
                | Self::Binary
        )
    }
}

/// Returns the form of a binary file that begins with `begin`, if it is known.
pub fn of_begin(begin: &[u8]) -> Option<Form> {
    let tar = begin.get(257..262) == Some(b"ustar");
    let packed: [&[u8]; 7] = [
        b"\x1f\x9d",
        b"\x1f\xa0",
        b"\x1f\x1e",
        b"LZIP",
        b"\x5d\x00\x00",
        b"\xff\x06\x00\x00sNaPpY",
        b"\x89LZO",
    ];
    let archives: [&[u8]; 8] = [
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a\x07",
        b"!<arch>\n",
        b"070701",
        b"070702",
        b"070707",
        b"\xc7\x71",
        b"MSCF",
    ];
    let binaries: [&[u8]; 6] = [
        b"\x7fELF",
        b"SQLite format 3\0",
        b"\xd4\xc3\xb2\xa1",
        b"%PDF-",
        b"\x89PNG",
        b"\x0a\x0d\x0d\x0a",
    ];
    let any = |magic: &[&[u8]]| magic.iter().any(|magic| begin.starts_with(magic));
    let zero = |at: &[usize]| at.iter().all(|&at| begin.get(at) == Some(&0));
    let letter = |at: usize| begin.get(at).is_some_and(u8::is_ascii_graphic);
    Some(match begin {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Form::Utf32,
        [0xff, 0xfe, ..] => Form::Utf16Little,
        [0xfe, 0xff, ..] => Form::Utf16Big,
        _ if letter(0) && zero(&[1, 2, 3]) && letter(4) => Form::Utf32,
        _ if letter(0) && zero(&[1, 3]) && letter(2) => Form::Utf16Little,
        _ if zero(&[0, 2]) && letter(1) && letter(3) => Form::Utf16Big,
        _ if tar => Form::Tar,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Form::Zip,
        _ if begin.starts_with(b"LPKSHHRH") => Form::JournalFile,
        _ if any(&archives) => Form::Archive,
        _ if any(&packed) => Form::Packed,
        _ if any(&binaries) => Form::Binary,
        _ => return None,
    })
}

/// Recognises an input without a record: `begin` is its beginning.
pub fn of_text(begin: &[u8]) -> Form {
    of_lines(begin).0
}

/// Recognises an input without a record. Returns also the line that shows it, if one does.
pub fn of_lines(begin: &[u8]) -> (Form, Option<u64>) {
    if let Some(form) = of_begin(begin) {
        return (form, None);
    }
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let lines = || {
        begin
            .split(|&b| b == b'\n')
            .map(<[u8]>::trim_ascii_end)
            .take(1000)
    };
    if let Some(shown) = (1..)
        .zip(lines())
        .find_map(|(line, text)| Some((of_line(text)?, Some(line))))
    {
        return shown;
    }
    let control = |b: &&u8| **b < b' ' && !b"\n\r\t\x0c\x1b\x1d".contains(b);
    let odd = begin.iter().filter(control).count();
    let invalid = match std::str::from_utf8(begin) {
        Ok(_) => 0,
        Err(error) if error.error_len().is_none() => 0,
        Err(_) => begin.iter().filter(|b| **b >= 0x80).count(),
    };
    let form = match () {
        () if odd * 20 > begin.len() || invalid * 5 > begin.len() => Form::Binary,
        () if lines().any(is_of_syslog) => Form::Syslog,
        () => Form::Text,
    };
    (form, None)
}

/// Returns the form of `line`, if the line alone shows it.
pub fn of_line(line: &[u8]) -> Option<Form> {
    let has = |text: &str| memmem::find(line, text.as_bytes()).is_some();
    let begins = |text: &str| line.starts_with(text.as_bytes());
    let json = line.trim_ascii_start();
    Some(match () {
        () if is_interpreted(line) => Form::Interpreted,
        () if short::is_short(line) => Form::JournalShort,
        () if begins("    _TRANSPORT=") || begins("    MESSAGE=") || begins("    _AUDIT_TYPE=") => {
            Form::JournalVerbose
        }
        () if json == b"[" || json.starts_with(b"[{") => Form::Array,
        () if json.starts_with(b"{") => of_json(json),
        () if begins("At ")
            && (has("acting as") || has("successfully") || has("unsuccessfully")) =>
        {
            Form::Sentences
        }
        () if begins("NODE,EVENT,DATE,TIME") || has(",SERIAL_NUM,EVENT_KIND") => Form::Csv,
        () if begins("# date time") || begins("=====") => Form::Table,
        () if is_prefixed(line) => Form::Prefixed,
        () if begins("<!DOCTYPE") || begins("<html") || begins("<?xml") => Form::Markup,
        () => return None,
    })
}

/// Returns the form of an object that is not of the journal.
pub fn of_json(object: &[u8]) -> Form {
    let has = |key: &str| {
        memmem::find_iter(object, key.as_bytes()).any(|at| {
            let name = at > 0 && object[at - 1] == b'"';
            let rest = &object[at + key.len()..];
            name && rest
                .strip_prefix(b"\"")
                .is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
        })
    };
    let value = memmem::find(object, b"type=").map(|at| &object[at..]);
    match () {
        () if value.is_some_and(|value| memmem::find(value, b" msg=audit(").is_some()) => {
            Form::Wrapped
        }
        () if object.starts_with(b"{") && has("dmesg") => Form::Dmesg,
        () if has("@timestamp") || has("auditd") && has("event") => Form::Beat,
        () if has("sequence") && has("messages") => Form::GoAudit,
        () if has("serial") && has("hash")
            || has("kind") && (has("records") || has("proof") || has("rule")) =>
        {
            Form::Own
        }
        () if has("ID") => Form::Laurel,
        () => Form::Json,
    }
}

/// `type=SYSCALL msg=audit(11/21/2026 04:17:59.123:45) : ...` of `ausearch -i`, in any language.
pub fn is_interpreted(line: &[u8]) -> bool {
    if !line.starts_with(b"type=") && !line.starts_with(b"node=") {
        return false;
    }
    memmem::find(line, b"msg=audit(").is_some_and(|at| {
        let stamp = &line[at + b"msg=audit(".len()..];
        let digits = stamp.iter().take_while(|b| b.is_ascii_digit()).count();
        let stamp = stamp.iter().take_while(|&&b| b != b')');
        let date = digits > 0 && digits < 5 || stamp.clone().any(|b| matches!(b, b'/' | b' '));
        date && stamp.count() > 12
    })
}

/// Returns whether a record follows a foreign text in `line`.
fn is_prefixed(line: &[u8]) -> bool {
    use super::head::{Parsed, parse};
    let is_record = |text| matches!(parse(text), Parsed::Record(_));
    memmem::find_iter(line, b"type=").any(|at| is_record(&line[at..])) && !is_record(line)
}

/// Returns whether `line` has the time of a kernel's log or of a syslog.
fn is_of_syslog(line: &[u8]) -> bool {
    use super::head::{Parsed, parse};
    matches!(parse(line), Parsed::Foreign | Parsed::Loss(_))
        && line != b"----"
        && !line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_known_by_what_it_has() {
        for (text, form) in [
            (
                &b"Nov 21 19:00:03 a audit[4]: DM_CTRL module=integrity op=ctr res=1\n"[..],
                Form::JournalShort,
            ),
            (
                b"2026-11-21T19:00:03+0100 a audit[4]: AUDIT1339 module=verity res=0\n",
                Form::JournalShort,
            ),
            (
                b"[   12.345678] a audit: <audit-1339> module=verity res=0\n",
                Form::JournalShort,
            ),
            (
                b"Nov 21 19:00:03 a audit[4]: UNKNOWN[1338] module=verity res=0\n",
                Form::JournalShort,
            ),
            (
                b"DM_EVENT module=integrity op=integrity-checksum dev=253:2\n",
                Form::JournalShort,
            ),
            (
                b"Sat 2026-11-21 19:00:03 UTC [s=1]\n    _TRANSPORT=audit\n",
                Form::JournalVerbose,
            ),
            (
                b"type=DM_EVENT msg=audit(11/21/2026 22:26:40.000:50) : module=x\n",
                Form::Interpreted,
            ),
            (
                b"node=a type=DM_EVENT msg=audit(21.11.2026 22:26:40.000:50) : module=x\n",
                Form::Interpreted,
            ),
            (
                b"At 22:26:40 21/11/26 ada, acting as root, successfully ioctl\n",
                Form::Sentences,
            ),
            (b"{\"ID\":\"1.000:71\",\"DM_EVENT\":{}}\n", Form::Laurel),
            (
                b"{\"sequence\":5,\"timestamp\":\"1.0\",\"messages\":[]}\n",
                Form::GoAudit,
            ),
            (b"{\"@timestamp\":\"2026\",\"message\":\"x\"}\n", Form::Beat),
            (b"{\"host\":\"a\",\"serial\":5,\"hash\":7}\n", Form::Own),
            (b"{\"a\":5}\n", Form::Json),
            (b"[{\"a\":5}]\n", Form::Array),
            (b"[\n  {\n    \"a\":5\n  }\n]\n", Form::Array),
            (b"{\"dmesg\": [\n", Form::Dmesg),
            (
                b"{\"@timestamp\":\"2026\",\"message\":\"type=CWD msg=audit(1.000:5): cwd=\\\"/\\\"\"}\n",
                Form::Wrapped,
            ),
            (
                b"/var/log/audit/audit.log:type=CWD msg=audit(1.000:5): cwd=\"/\"\n",
                Form::Prefixed,
            ),
            (b"     1\ttype=CWD msg=audit(1.000:5): cwd=\"/\"\n", Form::Text),
            (b"\xff\xfet\0y\0p\0e\0", Form::Utf16Little),
            (b"t\0y\0p\0e\0=\0", Form::Utf16Little),
            (b"\0t\0y\0p\0e\0=", Form::Utf16Big),
            (b"PK\x03\x04rest", Form::Zip),
            (b"LPKSHHRH\0\0", Form::JournalFile),
            (b"\x7fELF\x02\x01", Form::Binary),
            (b"\x01\x02\x03\x04\x05\x06\x07\x08", Form::Binary),
            (b"[    0.000000] Linux version 7.3\n", Form::Syslog),
            (
                b"Nov  1 04:17:59 host systemd[1]: Started x\n",
                Form::Syslog,
            ),
            (b"hello\nworld\n", Form::Text),
        ] {
            assert_eq!(of_text(text), form, "{}", String::from_utf8_lossy(text));
            assert!(!form.describe().is_empty() && !form.instead().is_empty());
        }
        let mut tar = vec![b'a'; 257];
        tar.extend_from_slice(b"ustar\0");
        assert_eq!(of_text(&tar), Form::Tar);
        for record in [
            &b"type=DM_EVENT msg=audit(1795300000.000:50): module=integrity"[..],
            b"Nov 21 19:00:03 a kernel: audit: type=1339 audit(1795300000.000:50): module=x",
            b"Nov 21 19:00:03 a systemd[1]: Started it",
            b"----",
        ] {
            assert_eq!(of_line(record), None);
        }
    }
}
