//! What templates have and minijinja lacks, written in what it has.
//!
//! `{% generation %}` marks what a model says, for loss masks; for rendering it becomes another block. `'%s' % x` becomes a call of
//! the filter `format`. Text outside of tags, raw blocks, comments and strings stay as they are.

/// The block that a generation block is where nothing is marked: a scope, as it is in Jinja.
pub(super) const SCOPE: [&str; 2] = ["with", "endwith"];

/// The template in minijinja's language, its generation blocks beginning and ending with the tags `generation`. What does
/// not even lex is left to the compiler, which names the line.
pub(super) fn rewritten(template: &str, generation: [&str; 2]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = next_tag(rest) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(len) = tag_len(rest) else { break };
        let (tag, after) = rest.split_at(len);
        rest = after;
        if tag.starts_with("{#") {
            out.push_str(tag);
            continue;
        }
        let body = &tag[2..len - 2];
        let inner = body.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let instead = match inner {
            "generation" => Some(generation[0]),
            "endgeneration" => Some(generation[1]),
            _ => None,
        };
        match instead.filter(|_| tag.starts_with("{%")) {
            Some(word) => out.push_str(&tag.replacen(inner, word, 1)),
            None => {
                out.push_str(&tag[..2]);
                printf(body, &mut out);
                out.push_str(&tag[len - 2..]);
            }
        }
        if tag.starts_with("{%") && inner == "raw" {
            let end = raw_end(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out + rest
}

/// Where the next tag or comment begins.
fn next_tag(text: &str) -> Option<usize> {
    ["{{", "{%", "{#"].iter().filter_map(|open| text.find(open)).min()
}

/// The length of the tag or comment that `text` begins with, its end included.
fn tag_len(text: &str) -> Option<usize> {
    if text.starts_with("{#") {
        return Some(text.find("#}")? + 2);
    }
    let close = if text.starts_with("{%") { "%}" } else { "}}" };
    let (mut at, mut depth) = (2, 0usize);
    while at < text.len() {
        let rest = &text[at..];
        if depth == 0 && rest.starts_with(close) {
            return Some(at + 2);
        }
        match rest.as_bytes()[0] {
            b'\'' | b'"' => {
                at += string_len(rest)?;
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += rest.chars().next().map_or(1, char::len_utf8);
    }
    None
}

/// The length of the string literal that `text` begins with, its quotes included.
fn string_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Where the tag that ends a raw block begins, or the text ends.
fn raw_end(text: &str) -> usize {
    let is_end = |at: usize| {
        let tag = text[at + 2..].trim_start_matches(['-', '+']).trim_start();
        tag.strip_prefix("endraw").is_some_and(|t| t.trim_start().trim_start_matches(['-', '+']).starts_with("%}"))
    };
    text.match_indices("{%").map(|(at, _)| at).find(|&at| is_end(at)).unwrap_or(text.len())
}

/// Copies the inside of a tag with `'literal' % operand` as `('literal' | format(operand))`.
fn printf(body: &str, out: &mut String) {
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        let Some(len) = (if matches!(c, '\'' | '"') { string_len(rest) } else { None }) else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let (literal, after) = rest.split_at(len);
        rest = after;
        let operand = after.trim_start().strip_prefix('%').map(str::trim_start);
        match operand.and_then(|text| Some((text, operand_len(text)?))) {
            Some((text, len)) => {
                let (operand, after) = text.split_at(len);
                // A tuple is several operands.
                let inside = operand.strip_prefix('(').and_then(|o| o.strip_suffix(')'));
                let whole = operand_part(operand) == Some(len);
                let operands = inside.filter(|_| whole).unwrap_or(operand).trim_end().trim_end_matches(',');
                out.push('(');
                out.push_str(literal);
                out.push_str(" | format(");
                printf(operands, out);
                out.push_str("))");
                rest = after;
            }
            None => out.push_str(literal),
        }
    }
}

/// The length of a name, a literal or something in brackets, with the parts and calls that follow it.
fn operand_len(text: &str) -> Option<usize> {
    let mut len = operand_part(text)?;
    loop {
        let rest = &text[len..];
        len += match rest.chars().next() {
            Some('(' | '[') => operand_part(rest)?,
            Some('.') => 1 + operand_part(&rest[1..])?,
            _ => return Some(len),
        };
    }
}

/// As above, without what follows.
fn operand_part(text: &str) -> Option<usize> {
    match text.chars().next()? {
        '\'' | '"' => string_len(text),
        '(' | '[' | '{' => {
            let (mut at, mut depth) = (0, 0usize);
            while at < text.len() {
                let rest = &text[at..];
                match rest.as_bytes()[0] {
                    b'\'' | b'"' => {
                        at += string_len(rest)?;
                        continue;
                    }
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth -= 1,
                    _ => {}
                }
                at += rest.chars().next().map_or(1, char::len_utf8);
                if depth == 0 {
                    return Some(at);
                }
            }
            None
        }
        c if c.is_alphanumeric() || c == '_' => {
            Some(text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{SCOPE, rewritten};

    #[test]
    fn only_tags_are_rewritten() {
        for (from, to) in [
            ("{%- generation -%}a{% endgeneration %}", "{%- with -%}a{% endwith %}"),
            ("{{ '%s' % x }}", "{{ ('%s' | format(x)) }}"),
            ("{{ '%s-%s' % (a, b[1].c('%')) ~ 'x' }}", "{{ ('%s-%s' | format(a, b[1].c('%'))) ~ 'x' }}"),
            ("{{ '%s' % (a).b(c)[0] }}", "{{ ('%s' | format((a).b(c)[0])) }}"),
            ("{% if 'a' % (b,) == 'x' %}", "{% if ('a' | format(b)) == 'x' %}"),
        ] {
            assert_eq!(rewritten(from, SCOPE), to);
        }
        for same in [
            "{% raw %}{% generation %}{%- endraw -%}",
            "{# {% generation %} #}'%s' % x",
            "{{ '{% generation %}' }}{{ {'a': {'b': 1}} }}{{ 7 % 3 }}",
            "{% if a %}{{ 'é' }}",
            "{{ 'not closed",
            "{% generation",
        ] {
            assert_eq!(rewritten(same, SCOPE), same);
        }
    }
}
