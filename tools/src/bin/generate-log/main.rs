// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes an audit log like a busy host's to standard output: the same seed, the same log.
//!
//! ```text
//! cargo run --release -p dmns-audit-tools --bin generate-log -- --events 585000 >audit.log    # about 300 MB
//! cargo run -p dmns-audit-tools --bin generate-log -- --events 5000 --guests 40               # mostly guests
//! cargo run -p dmns-audit-tools --bin generate-log -- --hosts 100 --moves --reboots --holes    # a fleet, each record with node=
//! ```
//!
//! Most events are system calls with their paths; `--share` in a thousand (50) are of device
//! mapper, of namespaces and of guests. `--plain` leaves out what auvirt 3.0.9 has a bug with, so
//! that both programs must report the same.

mod guests;
mod host;
mod log;
mod random;

use clap::{Parser, ValueEnum};
use guests::{Guests, Sort};
use host::Host;
use log::Log;
use random::Random;
use std::io::{self, BufWriter, Write};

/// Writes an audit log like a busy host's.
#[derive(Debug, Parser)]
struct Args {
    /// Number of events.
    #[arg(long, default_value_t = 585_000)]
    events: u64,
    /// The same seed, the same log.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of events in a thousand that are not just a system call.
    #[arg(long, default_value_t = 50)]
    share: u64,
    /// Only these events, in addition to system calls.
    #[arg(long)]
    only: Option<Only>,
    /// Number of hosts. If there are several, each record has `node=`.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Number of guests, on all hosts.
    #[arg(long, default_value_t = 20)]
    guests: usize,
    /// Number of active mappings, on all hosts.
    #[arg(long, default_value_t = 8)]
    mappings: usize,
    /// Number of active namespaces, on all hosts.
    #[arg(long, default_value_t = 30)]
    namespaces: usize,
    /// Number of mappings on each host that are the guests' disks, and have violations.
    #[arg(long, default_value_t = 0)]
    disks: usize,
    /// A guest's start has four records, not twenty.
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
    /// Only events that auvirt 3.0.9 reports correctly.
    #[arg(long)]
    plain: bool,
    /// Begin of the log, in seconds since 1970.
    #[arg(long, default_value_t = 1_795_000_000)]
    from: u64,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Device mapper.
    Dm,
    /// Namespaces.
    Ns,
    /// Guests.
    Virt,
}

/// A host, and the state of its log.
struct Machine {
    node: String,
    serial: u64,
    host: Host,
    guests: Guests,
}

impl Machine {
    /// Creates the host with the index `at`.
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

    /// Writes `happens` with this host's name and serial number.
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
