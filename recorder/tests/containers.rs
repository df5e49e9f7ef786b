// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `oci-hook`, `oci-forward` and `oci-wrap`, with whatever a runtime, a user or an image may hand
//! them.

mod readers;

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

const ID: &str = "9a1d9f7b3d1c5e60f1b2a3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708";

/// A folder with a bundle, a log and what the hook keeps.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(place.path("bundle")).expect("made");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self, config: &Value) {
        fs::write(self.path("bundle/config.json"), config.to_string()).expect("written");
    }

    fn state(&self, id: &str, status: &str, pid: u32) -> Value {
        json!({ "ociVersion": "1.2.0", "id": id, "status": status, "pid": pid, "bundle": self.path("bundle") })
    }

    /// Runs the hook with `input`. It has no audit to write to here, and may have a forwarder.
    fn hook(&self, options: &[&str], input: &[u8]) -> Output {
        run(
            Command::new(env!("CARGO_BIN_EXE_dmns-audit-record"))
                .args(["oci-hook", "--log"])
                .arg(self.path("log"))
                .arg("--state")
                .arg(self.path("state"))
                .arg("--socket")
                .arg(self.path("socket"))
                .args(options),
            input,
        )
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns the rows of `report virt` over the log, and what `check --strict` says.
    fn judged(&self) -> (Vec<Value>, String) {
        let log = self.path("log");
        (readers::rows(&log, false), readers::check(&log))
    }
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that has read enough closes it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns a value of the log's first record that has it.
fn value<'l>(log: &'l str, name: &str) -> Option<&'l str> {
    let at = log.find(&format!(" {name}="))? + name.len() + 2;
    log[at..].split(' ').next()
}

#[test]
fn a_container_is_recorded_from_its_start_to_its_stop() {
    let place = Place::new();
    place.config(&json!({
        "process": { "user": { "uid": 7, "gid": 8 } },
        "mounts": [
            { "destination": "/data", "type": "bind", "source": "/etc" },
            { "destination": "/again", "type": "bind", "source": "/etc" },
            { "destination": "/etc/hosts", "type": "bind", "source": format!("/run/x/{ID}/hosts") },
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/gone", "type": "bind", "source": "/nonexistent" },
        ],
        "linux": {
            "devices": [
                { "path": "/dev/vda", "type": "b", "major": 254, "minor": 0 },
                { "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229 },
            ],
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
        },
    }));
    let pid = std::process::id();
    let output = place.hook(&[], place.state(ID, "creating", pid).to_string().as_bytes());
    assert!(output.status.success(), "{}", said(&output));
    let log = place.log();
    let types: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(types.first(), Some(&"type=VIRT_MACHINE_ID"), "{log}");
    assert_eq!(types.last(), Some(&"type=VIRT_CONTROL"), "{log}");
    assert_eq!(types.len(), 6, "{log}");
    for part in [
        "vm-ctx=+7:+8 img-ctx=+7:+8 model=dac",
        "old-fs=\"?\" new-fs=\"/etc\"",
        " disk=\"/dev/vda\"",
        "class=path path=\"/dev/vda\" rdev=FE:00 acl=rwm",
        " chardev=\"/dev/fuse\"",
    ] {
        assert_eq!(log.matches(part).count(), 1, "{part}: {log}");
    }
    let inode = fs::read_link("/proc/self/ns/pid").expect("a link");
    let inode = inode.to_string_lossy();
    let inode = inode.trim_start_matches("pid:[").trim_end_matches(']');
    assert_eq!(value(&log, "pid-ns"), Some(inode));
    assert_eq!(value(&log, "vm-pid"), Some(pid.to_string().as_str()));
    // Nobody but this test runs the hook.
    assert!(value(&log, "runtime").is_some(), "{log}");
    let output = place.hook(&[], place.state(ID, "stopped", 0).to_string().as_bytes());
    assert!(output.status.success(), "{}", said(&output));
    let stop = place.log();
    let stop = stop.lines().last().expect("a line");
    assert!(
        stop.contains(&format!(
            "op=stop reason=poststop vm=\"{ID}\" uuid={ID} vm-pid={pid} exe="
        )),
        "{stop}"
    );
    let (rows, found) = place.judged();
    assert_eq!(found, "");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (&rows[0]["vm"], &rows[0]["state"]),
        (&ID.into(), &"ended".into())
    );
}

