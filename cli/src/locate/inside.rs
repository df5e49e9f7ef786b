// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Looks into images of disks, as guests have them: a file, or a volume with partitions of its own. A loop device that is
//! read-only gives the kernel their table of partitions; it exists only meanwhile.

use super::answer::{Answer, Layer, Place, What};
use super::effort::Effort;
use super::stack::Stack;
use super::{SECTOR, is_here, locate, tool};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A loop device, until it is dropped.
#[derive(Debug)]
struct Attached(String);

impl Attached {
    fn new(image: &Path) -> io::Result<Self> {
        let image = image.to_string_lossy().into_owned();
        let options = ["--read-only", "--partscan", "--find", "--show", &image];
        let device = tool::output("losetup", &options)?;
        Ok(Self(device.trim().to_owned()))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Whoever scans new devices may have it open for a moment; it ends then.
        let _ = tool::output("losetup", &["--detach", &self.0]);
    }
}

/// Adds to `answers` what is inside of images of disks.
pub fn add(stack: &Stack, answers: &mut [Answer], effort: &Effort) {
    let mut images: BTreeMap<PathBuf, Vec<(usize, usize, u64)>> = BTreeMap::new();
    for (number, answer) in answers.iter().enumerate() {
        for (at, place) in answer.places.iter().enumerate() {
            if let Some((image, sector)) = image(stack, answer, place) {
                let of = images.entry(image).or_default();
                of.push((number, at, sector));
            }
        }
    }
    for (path, asked) in images {
        // Most files are no images.
        let probed = tool::output("blkid", &["-p", &path.to_string_lossy()]);
        if !probed.is_ok_and(|said| !said.trim().is_empty()) {
            continue;
        }
        match look(stack, &path, &asked, effort) {
            Ok(found) => {
                for ((number, at, _), inner) in asked.into_iter().zip(found) {
                    put(&mut answers[number], at, inner);
                }
            }
            Err(error) => {
                for (number, at, _) in asked {
                    let place = &mut answers[number].places[at];
                    place
                        .remarks
                        .push(format!("it is not looked into: {error}"));
                }
            }
        }
    }
}

/// Returns the image of a disk at `place`, and the sector in it.
fn image(stack: &Stack, answer: &Answer, place: &Place) -> Option<(PathBuf, u64)> {
    match &place.what {
        What::File(data) => {
            let path = data.paths.first()?;
            let device = place.layers.last().map_or(&answer.device, |l| &l.device);
            is_here(device, place, path).then_some(())?;
            Some((PathBuf::from(path), data.offset? / SECTOR))
        }
        // A volume with a table of partitions.
        What::Unknown { .. } if place.filesystem.is_none() => {
            let last = place.layers.last();
            let device = last.map_or(&answer.device, |layer| &layer.device);
            let sector = last.map_or(answer.sector, |layer| layer.sector);
            Some((stack.path(device)?, sector))
        }
        _ => None,
    }
}

fn look(
    stack: &Stack,
    image: &Path,
    asked: &[(usize, usize, u64)],
    effort: &Effort,
) -> io::Result<Vec<Answer>> {
    let attached = Attached::new(image)?;
    let device = stack.number(&attached.0)?;
    // The nodes of its partitions may come a moment later.
    thread::sleep(Duration::from_millis(100));
    let questions: Vec<(String, u64)> = (asked.iter())
        .map(|(_, _, sector)| (device.clone(), *sector))
        .collect();
    Ok(locate(stack, &questions, effort))
}

/// Adds what was found inside of the place `at` of `answer`.
fn put(answer: &mut Answer, at: usize, inner: Answer) {
    if !inner.is_known() {
        let place = &mut answer.places[at];
        place
            .remarks
            .push("no filesystem is recognized inside".to_owned());
        return;
    }
    let outer = answer.places[at].clone();
    for mut place in inner.places {
        let mut layers = outer.layers.clone();
        layers.push(Layer {
            device: inner.device.clone(),
            name: Some("image".to_owned()),
            by: "inside".to_owned(),
            sector: inner.sector,
        });
        layers.append(&mut place.layers);
        place.layers = layers;
        place.certain &= outer.certain || matches!(outer.what, What::Unknown { .. });
        answer.places.push(place);
    }
}
