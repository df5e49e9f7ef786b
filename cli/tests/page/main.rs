// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Opens a page that `--html` wrote in headless Chromium, clicks through it, and looks at the result.
//!
//! `scripts/test/page.sh` runs it. By hand, `cargo test -p dmns-audit-cli --test page -- --ignored` takes the Chromium
//! of this machine, or the one that `DMNS_CHROMIUM` names.

mod chromium;

use chromium::Chromium;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How many pixels of a screenshot are of the colour of damage.
fn red(png: &[u8]) -> usize {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .expect("PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("its size")];
    let info = reader.next_frame(&mut pixels).expect("pixels");
    let channels = info.color_type.samples();
    pixels
        .chunks_exact(channels)
        .filter(|p| p[0] > 180 && p[1] < 80 && p[2] < 80)
        .count()
}

/// What `report` prints of the logs.
fn report(what: &str, options: &[&str]) -> String {
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let output = Command::new(env!("CARGO_BIN_EXE_dmns-audit"))
        .args(["report", what])
        .args(options)
        .args(["dm.log", "ns.log", "virt.log"].map(|log| logs.join(log)))
        .env("TZ", "UTC0")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
#[ignore = "needs Chromium: scripts/test/page.sh runs it in a root that has one"]
fn the_page_is_drawn_and_answers_clicks() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    report("dm", &["--html", page.to_str().expect("UTF-8")]);
    let all = [("dm", ""), ("ns", ""), ("ns", "--tree"), ("virt", "")];
    let [lifetimes, containers, namespaces, guests] = all.map(|(what, option)| {
        let options = ["--format", "json", option].map(str::trim);
        let rows = report(what, &options[..if option.is_empty() { 2 } else { 3 }]);
        let rows = rows.lines().map(serde_json::from_str);
        rows.collect::<Result<Vec<Value>, _>>().expect("JSON")
    });
    let violations = lifetimes
        .iter()
        .filter_map(|lifetime| lifetime["violations"].as_u64());
    let made = namespaces.iter().filter(|ns| ns["initial"] == false);

    let mut browser = Chromium::start(folder.path());
    browser.open(&page);
    assert_eq!(browser.text("document.title"), "dmns-audit report");
    let tiles = browser.text("$('tiles').innerText");
    for (number, what) in [
        (lifetimes.len() as u64, "lifetimes of mappings"),
        (violations.sum(), "violations"),
        (containers.len() as u64, "containers"),
        (made.clone().count() as u64, "namespaces"),
        (guests.len() as u64, "sessions of guests"),
    ] {
        assert!(tiles.contains(&format!("{number}\n{what}")), "{tiles}");
    }

    // The timeline: bars in three colours, with the violations in red. A click shows the details of a lifetime.
    let own: Vec<&Value> = containers
        .iter()
        .filter_map(|container| container["namespaces"].as_array())
        .flatten()
        .map(|namespace| &namespace["ns_id"])
        .collect();
    let alone = |ns: &&Value| !ns["start"].is_null() && !own.contains(&&ns["ns_id"]);
    let dated = made.filter(alone).count();
    assert_eq!(
        browser.number("document.querySelectorAll('#timeline .bar').length"),
        (lifetimes.len() + containers.len() + dated + guests.len()) as f64
    );
    let picture = browser.screenshot();
    assert!(red(&picture) > 20, "violations are seen");
    browser.click("[...document.querySelectorAll('.bar')].find(b => b.textContent.includes('crypt 254:6')).querySelector('text')");
    let details = browser.text("$('details').innerText");
    assert!(
        details.contains("integrity-aead") && details.contains("800-802, 808, 4096"),
        "{details}"
    );
    assert!(
        details.contains("of 254:5") && details.contains("1630425300.100:221"),
        "{details}"
    );

    // A period: every view shows what was active within it. The wheel zooms, `all` shows all.
    let bars = "document.querySelectorAll('#timeline .bar').length";
    let rows = "document.querySelectorAll('#guests tr:not(.out)').length";
    let (all_bars, all_rows) = (browser.number(bars), browser.number(rows));
    browser.text(
        "String(setRange(Date.parse('2021-08-31T00:00:00Z'), Date.parse('2021-09-02T00:00:00Z')))",
    );
    assert!(browser.number(bars) < all_bars && browser.number(bars) > 0.0);
    assert!(browser.number(rows) < all_rows);
    let span = "range.to - range.from";
    let before = browser.number(span);
    browser.text("String(chart.dispatchEvent(new WheelEvent('wheel', { deltaY: -1, clientX: chart.getBoundingClientRect().right - 100, cancelable: true })))");
    assert!(browser.number(span) < before);
    browser.click("whole");
    assert_eq!(
        (browser.number(bars), browser.number(rows)),
        (all_bars, all_rows)
    );

    // The map of a device: a mark for each range; zoomed, they spread.
    browser.click("$('tab-devices')");
    assert_eq!(browser.text("String($('timeline').hidden)"), "true");
    let devices = browser.text("$('devices').innerText");
    assert!(
        devices.contains("integrity 254:3") && devices.contains("10 violations"),
        "{devices}"
    );
    let crypt = "[...document.querySelectorAll('.device')].find(d => d.textContent.includes('crypt 254:6'))";
    assert_eq!(
        browser.number(&format!("{crypt}.querySelectorAll('.range').length")),
        3.0
    );
    let left = format!("Number({crypt}.querySelector('.range').getAttribute('x'))");
    let before = browser.number(&left);
    browser.click(&format!("{crypt}.querySelector('button')"));
    let after = browser.number(&left);
    assert!(before > 50.0 && after == 0.0, "{before} {after}");
    assert!(red(&browser.screenshot()) > 20, "damage is seen");
    browser.click(&format!("{crypt}.querySelector('.range')"));
    assert!(
        browser
            .text("$('details').innerText")
            .contains("crypt 254:6")
    );

    // The tree: a branch closes, the filter finds.
    browser.click("$('tab-namespaces')");
    let nested = "[...document.querySelectorAll('.tree code')].find(c => c.textContent.includes('netns=330'))";
    assert_eq!(
        browser.text(&format!("String({nested}.checkVisibility())")),
        "true"
    );
    browser.click("[...document.querySelectorAll('.tree summary')].find(s => s.textContent.includes('netns=-7'))");
    assert_eq!(
        browser.text(&format!("String({nested}.checkVisibility())")),
        "false"
    );
    browser.click("document.querySelector('input[type=search]')");
    browser.type_text("ns_id 31");
    let seen = "[...document.querySelectorAll('.tree .leaf')].filter(l => l.style.display !== 'none').length";
    assert_eq!(browser.number(seen), 1.0);

    browser.click("$('tab-guests')");
    let guests = browser.text("$('guests').innerText");
    assert!(
        guests.contains("2 violations in /dev/mapper/disk (253:0)"),
        "{guests}"
    );
    assert_eq!(browser.errors(), [""; 0], "the console is silent");
    if let Ok(keep) = std::env::var("DMNS_PAGE_PICTURES") {
        for tab in ["timeline", "devices", "containers", "namespaces", "guests"] {
            browser.click(&format!("$('tab-{tab}')"));
            fs::write(format!("{keep}/{tab}.png"), browser.screenshot()).expect("written");
        }
    }
}
