// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Where a scrub continues: a small file for each device.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A point to which a scrub has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// What the device is: a number is reused, so that this is its UUID or name.
    pub identity: String,
    /// Its size in bytes.
    pub size: u64,
    /// Up to here it was read.
    pub position: u64,
    /// Number of sectors that could not be read.
    pub bad: u64,
}

impl Point {
    /// The begin of the device.
    pub fn new(identity: &str, size: u64) -> Self {
        Self {
            identity: identity.to_owned(),
            size,
            position: 0,
            bad: 0,
        }
    }
}

/// The points in a folder.
#[derive(Clone, Debug)]
pub struct Points(PathBuf);

impl Points {
    /// The points in `folder`, which is made when there is one.
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Returns where the scrub of the device continues, if it is the same device.
    pub fn of(&self, identity: &str, size: u64) -> Option<Point> {
        let text = fs::read_to_string(self.path(identity)).ok()?;
        let point: Point = serde_json::from_str(&text).ok()?;
        let is_same = point.identity == identity && point.size == size && point.position < size;
        (is_same && point.position % 4096 == 0).then_some(point)
    }

    /// Keeps `point`.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn save(&self, point: &Point) -> io::Result<()> {
        let save = || {
            fs::create_dir_all(&self.0)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            serde_json::to_writer(&mut file, point)?;
            file.flush()?;
            file.persist(self.path(&point.identity))?;
            Ok(())
        };
        save().map_err(|error: io::Error| {
            let message = format!(
                "{}: {error} (--state names another folder)",
                self.0.display()
            );
            io::Error::new(error.kind(), message)
        })
    }

    /// Removes the point of a scrub that has come to the end.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed.
    pub fn remove(&self, point: &Point) -> io::Result<()> {
        match fs::remove_file(self.path(&point.identity)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, identity: &str) -> PathBuf {
        let plain = |c: char| match c.is_ascii_alphanumeric() || "-_.:".contains(c) {
            true => c,
            false => '_',
        };
        let name: String = identity.chars().map(plain).take(200).collect();
        self.0.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrub_continues_on_the_same_device_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let points = Points::in_folder(&folder.path().join("scrub"));
        assert_eq!(points.of("dm CRYPT/x", 1 << 20), None);
        let mut point = Point::new("dm CRYPT/x", 1 << 20);
        point.position = 8192;
        point.bad = 3;
        points.save(&point).expect("saved");
        assert_eq!(points.of("dm CRYPT/x", 1 << 20), Some(point.clone()));
        assert_eq!(points.of("dm CRYPT/x", 1 << 21), None);
        // The same file, another device.
        assert_eq!(points.of("dm CRYPT_x", 1 << 20), None);
        points.remove(&point).expect("removed");
        points.remove(&point).expect("removed already");
        assert_eq!(points.of("dm CRYPT/x", 1 << 20), None);
    }
}
