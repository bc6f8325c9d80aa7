//! A complete HTML document.

use crate::html::Html;
use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

/// The common style of all pages, for light and dark screens, narrow screens and paper.
const STYLE: &str = include_str!("page.css");

/// A page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The title of the window. It is escaped.
    pub title: &'a str,
    /// The style of this page, which follows the common style.
    pub style: &'static str,
    /// The script of this page, which runs after the page is loaded; may be empty. The page must be useful
    /// without it.
    pub script: &'static str,
}

impl Page<'_> {
    /// Returns the document. `main` is the content of its `main` element.
    #[must_use]
    pub fn render(&self, main: &Html) -> String {
        let style = format!("{STYLE}{}", self.style);
        let mut html = Html::new();
        html.verbatim("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        html.leaf("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &self.policy(&style))]);
        html.leaf("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
        html.leaf("meta", &[("name", "color-scheme"), ("content", "light dark")]);
        html.leaf("meta", &[("name", "referrer"), ("content", "no-referrer")]);
        html.element("title", &[], self.title);
        html.verbatim("<style>").verbatim(&style).verbatim("</style></head>\n<body>");
        html.within("main", &[], |html| {
            html.append(main);
        });
        if !self.script.is_empty() {
            html.verbatim("<script>").verbatim(self.script).verbatim("</script>");
        }
        html.verbatim("</body></html>\n");
        html.as_str().to_owned()
    }

    /// The Content-Security-Policy: nothing is loaded, and only this style and the script are permitted.
    fn policy(&self, style: &str) -> String {
        let script = if self.script.is_empty() { "'none'".to_owned() } else { hash(self.script) };
        format!(
            "default-src 'none'; style-src {}; script-src {script}; base-uri 'none'; form-action 'none'",
            hash(style)
        )
    }
}

/// The source expression of the Content-Security-Policy that permits exactly this text.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", Base64::encode_string(&Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_self_contained_and_its_title_is_text() {
        let page = Page { title: "a </title><script>", style: "p{}", script: "let a = 1;" };
        let mut main = Html::new();
        main.element("p", &[], "text");
        let text = page.render(&main);
        assert!(text.contains("<title>a &lt;/title&gt;&lt;script&gt;</title>"), "{text}");
        assert!(text.contains("<main><p>text</p></main><script>let a = 1;</script>"), "{text}");
        assert!(
            text.contains(&format!("script-src {}", hash("let a = 1;").replace('\'', "&#39;"))),
            "{text}"
        );
        assert!(!text.contains("http://") && !text.contains("url(") && !text.contains("@import"), "{text}");
        let without = Page { script: "", ..page }.render(&main);
        assert!(without.contains("script-src &#39;none&#39;") && !without.contains("<script"), "{without}");
    }

    #[test]
    fn a_hash_is_that_of_the_content_security_policy() {
        // From the specification: <https://www.w3.org/TR/CSP3/#external-hash> uses the same form.
        assert_eq!(hash(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }
}
