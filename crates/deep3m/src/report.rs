//! One page of results that opens offline: everything is inside the file.

use std::fmt::Write as _;

use base64::Engine as _;

/// A page: a headline, figures that matter, tables, pictures and curves, in the order of `parts`.
pub(crate) struct Report {
    /// The headline.
    pub(crate) title: String,
    /// One or two sentences under it.
    pub(crate) lead: String,
    /// The few figures to see first.
    pub(crate) figures: Vec<Figure>,
    /// What follows.
    pub(crate) parts: Vec<Part>,
}

/// A number with its name.
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: String,
    /// The number, with its unit.
    pub(crate) value: String,
}

/// A section of the page.
pub(crate) enum Part {
    /// Pictures beside each other.
    Pictures {
        /// The section's heading.
        heading: String,
        /// The pictures.
        pictures: Vec<Picture>,
    },
    /// A drawing in SVG.
    Drawing {
        /// The section's heading.
        heading: String,
        /// What it shows.
        caption: String,
        /// The SVG text, from this program's own plots.
        svg: String,
    },
    /// A table.
    Table {
        /// The section's heading.
        heading: String,
        /// What it says.
        caption: String,
        /// Column names.
        columns: Vec<String>,
        /// Rows, one text per column.
        rows: Vec<Vec<String>>,
    },
    /// Commands to try.
    Commands {
        /// The section's heading.
        heading: String,
        /// What they are for.
        caption: String,
        /// The commands, a line each.
        lines: Vec<String>,
    },
}

/// A picture with its caption.
pub(crate) struct Picture {
    /// PNG bytes.
    pub(crate) png: Vec<u8>,
    /// What it shows.
    pub(crate) caption: String,
}

const STYLE: &str = include_str!("report.css");

impl Report {
    /// The page as HTML.
    pub(crate) fn to_html(&self) -> String {
        let mut page = String::new();
        let title = escape(&self.title);
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
             <p class=\"lead\">{}</p>\n<dl class=\"figures\">\n",
            escape(&self.lead)
        );
        for figure in &self.figures {
            let _ = writeln!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escape(&figure.name), escape(&figure.value));
        }
        page.push_str("</dl>\n");
        for part in &self.parts {
            part.write_html(&mut page);
        }
        let _ = write!(
            page,
            "<footer>Made by Deep3M {}. Probability: the mean over models and variations; the scores are per voxel.</footer>\n\
             </main>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION")
        );
        page
    }
}

impl Part {
    fn write_html(&self, page: &mut String) {
        match self {
            Self::Pictures { heading, pictures } => {
                let _ = writeln!(page, "<h2>{}</h2>\n<div class=\"pictures\">", escape(heading));
                for picture in pictures {
                    let data = base64::engine::general_purpose::STANDARD.encode(&picture.png);
                    let caption = escape(&picture.caption);
                    let _ = writeln!(
                        page,
                        "<figure><img src=\"data:image/png;base64,{data}\" alt=\"{caption}\">\
                         <figcaption>{caption}</figcaption></figure>"
                    );
                }
                page.push_str("</div>\n");
            }
            Self::Drawing { heading, caption, svg } => {
                let _ = writeln!(
                    page,
                    "<h2>{}</h2>\n<figure class=\"drawing\">{svg}<figcaption>{}</figcaption></figure>",
                    escape(heading),
                    escape(caption)
                );
            }
            Self::Table { heading, caption, columns, rows } => {
                let _ = writeln!(page, "<h2>{}</h2>\n<p>{}</p>\n<table>\n<tr>", escape(heading), escape(caption));
                for column in columns {
                    let _ = write!(page, "<th>{}</th>", escape(column));
                }
                page.push_str("</tr>\n");
                for row in rows {
                    page.push_str("<tr>");
                    for cell in row {
                        let _ = write!(page, "<td>{}</td>", escape(cell));
                    }
                    page.push_str("</tr>\n");
                }
                page.push_str("</table>\n");
            }
            Self::Commands { heading, caption, lines } => {
                let _ = writeln!(
                    page,
                    "<h2>{}</h2>\n<p>{}</p>\n<pre>{}</pre>",
                    escape(heading),
                    escape(caption),
                    escape(&lines.join("\n"))
                );
            }
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let report = Report {
            title: "A < B".to_owned(),
            lead: "lead".to_owned(),
            figures: vec![Figure { name: "Jaccard".to_owned(), value: "0.91".to_owned() }],
            parts: vec![
                Part::Pictures {
                    heading: "p".to_owned(),
                    pictures: vec![Picture { png: vec![1, 2, 3], caption: "c".to_owned() }],
                },
                Part::Table {
                    heading: "t".to_owned(),
                    caption: "c".to_owned(),
                    columns: vec!["a".to_owned()],
                    rows: vec![vec!["<script>".to_owned()]],
                },
            ],
        };
        let html = report.to_html();
        assert!(html.contains("A &lt; B") && html.contains("data:image/png;base64,AQID") && !html.contains("<script"));
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("src=\"/"));
    }
}
