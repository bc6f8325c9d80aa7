//! HTML that is already escaped.

use dkms_conf::is_unprintable;
use std::borrow::Cow;
use std::fmt::Write;

/// The name and the value of an attribute. The name is a literal of the program; the value is escaped when
/// it is added.
pub type Attribute<'a> = (&'static str, &'a str);

/// HTML in which everything except the literals of the program is escaped.
#[derive(Clone, Debug, Default)]
pub struct Html(String);

impl Html {
    /// Returns empty HTML.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape(&mut self.0, text);
        self
    }

    /// Adds an element. `fill` adds its content.
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

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The HTML.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a script or style of the program without escaping it.
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

/// Whether an address is a place on the page or a web site. Others could run something (`javascript:`).
fn is_harmless(address: &str) -> bool {
    address.starts_with('#') || address.starts_with("https://")
}

/// Returns the text with a visible form (`\u202e`) of each character that is invisible or changes the
/// direction of text. Line feeds and tabs stay as they are.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|character| push_visible(&mut out, character));
    Cow::Owned(out)
}

fn is_hidden(character: char) -> bool {
    is_unprintable(character) && character != '\n' && character != '\t'
}

fn push_visible(out: &mut String, character: char) {
    if is_hidden(character) {
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    } else {
        out.push(character);
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => push_visible(out, other),
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
