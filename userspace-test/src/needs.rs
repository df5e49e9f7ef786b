// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a scenario needs of the kernel and of the module, found without a guest.
//!
//! A scenario that lacks something is skipped with the reason. The options follow from its records
//! and its commands; its file may name more (`options`).

use crate::config::Config;
use crate::kind::Kind;
use crate::prepare::Prepared;
use crate::scenario::Scenario;
use std::collections::BTreeSet;

/// The options that commands and other words of steps need.
const WORDS: [(&str, &[&str]); 13] = [
    ("bpftrace", &["BPF_SYSCALL", "DEBUG_INFO_BTF"]),
    ("cryptsetup", &["DM_CRYPT"]),
    ("faults", &["FAULT_INJECTION_STACKTRACE_FILTER"]),
    ("fuse", &["FUSE_FS"]),
    ("integritysetup", &["DM_INTEGRITY"]),
    ("livepatch", &["LIVEPATCH"]),
    ("losetup", &["BLK_DEV_LOOP"]),
    ("pcrypt", &["CRYPTO_PCRYPT"]),
    ("gcm", &["CRYPTO_GCM"]),
    ("probe", &["FPROBE"]),
    ("stress-ng", &["POSIX_MQUEUE"]),
    ("veritysetup", &["DM_VERITY"]),
    ("x32_exec_time", &["X86_X32_ABI"]),
];

/// The options that kinds of namespace need, by the ends of the records' names.
const KINDS: [(&str, &str); 7] = [
    ("_CGROUP", "CGROUPS"),
    ("_IPC", "IPC_NS"),
    ("_NET", "NET_NS"),
    ("_PID", "PID_NS"),
    ("_TIME", "TIME_NS"),
    ("_USER", "USER_NS"),
    ("_UTS", "UTS_NS"),
];

/// The words of steps that are of no use without the module.
const OF_MODULE: [&str; 11] = [
    "check-counters",
    "counter",
    "dmns_audit",
    "evade-info",
    "faults",
    "fuzz",
    "hostile",
    "livepatch",
    "load",
    "soak",
    "unload",
];

/// Returns why a scenario cannot be run with this kernel and module.
pub(crate) fn lack(prepared: &Prepared, scenario: &Scenario) -> Option<String> {
    if let Some(config) = &prepared.config {
        if let Some(why) = lacks_option(config, scenario) {
            return Some(why);
        }
    }
    if let Some(word) = lacks_module(prepared.kind, prepared.module.is_some(), scenario) {
        return Some(format!(
            "its steps use the module ({word}), and there is none"
        ));
    }
    if !prepared.writes_namespaces && probes_namespaces(scenario) {
        return Some(
            "the kernel writes no NS_INIT_UTS for `unshare --uts true`, and there is no module"
                .to_owned(),
        );
    }
    let has_test_modules = prepared.test_modules.is_some();
    let has_control = prepared.control.is_some() || !prepared.kind.complains();
    lacks_tree(scenario, has_test_modules, has_control).map(str::to_owned)
}

/// Returns the word of its steps that needs a module, if there is none. On a kernel with patches,
/// `in_tree` has decided which scenarios hold. One that takes metrics, and is not judged, asks itself
/// whether there is a module.
fn lacks_module(kind: Kind, has_module: bool, scenario: &Scenario) -> Option<&'static str> {
    module_word(scenario).filter(|_| !has_module && scenario.judged && kind.patches().is_none())
}

/// Returns why its own modules are missing.
fn lacks_tree(
    scenario: &Scenario,
    has_test_modules: bool,
    has_control: bool,
) -> Option<&'static str> {
    let uses_control = scenario.expect_splat.is_some();
    let is_missing =
        !scenario.modules.is_empty() && !has_test_modules || uses_control && !has_control;
    is_missing.then_some(
        "its test modules need a tree to be built against (--tree), and the compilers that built it",
    )
}

/// Returns whether it is skipped where nothing records namespaces: it expects such records, and was
/// not asked for by name.
pub(crate) fn probes_namespaces(scenario: &Scenario) -> bool {
    let mut expected = scenario.steps.iter().flat_map(|step| &step.expected);
    !scenario.named && expected.any(|expected| expected.record.starts_with("NS_"))
}

/// Returns the first word of its steps that is of no use without the module.
pub(crate) fn module_word(scenario: &Scenario) -> Option<&'static str> {
    OF_MODULE.into_iter().find(|word| {
        scenario
            .steps
            .iter()
            .any(|step| words(&step.run).any(|found| found == *word))
    })
}

/// Returns the options that are not set.
fn lacks_option(config: &Config, scenario: &Scenario) -> Option<String> {
    let lacks: Vec<String> = options(scenario)
        .iter()
        .filter(|option| !config.has(option))
        .map(|option| format!("CONFIG_{option}"))
        .collect();
    (!lacks.is_empty()).then(|| format!("the kernel is built without {}", lacks.join(", ")))
}

