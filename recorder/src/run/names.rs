// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Parses the text of QEMU's human monitor: the names of nodes and character devices, and `info
//! network`.

use super::item::{Item, Kind};
use serde_json::Value;

/// Returns the file or block device of the host that QEMU means by the name of a node; `None` for
/// what is elsewhere.
pub(super) fn local(file: &str) -> Option<String> {
    if let Some(json) = file.strip_prefix("json:") {
        let value: Value = serde_json::from_str(json).ok()?;
        return dig(&value);
    }
    match file.split_once(':') {
        // nbd:unix:/x, rbd:pool/x, https://host/x; but a path may have a colon.
        Some((protocol, _)) if !protocol.contains('/') && !protocol.is_empty() => None,
        _ => (!file.is_empty()).then(|| file.to_owned()),
    }
}

/// Returns the file name at the bottom of nested nodes.
fn dig(node: &Value) -> Option<String> {
    let text = |name: &str| node.get(name).and_then(Value::as_str);
    if matches!(text("driver"), Some("file" | "host_device" | "host_cdrom")) {
        return text("filename").map(str::to_owned);
    }
    dig(node.get("file")?)
}

/// Returns the path of `unix:/x,server=on`, `disconnected:unix:/x`, `pty:/dev/pts/0`; `None` for
/// what is no file.
pub(super) fn chardev_path(filename: &str) -> Option<Vec<u8>> {
    let filename = filename.strip_prefix("disconnected:").unwrap_or(filename);
    if let Some(path) = filename.strip_prefix("pty:") {
        return Some(path.into());
    }
    let path = filename.strip_prefix("unix:")?;
    let path = path.strip_suffix(",server=on").unwrap_or(path);
    // Connected: `unix:/x,server=on <-> ...`.
    let path = path.split(",server=on").next().unwrap_or(path);
    Some(path.into())
}

/// Returns the interfaces that `info network` lists.
///
/// ```text
/// nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:99:00:01
///  \ n0: index=0,type=tap,ifname=tapq,script=no,downscript=no
/// ```
pub(super) fn interfaces(text: &str) -> Vec<Item> {
    let mut found: Vec<Item> = Vec::new();
    let mut of_interface = false;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        let peer = line.strip_prefix(" \\ ");
        let Some((name, what)) = peer.unwrap_or(line.trim_start()).split_once(": ") else {
            of_interface = false;
            continue;
        };
        let field = |wanted: &str| {
            what.split(',')
                .find_map(|part| part.strip_prefix(wanted)?.strip_prefix('='))
        };
        match (peer, field("type"), field("macaddr")) {
            (_, Some("nic"), Some(mac)) => {
                of_interface = true;
                found.push(Item {
                    kind: Kind::Net,
                    key: name.to_owned(),
                    what: Some(mac.to_ascii_lowercase().into_bytes()),
                    host_side: String::new(),
                    place: 0,
                });
            }
            (Some(_), Some("tap"), _) if of_interface => {
                if let Some(item) = found.last_mut() {
                    item.host_side = what
                        .split_once("type=tap,")
                        .map_or("", |(_, rest)| rest)
                        .to_owned();
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_and_character_devices_are_paths_or_none() {
        for (file, path) in [
            ("/dev/mapper/x", Some("/dev/mapper/x")),
            ("disk.img", Some("disk.img")),
            ("/a:b", Some("/a:b")),
            ("nbd://host/x", None),
            ("rbd:pool/x", None),
            (
                "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"host_device\",\"filename\":\"/dev/x\"}}",
                Some("/dev/x"),
            ),
            ("json:{\"driver\":\"nbd\"}", None),
            ("json:broken", None),
            ("", None),
        ] {
            assert_eq!(local(file).as_deref(), path, "{file}");
        }
        for (filename, path) in [
            ("pty:/dev/pts/0", Some(&b"/dev/pts/0"[..])),
            ("disconnected:unix:/tmp/x,server=on", Some(b"/tmp/x")),
            ("unix:/tmp/x", Some(b"/tmp/x")),
            ("tcp:127.0.0.1:4000", None),
            ("null", None),
        ] {
            assert_eq!(chardev_path(filename).as_deref(), path, "{filename}");
        }
    }

    #[test]
    fn interfaces_are_found_with_their_host_side() {
        let text = "nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:99:00:01\r\n \
                    \\ n0: index=0,type=tap,ifname=tapq,script=no,downscript=no\r\n\
                    e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:99:00:02\r\n \
                    \\ u0: index=0,type=user,net=10.0.2.0,restrict=off\r\n\
                    hub 0\r\n \\ x: index=0,type=tap,fd=9\r\n";
        let found = interfaces(text);
        let found: Vec<_> = found
            .iter()
            .map(|item| {
                (
                    item.key.as_str(),
                    item.what.as_deref(),
                    item.host_side.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (
                    "nic0",
                    Some(&b"52:54:00:99:00:01"[..]),
                    "ifname=tapq,script=no,downscript=no"
                ),
                ("e1000.0", Some(&b"52:54:00:99:00:02"[..]), ""),
            ]
        );
    }
}
