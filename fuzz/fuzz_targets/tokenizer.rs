//! A tokenizer that is accepted encodes any text and decodes what it encoded, or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::text::{TextStream, Tokenizer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_bytes(bytes, serde_json::Value::Null, &serde_json::Value::Null) else { return };
    let Ok(ids) = tokenizer.encode("a small é 図 🙂 text", true) else { return };
    let _ = tokenizer.decode(&ids, true);
    let mut stream = TextStream::new(&tokenizer, false);
    for id in ids {
        let _ = stream.push(id);
    }
    let _ = stream.finish();
});
