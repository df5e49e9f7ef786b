// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The body of namespace records, in the format that Richard Guy Briggs proposed in 2015, with
//! today's `ns_id` added before `res=`.

use super::text::{
    Sink, //
    decimal,
    hex2,
    signed,
    untrusted,
};

/// The first inode number of a namespace that was created after boot.
///
/// C: `PROC_DYNAMIC_FIRST` in `include/linux/proc_ns.h`.
pub const PROC_DYNAMIC_FIRST: u32 = 0xF000_0000;

/// The kinds of namespace, in the order of the record types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// Mounts.
    Mnt,
    /// Host and domain name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// User and group ids, capabilities.
    User,
    /// Process ids.
    Pid,
    /// Network.
    Net,
    /// Cgroup root.
    Cgroup,
    /// Offsets of the monotonic and boot-time clocks.
    Time,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Mnt,
        Self::Uts,
        Self::Ipc,
        Self::User,
        Self::Pid,
        Self::Net,
        Self::Cgroup,
        Self::Time,
    ];

    /// Returns the name in field names (`netns=`, `old_netns=`), the same as under `/proc/PID/ns`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnt => "mnt",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// Returns the `CLONE_NEW*` flag that creates one, which is also the kernel's
    /// `ns_common::ns_type`.
    ///
    /// C: `include/uapi/linux/sched.h`.
    pub const fn clone_flag(self) -> u32 {
        match self {
            Self::Mnt => 0x0002_0000,
            Self::Uts => 0x0400_0000,
            Self::Ipc => 0x0800_0000,
            Self::User => 0x1000_0000,
            Self::Pid => 0x2000_0000,
            Self::Net => 0x4000_0000,
            Self::Cgroup => 0x0200_0000,
            Self::Time => 0x0000_0080,
        }
    }

    /// Returns the kind that `flag` creates, if it is exactly one `CLONE_NEW*` flag.
    pub fn from_clone_flag(flag: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.clone_flag() == flag)
    }
}

/// Returns the number that the records give a namespace: its inode number minus
/// [`PROC_DYNAMIC_FIRST`].
///
/// Initial namespaces are negative, the first namespace created after boot is 0. `/proc/PID/ns/net`
/// shows 4026531840 more.
pub const fn relative(inum: u32) -> i32 {
    inum.wrapping_sub(PROC_DYNAMIC_FIRST) as i32
}

/// The task that created or deleted the namespace, as the initial pid and user namespaces see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Thread group id.
    pub pid: i32,
    /// Real user id.
    pub uid: u32,
    /// Login user id; `u32::MAX` if unset.
    pub auid: u32,
    /// Session id; `u32::MAX` if unset.
    pub ses: u32,
}

impl Subject {
    /// Writes the head: `pid=481 uid=0 auid=1000 ses=3`. `audit_log_task_context()` follows.
    pub fn head(&self, out: &mut impl Sink) {
        out.put(b"pid=");
        signed(out, self.pid.into());
        out.put(b" uid=");
        decimal(out, self.uid.into());
        self.session(out);
    }

    /// Writes ` auid=1000 ses=3`.
    pub fn session(&self, out: &mut impl Sink) {
        out.put(b" auid=");
        decimal(out, self.auid.into());
        out.put(b" ses=");
        decimal(out, self.ses.into());
    }
}

/// A namespace, as the records name it.
#[derive(Clone, Copy, Debug)]
pub struct Namespace {
    /// Its kind.
    pub kind: Kind,
    /// Its inode number on nsfs. Reused quickly.
    pub inum: u32,
    /// The 64-bit id that is never reused (`NS_GET_ID`, `listns()`).
    pub id: u64,
}

/// The origin of a namespace.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// It was cloned from another.
    Clone {
        /// The inode number of the other.
        old: u32,
    },
    /// It existed when records began, or a call created it that began before. No more is known.
    Baseline {
        /// The id of the user namespace that owns it; 0 for the initial user namespace.
        owner: u64,
    },
}

