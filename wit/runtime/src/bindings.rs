//! Generated from `wit/`: the types that cross the border, a trait for each imported interface and a caller for each exported one.
//! Nothing outside `convert`, `host` and `instance` names what is in here.

wasmtime::component::bindgen!({
    path: "..",
    inline: "
        package stampmill:runtime@0.1.0;
        world everything {
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
            export stampmill:plugin/configurable@0.1.0;
            export stampmill:change-source/poller@0.1.0;
            export stampmill:change-source/hook@0.1.0;
            export stampmill:codebase/generator@0.1.0;
            export stampmill:filter/filter@0.1.0;
            export stampmill:merge/merge@0.1.0;
            export stampmill:step/step@0.1.0;
            export stampmill:reporter/reporter@0.1.0;
        }
    ",
    world: "stampmill:runtime/everything",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "stampmill:host/command.command-line": crate::host::command::CommandLine,
        "stampmill:host/command.finished": crate::host::command::Ended,
        "stampmill:host/command.child": crate::host::command::Child,
        "stampmill:host/http.request": crate::host::http::Request,
        "stampmill:host/http.response": crate::host::http::Response,
        "stampmill:host/facts.build": crate::host::facts::Build,
        "stampmill:host/facts.step": crate::host::facts::Step,
        "stampmill:host/facts.buildset": crate::host::facts::Buildset,
        "stampmill:host/logs.log-writer": crate::host::logs::Writer,
        "stampmill:host/trigger.request": crate::host::trigger::Request,
        "stampmill:host/trigger.triggered": crate::host::trigger::Triggered,
    },
});

pub(crate) use stampmill::types::types;
