//! The sections of the page about one machine.

use dkms_pages::Html;

/// The sections and their names on the page.
const SECTIONS: [(&str, &str, &str); 8] = [
    ("packages", "#packages", "Packages and kernels"),
    ("problems", "#problems", "Problems"),
    ("kernels", "#kernels", "Ready to be started"),
    ("modules", "#modules", "Installed modules"),
    ("pending", "#pending", "Pending"),
    ("fsck", "#fsck", "Consistency"),
    ("trust", "#trust", "Key and Secure Boot"),
    ("disk", "#disk", "Disk"),
];

/// Links to the sections.
pub(super) fn contents(html: &mut Html) {
    html.within("nav", &[("aria-label", "Sections")], |html| {
        html.within("ul", &[], |html| {
            for (_, address, title) in SECTIONS {
                html.within("li", &[], |html| {
                    html.element("a", &[("href", address)], title);
                });
            }
        });
    });
}

/// The heading of a section.
pub(super) fn heading(html: &mut Html, id: &str) {
    let title = SECTIONS.iter().find(|(name, ..)| *name == id).map_or(id, |(_, _, title)| title);
    html.element("h2", &[("id", id)], title);
}
