// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Parses the command line of a task, and finds the name of a mapping in it.

use super::value::decoded;

/// The maximum number of arguments of a command line.
pub const ARGUMENTS: usize = 64;

/// Returns the arguments in `value` of `proctitle=`. NULs separate them, so the kernel writes it in
/// hexadecimal.
pub fn arguments(value: &str) -> Vec<String> {
    let bytes: Option<Vec<u8>> = match value.starts_with('"') || value.len() % 2 != 0 {
        true => None,
        false => value
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect(),
    };
    let Some(bytes) = bytes else {
        return match value {
            "(null)" | "" => Vec::new(),
            _ => vec![decoded(value).into_owned()],
        };
    };
    let shown = |part: &[u8]| -> String {
        let text = String::from_utf8_lossy(part);
        text.chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect()
    };
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes
        .split(|&b| b == 0)
        .take(ARGUMENTS)
        .map(shown)
        .collect()
}

/// Returns the name of the mapping of `target` that the command line `argv` creates, if it is
/// known.
///
/// Source: dmsetup(8), cryptsetup(8), integritysetup(8), veritysetup(8), systemd-cryptsetup(8) and
/// its like.
pub fn mapping(argv: &[String], target: &str) -> Option<String> {
    let program = argv.first()?.rsplit('/').next()?;
    // An option may have a value of its own; those of these programs that matter are written with
    // `=` or come last.
    let words: Vec<&str> = argv[1..]
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let at = |place: usize| words.get(place).copied();
    let name = match (program, at(0)?) {
        ("dmsetup", "create" | "load" | "reload") => at(1),
        ("cryptsetup" | "integritysetup" | "veritysetup", "create") => at(1),
        ("cryptsetup", open) if open == "open" || open.ends_with("Open") => at(2),
        ("integritysetup" | "veritysetup", "open") => at(2),
        ("systemd-cryptsetup" | "systemd-integritysetup" | "systemd-veritysetup", "attach") => {
            at(1)
        }
        _ => None,
    }?;
    // cryptsetup makes two mappings for one with integrity.
    Some(match (program, target) {
        ("cryptsetup", "integrity") => format!("{name}_dif"),
        _ => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_names_the_mapping_that_it_makes() {
        for (line, target, name) in [
            ("dmsetup create scratch", "crypt", Some("scratch")),
            (
                "/usr/sbin/cryptsetup open /dev/sdb1 vault",
                "crypt",
                Some("vault"),
            ),
            (
                "cryptsetup luksOpen /dev/sdb1 vault",
                "integrity",
                Some("vault_dif"),
            ),
            (
                "integritysetup open --integrity=sha256 /dev/loop0 it",
                "integrity",
                Some("it"),
            ),
            (
                "veritysetup open /dev/a root /dev/b 4392712b",
                "verity",
                Some("root"),
            ),
            (
                "systemd-cryptsetup attach home /dev/sda3",
                "crypt",
                Some("home"),
            ),
            ("dmsetup remove scratch", "crypt", None),
            ("lvchange -ay vg/a", "crypt", None),
            ("dmsetup", "crypt", None),
        ] {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(mapping(&argv, target).as_deref(), name, "{line}");
        }
        assert_eq!(mapping(&[], "crypt"), None);
        assert_eq!(arguments("636174006120622E747874"), ["cat", "a b.txt"]);
    }
}