#[test]
fn each_engine_keeps_names_elsewhere() {
    let sandbox = "c".repeat(64);
    /// An engine, its config.json, and the recorded fields.
    type Case<'a> = (&'a str, Value, &'a [(&'a str, &'a str)]);
    let cases: [Case<'_>; 6] = [
        (
            "podman",
            json!({ "annotations": { "io.kubernetes.cri-o.SandboxID": sandbox } }),
            &[
                ("vm", "\"web\""),
                ("image", "\"localhost/busybox:1\""),
                ("pod", "\"shop\""),
            ],
        ),
        (
            "docker",
            json!({ "mounts": [{ "destination": "/etc/hostname", "source": "DOCKER/hostname" }],
                    // An image's annotation does not name the container.
                    "annotations": { "nerdctl/name": "forged" } }),
            &[("vm", "\"dweb\""), ("image", "\"fat:1\"")],
        ),
        (
            "containerd",
            json!({ "annotations": {
                "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.sandbox-name": "shop-0",
                "io.kubernetes.cri.sandbox-namespace": "prod", "io.kubernetes.cri.image-name": "docker.io/app:2" } }),
            &[
                ("vm", "\"app\""),
                ("image", "\"docker.io/app:2\""),
                ("pod", "\"prod/shop-0\""),
            ],
        ),
        (
            "containerd, what holds a pod",
            json!({ "annotations": {
                "io.kubernetes.cri.sandbox-name": "shop-0", "io.kubernetes.cri.sandbox-namespace": "prod" } }),
            &[("vm", "\"shop-0\""), ("pod", "\"prod/shop-0\"")],
        ),
        (
            "CRI-O",
            json!({ "annotations": {
                "io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "shop-0",
                "io.kubernetes.pod.namespace": "prod", "io.kubernetes.cri-o.ImageName": "quay.io/app:2" } }),
            &[
                ("vm", "\"app\""),
                ("image", "\"quay.io/app:2\""),
                ("pod", "\"prod/shop-0\""),
            ],
        ),
        ("runc by hand", json!({}), &[("vm", "\"ID\"")]),
    ];
    for (engine, config, expected) in cases {
        let place = Place::new();
        let storage = place.path("storage");
        let mut state = place.state(ID, "created", std::process::id());
        if engine == "podman" {
            let bundle = storage.join(ID).join("userdata");
            let infra = storage.join(&sandbox).join("userdata");
            for folder in [&bundle, &infra] {
                fs::create_dir_all(folder).expect("made");
            }
            let metadata =
                json!({ "image-name": "localhost/busybox:1", "name": "web" }).to_string();
            let known =
                json!([{ "id": "other" }, { "id": ID, "names": ["web"], "metadata": metadata }]);
            fs::write(storage.join("containers.json"), known.to_string()).expect("written");
            fs::write(infra.join("config.json"), "{\"hostname\":\"shop\"}").expect("written");
            fs::write(bundle.join("config.json"), config.to_string()).expect("written");
            state["bundle"] = bundle.to_string_lossy().into();
        } else {
            let docker = place.path(ID);
            fs::create_dir(&docker).expect("made");
            fs::write(
                docker.join("config.v2.json"),
                "{\"Name\":\"/dweb\",\"Config\":{\"Image\":\"fat:1\"}}",
            )
            .expect("written");
            let config = config
                .to_string()
                .replace("DOCKER", &docker.to_string_lossy());
            fs::write(place.path("bundle/config.json"), config).expect("written");
        }
        let output = place.hook(&[], state.to_string().as_bytes());
        assert!(output.status.success(), "{}", said(&output));
        let log = place.log();
        for (name, wanted) in expected {
            assert_eq!(
                value(&log, name),
                Some(wanted.replace("ID", ID).as_str()),
                "{engine}: {log}"
            );
        }
        for name in ["image", "pod"] {
            let expected = expected.iter().any(|(expected, _)| *expected == name);
            assert_eq!(
                value(&log, name).is_some(),
                expected,
                "{engine}, {name}: {log}"
            );
        }
        assert_eq!(place.judged().1, "", "{engine}");
    }
}

