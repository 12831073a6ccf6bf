//! Base64 of `data:` addresses (RFC 4648, section 4).

/// The bytes, or what is wrong with the text. White space is not allowed; padding is required.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return Err(format!("base64 of {} characters, which is no multiple of 4", bytes.len()));
    }
    let body = text.trim_end_matches('=');
    if bytes.len() - body.len() > 2 {
        return Err("base64 with more than two '=' at its end".to_owned());
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for (at, c) in body.bytes().enumerate() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(format!("a character at position {at} that is not base64")),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if bits & ((1 << count) - 1) != 0 {
        return Err("base64 whose last bits are not zero".to_owned());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::decode;

    /// The test vectors of RFC 4648, section 10.
    #[test]
    fn texts_are_decoded_or_refused() {
        for (text, want) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(decode(text).unwrap(), want.as_bytes());
        }
        assert_eq!(decode("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        for bad in ["Zg", "Zg=", "Z===", "Zm9v\nZm9v", "Zm-_", "Zh==", "=Zg=", "Zg==Zg=="] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