/// Returns the options that a scenario needs.
fn options(scenario: &Scenario) -> BTreeSet<String> {
    let mut options: BTreeSet<String> = scenario.options.iter().cloned().collect();
    for step in &scenario.steps {
        for expected in &step.expected {
            if expected.record.starts_with("DM_") {
                options.insert("DM_AUDIT".to_owned());
                if let Some(target) = expected.text("module") {
                    options.insert(format!("DM_{}", target.to_uppercase()));
                }
            }
            let kind = KINDS.iter().find(|(end, _)| expected.record.ends_with(end));
            if let Some((_, option)) = kind.filter(|_| expected.record.starts_with("NS_")) {
                options.insert((*option).to_owned());
            }
        }
        for word in words(&step.run) {
            for (_, needs) in WORDS.iter().filter(|(name, _)| *name == word) {
                options.extend(needs.iter().map(|option| (*option).to_owned()));
            }
        }
    }
    options
}

/// Returns the words of a script: names of commands and files, without comments.
fn words(script: &str) -> impl Iterator<Item = &str> {
    script
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest;
    use crate::kind::Patches;
    use std::path::Path;

    fn scenario(name: &str) -> Scenario {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        Scenario::load(&folder.join(format!("{name}.toml"))).expect(name)
    }

    fn without(option: &str) -> Config {
        Config::of(
            [
                "DM_AUDIT",
                "DM_INTEGRITY",
                "DM_CRYPT",
                "BLK_DEV_LOOP",
                "UTS_NS",
            ]
            .into_iter()
            .filter(|name| *name != option),
        )
    }

    #[test]
    fn an_option_that_records_or_commands_need_is_named() {
        let hmac = scenario("integrity-hmac");
        assert_eq!(lacks_option(&without(""), &hmac), None);
        assert_eq!(
            lacks_option(&without("DM_INTEGRITY"), &hmac).as_deref(),
            Some("the kernel is built without CONFIG_DM_INTEGRITY")
        );
        let fedora = lacks_option(&without("DM_AUDIT"), &hmac).expect("dm-audit.c");
        assert!(fedora.ends_with("CONFIG_DM_AUDIT"), "{fedora}");
        let each = lacks_option(&without("UTS_NS"), &scenario("unshare-each-kind"));
        let each = each.expect("kinds");
        for option in ["CONFIG_UTS_NS", "CONFIG_TIME_NS", "CONFIG_CGROUPS"] {
            assert!(each.contains(option), "{each}");
        }
        // The module that a CONFIG_CHANGE names is no target.
        assert!(!options(&scenario("tamper")).contains("DM_DMNS_AUDIT"));
        let livepatch = lacks_option(&without(""), &scenario("long/livepatch"));
        assert!(
            livepatch
                .expect("a kernel module")
                .contains("CONFIG_LIVEPATCH")
        );
    }

    #[test]
    fn what_needs_the_module_is_found_by_its_commands() {
        for (name, word) in [
            ("unshare-all", None),
            ("integrity-hmac", None),
            ("reload-resume", None),
            ("crypt-aead", None),
            ("long/reload-under-load", Some("unload")),
            ("info-levels", Some("dmns_audit")),
            ("long/hostile-churn", Some("hostile")),
        ] {
            let found = module_word(&scenario(name));
            assert_eq!(found.is_some(), word.is_some(), "{name}: {found:?}");
        }
    }

    #[test]
    fn what_holds_in_the_tree_needs_no_module() {
        for name in ["intree/info-features", "long/hostile-churn"] {
            let scenario = scenario(name);
            assert!(scenario.in_tree.is_some(), "{name}");
            for (kind, has_module, lacks) in [
                (Kind::Stock, false, true),
                (Kind::Stock, true, false),
                (Kind::Patched(Patches::Namespaces), false, false),
            ] {
                let found = lacks_module(kind, has_module, &scenario);
                assert_eq!(found.is_some(), lacks, "{name}, {kind:?}: {found:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_built_for_a_kernel_is_a_reason_to_skip() {
        let lacks = |name, test_modules, control| {
            lacks_tree(&scenario(name), test_modules, control).is_some()
        };
        assert!(lacks("long/twin", false, true) && !lacks("long/twin", true, false));
        assert!(lacks("debug/control-leak", true, false));
        assert!(!lacks("debug/control-leak", false, true));
        assert!(!lacks("unshare-all", false, false));
    }

    #[test]
    fn each_script_of_the_guest_that_handles_the_module_is_among_these_words() {
        for (name, script) in guest::commands() {
            // It waits for nothing where there is no module.
            if script.contains("dmns_audit") && *name != "wait-drained" {
                assert!(OF_MODULE.contains(name), "{name}");
            }
        }
    }
}
