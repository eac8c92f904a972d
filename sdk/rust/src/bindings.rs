//! The generated bindings: the only place with `unsafe` in it. Nothing here is for authors.
//!
//! The capabilities come from one world that imports them all; of these, a component keeps what it calls. Each kind's export is a world of
//! its own without imports, and so is `configurable`: the linker unites the worlds that a plugin registers.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "made by wit-bindgen: the canonical ABI is raw memory, the documentation is in the WIT, and which lints fire depends on target and version"
)]

pub mod capabilities {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-capabilities;
            world capabilities {
                import stampmill:types/types@0.1.0;
                import stampmill:host/log@0.1.0;
                import stampmill:host/command@0.1.0;
                import stampmill:host/http@0.1.0;
                import stampmill:host/secret@0.1.0;
                import stampmill:host/state@0.1.0;
                import stampmill:host/workspace@0.1.0;
                import stampmill:host/facts@0.1.0;
                import stampmill:host/running-build@0.1.0;
                import stampmill:host/properties@0.1.0;
                import stampmill:host/logs@0.1.0;
                import stampmill:host/trigger@0.1.0;
            }
        ",
        world: "capabilities",
        generate_all,
        generate_unused_types: true,
    });
}

pub mod plugin {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-plugin;
            world sdk-plugin { export stampmill:plugin/configurable@0.1.0; }
        ",
        world: "sdk-plugin",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_plugin",
    });
}

pub mod change_poller {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-change-poller;
            world sdk-change-poller { export stampmill:change-source/poller@0.1.0; }
        ",
        world: "sdk-change-poller",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_change_poller",
    });
}

pub mod change_hook {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-change-hook;
            world sdk-change-hook { export stampmill:change-source/hook@0.1.0; }
        ",
        world: "sdk-change-hook",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_change_hook",
    });
}

pub mod codebase_generator {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-codebase-generator;
            world sdk-codebase-generator { export stampmill:codebase/generator@0.1.0; }
        ",
        world: "sdk-codebase-generator",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_codebase_generator",
    });
}

pub mod scheduler_filter {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-scheduler-filter;
            world sdk-scheduler-filter { export stampmill:filter/filter@0.1.0; }
        ",
        world: "sdk-scheduler-filter",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_scheduler_filter",
    });
}

pub mod merge {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-merge;
            world sdk-merge { export stampmill:merge/merge@0.1.0; }
        ",
        world: "sdk-merge",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_merge",
    });
}

pub mod step {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-step;
            world sdk-step { export stampmill:step/step@0.1.0; }
        ",
        world: "sdk-step",
        with: { "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_step",
    });
}

pub mod reporter {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package stampmill:sdk-reporter;
            world sdk-reporter { export stampmill:reporter/reporter@0.1.0; }
        ",
        world: "sdk-reporter",
        with: {
            "stampmill:types/types@0.1.0": crate::bindings::capabilities::stampmill::types::types,
            "stampmill:host/facts@0.1.0": crate::bindings::capabilities::stampmill::host::facts,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_reporter",
    });
}

pub use change_hook::export_change_hook;
pub use change_poller::export_change_poller;
pub use codebase_generator::export_codebase_generator;
pub use merge::export_merge;
pub use plugin::export_plugin;
pub use reporter::export_reporter;
pub use scheduler_filter::export_scheduler_filter;
pub use step::export_step;
