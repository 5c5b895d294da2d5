//! The shape of a statement: what is left of it when every name, text and number is the same.
//! Two readers of their own, one for each language, that know nothing of our quoting.

/// PostgreSQL with `standard_conforming_strings`: `'…'` doubles, `E'…'` has escapes.
pub fn postgres(sql: &str) -> String {
    let chars: Vec<char> = sql.chars().collect();
    let mut shape = String::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let escapes = c == 'E' && chars.get(at + 1) == Some(&'\'');
        if c == '"' || c == '\'' || escapes {
            let quote = if c == '"' { '"' } else { '\'' };
            at += usize::from(escapes) + 1;
            loop {
                match chars.get(at) {
                    None => panic!("no end of quotes: {sql}"),
                    Some('\\') if escapes => at += 2,
                    Some(c) if *c == quote && chars.get(at + 1) == Some(&quote) => at += 2,
                    Some(c) if *c == quote => break,
                    Some(_) => at += 1,
                }
            }
            at += 1;
            shape.push_str(if quote == '"' { "name" } else { "text" });
        } else {
            shape.push(c);
            at += 1;
        }
    }
    shape
}

/// GoogleSQL: its shape, and the texts that it holds.
pub fn google(sql: &str) -> (String, Vec<String>) {
    let chars: Vec<char> = sql.chars().collect();
    let (mut shape, mut texts) = (String::new(), Vec::new());
    let mut at = 0;
    while at < chars.len() {
        let quote = chars[at];
        if !matches!(quote, '"' | '\'' | '`') {
            shape.push(quote);
            at += 1;
            continue;
        }
        assert_ne!(
            chars.get(at..at + 3),
            Some([quote; 3].as_slice()),
            "triple quotes: {sql}"
        );
        let mut text = String::new();
        at += 1;
        loop {
            match chars[at] {
                c if c == quote => break,
                '\\' => {
                    at += 1;
                    text.push(match chars[at] {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'u' => {
                            let digits: String = chars[at + 1..at + 5].iter().collect();
                            at += 4;
                            char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                        }
                        c @ ('\\' | '"' | '\'' | '`') => c,
                        other => panic!("escape {other}: {sql}"),
                    });
                }
                c => {
                    assert!(!matches!(c, '\n' | '\r'), "a raw line end in quotes: {sql}");
                    text.push(c);
                }
            }
            at += 1;
        }
        at += 1;
        if quote == '`' {
            shape.push_str("name");
        } else {
            shape.push_str("text");
            texts.push(text);
        }
    }
    (shape, texts)
}