/// The device of nsfs, the filesystem of namespace inodes. `dev=` is hexadecimal here.
#[derive(Clone, Copy, Debug)]
pub struct NsfsDev {
    /// `MAJOR(sb->s_dev)`.
    pub major: u32,
    /// `MINOR(sb->s_dev)`.
    pub minor: u32,
}

impl Namespace {
    /// Writes the end of `NS_INIT_*`: ` dev=00:04 old_netns=-7 netns=3 ns_id=21 res=1`, or `
    /// dev=00:04 old_netns=(none) netns=3 ns_id=21 owner_ns_id=19 res=1`.
    pub fn init_tail(&self, dev: NsfsDev, origin: Origin, out: &mut impl Sink) {
        dev_field(dev, out);
        out.put(b" old_");
        let old = match origin {
            Origin::Clone { old } => Some(old),
            Origin::Baseline { .. } => None,
        };
        number_field(self.kind, old, out);
        out.put(b" ");
        self.own_fields(out);
        if let Origin::Baseline { owner } = origin {
            out.put(b" owner_ns_id=");
            decimal(out, owner);
        }
        out.put(b" res=1");
    }

    /// Writes the end of `NS_DEL_*`: ` dev=00:04 netns=3 ns_id=21 res=1`.
    pub fn del_tail(&self, dev: NsfsDev, out: &mut impl Sink) {
        dev_field(dev, out);
        out.put(b" ");
        self.own_fields(out);
        out.put(b" res=1");
    }

    fn own_fields(&self, out: &mut impl Sink) {
        number_field(self.kind, Some(self.inum), out);
        out.put(b" ns_id=");
        decimal(out, self.id);
    }
}

/// The eight namespaces that a task is in: the body of `NS_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Their inode numbers on nsfs, in the order of [`Kind::ALL`].
    pub inums: [u32; Kind::ALL.len()],
    /// The pid and the time namespace that its children will be in: `pid_for_children` and
    /// `time_for_children` under `/proc/PID/ns`.
    pub for_children: [u32; 2],
}

/// The kinds of [`Info::for_children`].
pub const FOR_CHILDREN: [Kind; 2] = [Kind::Pid, Kind::Time];

impl Info {
    /// Returns whether all are initial ones: the task is not in a container of any kind.
    pub fn is_initial(&self) -> bool {
        self.inums.iter().all(|&inum| relative(inum) < 0)
    }

    /// Returns whether the namespace of this kind is the initial one.
    pub fn is_initial_of(&self, kind: Kind) -> bool {
        relative(self.inums[kind as usize]) < 0
    }

    /// Returns whether its children will be in another pid or time namespace than the task itself.
    pub fn children_elsewhere(&self) -> bool {
        self.elsewhere().next().is_some()
    }

    /// Returns the namespaces of children that are not the task's own.
    fn elsewhere(&self) -> impl Iterator<Item = (Kind, u32)> + '_ {
        FOR_CHILDREN
            .into_iter()
            .zip(self.for_children)
            .filter(|&(kind, inum)| inum != self.inums[kind as usize])
    }

    /// Writes the body: `mntns=-8 utsns=-2 ... timens=-6`. If children will be elsewhere, `
    /// pidns_for_children=3` and ` timens_for_children=4` follow.
    pub fn body(&self, out: &mut impl Sink) {
        for (kind, inum) in Kind::ALL.into_iter().zip(self.inums) {
            if kind != Kind::ALL[0] {
                out.put(b" ");
            }
            number_field(kind, Some(inum), out);
        }
        for (kind, inum) in self.elsewhere() {
            out.put(b" ");
            out.put(kind.name().as_bytes());
            out.put(b"ns_for_children=");
            signed(out, relative(inum).into());
        }
    }
}

/// Writes the end of NS_INFO of a task in a container: ` cgroup="/machine.slice/libpod-1.scope"`.
/// It is the path of the task's control group, as the first cgroup namespace sees it; ` cgroup=?`
/// if it is not known.
pub fn cgroup_field(path: Option<&[u8]>, out: &mut impl Sink) {
    out.put(b" cgroup=");
    match path {
        Some(path) => untrusted(out, path),
        None => out.put(b"?"),
    }
}

