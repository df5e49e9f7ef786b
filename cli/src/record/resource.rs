// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Reads VIRT_RESOURCE: the kind of a resource, its old value and its new one.
//!
//! The contract (`dmns_audit_log::virt::layout`) knows the fields of each kind.

use super::value::{Fields, decoded};
use std::borrow::Cow;

/// A resource that was attached to a guest, or detached from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource<'a> {
    /// `resrc=`: `disk`, `net`, `mem`, ...
    pub kind: &'a str,
    /// `reason=`: `start`, `attach`, `detach`, `update`, `open`, ...
    pub reason: &'a str,
    /// The old value, if it is recorded.
    pub old: Option<Cow<'a, str>>,
    /// The new value, if it is recorded.
    pub new: Option<Cow<'a, str>>,
    /// `res=success`.
    pub success: bool,
}

/// Returns whether the value of `kind` is a number. A number reads as hexadecimal too, and only the
/// name distinguishes the two.
fn is_number(kind: &str) -> bool {
    matches!(kind, "mem" | "vcpu" | "iothread")
}

impl<'a> Resource<'a> {
    /// Reads `record`; `None` if it has no kind.
    pub fn of(record: &'a Fields<'_>) -> Option<Self> {
        let kind = record.raw("resrc")?;
        let reason = record.raw("reason").unwrap_or_default();
        let success = succeeded(record);
        let mut resource = Self {
            kind,
            reason,
            success,
            ..Self::default()
        };
        let change = |prefix| {
            let raw = record.raw_of(prefix, kind)?;
            let value = match is_number(kind) {
                true => Cow::Borrowed(raw),
                false => decoded(raw),
            };
            let none = match value.as_ref() {
                "" | "?" => true,
                value => is_number(kind) && value == "0",
            };
            (!none).then_some(value)
        };
        (resource.old, resource.new) = (change(b"old-"), change(b"new-"));
        if resource.old.is_some() || resource.new.is_some() {
            return Some(resource);
        }
        // Kinds with one value: the reason distinguishes attach and detach. Each name is a literal,
        // so that the compiler can evaluate its key.
        let one = (record.text("device"))
            .or_else(|| record.text("path"))
            .or_else(|| record.text("disk"))
            .or_else(|| record.text("chardev"))
            .or_else(|| record.text("backend"))
            .filter(|value| !matches!(value.as_ref(), "" | "?"));
        let one = match record.raw("bus") {
            Some(bus) => Some(
                format!("{bus} {}", one.unwrap_or_default())
                    .trim_end()
                    .to_owned()
                    .into(),
            ),
            None => one,
        };
        match reason {
            "detach" => resource.old = one,
            _ => resource.new = one,
        }
        Some(resource)
    }
}

/// Returns whether `res=` is success.
pub fn succeeded(record: &Fields<'_>) -> bool {
    matches!(record.raw("res"), Some("success" | "1" | "yes"))
}

/// A descriptor that was opened for an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The interface.
    pub mac: &'a str,
    /// The path.
    pub path: Cow<'a, str>,
    /// The device number, `0A:C8`; `None` if it is no device.
    pub rdev: Option<&'a str>,
}

impl<'a> Opened<'a> {
    /// Reads `record`, if it is `resrc=net reason=open`.
    pub fn of(record: &'a Fields<'_>) -> Option<Self> {
        if record.raw("reason") != Some("open") || record.raw("resrc") != Some("net") {
            return None;
        }
        Some(Self {
            // Until libvirt 0.9 in single quotes.
            mac: record.raw("net")?.trim_matches(['\'', '"']),
            path: record.text("path")?,
            rdev: record.raw("rdev").filter(|rdev| *rdev != "?"),
        })
    }

    /// Returns a text such as `/dev/net/tun (0A:C8)`.
    pub fn show(&self) -> String {
        match self.rdev {
            Some(rdev) => format!("{} ({rdev})", self.path),
            None => self.path.clone().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(inner: &str) -> (String, Option<String>, Option<String>) {
        let body = format!("pid=1 msg='virt=qemu {inner} res=success'");
        let record = Fields::new(&body);
        let resource = Resource::of(&record).expect("a kind");
        let owned = |value: Option<Cow<'_, str>>| value.map(Cow::into_owned);
        (
            resource.reason.to_owned(),
            owned(resource.old),
            owned(resource.new),
        )
    }

    #[test]
    fn what_comes_and_what_goes() {
        for (inner, old, new) in [
            (
                "resrc=disk reason=update old-disk=\"/a\" new-disk=\"/b\"",
                Some("/a"),
                Some("/b"),
            ),
            (
                "resrc=chardev reason=detach old-chardev=\"/a\" new-chardev=\"?\"",
                Some("/a"),
                None,
            ),
            (
                "resrc=iothread reason=update old-iothread=10 new-iothread=12",
                Some("10"),
                Some("12"),
            ),
            (
                "resrc=mem reason=start old-mem=0 new-mem=98304",
                None,
                Some("98304"),
            ),
            (
                "resrc=dev reason=attach bus=usb device=555342207265646972646576",
                None,
                Some("usb USB redirdev"),
            ),
            (
                "resrc=dev reason=detach bus=pci device=\"0000:01:00.0\"",
                Some("pci 0000:01:00.0"),
                None,
            ),
            // A name of digits only is text, in hexadecimal.
            (
                "resrc=disk reason=start old-disk=\"?\" new-disk=2F6120",
                None,
                Some("/a "),
            ),
            (
                "resrc=evdev reason=start path=/dev/input/event0",
                None,
                Some("/dev/input/event0"),
            ),
            (
                "resrc=smartcard reason=start old-smartcard=\"?\" new-smartcard=\"/s\"",
                None,
                Some("/s"),
            ),
        ] {
            let (_, was, is) = shown(inner);
            assert_eq!((was.as_deref(), is.as_deref()), (old, new), "{inner}");
        }
    }

    #[test]
    fn an_opened_path_is_shown_with_its_device() {
        let record = Fields::new(
            "pid=1 msg='virt=qemu resrc=net reason=open vm=\"x\" net=52:54:00:00:00:01 path=\"/dev/net/tun\" rdev=0A:C8'",
        );
        let opened = Opened::of(&record).expect("opened");
        assert_eq!(
            (opened.mac, opened.show().as_str()),
            ("52:54:00:00:00:01", "/dev/net/tun (0A:C8)")
        );
        let macvtap = Fields::new(
            "pid=1 msg='resrc=net reason=open net=52:54:00:00:00:03 path=\"macvtap0\" rdev=?'",
        );
        assert_eq!(
            Opened::of(&macvtap).map(|o| o.show()).as_deref(),
            Some("macvtap0")
        );
        assert_eq!(
            Opened::of(&Fields::new("pid=1 msg='resrc=net reason=start'")),
            None
        );
    }
}
