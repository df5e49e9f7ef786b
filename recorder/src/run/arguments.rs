// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! QEMU's command line, as far as its monitor does not report it: the order of resources, the paths
//! of character devices and of folders, and the options of the start.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `-name`, without its options.
    pub name: Option<Vec<u8>>,
    /// `-uuid`.
    pub uuid: Option<String>,
    /// `-S`: the guest does not run yet.
    pub stopped: bool,
    /// `-incoming`: the source of the guest's state.
    pub incoming: Option<Vec<u8>>,
    /// `-daemonize`: QEMU leaves its parent.
    pub daemonizes: bool,
    /// The positions of resources, by id. They are recorded in this order.
    places: HashMap<String, usize>,
    /// The path of each character device, by label.
    chardevs: HashMap<String, Vec<u8>>,
    /// The folder of each filesystem device, by id.
    pub folders: HashMap<String, Vec<u8>>,
}

/// Returns whether `uri` is a file, and not another QEMU.
pub fn is_saved(uri: &[u8]) -> bool {
    [&b"file:"[..], b"exec:", b"fd:"]
        .iter()
        .any(|kind| uri.starts_with(kind))
}

/// Returns an option's suboptions: `socket,id=c0,path=/a,,b` is `socket`, and two pairs. A comma is
/// doubled in a value.
fn suboptions(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = text.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match (byte, parts.last_mut()) {
            (b',', Some(last)) if bytes.peek() == Some(&&b',') => {
                bytes.next();
                last.push(b',');
            }
            (b',', _) => parts.push(Vec::new()),
            (byte, Some(last)) => last.push(byte),
            (_, None) => {}
        }
    }
    parts
        .into_iter()
        .map(|part| match part.iter().position(|&b| b == b'=') {
            Some(at) => (
                String::from_utf8_lossy(&part[..at]).into_owned(),
                part[at + 1..].to_vec(),
            ),
            None => (String::new(), part),
        })
        .collect()
}

