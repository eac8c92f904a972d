//! Messages between host and worker, in both directions.

use stampmill_protocol::{DecodeError, EncodeError, HostMessage, WorkerMessage};

use crate::memory;

/// What decoding may hold besides what the bytes themselves come to: serde sets at most a mebibyte aside for a list that says it is long,
/// and lists of ours are in each other four deep at most.
const SET_ASIDE_BYTES: usize = 6 << 20;
/// How many bytes of memory one byte of a message may come to: an empty text is one byte and takes 24, in lists that grow by doubling.
const BYTES_A_BYTE: usize = 160;

/// Decodes the bytes as a message of either side.
pub fn run(bytes: &[u8]) {
    both_ways(bytes, WorkerMessage::decode, WorkerMessage::encode);
    both_ways(bytes, HostMessage::decode, HostMessage::encode);
}

fn both_ways<M: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<M, DecodeError>,
    encode: fn(&M) -> Result<Vec<u8>, EncodeError>,
) {
    let most = SET_ASIDE_BYTES + BYTES_A_BYTE * bytes.len();
    let message = match memory::at_most(most, "decoding", || decode(bytes)) {
        Ok(message) => message,
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() < 2048, "an error repeats {} bytes of what was received", said.len());
            return;
        }
    };
    let again = match encode(&message) {
        Ok(again) => again,
        // The compact form of a message can be within the limit that its written-out form is over.
        Err(EncodeError::TooLarge { bytes, limit }) => {
            assert!(bytes > limit);
            return;
        }
        Err(error) => panic!("{message:?} was decoded and can't be encoded: {error}"),
    };
    match decode(&again) {
        Ok(same) => assert_eq!(same, message),
        Err(error) => panic!("{message:?} was encoded and can't be decoded: {error}"),
    }
}
