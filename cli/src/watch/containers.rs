// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Attributes events to containers.
//!
//! A container's start has the ids of its namespaces, which are never reused ([`dmns_audit_log::virt::container`]). A
//! task's NS_INFO has numbers, which are reused. The creation of a namespace has both. A task is in the container of its
//! mount or pid namespace: other kinds may be shared, by a pod or with the host. Without a start, its control group
//! names the container.

use super::events::Event;
use crate::record::Type;
use crate::record::cgroup::{self, Machine, Named};
use crate::record::value::Fields;
use dmns_audit_log::virt::VirtType;
use dmns_audit_log::virt::container::number_of;
use dmns_audit_uapi::ns::Kind;
use dmns_audit_uapi::types::RecordType;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// The greatest id of an initial namespace: one of each kind is made before all others.
const INITIAL: u64 = Kind::ALL.len() as u64;

/// Maximum number of tasks that are remembered as entered or seen in a container.
const MOST: usize = 4096;

/// `setns()` and `ptrace()` on x86-64. C: `arch/x86/entry/syscalls/syscall_64.tbl`.
const SETNS: &str = "308";
const PTRACE: &str = "101";

/// The relation of an event to containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerContext {
    /// The container of its task.
    pub inside: Option<Rc<str>>,
    /// The containers that it is about, in the order of its records.
    pub about: Vec<Option<Rc<str>>>,
    /// The action on a container from outside, if the event has no other record.
    pub from_outside: Option<FromOutside>,
    /// The guest that the control group of its task belongs to.
    pub guest: Option<Guest>,
}

/// A guest, by the control group of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    machine: Machine,
    /// Its name and its UUID, once a record has them.
    known: Option<Rc<(String, String)>>,
}

impl Guest {
    /// Returns its name; before a record has it, the one of the control group.
    pub fn name(&self) -> &str {
        match &self.known {
            Some(known) => &known.0,
            None => self.machine.name(),
        }
    }

    /// Returns its UUID, once a record has it.
    pub fn uuid(&self) -> Option<&str> {
        self.known.as_ref().map(|known| known.1.as_str())
    }

    /// Returns whether libvirt names the control group of the guest `vm` so.
    pub fn may_be(&self, vm: &str) -> bool {
        self.machine.is_of(vm)
    }
}

impl ContainerContext {
    /// Returns where its task is: `in container web`, `of guest web01`.
    pub fn place(&self) -> Option<String> {
        let guest = self.guest.as_ref();
        let guest = guest.map(|guest| format!("of guest {}", guest.name()));
        guest.or_else(|| Some(format!("in container {}", self.inside.as_ref()?)))
    }

    /// Returns the containers that the event is about, each once.
    pub fn containers(&self) -> Vec<&str> {
        let outside = self.from_outside.as_ref().map(FromOutside::name);
        let mut all: Vec<&str> = Vec::new();
        for name in self.about.iter().flatten().chain(outside) {
            if !all.contains(&name.as_ref()) {
                all.push(name);
            }
        }
        all
    }
}

/// An action on a container from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromOutside {
    /// A task enters it.
    Enters(Rc<str>),
    /// A task enters a namespace of it, and is not in it.
    Touches(Rc<str>),
    /// A task traces a task in it.
    Traces(Rc<str>, String),
}

impl FromOutside {
    /// Returns the action as text.
    pub fn show(&self) -> String {
        match self {
            Self::Enters(name) => format!("entered container {name}"),
            Self::Touches(name) => format!("entered a namespace of container {name}"),
            Self::Traces(name, pid) => format!("traced process {pid} of container {name}"),
        }
    }

    /// Returns the container.
    pub fn name(&self) -> &Rc<str> {
        match self {
            Self::Enters(name) | Self::Touches(name) | Self::Traces(name, _) => name,
        }
    }
}

/// Known containers of each machine.
#[derive(Debug, Default)]
pub struct Containers(HashMap<Option<Box<[u8]>>, Host>);

#[derive(Debug, Default)]
struct Host {
    /// The id of the namespace that has a number now.
    numbers: HashMap<(Kind, i32), u64>,
    /// Its container, by id: of all namespaces that the container does not share with the host or another.
    of: HashMap<u64, Rc<str>>,
    /// By what the runtime calls it.
    by_id: HashMap<String, Rc<str>>,
    /// Tasks that were seen in a container, oldest first.
    tasks: VecDeque<Seen>,
    /// Guests that a record names, with their UUIDs, oldest first.
    guests: Vec<Rc<(String, String)>>,
    /// The guest of a control group.
    machines: HashMap<String, Rc<(String, String)>>,
}

