// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `--html FILE`: an HTML report in one file. It has a timeline of lifetimes, a map of each corrupt device, the
//! containers, the tree of namespaces, and the guests.
//!
//! The page is `page.html`. The data is written into it, and its script draws the page.

use crate::input::Wanted;
use crate::record::Head;
use crate::report::{Collector, Options, dm, ns, virt};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, Write};

const PAGE: &str = include_str!("page.html");

/// Maximum number of rows of each kind in a page, so that a browser draws it at once.
const MOST: usize = 5000;

/// Returns the options of a page: all rows, with proof, as objects.
pub fn options(like: &Options) -> Options {
    Options {
        window: like.window,
        all_events: true,
        proof: true,
        json: true,
        clock: like.clock.clone(),
        machine: like.machine.clone(),
        ..Options::default()
    }
}

/// Collects the data of a page: all three reports.
#[derive(Debug)]
pub struct Page<'a> {
    options: &'a Options,
    wanted: Wanted,
    dm: dm::Report<'a>,
    ns: ns::Report<'a>,
    virt: virt::Report<'a>,
}

impl<'a> Page<'a> {
    /// Creates a page with rows as in [`options`].
    pub fn new(
        options: &'a Options,
        ask: &'a virt::VirtOptions,
        namespaces: &'a ns::NsOptions,
    ) -> Self {
        Self {
            options,
            wanted: Wanted::types(&[
                "DM_C", "DM_E", "NS_I", "NS_D", "SYST", "KERN", "URIN", "OPEN", "PROC", "SYSC",
                "VIRT", "AVC ", "ANOM",
            ]),
            dm: dm::Report::new(options),
            ns: ns::Report::new(options, namespaces).with_namespaces(),
            virt: virt::Report::new(options, ask),
        }
    }

    /// Looks up the files of corrupt sectors too, as `dm_options` has it. The page has all mappings, whatever they select.
    pub fn with_files(mut self, dm_options: &dm::DmOptions) -> Self {
        self.dm = self.dm.only(dm::DmOptions {
            files: dm_options.files,
            names: dm_options.names.clone(),
            ..dm::DmOptions::default()
        });
        self
    }

    /// Writes the page about `logs`.
    ///
    /// # Errors
    ///
    /// Fails if `out` cannot be written to, or rows cannot be read back.
    pub fn write(self, logs: &[String], out: &mut dyn Write) -> io::Result<()> {
        let options = self.options;
        let mut lifetimes = Rows::new("lifetimes of mappings");
        self.dm.visit(|lifetime| {
            lifetimes.add(|| {
                let mut object = dm::show::object(lifetime, options);
                if let Some(files) = &lifetime.files {
                    let lines = files.lines.iter().take(MOST);
                    object["files"] = lines.cloned().collect();
                }
                object
            });
        })?;
        let mut guests = Rows::new("events of guests");
        self.virt.visit(|row| {
            guests.add(|| virt::show::object(row, options));
        })?;
        let mut containers = Rows::new("containers");
        let mut namespaces = Rows::new("namespaces");
        let mut places = HashSet::new();
        self.ns.visit(
            |container| containers.add(|| ns::show_containers::object(container, options)),
            |namespace| {
                namespaces.add(|| {
                    let mut object = ns::show::object(namespace, options);
                    object["at"] = json!(namespace.order);
                    object["in_container"] = json!(namespace.container.is_some());
                    places.insert(namespace.order);
                    // An ancestor that has no room leaves its descendants as roots.
                    let parent = namespace
                        .ancestors
                        .last()
                        .filter(|above| places.contains(above));
                    object["parent_at"] = json!(parent);
                    object
                });
            },
        )?;
        let left_out: Vec<String> = [&lifetimes, &guests, &containers, &namespaces]
            .into_iter()
            .filter_map(Rows::left_out)
            .collect();
        let made = jiff::Timestamp::now().as_second();
        let data = json!({
            "logs": logs,
            "made": options.clock.iso(u64::try_from(made).unwrap_or(0), 0),
            "lifetimes": lifetimes.rows,
            "guests": guests.rows,
            "containers": containers.rows,
            "namespaces": namespaces.rows,
            "left_out": left_out,
        });
        // What a log says must not end the element that it stands in.
        let data = data.to_string().replace('<', "\\u003c");
        let (before, after) = PAGE.split_once("@DATA@").unwrap_or((PAGE, ""));
        out.write_all(before.as_bytes())?;
        out.write_all(data.as_bytes())?;
        out.write_all(after.as_bytes())?;
        out.flush()
    }
}

