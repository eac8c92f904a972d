//! The runtime against real components. This package holds no code but the guests' bytes: components built from `programs/` on the bare
//! contract, without the SDK and without a manifest, so that each test can give them the manifest it wants to see refused or taken.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
