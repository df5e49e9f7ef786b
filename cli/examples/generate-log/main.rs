// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes an audit log like a busy host's to standard output: the same seed, the same log.
//!
//! ```text
//! cargo run --release --example generate-log -- --events 585000 >audit.log    # about 300 MB
//! cargo run --example generate-log -- --events 5000 --guests 40               # mostly guests
//! ```
//!
//! Most events are system calls with their paths; `--share` in a thousand (50) are of device mapper, of
//! namespaces and of guests. `--plain` leaves out what auvirt 3.0.9 has a bug with, so that both programs
//! must tell the same.

mod guests;
mod host;
mod random;

use clap::Parser;
use random::Random;
use std::io::{self, BufWriter, Write};

/// Writes an audit log like a busy host's.
#[derive(Debug, Parser)]
struct Args {
    /// How many events.
    #[arg(long, default_value_t = 585_000)]
    events: u64,
    /// The same seed, the same log.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many events in a thousand are not just a system call.
    #[arg(long, default_value_t = 50)]
    share: u64,
    /// How many guests there are.
    #[arg(long, default_value_t = 20)]
    guests: usize,
    /// Only what auvirt 3.0.9 tells rightly.
    #[arg(long)]
    plain: bool,
    /// When the log begins, in seconds since 1970.
    #[arg(long, default_value_t = 1_795_000_000)]
    from: u64,
}

/// The log as it grows: time, serial number, output.
struct Log<W> {
    out: W,
    millis: u64,
    serial: u64,
    random: Random,
    plain: bool,
}

impl<W: Write> Log<W> {
    /// Begins an event; the result is what stands in `audit(...)`.
    fn event(&mut self) -> String {
        self.millis += self.random.below(100);
        self.serial += 1;
        format!(
            "{}.{:03}:{}",
            self.millis / 1000,
            self.millis % 1000,
            self.serial
        )
    }

    fn record(&mut self, ty: &str, stamp: &str, body: &str) -> io::Result<()> {
        writeln!(self.out, "type={ty} msg=audit({stamp}): {body}")
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let mut log = Log {
        out: BufWriter::with_capacity(1 << 20, io::stdout().lock()),
        millis: args.from * 1000,
        serial: 100,
        random: Random::new(args.seed),
        plain: args.plain,
    };
    let mut guests = guests::Guests::new(args.guests, &mut log.random);
    let mut host = host::Host::default();
    for _ in 0..args.events {
        if log.random.below(1000) >= args.share {
            host.system_call(&mut log)?;
        } else {
            match log.random.below(if args.guests == 0 { 5 } else { 12 }) {
                0..=3 => host.device_mapper(&mut log)?,
                4 => host.namespace(&mut log)?,
                _ => guests.event(&mut log)?,
            }
        }
    }
    log.out.flush()
}
