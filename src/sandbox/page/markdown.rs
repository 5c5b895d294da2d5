//! GitHub's Markdown as HTML that does nothing: no script, no style, no address but http(s).
//!
//! Written event by event, so what is not written here does not come out. Of raw HTML the
//! few elements in [`KEPT`] pass, bare of attributes; comments vanish, and the rest is text.
//! Images become their description: this page fetches nothing from elsewhere.

use pulldown_cmark::{Alignment, CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Raw elements that pass, without attributes.
const KEPT: [&str; 9] = [
    "details", "summary", "code", "b", "i", "em", "strong", "sub", "sup",
];
/// References that stand for themselves in raw HTML.
const ENTITIES: [&str; 5] = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];

/// Renders a comment.
pub(super) fn html(text: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let mut page = Page::default();
    for event in Parser::new_ext(text, options) {
        page.event(event);
    }
    page.end()
}

/// Text as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// What is inside of a code block, until it ends.
struct Block {
    language: String,
    text: String,
}

#[derive(Default)]
struct Page {
    out: String,
    block: Option<Block>,
    /// Raw elements that are open.
    open: Vec<&'static str>,
    /// A raw comment goes on to its end over several events.
    in_comment: bool,
    alignments: Vec<Alignment>,
    column: usize,
    in_head: bool,
    /// How many links are open, and whether each was written.
    links: Vec<bool>,
}

