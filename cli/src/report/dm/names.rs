// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Names of mappings in the log of `watch --plugin`, which looks them up when a record arrives.

use crate::record::device::Device;
use crate::report::Id;
use hashbrown::HashMap;
use memchr::memmem;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Maximum length of a line that is read.
const LONGEST: u64 = 1 << 20;

/// Names of devices, each with the seconds of its events.
#[derive(Clone, Debug, Default)]
pub struct KnownNames(HashMap<Device, Vec<Named>>);

/// A name, from the first to the last event that has it.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    first: u64,
    last: u64,
}

/// An event of the plugin, as far as it matters here.
#[derive(Deserialize)]
struct Line<'a> {
    id: &'a str,
    #[serde(default)]
    devices: Vec<DeviceName>,
}

#[derive(Deserialize)]
struct DeviceName {
    device: String,
    name: Option<String>,
}

impl KnownNames {
    /// Reads the log of the plugin at `path`. Lines of another form are passed over.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::of(BufReader::new(File::open(path)?))
    }

    fn of(mut source: impl BufRead) -> io::Result<Self> {
        let mut names = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut part = io::Read::take(&mut source, LONGEST);
            if part.read_until(b'\n', &mut line)? == 0 {
                return Ok(names);
            }
            if memmem::find(&line, b"\"devices\":[{").is_some() {
                names.line(&line);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Ok(Line { id, devices }) = serde_json::from_slice(line) else {
            return;
        };
        let seconds = id.split('.').next().and_then(|text| text.parse().ok());
        let Some(seconds) = seconds else {
            return;
        };
        for device in devices {
            let Some(name) = device.name.filter(|name| !name.is_empty()) else {
                continue;
            };
            let all = self.0.entry(Device::of(&device.device)).or_default();
            match all.last_mut().filter(|last| last.name == name) {
                Some(last) => last.last = seconds,
                None => all.push(Named {
                    name,
                    first: seconds,
                    last: seconds,
                }),
            }
        }
    }

    /// Returns the name that `device` had between `start` and `end`.
    pub(super) fn of_lifetime(
        &self,
        device: &Device,
        start: Option<Id>,
        end: Option<Id>,
    ) -> Option<&str> {
        let from = start.map_or(0, |id| id.seconds);
        let to = end.map_or(u64::MAX, |id| id.seconds);
        let all = self.0.get(device)?;
        let named = all
            .iter()
            .find(|named| named.first <= to && named.last >= from)?;
        Some(&named.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_name_of_its_time() {
        let line = |seconds: u64, name: &str| {
            format!(
                "{{\"kind\":\"dm\",\"id\":\"{seconds}.000:5\",\"devices\":[{{\"device\":\"253:0\",\"name\":{name},\"mounts\":[]}}]}}\n"
            )
        };
        let log = [
            line(10, "\"data\""),
            "no JSON \"devices\":[{\n".to_owned(),
            line(15, "null"),
            line(20, "\"data\""),
            line(30, "\"other\""),
        ];
        let names = KnownNames::of(log.concat().as_bytes()).expect("read");
        let id = |seconds| {
            Some(Id {
                seconds,
                millis: 0,
                serial: 1,
            })
        };
        let device = Device::of("253:0");
        assert_eq!(names.of_lifetime(&device, id(9), id(12)), Some("data"));
        assert_eq!(names.of_lifetime(&device, id(12), id(18)), Some("data"));
        assert_eq!(names.of_lifetime(&device, id(25), None), Some("other"));
        assert_eq!(names.of_lifetime(&device, id(40), None), None);
        assert_eq!(names.of_lifetime(&Device::of("253:1"), None, None), None);
    }
}
