// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A thing that a guest has.

/// What a guest can have, in the order in which libvirt records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A disk, by its file or block device.
    Disk,
    /// A folder of the host.
    Fs,
    /// An interface, by its MAC.
    Net,
    /// A device of the host: on the bus, which `what` begins with.
    Host,
    /// A redirected USB device.
    Redirected,
    /// A serial line.
    Serial,
    /// A parallel port.
    Parallel,
    /// A channel.
    Channel,
    /// A console.
    Console,
    /// A smartcard.
    Smartcard,
    /// A source of entropy.
    Rng,
    /// A TPM of the host.
    Tpm,
    /// An emulated TPM.
    TpmEmulator,
    /// An input device of the host.
    Evdev,
}

/// One thing that a guest has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// What QEMU calls it: the same as long as it is plugged.
    pub key: String,
    /// The path, address or MAC; `None` for a drive without a medium.
    pub what: Option<Vec<u8>>,
    /// Of an interface: what its host side is called, `ifname=tap0` or `fd=21`.
    pub host_side: String,
    /// Where it stands among others of its kind.
    pub(super) place: usize,
}

impl Item {
    /// A thing that the command line does not have.
    pub fn new(kind: Kind, key: &str, what: Option<Vec<u8>>) -> Self {
        Self {
            kind,
            key: key.to_owned(),
            what,
            host_side: String::new(),
            place: usize::MAX,
        }
    }
}
