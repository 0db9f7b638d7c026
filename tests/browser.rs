//! Pages of reports in a real browser: nothing is wider than the window at the widths of a phone, a
//! tablet and a desk.
//!
//! Run on request, where Chromium is installed (`CHROMIUM` names another one):
//!
//! ```text
//! cargo test --test browser -- --ignored
//! ```

use std::path::Path;
use std::process::Command;

/// Widths of the window.
const WIDTHS: [u32; 3] = [400, 800, 1400];

/// Lists what sticks out of the window, but for what scrolls in a frame of its own.
const PROBE: &str = "<script>
const wide = [...document.querySelectorAll('body *')].filter(it =>
  !it.closest('.scroll > *') && it.getBoundingClientRect().right > innerWidth + 0.5);
parent.postMessage({
  wide: wide.map(it => it.tagName + '.' + it.getAttribute('class')).join(' '),
  over: document.documentElement.scrollWidth - innerWidth,
  width: innerWidth,
}, '*');
</script>";

/// A window narrower than 500 pixels is refused, so that the page is shown in a frame.
const FRAME: &str = "<!doctype html><script>
addEventListener('message', it => Object.assign(document.documentElement.dataset, it.data));
</script><iframe src='probed.html' style='border: 0; height: 2000px; width: WIDTHpx'></iframe>";

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

/// The value of an attribute of the root element, as the probe left it.
fn attribute<'a>(dom: &'a str, name: &str) -> &'a str {
    let (_, rest) = dom.split_once(&format!("data-{name}=\"")).expect("the probe ran");
    rest.split_once('"').expect("an attribute ends").0
}

#[test]
#[ignore = "needs Chromium"]
fn nothing_is_wider_than_the_window() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("edits/quickstart.toml");
    let page = folder.path().join("page.html");
    let mut edit = Command::new(env!("CARGO_BIN_EXE_rescribe"));
    edit.arg("edit").arg(&spec).arg("--report").arg(&page).arg("--keep-spec");
    run(edit.current_dir(folder.path()));
    let html = std::fs::read_to_string(&page).expect("a page");
    // The page's own policy forbids scripts, the probe's included.
    let (head, rest) = html.split_once("<meta http-equiv").expect("a policy");
    let (_, rest) = rest.split_once('>').expect("a tag ends");
    let probed = folder.path().join("probed.html");
    let rest = rest.replace("</body>", &format!("{PROBE}</body>"));
    std::fs::write(&probed, head.to_owned() + &rest).expect("a writable folder");
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    for width in WIDTHS {
        let frame = folder.path().join("frame.html");
        let text = FRAME.replace("WIDTH", &width.to_string());
        std::fs::write(&frame, text).expect("a writable folder");
        let mut command = Command::new(&browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
        command.args(["--window-size=1500,2000", "--virtual-time-budget=5000", "--dump-dom"]);
        let dom = run(command.arg(format!("file://{}", frame.display())));
        assert_eq!(attribute(&dom, "width"), width.to_string());
        assert_eq!(attribute(&dom, "over"), "0", "at {width} pixels");
        assert_eq!(attribute(&dom, "wide"), "", "at {width} pixels");
    }
}