/// The hook is run below a conmon of ours: podman's name is there only.
#[test]
fn a_name_is_whatever_it_is_and_forges_nothing() {
    let long = "n".repeat(4096);
    for (name, shown) in [
        ("two words", "two words".to_owned()),
        ("it's", "it's".to_owned()),
        ("say \"hi\"", "say \"hi\"".to_owned()),
        ("a\nb", "a\u{fffd}b".to_owned()),
        ("x res=failed'", "x res=failed'".to_owned()),
        (
            "x' msg='virt=oci op=stop vm=\"db\"",
            "x' msg='virt=oci op=stop vm=\"db\"".to_owned(),
        ),
        (
            "\ntype=VIRT_CONTROL msg=audit(1.000:1): forged",
            "\u{fffd}type=VIRT_CONTROL msg=audit(1.000:1): forged".to_owned(),
        ),
        (&long, "n".repeat(255)),
    ] {
        let place = Place::new();
        let state = place.state(ID, "created", std::process::id());
        fs::write(place.path("in"), state.to_string()).expect("written");
        let conmon = place.path("conmon");
        // It waits, as conmon does: an exec would leave none above the hook.
        fs::write(&conmon, "#!/bin/sh\nshift 6\n\"$@\" <in; exit $?\n").expect("written");
        fs::set_permissions(&conmon, fs::Permissions::from_mode(0o755)).expect("set");
        let shell = place.path("sh/conmon");
        fs::create_dir(place.path("sh")).expect("made");
        std::os::unix::fs::symlink("/bin/sh", &shell).expect("linked");
        let output = Command::new(&shell)
            .arg(&conmon)
            .args(["-c", ID, "-n", name, "--exit-command", "/usr/bin/podman"])
            .arg(env!("CARGO_BIN_EXE_dmns-audit-record"))
            .args([
                "oci-hook", "--log", "log", "--state", "state", "--socket", "socket",
            ])
            .current_dir(place.0.path())
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(place.log().lines().count(), 2, "{}", place.log());
        let (rows, found) = place.judged();
        assert_eq!(found, "", "{name}");
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0]["vm"], shown);
    }
}

#[test]
fn broken_input_is_reported_and_the_container_runs_unless_strict() {
    let not_utf8 = [b"{\"id\":\"".as_slice(), b"\xff\xfe", b"\"}"].concat();
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(300));
    let huge = vec![b' '; (4 << 20) + 1];
    for (input, says) in [
        (&b""[..], "no container's state on standard input"),
        (b"{", "is not a container's state: EOF"),
        (b"[]", "is not a container's state"),
        (b"{\"id\":7}", "is not a container's state: invalid type"),
        (b"{}", "missing field `id`"),
        (b"{\"id\":\"\"}", "has an empty id"),
        (
            b"{\"id\":\"x\",\"status\":\"running\"}",
            "the container is \"running\": hooks are run at",
        ),
        (b"{\"id\":\"x\",\"pid\":\"1\"}", "invalid type: string"),
        (&not_utf8, "is not a container's state: invalid unicode"),
        (long.as_bytes(), "id has 300 bytes, 255 at most"),
        (&huge, "is longer than 4194304 bytes"),
    ] {
        for strict in [false, true] {
            let place = Place::new();
            let options: &[&str] = if strict { &["--strict"] } else { &[] };
            let output = place.hook(options, input);
            let said = said(&output);
            assert_eq!(
                output.status.code(),
                Some(if strict { 2 } else { 0 }),
                "{said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains(says), "{says}: {said}");
            assert_eq!(
                said.contains("the container runs all the same"),
                !strict,
                "{said}"
            );
            assert_eq!(place.log(), "");
        }
    }
}

