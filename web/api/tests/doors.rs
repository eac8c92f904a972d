//! The API as programs meet it: through its router, with a store in a temporary directory and a host that remembers what it was asked.

#[path = "../../../host/service/tests/fake/house.rs"]
mod house;

mod parts {
    pub(crate) mod answers;
    pub(crate) mod call;
    pub(crate) mod openapi;
    pub(crate) mod people;
    pub(crate) mod permissions;
    pub(crate) mod streams;
}
