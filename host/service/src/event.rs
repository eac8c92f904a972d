//! What happened, for pages and programs that watch. An event says where to look, not what is there: whoever gets it reads anew.

use stampmill_model::{BuildId, BuilderName, BuildsetId, ChangeId, LogName, RequestId, SchedulerName, WorkerName};

/// Something changed. Sent after it is durable, except for [`Event::LogGrew`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A change arrived or was decided upon.
    ChangeChanged {
        /// Which.
        id: ChangeId,
    },
    /// A buildset was made or has ended.
    BuildsetChanged {
        /// Which.
        id: BuildsetId,
    },
    /// A request was made, or its state is another.
    RequestChanged {
        /// Which.
        id: RequestId,
        /// Its builder.
        builder: BuilderName,
    },
    /// A build, or one of its steps or properties, is not as it was.
    BuildChanged {
        /// Which.
        id: BuildId,
        /// Its builder.
        builder: BuilderName,
        /// The project of the builder, or empty.
        project: String,
        /// Whether it has ended.
        finished: bool,
    },
    /// A log has more lines, which the store can read already.
    LogGrew {
        /// Of which build.
        build: BuildId,
        /// Of which step.
        step: u32,
        /// The log's name.
        log: LogName,
        /// Complete lines that it has now.
        lines: u64,
    },
    /// A worker came, went or got something to do.
    WorkerChanged {
        /// Which.
        worker: WorkerName,
    },
    /// A change source's poll went another way than the last.
    ChangeSourceChanged {
        /// Its name.
        name: String,
    },
    /// A scheduler waits with something else, or was enabled or disabled.
    SchedulerChanged {
        /// Which.
        scheduler: SchedulerName,
    },
    /// Another configuration is in force.
    ConfigReloaded,
}