/// The host that tests run on gives them no audit: that is reported too.
#[test]
fn a_container_that_is_gone_is_recorded_without_its_namespaces() {
    let place = Place::new();
    let mut child = Command::new("true").spawn().expect("it runs");
    child.wait().expect("it ended");
    for config in [
        "",
        "{",
        "[]",
        "{\"mounts\":7,\"linux\":{\"devices\":[1,{\"type\":\"b\"}]}}",
    ] {
        fs::write(place.path("bundle/config.json"), config).expect("written");
        let state = place.state(ID, "created", child.id());
        let output = place.hook(&[], state.to_string().as_bytes());
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains(" is gone ("), "{}", said(&output));
    }
    let log = place.log();
    assert_eq!(value(&log, "pid-ns"), Some("?"));
    assert_eq!(value(&log, "timens_id"), Some("?"));
    // The same id was started four times: each without a stop ends first.
    assert_eq!(log.matches("op=stop reason=unreported").count(), 3);
    assert_eq!(place.judged().1, "");
}

#[test]
fn two_containers_of_one_name_and_ids_that_are_reused_are_distinguished() {
    let place = Place::new();
    let other = "b".repeat(64);
    let name = json!({ "annotations": { "nerdctl/name": "web" } });
    place.config(&name);
    let pid = std::process::id();
    for (id, status) in [
        (ID, "created"),
        (&other, "created"),
        (&other, "stopped"),
        (ID, "stopped"),
        (ID, "created"),
    ] {
        let output = place.hook(&[], place.state(id, status, pid).to_string().as_bytes());
        assert!(output.status.success(), "{}", said(&output));
    }
    let (rows, found) = place.judged();
    assert_eq!(found, "");
    let states: Vec<&Value> = rows.iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["ended", "ended", "active"]);
    assert!(rows.iter().all(|row| row["vm"] == "web"), "{rows:?}");
    // After a boot nothing is remembered, and the id is free.
    let mut log = place.log();
    log.push_str("type=SYSTEM_BOOT msg=audit(9999999999.000:1): pid=1 uid=0 auid=4294967295 ses=4294967295 msg=''\n");
    fs::write(place.path("log"), log).expect("written");
    fs::remove_dir_all(place.path("state")).expect("removed");
    place.hook(&[], place.state(ID, "created", pid).to_string().as_bytes());
    assert_eq!(place.log().matches("reason=unreported").count(), 0);
    assert_eq!(place.judged().1, "");
}

