//! Parts of the page about one machine that several of its sections have.

use dkms_pages::Html;

/// The sections and their names on the page.
pub(super) const SECTIONS: [(&str, &str, &str); 8] = [
    ("packages", "#packages", "Packages and kernels"),
    ("problems", "#problems", "Problems"),
    ("kernels", "#kernels", "Ready to be started"),
    ("modules", "#modules", "Installed modules"),
    ("pending", "#pending", "Pending"),
    ("fsck", "#fsck", "Consistency"),
    ("trust", "#trust", "Key and Secure Boot"),
    ("disk", "#disk", "Disk"),
];

/// The heading of a section.
pub(super) fn heading(html: &mut Html, id: &str) {
    let title = SECTIONS.iter().find(|(name, ..)| *name == id).map_or(id, |(_, _, title)| title);
    html.element("h2", &[("id", id)], title);
}

/// A name and its value, in a list of them.
pub(super) fn entry(html: &mut Html, name: &str, text: &str) {
    html.element("dt", &[], name).element("dd", &[], text);
}
