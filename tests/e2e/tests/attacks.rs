//! Published attacks on build systems, each carried out for real: a hostile step or a hand-written worker, through the real host and real
//! workers. A worker runs as root and one as an ordinary user, when the tests run as root; else only the second. The numbers are those of
//! `docs/reports/attacks.md`.

mod attacks {
    pub(crate) mod house;

    mod checkout;
    mod escapes;
    mod limits;
    mod machine;
    mod network;
    mod policy;
    mod processes;
    mod secrets;
    mod workers;
}
