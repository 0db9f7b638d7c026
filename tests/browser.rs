//! Pages of reports in a real browser, at the widths of a phone, a tablet and a desk, light and dark:
//! nothing is wider than the window, no texts overlap, both schemes have one layout, and axe-core
//! finds nothing to complain of.
//!
//! Run on request, where Chromium is installed (`CHROMIUM` names another one), and npm, which
//! fetches axe-core:
//!
//! ```text
//! cargo test --test browser -- --ignored
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Widths of the window.
const WIDTHS: [u32; 3] = [400, 800, 1400];
/// The colour schemes by Chromium's numbers.
const SCHEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];
/// What checks contrast, headings, names of images and the like.
const AXE: &str = "axe-core@4.10.3";

/// Finds what sticks out of the window but does not scroll, texts of drawings that overlap, and
/// where every block stands; then asks axe-core.
const PROBE: &str = "
const box = it => it.getBoundingClientRect();
const wide = [...document.querySelectorAll('body *')].filter(it =>
  !it.closest('.scroll > *') && box(it).right > innerWidth + 0.5);
const crossing = [];
for (const drawing of document.querySelectorAll('svg')) {
  const texts = [...drawing.querySelectorAll('text')].filter(it => it.textContent.trim());
  texts.forEach((a, at) => texts.slice(at + 1).forEach(b => {
    const [p, q] = [box(a), box(b)];
    const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (width > 1 && height > 3) crossing.push(a.textContent + ' over ' + b.textContent);
  }));
}
const blocks = [...document.querySelectorAll('section, table, svg, h1, h2, h3, p')];
const layout = blocks.map(it => [box(it).left, box(it).top, box(it).width, box(it).height]
  .map(Math.round).join(',')).join(' ');
axe.run(document, { resultTypes: ['violations'] }).then(found => parent.postMessage({
  wide: wide.map(it => it.tagName + '.' + it.getAttribute('class')),
  over: document.documentElement.scrollWidth - innerWidth,
  width: innerWidth,
  dark: matchMedia('(prefers-color-scheme: dark)').matches,
  crossing, layout,
  violations: found.violations.map(it => it.id + ': ' + it.nodes.map(n => n.html).join(' | ')),
}, '*'));
";

/// A wide line of grey on grey, and a drawing with two texts in one place.
const FAULTS: &str = "<p style='width: 2000px; color: #777; background: #888'>grey</p>
<svg width='90' height='30'><text y='20'>one</text><text y='20'>two</text></svg>";

/// A window narrower than 500 pixels is refused, so that the page is shown in a frame.
const FRAME: &str = "<!doctype html><script>
addEventListener('message', it => {
  document.documentElement.dataset.found = encodeURIComponent(JSON.stringify(it.data));
});
</script><iframe src='probed.html' style='border: 0; height: 2000px; width: WIDTHpx'></iframe>";

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

/// axe-core as one script.
fn axe(folder: &Path) -> String {
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--ignore-scripts", "--prefix"]).arg(folder).arg(AXE);
    run(&mut npm);
    std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).expect("axe-core")
}

/// The page of a command about the built-in model.
fn page(folder: &Path, verb: &str, spec: &str, more: &[&str]) -> PathBuf {
    let page = folder.join(format!("{verb}-{}.html", spec.replace('/', "-")));
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join(spec);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rescribe"));
    command.arg(verb).arg(&spec).arg("--report").arg(&page).arg("--keep-spec").args(more);
    run(command.current_dir(folder));
    page
}

/// Writes the page with the probe, whose scripts its own policy forbids.
fn write_probed(folder: &Path, axe: &str, html: &str) {
    let (head, rest) = html.split_once("<meta http-equiv").expect("a policy");
    let (_, rest) = rest.split_once('>').expect("a tag ends");
    let script = format!("<script>{axe}</script><script>{PROBE}</script></body>");
    let text = head.to_owned() + &rest.replace("</body>", &script);
    std::fs::write(folder.join("probed.html"), text).expect("writable");
}

/// What the probe finds on a page in a window of this width.
fn found(folder: &Path, width: u32, scheme: u32) -> Value {
    let frame = folder.join("frame.html");
    std::fs::write(&frame, FRAME.replace("WIDTH", &width.to_string())).expect("writable");
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.args(["--disable-quic", "--no-first-run", "--disable-background-networking"]);
    command.args([
        "--disable-component-update",
        "--disable-sync",
        "--allow-file-access-from-files",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command.args(["--window-size=1500,2000", "--virtual-time-budget=20000", "--dump-dom"]);
    let dom = run(command.arg(format!("file://{}", frame.display())));
    let (_, rest) = dom.split_once("data-found=\"").expect("the probe ran");
    let (text, _) = rest.split_once('"').expect("an attribute ends");
    serde_json::from_str(&unescaped(text)).expect("JSON")
}

/// A text without the escapes of a URL.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut out) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = String::from_utf8(digits).expect("digits");
                u8::from_str_radix(&digits, 16).expect("digits")
            }
            byte => byte,
        });
    }
    String::from_utf8(out).expect("UTF-8")
}

#[test]
#[ignore = "needs Chromium and npm"]
fn pages_are_laid_out_readable_and_accessible() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let axe = axe(folder);
    let pages = [
        page(folder, "edit", "edits/quickstart.toml", &[]),
        page(folder, "edit", "edits/clio.toml", &[]),
        page(folder, "locate", "edits/eiffel.toml", &["--samples", "3"]),
        page(folder, "compare", "edits/clio.toml", &["--methods", "npo,simnpo", "--seeds", "2"]),
    ];
    for page in pages {
        let html = std::fs::read_to_string(&page).expect("a page");
        assert!(html.len() < 300_000, "{}: {} bytes", page.display(), html.len());
        write_probed(folder, &axe, &html);
        for width in WIDTHS {
            let [dark, light] = SCHEMES.map(|(name, scheme)| {
                let found = found(folder, width, scheme);
                let place = format!("{} at {width} pixels, {name}", page.display());
                assert_eq!(found["width"], width, "{place}");
                assert_eq!(found["dark"], name == "dark", "{place}");
                assert_eq!(found["over"], 0, "{place}");
                for what in ["wide", "crossing", "violations"] {
                    assert_eq!(found[what], serde_json::json!([]), "{place}: {what}");
                }
                found["layout"].clone()
            });
            assert_eq!(dark, light, "{} at {width} pixels", page.display());
        }
        // The probe sees what is wrong.
        write_probed(folder, &axe, &html.replace("</body>", &format!("{FAULTS}</body>")));
        let found = found(folder, WIDTHS[0], 0);
        assert_ne!(found["over"], 0);
        for (what, fault) in [("wide", "P."), ("crossing", "over"), ("violations", "contrast")] {
            assert!(found[what].to_string().contains(fault), "{what}: {}", found[what]);
        }
    }
}
