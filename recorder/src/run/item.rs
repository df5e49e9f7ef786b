// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A resource of a guest.

/// The kinds of resource, in the order in which libvirt records them.
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

/// A resource of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// QEMU's name of it: the same as long as it is plugged.
    pub key: String,
    /// The path, address or MAC; `None` for a drive without a medium.
    pub what: Option<Vec<u8>>,
    /// The name of an interface's host side: `ifname=tap0` or `fd=21`.
    pub host_side: String,
    /// Its position among others of its kind.
    pub(super) place: usize,
}

impl Item {
    /// Creates a resource that the command line does not have.
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
