//! Components of strangers: guests with a manifest of the test's own.

use serde_json::json;

/// A guest with this manifest in a section at its end.
#[must_use]
pub fn stranger(bytes: &[u8], id: &str, kind: &str, asks: &[&str]) -> Vec<u8> {
    let manifest = json!({
        "manifest": 1, "id": id, "version": "0.0.1", "kind": kind, "summary": "a test", "permissions": asks,
    })
    .to_string();
    let name = "stampmill:manifest";
    let section = [&length(name.len())[..], name.as_bytes(), manifest.as_bytes()].concat();
    [bytes, &[0], &length(section.len()), &section].concat()
}

/// A length as WebAssembly writes it (LEB128).
fn length(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
