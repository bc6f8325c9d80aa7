//! Elements that several pages use.

use crate::html::Html;

/// How good or bad something is. It determines the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// In order.
    Good,
    /// Needs attention.
    Warn,
    /// Wrong.
    Bad,
    /// Neutral.
    Plain,
}

impl Tone {
    /// Its class in the common style.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Plain => "",
        }
    }
}

impl Html {
    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.element("p", &[], text)
    }

    /// Adds a less important paragraph.
    pub fn muted(&mut self, text: &str) -> &mut Self {
        self.element("p", &[("class", "muted")], text)
    }

    /// Adds a word in a coloured box.
    pub fn badge(&mut self, tone: Tone, word: &str) -> &mut Self {
        let class = match tone {
            Tone::Plain => "badge".to_owned(),
            _ => format!("badge {}", tone.class()),
        };
        self.element("span", &[("class", &class)], word)
    }

    /// Adds a list of texts.
    pub fn list<T: AsRef<str>>(&mut self, items: impl IntoIterator<Item = T>) -> &mut Self {
        self.within("ul", &[], |html| {
            for item in items {
                html.element("li", &[], item.as_ref());
            }
        })
    }

    /// Adds commands, one per line.
    pub fn commands(&mut self, commands: &[String]) -> &mut Self {
        self.within("pre", &[], |html| {
            html.element("code", &[], &commands.join("\n"));
        })
    }

    /// Adds a name and its description to a description list (`dl`).
    pub fn entry(&mut self, name: &str, text: &str) -> &mut Self {
        self.element("dt", &[], name).element("dd", &[], text)
    }

    /// Adds an element with its own scroll bar. `label` is its name for screen readers.
    pub fn region(&mut self, tag: &'static str, label: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let attributes = [("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", label)];
        self.within(tag, &attributes, fill)
    }

    /// Adds a table with its own scroll bar. `label` is its name for screen readers; `rows` adds its rows.
    pub fn table(
        &mut self,
        label: &str,
        class: &str,
        columns: &[&str],
        rows: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.region("div", label, |html| {
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
        })
    }

    /// Adds the first cell of a row, which is its heading.
    pub fn row_heading(&mut self, text: &str) -> &mut Self {
        self.element("th", &[("scope", "row")], text)
    }
}
