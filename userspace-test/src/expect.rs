// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Compares the audit log with the expected records.

use crate::pattern::{Expectation, Values, has_fields, is_type};
use dmns_audit_log::line::Line;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// The order of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// They come as they are listed.
    #[default]
    Listed,
    /// They come in any order.
    Any,
}

/// The result of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Records that are still to come.
    pub(crate) missing: Vec<String>,
    /// Records that must not be there, or not like this. Time does not change these.
    pub(crate) wrong: Vec<String>,
    /// Values that records bound, also in earlier steps.
    pub(crate) bound: Values,
}

/// The state of the matching of a step.
struct Matching<'a> {
    expected: &'a [Expectation],
    values: &'a Values,
    /// Records by event.
    events: HashMap<u64, Vec<Line<'a>>>,
    bound: Values,
    counts: Vec<u32>,
    /// Serial numbers of the events that have a name.
    named: BTreeMap<String, u64>,
}

impl<'a> Matching<'a> {
    /// Returns whether `line` meets the expectation, and if so, counts it.
    fn take(&mut self, i: usize, line: &Line<'a>) -> Result<bool, String> {
        let expected = &self.expected[i];
        if self.counts[i] == expected.max || !is_type(line, &expected.record) {
            return Ok(false);
        }
        let mut bound = self.bound.clone();
        if !expected.pattern.matches(line, self.values, &mut bound)? {
            return Ok(false);
        }
        let serial = line.stamp.serial;
        if let Some(event) = &expected.event {
            let taken = self.named.values().any(|other| *other == serial);
            match self.named.get(event) {
                Some(known) if *known != serial => return Ok(false),
                None if taken => return Ok(false),
                _ => {}
            }
        }
        if let Some((ty, fields)) = &expected.with {
            let mut met = false;
            for other in self.events.get(&serial).into_iter().flatten() {
                let mut tentative = bound.clone();
                if is_type(other, ty) && has_fields(other, fields, self.values, &mut tentative)? {
                    bound = tentative;
                    met = true;
                    break;
                }
            }
            if !met {
                return Ok(false);
            }
        }
        if expected.no_syscall && self.has_syscall(serial) {
            return Ok(false);
        }
        if let Some(event) = &expected.event {
            self.named.insert(event.clone(), serial);
        }
        self.bound = bound;
        self.counts[i] += 1;
        Ok(true)
    }

    fn has_syscall(&self, serial: u64) -> bool {
        self.events
            .get(&serial)
            .is_some_and(|event| event.iter().any(|line| line.ty == "SYSCALL"))
    }
}

/// Compares the log of a step with its expected records.
///
/// Every record of the module must be expected. Records of other types only matter if they are
/// named. `bound` has the values of earlier steps.
pub(crate) fn judge(
    lines: &[String],
    expected: &[Expectation],
    unwanted: &[Expectation],
    order: Order,
    values: &Values,
    bound: &Values,
) -> Result<Outcome, String> {
    let lines: Vec<Line<'_>> = lines.iter().filter_map(|text| Line::parse(text)).collect();
    let mut events: HashMap<u64, Vec<Line<'_>>> = HashMap::new();
    for line in &lines {
        events.entry(line.stamp.serial).or_default().push(*line);
    }
    let mut matching = Matching {
        expected,
        values,
        events,
        bound: bound.clone(),
        counts: vec![0; expected.len()],
        named: BTreeMap::new(),
    };
    let mut outcome = Outcome::default();
    // In listed order, the one that the next record has to meet, once all before it have their
    // least.
    let mut current = 0;
    for line in &lines {
        let ours = line.record_type().is_some();
        let named = || expected.iter().any(|e| is_type(line, &e.record));
        if !ours && !named() {
            continue;
        }
        let mut met = false;
        match order {
            Order::Listed => {
                let mut i = current;
                while i < expected.len() && !met {
                    met = matching.take(i, line)?;
                    if met {
                        current = i;
                    } else if matching.counts[i] < expected[i].min {
                        break;
                    } else {
                        i += 1;
                    }
                }
            }
            Order::Any => {
                // Who still lacks records goes first.
                for lacking in [true, false] {
                    for (i, expectation) in expected.iter().enumerate() {
                        if !met && (matching.counts[i] < expectation.min) == lacking {
                            met = matching.take(i, line)?;
                        }
                    }
                }
            }
        }
        if !met && ours {
            outcome.wrong.push(format!(
                "unexpected: {}{}",
                show(line),
                match (order, expected.get(current)) {
                    (Order::Listed, Some(next)) => format!("\n    expected here: {}", next.show()),
                    _ => String::new(),
                }
            ));
        }
    }
    for (expectation, count) in expected.iter().zip(&matching.counts) {
        if *count < expectation.min {
            outcome.missing.push(format!(
                "missing ({count} of {}): {}",
                expectation.min,
                expectation.show()
            ));
        }
    }
    for expectation in unwanted {
        for line in &lines {
            if is_type(line, &expectation.record)
                && expectation
                    .pattern
                    .matches(line, values, &mut matching.bound.clone())?
            {
                outcome
                    .wrong
                    .push(format!("must not appear: {}", show(line)));
            }
        }
    }
    outcome.bound = matching.bound;
    Ok(outcome)
}

