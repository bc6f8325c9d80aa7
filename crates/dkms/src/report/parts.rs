//! Parts that the pages share.

use dkms_pages::Html;

/// A table that scrolls within itself. `label` is its name for screen readers.
pub(super) fn table(
    html: &mut Html,
    label: &str,
    class: &str,
    columns: &[&str],
    rows: impl FnOnce(&mut Html),
) {
    let attributes = [("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", label)];
    html.within("div", &attributes, |html| {
        html.within("table", &[("class", class)], |html| {
            html.within("thead", &[], |html| {
                html.within("tr", &[], |html| {
                    for column in columns {
                        html.element("th", &[("scope", "col")], column);
                    }
                });
            });
            html.within("tbody", &[], rows);
        });
    });
}

/// An entry of a list of facts.
pub(super) fn entry(html: &mut Html, name: &str, text: &str) {
    html.element("dt", &[], name).element("dd", &[], text);
}