/// Writes `netns=3`; `netns=(none)` without a number.
fn number_field(kind: Kind, inum: Option<u32>, out: &mut impl Sink) {
    out.put(kind.name().as_bytes());
    out.put(b"ns=");
    match inum {
        Some(inum) => signed(out, relative(inum).into()),
        None => out.put(b"(none)"),
    }
}

fn dev_field(dev: NsfsDev, out: &mut impl Sink) {
    out.put(b" dev=");
    hex2(out, dev.major);
    out.put(b":");
    hex2(out, dev.minor);
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::text;
    use super::*;

    const DEV: NsfsDev = NsfsDev { major: 0, minor: 4 };

    #[test]
    fn numbers_are_relative_to_the_first_dynamic_inode() {
        assert_eq!(relative(0xF000_0000), 0);
        assert_eq!(relative(0xEFFF_FFFF), -1);
        assert_eq!(relative(4026531840 + 3), 3);
        assert_eq!(relative(u32::MAX), 0x0FFF_FFFF);
    }

    #[test]
    fn a_namespace_comes_and_goes() {
        let subject = Subject {
            pid: 481,
            uid: 0,
            auid: u32::MAX,
            ses: u32::MAX,
        };
        let ns = Namespace {
            kind: Kind::Net,
            inum: PROC_DYNAMIC_FIRST + 3,
            id: 21,
        };
        assert_eq!(
            text(|out| subject.head(out)),
            "pid=481 uid=0 auid=4294967295 ses=4294967295"
        );
        assert_eq!(
            text(|out| {
                let old = PROC_DYNAMIC_FIRST - 7;
                ns.init_tail(DEV, Origin::Clone { old }, out);
            }),
            " dev=00:04 old_netns=-7 netns=3 ns_id=21 res=1"
        );
        assert_eq!(
            text(|out| ns.init_tail(DEV, Origin::Baseline { owner: 19 }, out)),
            " dev=00:04 old_netns=(none) netns=3 ns_id=21 owner_ns_id=19 res=1"
        );
        assert_eq!(
            text(|out| ns.del_tail(DEV, out)),
            " dev=00:04 netns=3 ns_id=21 res=1"
        );
    }

    #[test]
    fn the_namespaces_of_a_task() {
        // C: `include/uapi/linux/nsfs.h`, IPC_NS_INIT_INO and its siblings.
        let initial = Info {
            inums: [8, 2, 1, 3, 4, 7, 5, 6].map(|n| PROC_DYNAMIC_FIRST - n),
            for_children: [4, 6].map(|n| PROC_DYNAMIC_FIRST - n),
        };
        assert!(initial.is_initial());
        assert_eq!(
            text(|out| initial.body(out)),
            "mntns=-8 utsns=-2 ipcns=-1 userns=-3 pidns=-4 netns=-7 cgroupns=-5 timens=-6"
        );
        let mut contained = initial;
        contained.inums[Kind::Net as usize] = PROC_DYNAMIC_FIRST;
        assert!(!contained.is_initial());
        assert!(text(|out| contained.body(out)).contains(" netns=0 "));
    }

    #[test]
    fn children_elsewhere_are_written() {
        let mut task = Info {
            inums: [PROC_DYNAMIC_FIRST; 8],
            for_children: [PROC_DYNAMIC_FIRST; 2],
        };
        assert!(!task.children_elsewhere());
        task.for_children[0] += 3;
        assert!(task.children_elsewhere());
        assert!(text(|out| task.body(out)).ends_with(" timens=0 pidns_for_children=3"));
        task.for_children[1] += 4;
        assert!(
            text(|out| task.body(out))
                .ends_with(" timens=0 pidns_for_children=3 timens_for_children=4")
        );
    }

    #[test]
    fn each_kind_has_a_flag_of_its_own() {
        for kind in Kind::ALL {
            assert_eq!(kind.clone_flag().count_ones(), 1);
            assert_eq!(Kind::from_clone_flag(kind.clone_flag()), Some(kind));
        }
        assert_eq!(Kind::from_clone_flag(0), None);
        assert_eq!(Kind::from_clone_flag(0x0002_0080), None);
    }
}
