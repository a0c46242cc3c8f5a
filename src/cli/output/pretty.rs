//! [`pretty`]: JSON in many lines, with its numbers and the order of its members as they are.

/// Returns a JSON text with one value per line. Only white space between tokens changes, so a
/// number of any size keeps its digits.
pub(crate) fn pretty(json: &str) -> String {
    let mut pretty = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    let mut tokens = json.chars().peekable();
    let line = |pretty: &mut String, depth: usize| {
        pretty.push('\n');
        pretty.extend(std::iter::repeat_n(' ', depth.saturating_mul(2).min(200)));
    };
    while let Some(c) = tokens.next() {
        if in_text {
            pretty.push(c);
            in_text = c != '"' || is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            '{' | '[' => {
                pretty.push(c);
                while tokens.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = tokens.next_if(|c| matches!(c, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth = depth.saturating_add(1);
                    line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut pretty, depth);
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => {
                in_text = c == '"';
                pretty.push(c);
            }
        }
    }
    pretty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let json = r#"{"b":[1, 123456789012345678901234567890,[]],"a":{"x":"{\"y\": [1,2]}\\"} }"#;
        let shown = pretty(json);
        let expected = r#"{
  "b": [
    1,
    123456789012345678901234567890,
    []
  ],
  "a": {
    "x": "{\"y\": [1,2]}\\"
  }
}"#;
        assert_eq!(shown, expected);
        assert_eq!(pretty(&shown), shown);
    }
}
