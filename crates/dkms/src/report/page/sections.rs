//! The sections of the page about one machine.

use dkms_pages::Html;

/// The id and the title of each section.
const SECTIONS: [(&str, &str); 8] = [
    ("packages", "Packages and kernels"),
    ("problems", "Problems"),
    ("kernels", "Ready to boot"),
    ("modules", "Installed modules"),
    ("pending", "Pending"),
    ("fsck", "Consistency"),
    ("trust", "Key and Secure Boot"),
    ("disk", "Disk"),
];

/// Adds links to the sections.
pub(super) fn contents(html: &mut Html) {
    html.within("nav", &[("aria-label", "Sections")], |html| {
        html.within("ul", &[], |html| {
            for (id, title) in SECTIONS {
                html.within("li", &[], |html| {
                    html.element("a", &[("href", &format!("#{id}"))], title);
                });
            }
        });
    });
}

/// Adds the heading of the section with this id.
pub(super) fn heading(html: &mut Html, id: &str) {
    let title = SECTIONS.iter().find(|(other, _)| *other == id).map_or(id, |(_, title)| title);
    html.element("h2", &[("id", id)], title);
}
