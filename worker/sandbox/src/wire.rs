//! How strings that need not be UTF-8 travel: as the bytes that they are.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

fn bytes(text: &OsStr) -> &Bytes {
    Bytes::new(text.as_bytes())
}

fn text(bytes: ByteBuf) -> OsString {
    OsString::from_vec(bytes.into_vec())
}

/// A list of strings.
pub(crate) mod strings {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(all: &[OsString], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|one| bytes(one)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<OsString>, D::Error> {
        let all = Vec::<ByteBuf>::deserialize(from)?;
        Ok(all.into_iter().map(text).collect())
    }
}

/// A list of name and value.
pub(crate) mod pairs {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(all: &[(OsString, OsString)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|(name, value)| (bytes(name), bytes(value))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(OsString, OsString)>, D::Error> {
        let all = Vec::<(ByteBuf, ByteBuf)>::deserialize(from)?;
        Ok(all.into_iter().map(|(name, value)| (text(name), text(value))).collect())
    }
}

/// One path.
pub(crate) mod path {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        bytes(path.as_os_str()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(PathBuf::from(text(ByteBuf::deserialize(from)?)))
    }
}

/// A list of paths.
pub(crate) mod paths {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(all: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|path| bytes(path.as_os_str())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        let all = Vec::<ByteBuf>::deserialize(from)?;
        Ok(all.into_iter().map(|one| PathBuf::from(text(one))).collect())
    }
}
