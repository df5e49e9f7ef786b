// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The names of a container, its image and its pod. Each engine keeps these in another place; the
//! runtime does not always get them.
//!
//! An image may have annotations of its own. So annotations come last if an engine has its own
//! place for names.

use super::bundle::Bundle;
use super::conmon::{self, Conmon};
use super::state::State;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Names, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The container's; its id, if it has no other.
    pub name: Vec<u8>,
    /// The program that created it.
    pub runtime: Option<Vec<u8>>,
    /// Its image's.
    pub image: Option<Vec<u8>>,
    /// Its pod's.
    pub pod: Option<Vec<u8>>,
}

impl Origin {
    /// Looks all of them up.
    pub fn of(state: &State, bundle: &Bundle, conmon: Option<&Conmon>) -> Self {
        let found = match conmon.filter(|conmon| conmon.podman) {
            Some(conmon) => Self {
                name: conmon.name.clone().unwrap_or_default(),
                ..Self::podman(state, bundle)
            },
            None => Self::docker(state, bundle)
                .or_else(|| Self::annotated(state, bundle))
                .unwrap_or_else(|| Self::podman(state, bundle)),
        };
        let conmon = conmon.and_then(|conmon| conmon.name.clone());
        let names = [Some(found.name.clone()), conmon];
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        Self {
            name: name.unwrap_or_else(|| state.id.clone().into_bytes()),
            runtime: conmon::runtime(),
            ..found
        }
    }

    /// podman keeps names in `containers.json`, two folders above the bundle. In a pod, the host's
    /// name is the pod's.
    fn podman(state: &State, bundle: &Bundle) -> Self {
        let mut origin = Self::default();
        let storage = state.bundle.ancestors().nth(2);
        let Some(storage) = storage.filter(|_| state.bundle.ends_with("userdata")) else {
            return origin;
        };
        let known = ["containers.json", "volatile-containers.json"]
            .iter()
            .find_map(|file| stored(&storage.join(file), &state.id));
        if let Some((name, image)) = known {
            origin.name = name.unwrap_or_default().into_bytes();
            origin.image = image.map(String::into_bytes);
        }
        let sandbox = "io.kubernetes.cri-o.SandboxID";
        if let Some(sandbox) = bundle.annotation(state, sandbox).filter(|id| plain(id)) {
            let infra = Bundle::read(&storage.join(sandbox).join("userdata"));
            origin.pod = Some(infra.hostname().unwrap_or(sandbox).as_bytes().to_vec());
        }
        origin
    }

    /// Docker keeps names in `config.v2.json`, next to the `hostname` that it mounts into each
    /// container.
    fn docker(state: &State, bundle: &Bundle) -> Option<Self> {
        let folder = bundle.source("/etc/hostname")?.parent()?;
        if folder.file_name()?.to_str()? != state.id {
            return None;
        }
        let text = fs::read(folder.join("config.v2.json")).ok()?;
        let known: Value = serde_json::from_slice(&text).ok()?;
        let name = known.get("Name")?.as_str()?.trim_start_matches('/');
        let image = known.pointer("/Config/Image").and_then(Value::as_str);
        Some(Self {
            name: name.as_bytes().to_vec(),
            image: image.map(|image| image.as_bytes().to_vec()),
            ..Self::default()
        })
    }

    /// CRI-O, containerd and nerdctl note names in annotations.
    fn annotated(state: &State, bundle: &Bundle) -> Option<Self> {
        let of = |name: &str| bundle.annotation(state, name);
        for (name, sandbox, space, image) in [
            (
                "io.kubernetes.cri-o.ContainerName",
                "io.kubernetes.cri-o.KubeName",
                "io.kubernetes.cri-o.Namespace",
                &["io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"][..],
            ),
            (
                "io.kubernetes.container.name",
                "io.kubernetes.pod.name",
                "io.kubernetes.pod.namespace",
                &["io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"],
            ),
            (
                "io.kubernetes.cri.container-name",
                "io.kubernetes.cri.sandbox-name",
                "io.kubernetes.cri.sandbox-namespace",
                &["io.kubernetes.cri.image-name"],
            ),
        ] {
            let pod = of(sandbox).map(|pod| match of(space) {
                Some(space) => format!("{space}/{pod}"),
                None => pod.to_owned(),
            });
            // What holds a pod's namespaces is no container of the user's: it has the pod's name
            // only.
            let Some(name) = of(name).or(of(sandbox)).filter(|_| pod.is_some()) else {
                continue;
            };
            return Some(Self {
                name: name.as_bytes().to_vec(),
                image: image
                    .iter()
                    .find_map(|i| of(i))
                    .map(|i| i.as_bytes().to_vec()),
                pod: pod.map(String::into_bytes),
                ..Self::default()
            });
        }
        Some(Self {
            name: of("nerdctl/name")?.as_bytes().to_vec(),
            ..Self::default()
        })
    }
}

/// Returns whether `id` names one folder.
fn plain(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Returns name and image of the container `id`, from the storage of podman.
fn stored(file: &Path, id: &str) -> Option<(Option<String>, Option<String>)> {
    let all: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let known = all
        .as_array()?
        .iter()
        .find(|one| one.get("id") == Some(&id.into()))?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    // JSON in a string.
    let metadata = known.get("metadata").and_then(Value::as_str);
    let metadata: Option<Value> = metadata.and_then(|text| serde_json::from_str(text).ok());
    let image = metadata.as_ref().and_then(|m| m.get("image-name"));
    Some((
        text(known.pointer("/names/0")),
        text(image).filter(|image| !image.is_empty()),
    ))
}
