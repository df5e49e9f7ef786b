// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes an audit log like a busy host's to standard output: the same seed, the same log.
//!
//! ```text
//! cargo run --release -p dmns-audit-tools --bin generate-log -- --events 585000 >audit.log    # about 300 MB
//! cargo run -p dmns-audit-tools --bin generate-log -- --events 5000 --guests 40               # mostly guests
//! cargo run -p dmns-audit-tools --bin generate-log -- --hosts 100 --moves --reboots --holes    # a fleet, each record with node=
//! ```
//!
//! Most events are system calls with their paths; `--share` in a thousand (50) are of device mapper, of
//! namespaces and of guests. `--plain` leaves out what auvirt 3.0.9 has a bug with, so that both programs
//! must report the same.

mod guests;
mod host;
mod random;

use clap::{Parser, ValueEnum};
use guests::{Guests, Sort};
use host::Host;
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
    /// Only these events, besides system calls.
    #[arg(long)]
    only: Option<Only>,
    /// How many hosts there are; more than one: each record says which, in `node=`.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// How many guests there are, on all hosts.
    #[arg(long, default_value_t = 20)]
    guests: usize,
    /// How many mappings live at a time, on all hosts.
    #[arg(long, default_value_t = 8)]
    mappings: usize,
    /// How many namespaces live at a time, on all hosts.
    #[arg(long, default_value_t = 30)]
    namespaces: usize,
    /// The guests' disks are mappings, so many on each host, and violations are found in them.
    #[arg(long, default_value_t = 0)]
    disks: usize,
    /// A guest's start is four records, not by twenty.
    #[arg(long)]
    brief: bool,
    /// Guests move from host to host.
    #[arg(long)]
    moves: bool,
    /// Hosts reboot, some without a shutdown.
    #[arg(long)]
    reboots: bool,
    /// Records are missing, many in a row.
    #[arg(long)]
    holes: bool,
    /// Only what auvirt 3.0.9 reports rightly.
    #[arg(long)]
    plain: bool,
    /// When the log begins, in seconds since 1970.
    #[arg(long, default_value_t = 1_795_000_000)]
    from: u64,
}

/// A sort of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Of device mapper.
    Dm,
    /// Of namespaces.
    Ns,
    /// Of guests.
    Virt,
}

/// The log as it grows: time, serial number, output.
struct Log<W> {
    out: W,
    millis: u64,
    serial: u64,
    /// `node=NAME `, or nothing.
    node: String,
    /// How many events are still lost.
    lost: u64,
    random: Random,
    plain: bool,
}

impl<W: Write> Log<W> {
    /// Begins an event; the result is what stands in `audit(...)`.
    fn event(&mut self) -> String {
        self.millis += self.random.below(100);
        self.serial += 1;
        self.lost = self.lost.saturating_sub(1);
        format!(
            "{}.{:03}:{}",
            self.millis / 1000,
            self.millis % 1000,
            self.serial
        )
    }

    /// What comes has a second before it.
    fn next_second(&mut self) {
        self.millis = self.millis.next_multiple_of(1000);
    }

    fn record(&mut self, ty: &str, stamp: &str, body: &str) -> io::Result<()> {
        match self.lost {
            0 => writeln!(
                self.out,
                "{}type={ty} msg=audit({stamp}): {body}",
                self.node
            ),
            _ => Ok(()),
        }
    }
}

/// A host, and what its log has of its own.
struct Machine {
    node: String,
    serial: u64,
    host: Host,
    guests: Guests,
}

impl Machine {
    /// The host that is the `at`th of all.
    fn new(at: usize, args: &Args, random: &mut Random) -> Self {
        let share = |all: usize| all / args.hosts + usize::from(at < all % args.hosts);
        let sort = Sort {
            count: share(args.guests),
            disks: args.disks,
            brief: args.brief,
        };
        Self {
            node: match args.hosts {
                1 => String::new(),
                _ => format!("node=host-{at:05} "),
            },
            serial: 100,
            host: Host::new((share(args.mappings).max(1), share(args.namespaces).max(1))),
            guests: Guests::new(sort, random),
        }
    }

    /// What `happens` is written with this host's name and serial number.
    fn writes<W: Write, T>(
        &mut self,
        log: &mut Log<W>,
        happens: impl FnOnce(&mut Self, &mut Log<W>) -> io::Result<T>,
    ) -> io::Result<T> {
        log.node.clone_from(&self.node);
        log.serial = self.serial;
        let result = happens(self, log);
        self.serial = log.serial;
        result
    }

    fn event<W: Write>(&mut self, log: &mut Log<W>, args: &Args) -> io::Result<()> {
        if args.reboots && log.random.below(2000) == 0 {
            let crashed = log.random.below(2) == 0;
            self.guests.off();
            return self.host.boots(log, crashed);
        }
        if log.random.below(1000) >= args.share {
            return self.host.system_call(log);
        }
        match (args.only, log.random.below(12)) {
            (Some(Only::Virt), _) if !self.guests.is_empty() => self.guests.event(log),
            (Some(Only::Dm), _) | (None, 0..=3) => self.host.device_mapper(log),
            (Some(Only::Ns), _) | (None, 4) => self.host.namespace(log),
            _ if self.guests.is_empty() => self.host.device_mapper(log),
            _ => self.guests.event(log),
        }
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let mut log = Log {
        out: BufWriter::with_capacity(1 << 20, io::stdout().lock()),
        millis: args.from * 1000,
        serial: 100,
        node: String::new(),
        lost: 0,
        random: Random::new(args.seed),
        plain: args.plain,
    };
    let mut machines: Vec<Machine> = (0..args.hosts)
        .map(|at| Machine::new(at, &args, &mut log.random))
        .collect();
    for _ in 0..args.events {
        let at = log.random.below(machines.len() as u64) as usize;
        if args.holes && log.random.below(3000) == 0 {
            log.lost = 40;
        }
        if args.moves && !machines[at].guests.is_empty() && log.random.below(200) == 0 {
            let to = log.random.below(machines.len() as u64) as usize;
            let leaves = |machine: &mut Machine, log: &mut Log<_>| machine.guests.leaves(log);
            if let Some(moving) = machines[at].writes(&mut log, leaves)? {
                machines[to]
                    .writes(&mut log, |machine, log| machine.guests.arrives(log, moving))?;
            }
            continue;
        }
        machines[at].writes(&mut log, |machine, log| machine.event(log, &args))?;
    }
    log.out.flush()
}
