//! The pages as a person uses them, in a real browser in front of a real host.

mod pages {
    pub(crate) mod scene;

    mod asking;
    mod logs;
    mod looks;
    mod people;
    mod screens;
    mod watching;
}