struct Forwarder(Child);

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a forwarder that writes to `claims`.
fn forwarder(place: &Place) -> Forwarder {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dmns-audit-record"))
        .args(["oci-forward", "--no-audit", "--log"])
        .arg(place.path("claims"))
        .arg("--state")
        .arg(place.path("forwarded"))
        .arg("--socket")
        .arg(place.path("socket"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut first = [0; 31];
    let stderr = child.stderr.as_mut().expect("a pipe");
    stderr.read_exact(&mut first).expect("it listens");
    assert_eq!(&first, b"dmns-audit-record: listening on");
    Forwarder(child)
}

#[test]
fn records_without_the_right_to_write_are_claimed_with_the_uid() {
    let place = Place::new();
    // Root may not either, once it has dropped what it takes.
    let root = nix::unistd::getuid().is_root();
    let drops =
        ["--bounding-set", "--inh-caps"].map(|set| format!("{set}=-audit_write,-audit_control"));
    let hook = |options: &[&str], state: &Value| {
        let mut command = match root {
            true => Command::new("setpriv"),
            false => Command::new("env"),
        };
        command.args(drops.iter().filter(|_| root));
        command
            .arg(env!("CARGO_BIN_EXE_dmns-audit-record"))
            .arg("oci-hook");
        command.arg("--state").arg(place.path("state"));
        command.arg("--socket").arg(place.path("socket"));
        run(command.args(options), state.to_string().as_bytes())
    };
    // Without a forwarder: one line, or no container.
    let state = place.state(ID, "created", std::process::id());
    let output = hook(&[], &state);
    assert_eq!(
        (output.status.code(), said(&output).lines().count()),
        (Some(0), 1),
        "{}",
        said(&output)
    );
    let strict = hook(&["--strict"], &state);
    assert!(
        said(&output).contains("needs CAP_AUDIT_WRITE"),
        "{}",
        said(&output)
    );
    assert_eq!(strict.status.code(), Some(2), "{}", said(&strict));
    let _forwarder = forwarder(&place);
    let claims = |place: &Place| fs::read_to_string(place.path("claims")).unwrap_or_default();
    let output = hook(&["--strict"], &state);
    assert!(output.status.success(), "{}", said(&output));
    let uid = nix::unistd::getuid();
    assert!(
        claims(&place).contains("op=start reason=createRuntime"),
        "{}",
        claims(&place)
    );
    assert_eq!(
        value(&claims(&place), "claim-uid"),
        Some(uid.to_string().as_str())
    );
    let output = hook(&["--strict"], &place.state(ID, "stopped", 0));
    assert!(output.status.success(), "{}", said(&output));
    let last = claims(&place);
    let last = last.lines().last().expect("a line");
    assert!(
        last.contains(&format!("vm-pid={} claim-uid={uid}", std::process::id())),
        "{last}"
    );
    // A process that is not there cannot be claimed.
    let output = hook(&["--strict"], &place.state("x", "created", u32::MAX / 2));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("there is no process"),
        "{}",
        said(&output)
    );
    // Nor does what is no claim do anything.
    let before = claims(&place);
    for garbage in [&b""[..], b"garbage", &[0xff; 70_000]] {
        let mut stream = UnixStream::connect(place.path("socket")).expect("it listens");
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(
            answer.is_empty() || answer.contains("no claim of an oci-hook"),
            "{answer}"
        );
    }
    assert_eq!(claims(&place), before);
    assert_eq!(readers::check(&place.path("claims")), "");
}

#[test]
fn a_wrapped_runtime_gets_the_hooks_and_its_own_arguments() {
    let place = Place::new();
    place.config(&json!({ "ociVersion": "1.2.0" }));
    let wrap = |bundle: &str, options: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_dmns-audit-record"))
            .arg("oci-wrap")
            .args(options)
            .args([
                "--",
                "sh",
                "-c",
                "echo \"$@\"; exit 7",
                "runc",
                "--root",
                "/r",
                "create",
                "--bundle",
                bundle,
                "web",
            ])
            .current_dir(place.0.path())
            .output()
            .expect("it runs")
    };
    let output = wrap("bundle", &[]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "--root /r create --bundle bundle web\n"
    );
    let config = fs::read(place.path("bundle/config.json")).expect("read");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    for stage in ["createRuntime", "poststop"] {
        assert_eq!(
            config["hooks"][stage][0]["path"],
            env!("CARGO_BIN_EXE_dmns-audit-record")
        );
        assert_eq!(
            config["hooks"][stage][0]["args"],
            json!(["dmns-audit-record", "oci-hook"])
        );
    }
    let output = wrap("gone", &[]);
    assert_eq!(output.status.code(), Some(7));
    assert!(
        said(&output).contains("gone/config.json: No such file"),
        "{}",
        said(&output)
    );
    let output = wrap("gone", &["--strict"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
