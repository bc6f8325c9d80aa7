//! The commands of the pages below `docs/` print what the pages say: see `docs.py`. `DKMS_WRITE_PAGES=1` puts
//! today's output into the pages instead.

use dkms_tests::driver::{as_driver, drive};
use dkms_tests::layers::{obstacle_to_comparison, workspace};
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::runner::{Failure, Outcome, Test, is_set};
use std::fs;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(1000);

/// `pages::NAME` for every page with commands.
pub fn tests() -> Result<Vec<Test>, String> {
    let folder = workspace().join("docs");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut pages: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    pages.retain(|page| page.extension().is_some_and(|e| e == "md") && has_commands(page));
    pages.sort();
    let one = |page: &std::path::PathBuf| {
        let file = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("pages::{}", file.trim_end_matches(".md").replace('-', "_"));
        Test::new(name.clone(), move || run(&name, &file)).obstacle(obstacle_to_comparison())
    };
    Ok(pages.iter().map(one).collect())
}

fn has_commands(page: &Path) -> bool {
    fs::read_to_string(page).is_ok_and(|text| text.lines().any(|line| line.starts_with("$ ")))
}

fn run(name: &str, file: &str) -> Result<Outcome, Failure> {
    let root = Root::builder()
        .kernel(Kernel::K61)
        .kernel(Kernel::K612)
        .image(Kernel::K61)
        .dkms(Impl::Ours)
        .build()
        .map_err(|error| error.to_string())?;
    let inside = format!("/docs/{file}");
    if !is_set("DKMS_WRITE_PAGES") {
        let words = as_driver(&["python3", "/e2e/docs.py", &inside]);
        return drive(name, root.command(&words, LIMIT));
    }
    let output = root
        .command(&["env", "LANG=C.UTF-8", "python3", "/e2e/docs.py", &inside, "--write"], LIMIT)
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() || output.stdout.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::write(workspace().join("docs").join(file), output.stdout).map_err(|e| format!("{file}: {e}"))?;
    Ok(Outcome::Passed(Vec::new()))
}