impl Arguments {
    /// Parses a command line, without the program.
    pub fn parse(arguments: &[OsString]) -> Self {
        let mut parsed = Self::default();
        let mut serials = 0;
        let mut parallels = 0;
        let mut place = 0;
        let mut rest = arguments.iter().map(OsString::as_os_str);
        while let Some(option) = rest.next() {
            place += 1;
            // Both -name and --name will do.
            let option = option.as_bytes();
            let option = option.strip_prefix(b"-").unwrap_or(option);
            let option = option.strip_prefix(b"-").unwrap_or(option);
            match option {
                b"S" => parsed.stopped = true,
                b"daemonize" => parsed.daemonizes = true,
                _ => {}
            }
            let takes_value = matches!(
                option,
                b"name"
                    | b"uuid"
                    | b"chardev"
                    | b"device"
                    | b"object"
                    | b"netdev"
                    | b"drive"
                    | b"blockdev"
                    | b"serial"
                    | b"parallel"
                    | b"fsdev"
                    | b"virtfs"
                    | b"incoming"
                    | b"nic"
                    | b"net"
            );
            if !takes_value {
                continue;
            }
            let Some(value) = rest.next() else {
                break;
            };
            let value = value.as_bytes();
            let options = suboptions(value);
            let of = |name: &str| {
                options
                    .iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, v)| v.clone())
            };
            let id = of("id").map(|id| String::from_utf8_lossy(&id).into_owned());
            if let Some(id) = &id {
                parsed.places.entry(id.clone()).or_insert(place);
            }
            match option {
                b"name" => {
                    let bare = options.first().filter(|(name, _)| name.is_empty());
                    parsed.name = of("guest").or(bare.map(|(_, value)| value.clone()));
                }
                b"incoming" => parsed.incoming = Some(value.to_vec()),
                b"uuid" => parsed.uuid = Some(String::from_utf8_lossy(value).to_lowercase()),
                b"chardev" => {
                    if let (Some(id), Some(path)) = (id, of("path")) {
                        parsed.chardevs.insert(id, path);
                    }
                }
                b"serial" => {
                    parsed.legacy(&format!("serial{serials}"), value, place);
                    serials += 1;
                }
                b"parallel" => {
                    parsed.legacy(&format!("parallel{parallels}"), value, place);
                    parallels += 1;
                }
                b"fsdev" | b"virtfs" => {
                    // Of virtfs the id is made from its tag.
                    let id = id.or_else(|| {
                        of("mount_tag").map(|tag| String::from_utf8_lossy(&tag).into_owned())
                    });
                    if let (Some(id), Some(path)) = (id, of("path")) {
                        parsed.folders.insert(id, path);
                    }
                }
                _ => {}
            }
        }
        parsed
    }

    /// `-serial unix:/a,server=on`, `-serial file:/a`, `-serial /dev/ttyS0`, `-serial chardev:c0`.
    fn legacy(&mut self, label: &str, value: &[u8], place: usize) {
        self.places.entry(label.to_owned()).or_insert(place);
        if let Some(of) = value.strip_prefix(b"chardev:") {
            let of = String::from_utf8_lossy(of).into_owned();
            self.places.insert(of, place);
            return;
        }
        let path = [&b"file:"[..], b"unix:", b"pipe:", b"tty:"]
            .iter()
            .find_map(|prefix| value.strip_prefix(*prefix))
            .or(value.starts_with(b"/").then_some(value));
        if let Some(path) = path {
            let path = suboptions(path).into_iter().next();
            if let Some((name, path)) = path {
                // A path with = in it is one all the same.
                let whole = match name.is_empty() {
                    true => path,
                    false => [name.as_bytes(), b"=", &path].concat(),
                };
                self.chardevs.insert(label.to_owned(), whole);
            }
        }
    }

    /// Returns the position of the resource `id`. Those that were added later are last.
    pub fn place(&self, id: &str) -> usize {
        self.places.get(id).copied().unwrap_or(usize::MAX)
    }

    /// Returns the path of the character device `label`, if the command line has it.
    pub fn chardev(&self, label: &str) -> Option<&[u8]> {
        self.chardevs.get(label).map(Vec::as_slice)
    }

    /// Adds the character device `label`, which was plugged while QEMU ran, with its `path`.
    pub fn add_chardev(&mut self, label: &str, path: &OsStr) {
        self.chardevs
            .insert(label.to_owned(), path.as_bytes().to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Arguments {
        Arguments::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_that_the_monitor_lacks_are_found() {
        let arguments = parsed(
            "-nodefaults -S -name guest=web,debug-threads=on -uuid 1111AAAA-2222-3333-4444-555555555555 \
             -chardev socket,id=c0,path=/tmp/a,,b,server=on,wait=off -chardev pty,id=p0 \
             -object rng-random,id=r0,filename=/dev/random -device virtio-rng-pci,id=rng0,rng=r0 \
             -serial unix:/tmp/ser,server=on -serial chardev:c0 -serial null -virtfs local,mount_tag=share,path=/srv \
             -fsdev local,id=f0,path=/home",
        );
        assert_eq!(arguments.name.as_deref(), Some(&b"web"[..]));
        assert_eq!(
            arguments.uuid.as_deref(),
            Some("1111aaaa-2222-3333-4444-555555555555")
        );
        assert!(arguments.stopped && arguments.incoming.is_none() && !arguments.daemonizes);
        assert_eq!(arguments.chardev("c0"), Some(&b"/tmp/a,b"[..]));
        assert_eq!(arguments.chardev("serial0"), Some(&b"/tmp/ser"[..]));
        assert_eq!(arguments.chardev("p0"), None);
        assert!(arguments.place("r0") < arguments.place("rng0"));
        assert_eq!(arguments.place("later"), usize::MAX);
        assert_eq!(arguments.folders["share"], b"/srv");
        assert_eq!(arguments.folders["f0"], b"/home");
        let plain = parsed("-name web --daemonize -incoming tcp:0:4444");
        assert_eq!(plain.name.as_deref(), Some(&b"web"[..]));
        assert!(plain.daemonizes && plain.incoming.is_some_and(|uri| !is_saved(&uri)));
        assert!(
            parsed("-incoming file:/x")
                .incoming
                .is_some_and(|uri| is_saved(&uri))
        );
        assert_eq!(parsed("-name"), Arguments::default());
    }

    proptest::proptest! {
        #[test]
        fn any_command_line_is_taken_without_a_panic(line in "[-a-z=,:/ ]{0,80}") {
            let _ = parsed(&line);
        }
    }
}