/// Returns a record in the form of messages.
pub(crate) fn show(line: &Line<'_>) -> String {
    let name = match line.record_type() {
        Some(ty) => ty.name(),
        None => line.ty,
    };
    format!("{name} (event {}) {}", line.stamp.serial, line.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Pattern, Template};

    fn expectation(record: &str, fields: &str) -> Expectation {
        Expectation {
            record: record.to_owned(),
            pattern: Pattern::Some(Template::parse_fields(fields).expect("fields")),
            min: 1,
            max: 1,
            with: None,
            no_syscall: false,
            event: None,
        }
    }

    fn log(records: &[(&str, u64, &str)]) -> Vec<String> {
        records
            .iter()
            .map(|(ty, serial, body)| format!("type={ty} msg=audit(1.000:{serial}): {body}"))
            .collect()
    }

    fn run(log: &[String], expected: &[Expectation], order: Order) -> Outcome {
        let values = Values::from([("dev".to_owned(), "254:0".to_owned())]);
        judge(log, expected, &[], order, &values, &Values::new()).expect("values are set")
    }

    fn clean(outcome: &Outcome) -> bool {
        outcome.missing.is_empty() && outcome.wrong.is_empty()
    }

    #[test]
    fn order_matters_where_it_is_listed() {
        let log = log(&[
            ("DM_CTRL", 1, "op=dtr res=1"),
            ("USER", 2, "msg='x'"),
            ("DM_CTRL", 3, "op=ctr res=1"),
        ]);
        let expected = [
            expectation("DM_CTRL", "op=ctr"),
            expectation("DM_CTRL", "op=dtr"),
        ];
        assert!(clean(&run(&log, &expected, Order::Any)));
        let listed = run(&log, &expected, Order::Listed);
        assert!(listed.wrong[0].contains("op=dtr"), "{listed:?}");
        assert_eq!(listed.missing.len(), 1);
    }

    #[test]
    fn every_record_of_ours_must_be_expected() {
        let log = log(&[
            ("UNKNOWN[1385]", 1, "netns=3"),
            ("SYSCALL", 1, "syscall=272"),
        ]);
        let outcome = run(&log, &[], Order::Any);
        assert_eq!(outcome.wrong, ["unexpected: NS_INIT_NET (event 1) netns=3"]);
    }

    #[test]
    fn counts_have_a_least_and_a_most() {
        let twice = log(&[("DM_EVENT", 1, "sector=8"), ("DM_EVENT", 2, "sector=8")]);
        let mut expected = [expectation("1339", "sector=8")];
        assert_eq!(run(&twice, &expected, Order::Listed).wrong.len(), 1);
        expected[0].max = u32::MAX;
        assert!(clean(&run(&twice, &expected, Order::Listed)));
        expected[0].min = 3;
        assert_eq!(run(&twice, &expected, Order::Listed).missing.len(), 1);
    }

    #[test]
    fn a_bound_value_stays_the_same_and_values_are_put_in() {
        let pair = log(&[
            ("UNKNOWN[1385]", 1, "netns=3 ns_id=21"),
            ("UNKNOWN[1393]", 2, "netns=3 ns_id=21"),
        ]);
        let expected = [
            expectation("NS_INIT_NET", "ns_id=@id"),
            expectation("NS_DEL_NET", "ns_id=@id"),
        ];
        let outcome = run(&pair, &expected, Order::Listed);
        assert!(clean(&outcome));
        assert_eq!(outcome.bound["id"], "21");

        let other = log(&[
            ("UNKNOWN[1385]", 1, "netns=3 ns_id=21"),
            ("UNKNOWN[1393]", 2, "netns=3 ns_id=22"),
        ]);
        assert!(!clean(&run(&other, &expected, Order::Listed)));

        let dev = log(&[("DM_EVENT", 1, "dev=254:0")]);
        assert!(clean(&run(
            &dev,
            &[expectation("DM_EVENT", "dev=${dev}")],
            Order::Any
        )));
        let unset = [expectation("DM_EVENT", "dev=${nothing}")];
        assert!(
            judge(
                &dev,
                &unset,
                &[],
                Order::Any,
                &Values::new(),
                &Values::new()
            )
            .is_err()
        );
    }

    #[test]
    fn a_whole_body_leaves_no_room() {
        let log = log(&[("DM_EVENT", 1, "op=x sector=8 res=0")]);
        let mut expected = [expectation("DM_EVENT", "")];
        for (body, good) in [
            ("op=x sector=8 res=0", true),
            ("op=x sector=8", false),
            ("sector=8 op=x res=0", false),
            ("op=* sector=* res=*", true),
        ] {
            expected[0].pattern = Pattern::All(Template::parse_fields(body).expect("fields"));
            assert_eq!(clean(&run(&log, &expected, Order::Listed)), good, "{body}");
        }
    }

    #[test]
    fn events_are_distinguished() {
        let log = log(&[
            ("UNKNOWN[1381]", 1, "utsns=1"),
            ("UNKNOWN[1382]", 1, "ipcns=2"),
            ("SYSCALL", 1, "arch=c000003e syscall=272 comm=\"unshare\""),
            ("UNKNOWN[1389]", 2, "utsns=1"),
        ]);
        let with = |record: &str, event: &str| Expectation {
            with: Some((
                "SYSCALL".to_owned(),
                Template::parse_fields("syscall=unshare").expect("fields"),
            )),
            event: Some(event.to_owned()),
            ..expectation(record, "")
        };
        let alone = |record: &str| Expectation {
            no_syscall: true,
            ..expectation(record, "")
        };
        let one = [
            with("NS_INIT_UTS", "a"),
            with("NS_INIT_IPC", "a"),
            alone("NS_DEL_UTS"),
        ];
        assert!(clean(&run(&log, &one, Order::Listed)));
        let two = [
            with("NS_INIT_UTS", "a"),
            with("NS_INIT_IPC", "b"),
            alone("NS_DEL_UTS"),
        ];
        assert!(!clean(&run(&log, &two, Order::Listed)));
        let three = [
            alone("NS_INIT_UTS"),
            with("NS_INIT_IPC", "a"),
            alone("NS_DEL_UTS"),
        ];
        assert!(!clean(&run(&log, &three, Order::Listed)));
    }
}
