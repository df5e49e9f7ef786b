// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is at a sector.

use serde::Serialize;

/// All that is at a sector of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `253:0`.
    pub device: String,
    /// The name of the mapping.
    pub name: Option<String>,
    /// The sector, of 512 bytes.
    pub sector: u64,
    /// What is there. Several where a mapping is used by several.
    pub places: Vec<Place>,
}

impl Answer {
    /// Returns whether it is known what is there.
    pub fn is_known(&self) -> bool {
        let unknown = |place: &Place| matches!(place.what, What::Unknown { .. });
        !self.places.is_empty() && !self.places.iter().any(unknown)
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The devices above, nearest first.
    pub layers: Vec<Layer>,
    /// The filesystem on the last of them.
    pub filesystem: Option<Filesystem>,
    /// What is there.
    #[serde(flatten)]
    pub what: What,
    /// Whether the kernel, or the filesystem's own tool, says so without reservation.
    pub certain: bool,
    /// Reservations, and what else is known.
    pub remarks: Vec<String>,
}

/// A device above another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// `253:1`.
    pub device: String,
    /// Its name.
    pub name: Option<String>,
    /// How it is above: `linear`, `crypt`, `raid1, leg 0`, `partition`, `loop`.
    pub by: String,
    /// The sector of it.
    pub sector: u64,
}

/// A filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Filesystem {
    /// `ext4`.
    pub kind: String,
    /// Where it is mounted.
    pub point: Option<String>,
}

/// A task that has a file open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// The guest, if it is a QEMU.
    pub guest: Option<String>,
}

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// Data of a file.
    File(Data),
    /// A file that has no name any more.
    Deleted(Data),
    /// Entries of a directory.
    Directory(Data),
    /// Attributes of a file, or the map of its blocks.
    Belonging {
        /// `extended attributes`, `map of its blocks`.
        kind: &'static str,
        /// The file.
        #[serde(flatten)]
        of: Data,
    },
    /// Nothing: what is there is not used.
    Free,
    /// The journal of the filesystem.
    Journal,
    /// The filesystem's own data.
    Metadata {
        /// `table of inodes`.
        kind: String,
    },
    /// Swapped memory.
    Swap,
    /// Something that is no filesystem: labels of LVM, tags of dm-integrity, the table of partitions.
    Other {
        /// Which.
        kind: String,
    },
    /// It cannot be found out.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl What {
    /// The device is larger than its filesystem.
    pub fn behind() -> Self {
        Self::Other {
            kind: "behind the end of the filesystem".to_owned(),
        }
    }

    /// Returns its name, as JSON has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Deleted(_) => "deleted",
            Self::Directory(_) => "directory",
            Self::Belonging { .. } => "belonging",
            Self::Free => "free",
            Self::Journal => "journal",
            Self::Metadata { .. } => "metadata",
            Self::Swap => "swap",
            Self::Other { .. } => "other",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Data {
    /// Its names, all of them.
    pub paths: Vec<String>,
    /// Its inode.
    pub inode: u64,
    /// The byte in it.
    pub offset: Option<u64>,
    /// Its size.
    pub size: Option<u64>,
    /// When it was last written, in seconds.
    pub modified: Option<i64>,
    /// When its inode was last changed, in seconds. A file that is restored with its old times has been changed.
    #[serde(skip)]
    pub changed: Option<i64>,
    /// Tasks that have it open.
    pub open: Vec<Holder>,
}

impl What {
    /// Returns the file that it is about.
    pub fn data(&self) -> Option<&Data> {
        match self {
            Self::File(data) | Self::Deleted(data) | Self::Directory(data) => Some(data),
            Self::Belonging { of, .. } => Some(of),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn data_mut(&mut self) -> Option<&mut Data> {
        match self {
            Self::File(data) | Self::Deleted(data) | Self::Directory(data) => Some(data),
            Self::Belonging { of, .. } => Some(of),
            _ => None,
        }
    }
}

/// What is at a position of a filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is there.
    pub what: What,
    /// See [`Place::certain`].
    pub certain: bool,
    /// See [`Place::remarks`].
    pub remarks: Vec<String>,
}

impl Finding {
    /// The kernel, or the filesystem's own tool, says so.
    pub fn certain(what: What) -> Self {
        Self {
            what,
            certain: true,
            remarks: Vec::new(),
        }
    }

    /// It cannot be found out.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self {
            what: What::Unknown {
                reason: reason.into(),
            },
            certain: false,
            remarks: Vec::new(),
        }
    }

    /// Adds a reservation.
    #[must_use]
    pub fn but(mut self, remark: impl Into<String>) -> Self {
        self.certain = false;
        self.remarks.push(remark.into());
        self
    }
}