impl Page {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.finish(tag),
            Event::Text(text) => match &mut self.block {
                Some(block) => block.text.push_str(&text),
                None => self.out.push_str(&escaped(&text)),
            },
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.wrapped("code", &text);
            }
            Event::Html(text) | Event::InlineHtml(text) => self.raw(&text),
            // GitHub ends a line where the comment does.
            Event::SoftBreak | Event::HardBreak => self.out.push_str("<br>\n"),
            Event::Rule => self.out.push_str("<hr>\n"),
            Event::FootnoteReference(name) => self.wrapped("sup", &name),
            Event::TaskListMarker(done) => {
                let (class, mark) = if done {
                    ("task done", "done: ")
                } else {
                    ("task", "not done: ")
                };
                self.out.push_str(&format!(
                    "<span class=\"{class}\"><span class=\"unseen\">{mark}</span></span>"
                ));
            }
        }
    }

    fn wrapped(&mut self, tag: &str, text: &str) {
        let text = escaped(text);
        self.out.push_str(&format!("<{tag}>{text}</{tag}>"));
    }

    fn start(&mut self, tag: Tag<'_>) {
        let text = match tag {
            Tag::Paragraph => "<p>",
            Tag::Heading { level, .. } => {
                // The page's own headings stand above.
                self.out.push_str(&format!("<h{}>", below(level as usize)));
                return;
            }
            Tag::BlockQuote(_) => "<blockquote>",
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let text = String::new();
                self.block = Some(Block { language, text });
                return;
            }
            Tag::List(Some(first)) => {
                self.out.push_str(&format!("<ol start=\"{first}\">"));
                return;
            }
            Tag::List(None) => "<ul>",
            Tag::Item => "<li>",
            Tag::Table(alignments) => {
                self.alignments = alignments;
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>"
            }
            Tag::TableHead => {
                (self.column, self.in_head) = (0, true);
                "<thead><tr>"
            }
            Tag::TableRow => {
                self.column = 0;
                "<tr>"
            }
            Tag::TableCell => {
                let class = match self.alignments.get(self.column) {
                    Some(Alignment::Right) => " class=\"right\"",
                    Some(Alignment::Center) => " class=\"center\"",
                    _ => "",
                };
                let cell = if self.in_head { "th" } else { "td" };
                self.column += 1;
                self.out.push_str(&format!("<{cell}{class}>"));
                return;
            }
            Tag::Emphasis => "<em>",
            Tag::Strong => "<strong>",
            Tag::Strikethrough => "<del>",
            Tag::Superscript => "<sup>",
            Tag::Subscript => "<sub>",
            Tag::Link { dest_url, .. } => {
                let safe = is_web(&dest_url);
                self.links.push(safe);
                if safe {
                    let address = escaped(&dest_url);
                    self.out.push_str(&format!(
                        "<a href=\"{address}\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">"
                    ));
                }
                return;
            }
            Tag::Image { .. } => "<span class=\"image\">",
            Tag::FootnoteDefinition(_) => "<div class=\"footnote\">",
            Tag::DefinitionList => "<dl>",
            Tag::DefinitionListTitle => "<dt>",
            Tag::DefinitionListDefinition => "<dd>",
            Tag::HtmlBlock | Tag::MetadataBlock(_) => return,
        };
        self.out.push_str(text);
    }

    fn finish(&mut self, tag: TagEnd) {
        let text = match tag {
            TagEnd::Paragraph => "</p>\n",
            TagEnd::Heading(level) => {
                let level = below(level as usize);
                self.out.push_str(&format!("</h{level}>\n"));
                return;
            }
            TagEnd::BlockQuote(_) => "</blockquote>\n",
            TagEnd::CodeBlock => {
                if let Some(block) = self.block.take() {
                    self.code_block(&block);
                }
                return;
            }
            TagEnd::List(true) => "</ol>\n",
            TagEnd::List(false) => "</ul>\n",
            TagEnd::Item => "</li>\n",
            TagEnd::Table => "</tbody></table></div>\n",
            TagEnd::TableHead => {
                self.in_head = false;
                "</tr></thead><tbody>\n"
            }
            TagEnd::TableRow => "</tr>\n",
            TagEnd::TableCell if self.in_head => "</th>",
            TagEnd::TableCell => "</td>",
            TagEnd::Emphasis => "</em>",
            TagEnd::Strong => "</strong>",
            TagEnd::Strikethrough => "</del>",
            TagEnd::Superscript => "</sup>",
            TagEnd::Subscript => "</sub>",
            TagEnd::Link if self.links.pop() == Some(true) => "</a>",
            TagEnd::Image => "</span>",
            TagEnd::FootnoteDefinition => "</div>\n",
            TagEnd::DefinitionList => "</dl>\n",
            TagEnd::DefinitionListTitle => "</dt>\n",
            TagEnd::DefinitionListDefinition => "</dd>\n",
            TagEnd::Link | TagEnd::HtmlBlock | TagEnd::MetadataBlock(_) => return,
        };
        self.out.push_str(text);
    }

    /// A fence; a difference shows what comes and what goes.
    fn code_block(&mut self, block: &Block) {
        self.out
            .push_str("<pre tabindex=\"0\" role=\"region\" aria-label=\"Code\"><code>");
        let is_diff = block.language.split_whitespace().next() == Some("diff");
        for line in block.text.split_inclusive('\n') {
            let class = match line.chars().next() {
                Some('+') => "add",
                Some('-') => "del",
                Some('@') => "hunk",
                _ => "",
            };
            let line = escaped(line);
            if is_diff && !class.is_empty() {
                self.out
                    .push_str(&format!("<span class=\"{class}\">{line}</span>"));
            } else {
                self.out.push_str(&line);
            }
        }
        self.out.push_str("</code></pre>\n");
    }

    /// Raw HTML: what is kept passes, a comment vanishes, all else is shown as it was written.
    fn raw(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            if self.in_comment {
                match rest.split_once("-->") {
                    Some((_, after)) => (self.in_comment, rest) = (false, after),
                    None => return,
                }
            } else if let Some(after) = rest.strip_prefix("<!--") {
                (self.in_comment, rest) = (true, after);
            } else if let Some(after) = self.kept(rest) {
                rest = after;
            } else if let Some(entity) = ENTITIES.iter().find(|one| rest.starts_with(**one)) {
                self.out.push_str(entity);
                rest = rest.get(entity.len()..).unwrap_or_default();
            } else {
                let mut characters = rest.chars();
                let first = characters.next().map(String::from).unwrap_or_default();
                self.out.push_str(&escaped(&first));
                rest = characters.as_str();
            }
        }
    }

    /// What follows a kept tag, if `text` begins with one.
    fn kept<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        if let Some(after) = text.strip_prefix("<br>") {
            self.out.push_str("<br>");
            return Some(after);
        }
        for name in KEPT {
            if let Some(after) = text.strip_prefix(&format!("<{name}>")) {
                self.out.push_str(&format!("<{name}>"));
                self.open.push(name);
                return Some(after);
            }
            if let Some(after) = text.strip_prefix(&format!("</{name}>"))
                && self.open.last() == Some(&name)
            {
                self.out.push_str(&format!("</{name}>"));
                self.open.pop();
                return Some(after);
            }
        }
        None
    }

    fn end(mut self) -> String {
        while let Some(name) = self.open.pop() {
            self.out.push_str(&format!("</{name}>"));
        }
        self.out
    }
}

