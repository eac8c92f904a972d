//! Components of strangers, as far as they are read before anything of them is compiled.

use stampmill_runtime::{Inspection, Kind, inspect};

use crate::memory;

/// What reading may hold besides what the bytes come to: the schema of schemas, and tables of the validator.
const BASE_BYTES: usize = 8 << 20;
/// How many bytes of memory one byte may come to: a value of a schema is held as JSON and once more as what validates it.
const BYTES_A_BYTE: usize = 1024;
/// The longest error: it may quote names and values of the component, cut to a sane length.
const ERROR_BYTES: usize = 4 << 10;

/// Inspects the bytes.
pub fn run(bytes: &[u8]) {
    match memory::at_most(BASE_BYTES + BYTES_A_BYTE * bytes.len(), "inspecting", || inspect(bytes)) {
        Ok(inspection) => taken(bytes, &inspection),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < ERROR_BYTES + 4 * bytes.len(), "{} bytes of error", said.len());
        }
    }
}

fn taken(bytes: &[u8], inspection: &Inspection) {
    assert_eq!(inspection.bytes, bytes.len() as u64);
    assert_eq!(inspection.imports.len(), imports_of(bytes), "an import was left out of account");
    for import in &inspection.imports {
        assert!(
            is_allowed(inspection, import),
            "a {} got {import}: {:?}",
            inspection.manifest.kind,
            inspection.manifest
        );
    }
    let manifest = &inspection.manifest;
    assert!(manifest.permissions.iter().all(|permission| manifest.kind.may_ask().contains(permission)), "{manifest:?}");
    let again = inspect(bytes).expect("it was taken before");
    assert_eq!((again.digest, again.imports), (inspection.digest, inspection.imports.clone()));
}

/// What the contract has, in our own words: a list, so that a rule that lets in more than meant is seen.
fn is_allowed(inspection: &Inspection, import: &str) -> bool {
    let kind = inspection.manifest.kind;
    match import.strip_suffix("@0.1.0") {
        Some("stampmill:types/types" | "stampmill:host/log") => true,
        Some("stampmill:host/facts") => matches!(kind, Kind::Step | Kind::Reporter),
        Some("stampmill:host/running-build") => kind == Kind::Step,
        Some(interface) => {
            let mut asked = inspection.manifest.permissions.iter();
            asked.any(|permission| interface == format!("stampmill:host/{permission}"))
        }
        None => false,
    }
}

/// How many imports the sections of the outermost component have, counted from the bytes: a section is its number, its length and its
/// content; that of imports is the tenth and begins with how many there are.
fn imports_of(bytes: &[u8]) -> usize {
    let (mut at, mut count) = (8, 0);
    while let Some(&section) = bytes.get(at) {
        let (length, content) = number(bytes, at + 1);
        if section == 10 {
            count += number(bytes, content).0;
        }
        at = content + length;
    }
    count
}

/// An unsigned LEB128 number, and where it ends.
fn number(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut value, mut shift) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        value |= usize::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte < 0x80 || shift > 56 {
            break;
        }
    }
    (value, at)
}