impl Collector for Page<'_> {
    fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.dm.record(head)?;
        self.ns.record(head)?;
        self.virt.record(head)
    }
}

/// Rows of one kind, up to the maximum.
struct Rows {
    what: &'static str,
    rows: Vec<Value>,
    more: usize,
}

impl Rows {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            rows: Vec::new(),
            more: 0,
        }
    }

    fn add(&mut self, row: impl FnOnce() -> Value) {
        if self.rows.len() < MOST {
            self.rows.push(row());
        } else {
            self.more += 1;
        }
    }

    fn left_out(&self) -> Option<String> {
        (self.more > 0).then(|| {
            format!(
                "{} more {} are left out: use --start and --end",
                self.more, self.what
            )
        })
    }
}

/// Two collectors that see the same records.
#[derive(Debug)]
pub struct Tee<A, B>(pub A, pub B);

impl<A: Collector, B: Collector> Collector for Tee<&mut A, &mut B> {
    fn wanted(&self) -> &Wanted {
        // The page wants whatever a report wants, but for one that wants all.
        match self.0.wanted() {
            all if all.is_all() => all,
            _ => self.1.wanted(),
        }
    }

    fn ever(&self) -> &Wanted {
        match self.0.ever() {
            all if all.is_all() => all,
            _ => self.1.ever(),
        }
    }

    fn record(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.0.record(head)?;
        self.1.record(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Log;
    use crate::report::collect;

    #[test]
    fn what_a_log_says_stays_data() {
        let log = include_str!("../../tests/logs/virt.log").replace("Arch", "</script><b>");
        let options = options(&Options::default());
        let ask = virt::VirtOptions::default();
        let namespaces = ns::NsOptions::default();
        let mut page = Page::new(&options, &ask, &namespaces);
        let mut log = Log::stream("log", io::Cursor::new(log));
        collect(&mut log, &mut page, |_| {}).expect("read");
        let mut out = Vec::new();
        page.write(&["<i>".to_owned()], &mut out).expect("written");
        let page = String::from_utf8(out).expect("text");
        assert!(page.contains("\\u003c/script>\\u003cb>"), "it is there");
        assert!(!page.contains("</script><b>") && !page.contains("<i>"));
        assert_eq!(
            page.matches("</script>").count(),
            PAGE.matches("</script>").count()
        );
        for what in ["http:", "https:", "src=", "href="] {
            let own = page
                .replace("http://www.w3.org/2000/svg", "")
                .replace("default-src=", "");
            assert!(!own.contains(what), "nothing is loaded: {what}");
        }
    }

    #[test]
    fn a_page_with_files_has_them_below_the_device() {
        let options = options(&Options::default());
        let ask = virt::VirtOptions::default();
        let namespaces = ns::NsOptions::default();
        let written = |files: bool| {
            let dm_options = dm::DmOptions {
                files,
                ..dm::DmOptions::default()
            };
            let mut page = Page::new(&options, &ask, &namespaces).with_files(&dm_options);
            let log = include_str!("../../tests/logs/dm.log");
            let mut log = Log::stream("log", io::Cursor::new(log));
            collect(&mut log, &mut page, |_| {}).expect("read");
            let mut out = Vec::new();
            page.write(&["log".to_owned()], &mut out).expect("written");
            String::from_utf8(out).expect("text")
        };
        // The mappings of this log are gone, which the page says.
        let said = "files are not looked up: the host was down since";
        assert!(written(true).contains(said));
        assert!(!written(false).contains(said));
    }
}
