// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Leaves out of a run that fails what has no influence on its failure.

use super::geometry::Covered;
use super::round::Sums;
use super::rounds::{Attempt, Bench, Torture};
use anyhow::Result;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The longest that it takes.
const LONGEST: Duration = Duration::from_secs(300);

/// Returns the elements that can be left out, with those of `skip`, and the attempt without them.
pub(super) fn shrink(
    bench: &mut Bench,
    options: &Torture,
    device: u64,
    skip: BTreeSet<u32>,
    attempt: Attempt,
) -> Result<(BTreeSet<u32>, Attempt)> {
    let end = Instant::now() + LONGEST;
    let kind = kind(&attempt);
    least(skip, attempt, |skip| {
        if Instant::now() > end {
            return Ok(None);
        }
        bench.clean()?;
        let (mut sums, mut covered) = (Sums::default(), Covered::default());
        let attempt = bench.attempt(options, device, skip, &mut sums, &mut covered)?;
        Ok(Some(attempt).filter(|attempt| attempt.error.is_some() && kind == self::kind(attempt)))
    })
}

/// Returns what is the same of failures that have the same cause: their text without numbers.
fn kind(attempt: &Attempt) -> String {
    let error = attempt.error.as_ref().map(|error| format!("{error:#}"));
    let error = error.unwrap_or_default();
    let line = error.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Leaves out more and more elements, first many at once, as long as `tries` returns an attempt that
/// fails.
fn least(
    mut skip: BTreeSet<u32>,
    mut attempt: Attempt,
    mut tries: impl FnMut(&BTreeSet<u32>) -> Result<Option<Attempt>>,
) -> Result<(BTreeSet<u32>, Attempt)> {
    let mut size = attempt.met.len().div_ceil(2);
    loop {
        let (mut at, mut found) = (0, false);
        while at < attempt.met.len() {
            let end = (at + size).min(attempt.met.len());
            let mut more = skip.clone();
            more.extend(&attempt.met[at..end]);
            match tries(&more)? {
                Some(fails) => {
                    (skip, attempt, found) = (more, fails, true);
                }
                None => at = end,
            }
        }
        match size {
            0 => break,
            1 if !found => break,
            1 => {}
            _ => size = size.div_ceil(2),
        }
    }
    Ok((skip, attempt))
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn attempt(met: impl Iterator<Item = u32>) -> Attempt {
        Attempt {
            shown: String::new(),
            steps: Vec::new(),
            script: Script::default(),
            met: met.collect(),
            error: Some(anyhow::anyhow!("sector 12 differs")),
            kernel_log: Vec::new(),
        }
    }

    #[test]
    fn what_has_no_influence_is_left_out() -> Result<()> {
        let needed = [1003, 1017, 2001];
        let all = (1000..1020).chain(2000..2010);
        let mut count = 0;
        let (skip, least) = least(BTreeSet::new(), attempt(all.clone()), |skip| {
            count += 1;
            let fails = !needed.iter().any(|needed| skip.contains(needed));
            let met = all.clone().filter(|element| !skip.contains(element));
            Ok(fails.then(|| attempt(met)))
        })?;
        assert_eq!(least.met, needed);
        assert_eq!(skip.len(), 27);
        assert!(count < 60, "{count}");
        Ok(())
    }

    #[test]
    fn failures_of_one_kind_differ_in_numbers() {
        let of = |text: &'static str| {
            kind(&Attempt {
                error: Some(anyhow::anyhow!(text)),
                ..attempt(0..1)
            })
        };
        assert_eq!(of("dev=253:2 sector=8"), of("dev=253:3 sector=16\n  more"));
        assert_ne!(of("sector=8"), of("sector=8 res=0"));
    }
}
