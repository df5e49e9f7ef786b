// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The monitor for others: a UNIX socket for QMP, and passes on what it is asked.
//!
//! Each client has a thread that reads; what it asks is done in the order in which it comes, by the
//! thread that holds QEMU's own monitor. So nothing is plugged unseen.

use super::qmp::line;
use nix::sys::stat::{Mode, umask};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::{self, BufReader, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// The time that a client may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An action of a client.
enum Heard {
    Came(UnixStream),
    /// A command; `None`: what is no JSON.
    Asks(u64, Option<Value>),
    Left(u64),
}

/// The socket, and who is connected.
pub struct Monitor {
    path: PathBuf,
    heard: Receiver<Heard>,
    sender: Sender<Heard>,
    clients: HashMap<u64, UnixStream>,
    next: u64,
}

/// A command of a client.
#[derive(Debug)]
pub struct Asked {
    client: u64,
    /// Its own id for it.
    id: Option<Value>,
    /// `device_add`.
    pub command: String,
    /// The whole.
    pub value: Value,
}

impl Monitor {
    /// Listens at `path`, where only this user may connect. What is left there of one that has
    /// ended is removed.
    ///
    /// # Errors
    ///
    /// If it cannot be created, or another process listens there.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let explain = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("--monitor {}: {error}", path.display()),
            )
        };
        let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
        if is_socket && UnixStream::connect(path).is_err() {
            fs::remove_file(path).map_err(explain)?;
        }
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(explain)?;
        let (sender, heard) = mpsc::channel();
        let coming = sender.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if coming.send(Heard::Came(stream)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            path: path.to_owned(),
            heard,
            sender,
            clients: HashMap::new(),
            next: 0,
        })
    }

    /// Returns what a client asks next, if one does. QEMU began with `greeting`.
    pub fn asked(&mut self, greeting: &Value) -> Option<Asked> {
        loop {
            match self.heard.try_recv().ok()? {
                Heard::Came(stream) => self.welcome(stream, greeting),
                Heard::Left(client) => {
                    self.clients.remove(&client);
                }
                Heard::Asks(client, Some(value)) => {
                    let command = value.get("execute").and_then(Value::as_str);
                    let command = command.unwrap_or_default().to_owned();
                    let asked = Asked {
                        client,
                        id: value.get("id").cloned(),
                        command,
                        value,
                    };
                    if asked.command != "qmp_capabilities" {
                        return Some(asked);
                    }
                    // This connection has gone through that already.
                    self.answer(&asked, json!({ "return": {} }));
                }
                Heard::Asks(client, None) => {
                    let error = json!({ "error": { "class": "GenericError", "desc": "no JSON" } });
                    self.send(client, &error);
                }
            }
        }
    }

    fn welcome(&mut self, stream: UnixStream, greeting: &Value) {
        self.next += 1;
        let client = self.next;
        let Ok(from) = stream.try_clone() else {
            return;
        };
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            while let Some(line) = line(&mut from) {
                let value = serde_json::from_slice(&line).ok().filter(Value::is_object);
                if sender.send(Heard::Asks(client, value)).is_err() {
                    return;
                }
            }
            let _ = sender.send(Heard::Left(client));
        });
        let _ = stream.set_write_timeout(Some(PATIENCE));
        self.clients.insert(client, stream);
        self.send(client, greeting);
    }

    /// QEMU's answer to what was asked.
    pub fn answer(&mut self, asked: &Asked, mut answer: Value) {
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("id");
            if let Some(id) = &asked.id {
                answer.insert("id".to_owned(), id.clone());
            }
        }
        self.send(asked.client, &answer);
    }

    /// An event, for all.
    pub fn event(&mut self, event: &Value) {
        let clients: Vec<u64> = self.clients.keys().copied().collect();
        for client in clients {
            self.send(client, event);
        }
    }

    fn send(&mut self, client: u64, what: &Value) {
        let Some(stream) = self.clients.get_mut(&client) else {
            return;
        };
        // Who does not read is no client any more.
        if stream.write_all(format!("{what}\r\n").as_bytes()).is_err() {
            self.clients.remove(&client);
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
