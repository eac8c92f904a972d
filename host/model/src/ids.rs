//! Ids are numbers that only grow; names are what the operator wrote in the configuration.

use std::fmt;
use std::sync::Arc;

macro_rules! number_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The id after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

number_ids! {
    /// A change, in order of arrival.
    ChangeId,
    /// A buildset.
    BuildsetId,
    /// A build request.
    RequestId,
    /// A build. Every attempt at a request is a build of its own, with an id of its own.
    BuildId,
    /// A notice to a reporter; the same at every attempt to deliver it.
    NoticeId,
    /// A person; that of one who was removed or merged with another does not come again.
    PersonId,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

names! {
    /// The name of a builder in the configuration.
    BuilderName,
    /// The name of a worker in the configuration.
    WorkerName,
    /// The name of a scheduler in the configuration.
    SchedulerName,
    /// The name of a change source in the configuration.
    ChangeSourceName,
    /// The name of a reporter in the configuration.
    ReporterName,
    /// The name of a lock in the configuration.
    LockName,
}
