// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Records of containers: their starts name active namespaces.

use super::findings;

const NS: &str = "pid=1 uid=0 auid=4294967295 ses=4294967295 subj=unconfined dev=00:05";

/// Returns a log with the initial pid namespace, an active one and a deleted one, a mount
/// namespace, and `records` of guests.
fn log(records: &[&str]) -> String {
    let mut log = String::new();
    let mut serial = 0;
    let mut add = |ty: &str, body: String| {
        serial += 1;
        log.push_str(&format!("type={ty} msg=audit(1.000:{serial}): {body}\n"));
    };
    for (ty, fields) in [
        ("NS_INIT_PID", "old_pidns=(none) pidns=-4 ns_id=4"),
        ("NS_INIT_PID", "old_pidns=-4 pidns=7 ns_id=21"),
        ("NS_INIT_PID", "old_pidns=-4 pidns=8 ns_id=22"),
        ("NS_DEL_PID", "pidns=8 ns_id=22"),
        ("NS_INIT_MNT", "old_mntns=-8 mntns=9 ns_id=23"),
    ] {
        add(ty, format!("{NS} {fields} res=1"));
    }
    for record in records {
        let (ty, inner) = record.split_once(' ').expect("a type");
        add(
            ty,
            format!(
                "pid=215 uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='{inner} exe=\"/x\" hostname=? \
                 addr=? terminal=? res=success'"
            ),
        );
    }
    log
}

const OCI: &str =
    "vm=\"web\" uuid=9a1d9f7b3d1c5e60f1b2a3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708";
const LXC: &str = "vm=\"lvweb\" uuid=11111111-2222-3333-4444-555555555555";

fn judged(records: &[&str]) -> Vec<String> {
    findings(log(records).as_bytes())
        .into_iter()
        // The log begins with creations without a SYSCALL.
        .filter(|finding| !finding.contains("grouping"))
        .collect()
}

#[test]
fn a_container_names_active_namespaces() {
    let named = format!("VIRT_MACHINE_ID virt=oci {OCI} vm-ctx=+0:+0 img-ctx=+0:+0 model=dac");
    let start = |pid_ns: &str, mnt: &str, pid: &str| {
        format!(
            "VIRT_CONTROL virt=oci op=start reason=createRuntime {OCI} vm-pid=715 pid-ns={pid_ns} mntns_id={mnt} \
             utsns_id=2 ipcns_id=? userns_id=3 pidns_id={pid} netns_id=7 cgroupns_id=5 timens_id=6 runtime=\"crun\""
        )
    };
    let stop = format!("VIRT_CONTROL virt=oci op=stop reason=poststop {OCI} vm-pid=715 status=137");
    for (pid_ns, mnt, pid, says) in [
        ("4026531847", "23", "21", ""),
        // Older than the module, or not known.
        ("?", "99", "?", ""),
        (
            "4026531846",
            "23",
            "21",
            "the pid namespace with ns_id=21 is 4026531847",
        ),
        (
            "4026531848",
            "23",
            "22",
            "pidns_id=22: this namespace was deleted before",
        ),
        (
            "4026531847",
            "21",
            "21",
            "mntns_id=21 is the pidns=7 of line 2",
        ),
    ] {
        let found = judged(&[&named, &start(pid_ns, mnt, pid), &stop]);
        match says {
            "" => assert_eq!(found, [""; 0]),
            says => {
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].contains("error guest-namespace"), "{found:?}");
                assert!(found[0].contains(says), "{found:?}");
            }
        }
    }
    let twice = judged(&[&named, &stop, &stop]);
    assert!(twice.iter().any(|finding| finding.contains("guest-stop")));
}

#[test]
fn the_first_process_of_libvirt_agrees_with_the_rest() {
    let named = format!("VIRT_MACHINE_ID virt=lxc {LXC} vm-ctx=+0:+0 img-ctx=+0:+0 model=dac");
    let start = format!("VIRT_CONTROL virt=lxc op=start reason=booted {LXC} vm-pid=715");
    let init = |pid: &str, ns: &str| {
        format!("VIRT_CONTROL virt=lxc op=init {LXC} vm-pid=715 init-pid={pid} pid-ns={ns}")
    };
    let good = init("717", "4026531847");
    // Either may be the first.
    assert_eq!(judged(&[&named, &start, &good]), [""; 0]);
    assert_eq!(judged(&[&named, &good, &start]), [""; 0]);
    for (records, says) in [
        (
            vec![&named, &start, &init("0", "4026531847")],
            "error result",
        ),
        (
            vec![&named, &start, &init("717", "4026531848")],
            "note guest-namespace",
        ),
        (vec![&good], "note guest-start"),
    ] {
        let records: Vec<&str> = records.into_iter().map(String::as_str).collect();
        let found = judged(&records);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(says), "{found:?}");
    }
}