/// A task that was seen in a container.
#[derive(Debug)]
struct Seen {
    pid: String,
    name: Rc<str>,
    /// The task was inside, not only in a namespace of it.
    inside: bool,
}

impl Containers {
    /// Classifies `event`, and keeps its data.
    pub fn classify(&mut self, event: &Event) -> ContainerContext {
        let host = self.0.entry(event.node().map(Box::from)).or_default();
        let mut context = ContainerContext::default();
        let mut call = None;
        let mut info = None;
        for head in event.records() {
            let record = Fields::of(&head);
            let about = match head.ty {
                Type::Ours(RecordType::NsInit(kind)) => {
                    host.created(kind, &record);
                    host.of_id(&record)
                }
                Type::Ours(RecordType::NsDel(kind)) => host.deleted(kind, &record),
                Type::Virt(VirtType::Control) => host.control(&record),
                Type::Virt(_) => container(&record),
                _ => None,
            };
            if matches!(head.ty, Type::Virt(_)) && about.is_none() {
                host.names(&record);
            }
            context.about.push(about);
            match head.ty {
                Type::Ours(RecordType::NsInfo) => {
                    info = Some(host.inside(&record));
                    let group = record.text("cgroup");
                    let machine = group.and_then(|path| cgroup::guest(&path));
                    context.guest = machine.map(|machine| host.guest(machine));
                }
                Type::Syscall => call = Some(Call::of(&record)),
                _ if head.name == b"OBJ_PID" || head.name == b"1318" => {
                    let target = record.raw("opid").unwrap_or_default();
                    context.from_outside = host.traced(target);
                }
                _ => {}
            }
        }
        context.inside = info.as_ref().and_then(|place| {
            let inside = place.inside.as_ref();
            inside.or(place.group.as_ref()).cloned()
        });
        let has_topic = event.records().any(|head| head.ty.topic().is_some());
        context.from_outside = match (&call, context.from_outside.take()) {
            _ if has_topic => None,
            (Some(call), traced) if call.name == PTRACE && context.inside.is_none() => {
                traced.filter(|_| call.takes_hold && call.success)
            }
            (Some(call), _) if call.name == SETNS && call.success => {
                let place = info.as_ref();
                place.and_then(|place| host.entered(&call.pid, place))
            }
            _ => None,
        };
        if let (Some(call), Some(place)) = (call, info) {
            host.sees(call.pid, place);
        }
        context
    }

    /// Names `guest` of the host `node`, if a record has named it since its task was seen.
    pub fn learn(&mut self, node: Option<&[u8]>, guest: &mut Guest) {
        let host = self.0.entry(node.map(Box::from)).or_default();
        *guest = host.guest(guest.machine.clone());
    }
}

/// A system call, as far as it matters here.
struct Call {
    name: String,
    pid: String,
    success: bool,
    /// PTRACE_ATTACH or PTRACE_SEIZE.
    takes_hold: bool,
}

impl Call {
    fn of(record: &Fields<'_>) -> Self {
        let of = |name| record.raw(name).unwrap_or_default().to_owned();
        Self {
            name: of("syscall"),
            pid: of("pid"),
            success: record.raw("success") == Some("yes"),
            takes_hold: matches!(record.raw("a0"), Some("10" | "4206")),
        }
    }
}

/// The containers that a task is in.
struct Place {
    /// The container that it is in.
    inside: Option<Rc<str>>,
    /// The container of its control group, where nothing else is known. A runtime is there too, for a while.
    group: Option<Rc<str>>,
    /// A container of which it is in some namespace, or makes its children be.
    touched: Option<Rc<str>>,
}

/// The container that a record of a container's manager is about.
fn container(record: &Fields<'_>) -> Option<Rc<str>> {
    let is = matches!(record.raw("virt"), Some("oci" | "lxc"));
    is.then(|| record.text("vm"))?.map(Rc::from)
}

impl Host {
    fn created(&mut self, kind: Kind, record: &Fields<'_>) {
        let number = record.raw(&format!("{}ns", kind.name()));
        let number = number.and_then(|number| number.parse().ok());
        let id = record.raw("ns_id").and_then(|id| id.parse().ok());
        if let (Some(number), Some(id)) = (number, id) {
            self.numbers.insert((kind, number), id);
        }
    }

