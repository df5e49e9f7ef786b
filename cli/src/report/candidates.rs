// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Names that a log has, for a filter that matches none of them.

use std::collections::BTreeSet;

/// Maximum number of names that are kept, and that are printed.
const MOST: usize = 1000;
const SHOWN: usize = 10;

/// Names of one kind.
#[derive(Clone, Debug, Default)]
pub struct Candidates(BTreeSet<String>);

impl Candidates {
    /// Adds `name`, unless it is empty.
    pub fn add(&mut self, name: &str) {
        if !name.is_empty() && self.0.len() < MOST && !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `; guests: db1, web01, and 3 more`, or nothing without any.
    pub fn show(&self, what: &str) -> String {
        // What a control group is called says less than a name.
        let is_id = |name: &str| name.len() >= 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
        self.sorted(what, is_id)
    }

    /// Returns the same, with those first that begin like `wanted`, or end in a name that begins like its own.
    pub fn show_near(&self, what: &str, wanted: &str) -> String {
        let last = |path: &str| path.rsplit('/').next().map(str::to_owned);
        let alike = |a: &str, b: &str| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
        let own = last(wanted).unwrap_or_default();
        self.sorted(what, |name| {
            let of_name = alike(&last(name).unwrap_or_default(), &own);
            std::cmp::Reverse(alike(name, wanted).max(of_name))
        })
    }

    fn sorted<K: Ord>(&self, what: &str, key: impl Fn(&str) -> K) -> String {
        let mut names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        names.sort_by_key(|name| key(name));
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        match (names.is_empty(), more) {
            (true, _) => String::new(),
            (false, 0) => format!("; {what}: {}", names.join(", ")),
            (false, more) => format!("; {what}: {}, and {more} more", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_names_are_shown() {
        let mut names = Candidates::default();
        assert_eq!(names.show("guests"), "");
        for name in ["web", "", "db", "web"] {
            names.add(name);
        }
        assert_eq!(names.show("guests"), "; guests: db, web");
        names.add("04999a733b1b");
        assert_eq!(names.show("guests"), "; guests: db, web, 04999a733b1b");
        (0..8).for_each(|number| names.add(&number.to_string()));
        assert!(names.show("guests").ends_with("7, db, web, and 1 more"));
        let mut paths = Candidates::default();
        ["/bin/cat", "/etc/password", "/srv/passwd"]
            .into_iter()
            .for_each(|path| paths.add(path));
        assert_eq!(
            paths.show_near("paths", "/etc/passwd"),
            "; paths: /etc/password, /srv/passwd, /bin/cat"
        );
    }
}
