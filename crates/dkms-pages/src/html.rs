//! HTML that is escaped already.

use dkms_conf::is_unprintable;
use std::borrow::Cow;
use std::fmt::Write;

/// An attribute: its name, which is a literal of the program, and its value, which is escaped.
pub type Attribute<'a> = (&'static str, &'a str);

/// HTML in which everything that is not a literal of the program has been escaped.
#[derive(Clone, Debug, Default)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape(&mut self.0, text);
        self
    }

    /// Adds an element, and what `fill` adds between its tags.
    pub fn within(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        fill: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.open(tag, attributes);
        fill(self);
        let _ = write!(self.0, "</{tag}>");
        self
    }

    /// Adds an element that contains only text.
    pub fn element(&mut self, tag: &'static str, attributes: &[Attribute<'_>], text: &str) -> &mut Self {
        self.within(tag, attributes, |html| {
            html.text(text);
        })
    }

    /// Adds an element that has no closing tag (`br`, `input`).
    pub fn leaf(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) -> &mut Self {
        self.open(tag, attributes);
        self
    }

    /// Adds other HTML.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// The bytes so far, to keep a page small.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The HTML.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a script or style of the program as it is.
    pub(crate) fn verbatim(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        let _ = write!(self.0, "<{tag}");
        for (name, value) in attributes {
            if matches!(*name, "href" | "src" | "action") && !is_harmless(value) {
                continue;
            }
            let _ = write!(self.0, " {name}=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
    }
}

/// Whether an address leads to a place on the page or to a site, and runs nothing (`javascript:`).
fn is_harmless(address: &str) -> bool {
    address.starts_with('#') || address.starts_with("https://")
}

/// The text with characters that cannot be seen or change the direction of text written out (`\u202e`). Line
/// feeds and tabs are kept.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_visible(&mut out, c));
    Cow::Owned(out)
}

fn is_hidden(c: char) -> bool {
    is_unprintable(c) && c != '\n' && c != '\t'
}

fn push_visible(out: &mut String, c: char) {
    if is_hidden(c) {
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    } else {
        out.push(c);
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => push_visible(out, c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</script><script>alert(1)</script>\"' onload='x' &amp; \u{202e}\x1b[31m";

    #[test]
    fn text_and_attributes_stay_text() {
        let mut html = Html::new();
        html.element("p", &[("title", HOSTILE)], HOSTILE);
        let text = html.as_str();
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert_eq!(text.matches('"').count(), 2, "{text}");
        assert!(!text.contains('\''), "{text}");
        assert!(!text.chars().any(is_unprintable), "{text}");
        assert!(text.contains("\\u202e\\u001b[31m") && text.contains("&amp;amp;"), "{text}");
    }

    #[test]
    fn addresses_that_could_run_something_are_left_out() {
        for (address, kept) in [
            ("#a", true),
            ("https://example.org/", true),
            ("javascript:alert(1)", false),
            (" javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("//example.org", false),
            ("x.html", false),
        ] {
            let mut html = Html::new();
            html.element("a", &[("href", address)], "a");
            assert_eq!(html.as_str().contains("href"), kept, "{address}");
        }
    }

    #[test]
    fn elements_nest() {
        let mut inner = Html::new();
        inner.leaf("br", &[]);
        let mut html = Html::new();
        html.within("ul", &[("class", "x")], |html| {
            html.element("li", &[], "a & b").append(&inner);
        });
        assert_eq!(html.as_str(), "<ul class=\"x\"><li>a &amp; b</li><br></ul>");
        assert_eq!((html.len(), html.is_empty()), (html.as_str().len(), false));
    }
}