fn below(level: usize) -> usize {
    (level + 1).min(6)
}

fn is_web(address: &str) -> bool {
    let address = address.to_ascii_lowercase();
    address.starts_with("https://") || address.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bot_writes() {
        let text = "<!-- marker -->\n### Plan\n\n| a | b |\n|---|--:|\n| `x` | 1 |\n\n- [x] done\n\n<details>\n<summary><code>a&lt;b</code>: c</summary>\n\n```diff\n-old\n+new\n same\n```\n\n</details>\n";
        let shown = html(text);
        for part in [
            "<h4>Plan</h4>",
            "<th class=\"right\">b</th>",
            "<td><code>x</code></td><td class=\"right\">1</td>",
            "<span class=\"task done\">",
            "<details>\n<summary><code>a&lt;b</code>: c</summary>",
            "<span class=\"del\">-old\n</span><span class=\"add\">+new\n</span> same",
            "</details>",
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        assert!(!shown.contains("marker"), "{shown}");
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<details onclick=alert(1)>x</details>",
            "<details open ontoggle=alert(1)>x",
            "<svg/onload=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](https://a.example/\"onmouseover=\"alert(1))",
            "![x](https://tracker.example/p.png \"t\")",
            "<style>*{display:none}</style>",
            "<iframe src=https://a.example></iframe>",
            "<!-- --> <script>alert(1)</script> <!--",
            "<!--> <script>alert(1)</script>",
            "```\"><script>alert(1)</script>\nx\n```",
            "`<script>`",
            "&lt;script&gt;",
            "<scr<script>ipt>alert(1)</script>",
            "<div><details><script>alert(1)</script></details></div>",
            "[x]: javascript:alert(1)\n\n[x]",
            "<javascript:alert(1)>",
            "</div></article><form action=/x><input>",
        ];
        let allowed = [
            "details", "summary", "code", "b", "i", "em", "strong", "sub", "sup", "p", "a", "br",
            "pre", "span", "div", "h4", "h5", "ul", "li",
        ];
        for text in hostile {
            let shown = html(text);
            for tag in shown.split('<').skip(1) {
                let tag = tag.split('>').next().unwrap();
                let name = tag.trim_start_matches('/').split(' ').next().unwrap();
                assert!(allowed.contains(&name), "{text}\n{shown}");
                let own = tag == name || tag.starts_with('/') || {
                    let given = tag.split(' ').skip(1).collect::<Vec<_>>().join(" ");
                    given.split('"').step_by(2).all(|outside| {
                        let key = outside.trim().trim_end_matches('=');
                        [
                            "",
                            "class",
                            "tabindex",
                            "role",
                            "aria-label",
                            "href",
                            "rel",
                            "target",
                        ]
                        .contains(&key)
                    })
                };
                assert!(own, "{text}\n{shown}");
            }
            let low = shown.to_lowercase();
            assert!(!low.contains("href=\"javascript"), "{text}\n{shown}");
            assert!(!low.contains("href=\"data"), "{text}\n{shown}");
        }
    }

    #[test]
    fn what_is_left_open_is_closed() {
        assert_eq!(
            html("<details>\n<summary>x"),
            "<details>\n<summary>x</summary></details>"
        );
        assert!(html("x</details>").contains("&lt;/details&gt;"));
    }
}
