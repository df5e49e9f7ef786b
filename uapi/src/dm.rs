// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The body of device-mapper records, byte for byte what `drivers/md/dm-audit.c` writes.

use super::text::{
    Sink, //
    decimal,
    signed,
};

/// The device number of a mapped or underlying device. `dev=` is decimal in these records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dev {
    /// `MAJOR(dev)`.
    pub major: u32,
    /// `MINOR(dev)`.
    pub minor: u32,
}

/// The common part of device-mapper records.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The target that emits it: `integrity`, `crypt`, `verity`. Chosen by the target, hence
    /// trusted.
    pub module: &'a [u8],
    /// The operation: `ctr`, `dtr`, `integrity-checksum`, ... Chosen by the target.
    pub op: &'a [u8],
    /// The device it concerns.
    pub dev: Dev,
    /// `res=`: 1 for success, 0 for failure.
    pub result: i32,
}

impl Event<'_> {
    /// Writes the head of each record: `module=integrity op=ctr`.
    ///
    /// In `DM_CTRL`, `audit_log_task_info()` follows.
    pub fn head(&self, out: &mut impl Sink) {
        out.put(b"module=");
        out.put(self.module);
        out.put(b" op=");
        out.put(self.op);
    }

    /// Writes the end of `DM_CTRL`: ` dev=254:3 error_msg='success' res=1`.
    ///
    /// `error` is the target's `ti->error`, written when [`Event::result`] is 0. A target that set
    /// none reads `(null)`, as C's `%s` has it.
    pub fn ctrl_tail(&self, error: Option<&[u8]>, out: &mut impl Sink) {
        self.dev(out);
        out.put(b" error_msg='");
        out.put(match self.result {
            0 => error.unwrap_or(b"(null)"),
            _ => b"success",
        });
        out.put(b"'");
        self.res(out);
    }

    /// Writes the end of `DM_EVENT`: ` dev=254:3 sector=77480 res=0`.
    ///
    /// `sector` is in the target's own unit: 512-byte sectors (integrity, crypt) or data blocks
    /// (verity). `None`, written `?`, where the violation belongs to the target as a whole.
    pub fn event_tail(&self, sector: Option<u64>, out: &mut impl Sink) {
        self.dev(out);
        out.put(b" sector=");
        match sector {
            Some(sector) => decimal(out, sector),
            None => out.put(b"?"),
        }
        self.res(out);
    }

    fn dev(&self, out: &mut impl Sink) {
        out.put(b" dev=");
        decimal(out, self.dev.major.into());
        out.put(b":");
        decimal(out, self.dev.minor.into());
    }

    fn res(&self, out: &mut impl Sink) {
        out.put(b" res=");
        signed(out, self.result.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::text;
    use super::*;

    const EVENT: Event<'_> = Event {
        module: b"integrity",
        op: b"integrity-checksum",
        dev: Dev {
            major: 254,
            minor: 3,
        },
        result: 0,
    };

    #[test]
    fn the_reference_event_of_the_contract() {
        assert_eq!(
            text(|out| {
                EVENT.head(out);
                EVENT.event_tail(Some(77480), out);
            }),
            "module=integrity op=integrity-checksum dev=254:3 sector=77480 res=0"
        );
        assert_eq!(
            text(|out| EVENT.event_tail(None, out)),
            " dev=254:3 sector=? res=0"
        );
    }

    #[test]
    fn a_failed_constructor_has_its_error_and_a_good_one_success() {
        let failed = Event {
            op: b"ctr",
            ..EVENT
        };
        assert_eq!(
            text(|out| failed.ctrl_tail(Some(b"Device lookup failed"), out)),
            " dev=254:3 error_msg='Device lookup failed' res=0"
        );
        assert_eq!(
            text(|out| failed.ctrl_tail(None, out)),
            " dev=254:3 error_msg='(null)' res=0"
        );
        let good = Event {
            result: 1,
            ..failed
        };
        assert_eq!(
            text(|out| good.ctrl_tail(Some(b"left over"), out)),
            " dev=254:3 error_msg='success' res=1"
        );
    }
}