    fn of_id(&self, record: &Fields<'_>) -> Option<Rc<str>> {
        let id: u64 = record.raw("ns_id")?.parse().ok()?;
        self.of.get(&id).cloned()
    }

    fn deleted(&mut self, kind: Kind, record: &Fields<'_>) -> Option<Rc<str>> {
        let id: u64 = record.raw("ns_id")?.parse().ok()?;
        let number = record.raw(&format!("{}ns", kind.name()))?.parse().ok()?;
        // The number may be another's by now.
        if self.numbers.get(&(kind, number)) == Some(&id) {
            self.numbers.remove(&(kind, number));
        }
        self.of.remove(&id)
    }

    /// A container starts. libvirt's LXC driver records the number of its pid namespace only.
    fn control(&mut self, record: &Fields<'_>) -> Option<Rc<str>> {
        let name = container(record)?;
        let inode: Option<i64> = record.raw("pid-ns").and_then(|inode| inode.parse().ok());
        let number = inode.and_then(number_of);
        match record.raw("op") {
            Some("start") => {
                if let Some(id) = record.raw("uuid") {
                    self.by_id.insert(id.to_owned(), Rc::clone(&name));
                }
                // A user namespace may be that of all of a user's containers, and of their engine.
                for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::User) {
                    let id = record.raw(&format!("{}ns_id", kind.name()));
                    let Some(id) = id.and_then(|id| id.parse().ok()) else {
                        continue;
                    };
                    if let Some(number) = number.filter(|_| kind == Kind::Pid) {
                        self.numbers.insert((kind, number), id);
                    }
                    if id > INITIAL && !self.of.contains_key(&id) {
                        self.of.insert(id, Rc::clone(&name));
                    }
                }
            }
            Some("init") => {
                let id = number.and_then(|number| self.numbers.get(&(Kind::Pid, number)));
                if let Some(&id) = id.filter(|id| **id > INITIAL) {
                    self.of.insert(id, Rc::clone(&name));
                }
            }
            Some("stop") => {
                self.by_id.remove(record.raw("uuid").unwrap_or_default());
            }
            _ => {}
        }
        Some(name)
    }

    /// Keeps the name and the UUID of a guest, and its control group where the record has it.
    fn names(&mut self, record: &Fields<'_>) {
        let (Some(vm), Some(uuid)) = (record.text("vm"), record.text("uuid")) else {
            return;
        };
        let known = |guest: &Rc<(String, String)>| guest.0 == vm && guest.1 == uuid;
        let guest = match self.guests.iter().find(|guest| known(guest)) {
            Some(guest) => Rc::clone(guest),
            None => {
                let guest = Rc::new((vm.into_owned(), uuid.into_owned()));
                if self.guests.len() == MOST {
                    self.guests.remove(0);
                }
                self.guests.push(Rc::clone(&guest));
                // Numbers begin again with the host.
                self.machines.retain(|_, other| other.0 != guest.0);
                guest
            }
        };
        let group = record.text("cgroup");
        if let Some(machine) = group.and_then(|path| cgroup::guest(&path)) {
            self.machines.insert(machine.whole().to_owned(), guest);
        }
    }

    fn guest(&mut self, machine: Machine) -> Guest {
        let known = match self.machines.get(machine.whole()) {
            Some(guest) => Some(Rc::clone(guest)),
            None => {
                let mut guests = self.guests.iter().rev();
                let found = guests.find(|guest| machine.is_of(&guest.0)).cloned();
                if let Some(guest) = found.as_ref().filter(|_| self.machines.len() < MOST) {
                    let whole = machine.whole().to_owned();
                    self.machines.insert(whole, Rc::clone(guest));
                }
                found
            }
        };
        Guest { machine, known }
    }

    /// Returns the container of a task's control group, by its runtime's name, where nothing else is known.
    fn by_cgroup(&self, record: &Fields<'_>) -> Option<Rc<str>> {
        let path = record.text("cgroup")?;
        if cgroup::guest(&path).is_some() {
            return None;
        }
        match cgroup::container(&path)? {
            Named::Name(name) => Some(Rc::from(name)),
            Named::Id(id) => match self.by_id.get(id) {
                Some(name) => Some(Rc::clone(name)),
                None => id.get(..12).map(Rc::from),
            },
        }
    }

    fn inside(&self, record: &Fields<'_>) -> Place {
        let of = |kind: Kind, field: &str| {
            let number = record.raw(field)?.parse().ok()?;
            self.of.get(self.numbers.get(&(kind, number))?).cloned()
        };
        let own = [(Kind::Mnt, "mntns"), (Kind::Pid, "pidns")];
        let inside = own.iter().find_map(|(kind, field)| of(*kind, field));
        let rest = || {
            let children = of(Kind::Pid, "pidns_for_children");
            children.or_else(|| {
                Kind::ALL
                    .into_iter()
                    .find_map(|kind| of(kind, &format!("{}ns", kind.name())))
            })
        };
        Place {
            touched: inside.clone().or_else(rest),
            group: self.by_cgroup(record),
            inside,
        }
    }

    /// Returns the entry of the task `pid` to `place`, if it came from outside and is new.
    fn entered(&self, pid: &str, place: &Place) -> Option<FromOutside> {
        let now = place.touched.as_ref()?;
        let inside = place.inside.is_some();
        let before = self.tasks.iter().rev().find(|seen| seen.pid == pid);
        match before.filter(|seen| seen.name == *now) {
            Some(seen) if seen.inside || !inside => None,
            _ if inside => Some(FromOutside::Enters(Rc::clone(now))),
            _ => Some(FromOutside::Touches(Rc::clone(now))),
        }
    }

    fn sees(&mut self, pid: String, place: Place) {
        let Some(name) = place.touched else {
            return;
        };
        self.tasks.retain(|seen| seen.pid != pid);
        if self.tasks.len() == MOST {
            self.tasks.pop_front();
        }
        self.tasks.push_back(Seen {
            pid,
            name,
            inside: place.inside.is_some(),
        });
    }

    fn traced(&self, pid: &str) -> Option<FromOutside> {
        let seen = self.tasks.iter().rev().find(|seen| seen.pid == pid)?;
        Some(FromOutside::Traces(Rc::clone(&seen.name), pid.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::Events;
    use super::*;
    use dmns_audit_log::virt::container::inode_of;
    use std::time::Instant;

    /// Returns the relation of each event of `log` to containers, as text.
    fn context(log: &str) -> Vec<String> {
        let (mut events, mut containers) = (Events::default(), Containers::default());
        let mut whole = Vec::new();
        for line in log.lines() {
            whole.extend(events.record(line.trim().as_bytes(), None, Instant::now()));
        }
        whole.extend(events.all());
        let context = whole.iter().map(|event| containers.classify(event));
        context
            .map(|context| {
                let inside = context.inside.as_deref().unwrap_or("-");
                let outside = context.from_outside.as_ref().map(FromOutside::show);
                let outside = outside.unwrap_or_default();
                format!("{inside} {:?} {outside}", context.containers())
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    fn start(serial: u32, name: &str, mnt: u64, pid: (u64, i32), net: u64) -> String {
        format!(
            "type=VIRT_CONTROL msg=audit(1.000:{serial}): pid=1 msg='virt=oci op=start reason=createRuntime \
             vm=\"{name}\" uuid=u{serial} vm-pid=9 pid-ns={} mntns_id={mnt} utsns_id=2 ipcns_id=1 userns_id=3 \
             pidns_id={} netns_id={net} cgroupns_id=5 timens_id=6 exe=\"/x\" hostname=? addr=? terminal=? \
             res=success'\n",
            inode_of(pid.1),
            pid.0
        )
    }

    fn event(serial: u32, records: &[&str]) -> String {
        let lines = records.iter().chain(&["EOE"]).map(|record| {
            let (ty, body) = record.split_once(' ').unwrap_or((record, ""));
            format!("type={ty} msg=audit(1.000:{serial}): {body}\n")
        });
        lines.collect::<Vec<_>>().concat()
    }

    fn info(mnt: i32, pid: i32, net: i32) -> String {
        format!(
            "NS_INFO mntns={mnt} utsns=-2 ipcns=-1 userns=-3 pidns={pid} netns={net} cgroupns=-5 timens=-6"
        )
    }

    #[test]
    fn a_task_is_in_the_container_with_the_ids_of_its_numbers() {
        let created = |serial, number, id| {
            event(
                serial,
                &[&format!(
                    "NS_INIT_MNT old_mntns=-8 mntns={number} ns_id={id} res=1"
                )],
            )
        };
        let in_mnt = |serial, mnt| event(serial, &["SYSCALL syscall=2 pid=7", &info(mnt, -4, -7)]);
        let log = created(1, 40, 30)
            + &start(2, "web", 30, (31, 50), 7)
            + &in_mnt(3, 40)
            // The host's net namespace, which web has too, is nobody's.
            + &in_mnt(4, -8)
            + "type=NS_DEL_MNT msg=audit(1.000:5): mntns=40 ns_id=30 res=1\n"
            // The number is another's.
            + &created(6, 40, 32)
            + &in_mnt(7, 40)
            + &start(8, "db", 32, (33, 51), 7)
            + &in_mnt(9, 40)
            // By the pid namespace, with a number that only the start has.
            + &event(10, &["SYSCALL syscall=2 pid=8", &info(-8, 50, -7)]);
        assert_eq!(
            context(&log),
            [
                "- []",
                "- [\"web\"]",
                "web []",
                "- []",
                "- [\"web\"]",
                "- []",
                "- []",
                "- [\"db\"]",
                "db []",
                "web []",
            ]
        );
    }

    #[test]
    fn an_entry_from_outside_is_printed_once_and_a_task_inside_is_not() {
        let setns = |serial, pid, info: &str| {
            event(
                serial,
                &[&format!("SYSCALL syscall=308 success=yes pid={pid}"), info],
            )
        };
        let log = start(1, "web", 30, (31, 50), 34)
            + &event(2, &["NS_INIT_NET old_netns=-7 netns=60 ns_id=34 res=1"])
            + &event(3, &["SYSCALL syscall=2 pid=7", &info(-8, 50, 60)])
            // One of its own.
            + &setns(4, 7, &info(-8, 50, 60))
            // nsenter -n: the net namespace only; then the next one.
            + &setns(5, 8, &info(-8, -4, 60))
            + &setns(6, 8, &info(-8, 50, 60))
            // nsenter -p: its children.
            + &setns(7, 9, &(info(-8, -4, -7) + " pidns_for_children=50"))
            + &event(8, &["SYSCALL syscall=101 success=yes a0=10 pid=9", "OBJ_PID opid=7 ocomm=\"sh\""])
            + &event(9, &["SYSCALL syscall=101 success=yes a0=10 pid=9", "OBJ_PID opid=99 ocomm=\"sh\""])
            + &event(10, &["SYSCALL syscall=101 success=yes a0=3 pid=9", "OBJ_PID opid=7 ocomm=\"sh\""]);
        assert_eq!(
            context(&log)[3..],
            [
                "web []",
                "- [\"web\"] entered a namespace of container web",
                "web [\"web\"] entered container web",
                "- [\"web\"] entered a namespace of container web",
                "- [\"web\"] traced process 7 of container web",
                "- []",
                "- []",
            ]
        );
    }

    #[test]
    fn without_a_start_the_control_group_names_it() {
        let id = "a".repeat(64);
        let in_group = |serial, group: &str| {
            let info = format!("{} cgroup=\"{group}\"", info(90, 91, 92));
            event(serial, &["SYSCALL syscall=2 pid=8", &info])
        };
        let log = in_group(1, "/lxc.payload.lx1")
            + &in_group(2, &format!("/libpod_parent/libpod-{id}"))
            + &start(3, "web", 30, (31, 50), 34).replace("uuid=u3", &format!("uuid={id}"))
            + &in_group(4, &format!("/libpod_parent/libpod-{id}"))
            + &in_group(5, "/user.slice");
        assert_eq!(
            context(&log),
            ["lx1 []", "aaaaaaaaaaaa []", "- [\"web\"]", "web []", "- []"]
        );
    }

    #[test]
    fn libvirts_lxc_names_the_pid_namespace() {
        let log = event(1, &["NS_INIT_PID old_pidns=-4 pidns=50 ns_id=31 res=1"])
            + &format!(
                "type=VIRT_CONTROL msg=audit(1.000:2): pid=1 msg='virt=lxc op=init vm=\"lv web\" uuid=u vm-pid=7 \
                 init-pid=9 pid-ns={} exe=\"/x\" hostname=? addr=? terminal=? res=success'\n",
                inode_of(50)
            )
            + &event(3, &["SYSCALL syscall=2 pid=9", &info(-8, 50, -7)]);
        assert_eq!(context(&log)[2], "lv web []");
    }
}
