//! Buildsets that a step asks the host for. A wish is told like everything else of the build, so that it is made once however often the
//! connection breaks; the host says what became of it, again after each reconnection.

use async_trait::async_trait;
use stampmill_model::{Outcome, StampChoice, TriggerState, TriggerWish};
use stampmill_runtime::{Fault, TriggerSpec, Triggered, Triggers};
use tokio::sync::watch;

use crate::agent;
use crate::build::Context;
use crate::convert::{outcome_for_plugin, wish_of_plugin};

/// What a step asks through.
pub(super) struct TriggerDoor {
    context: Context,
    step: u32,
}

impl TriggerDoor {
    pub(super) fn new(context: Context, step: u32) -> Self {
        Self { context, step }
    }

    fn without_secrets(&self, wish: TriggerWish) -> TriggerWish {
        let mask = |text: Option<String>| text.map(|text| self.context.mask(&text));
        let versions = wish.versions.into_iter().map(|(codebase, choice)| {
            (codebase, StampChoice { branch: mask(choice.branch), revision: mask(choice.revision) })
        });
        let properties = wish.properties.into_iter().map(|(name, value)| (name, self.context.mask_value(value)));
        TriggerWish { versions: versions.collect(), properties: properties.collect(), ..wish }
    }
}

#[async_trait]
impl Triggers for TriggerDoor {
    async fn start(&self, spec: TriggerSpec) -> Result<Box<dyn Triggered>, Fault> {
        let wish = |number| self.without_secrets(wish_of_plugin(number, spec));
        let number = self.context.trigger(self.step, wish)?;
        let mut started = Started { number, buildset: 0, asked: self.context.triggers() };
        started.buildset = match started.state(|_| true).await? {
            TriggerState::Open { buildset } | TriggerState::Finished { buildset, .. } => buildset.0,
            TriggerState::Refused { reason } => return Err(Fault::Refused(reason)),
        };
        Ok(Box::new(started))
    }
}

struct Started {
    number: u32,
    buildset: u64,
    asked: watch::Receiver<agent::Triggers>,
}

impl Started {
    /// Waits until the host has said what is wanted to hear.
    async fn state(&mut self, wanted: impl Fn(&TriggerState) -> bool) -> Result<TriggerState, Fault> {
        let number = self.number;
        let state = |asked: &agent::Triggers| asked.get(&number).and_then(|asked| asked.state.clone());
        let told = self.asked.wait_for(|asked| state(asked).is_some_and(|state| wanted(&state))).await;
        let told = told.ok().and_then(|asked| state(&asked));
        told.ok_or_else(|| Fault::unavailable("nobody listens to this build any more".to_owned()))
    }
}

#[async_trait]
impl Triggered for Started {
    fn buildset(&self) -> u64 {
        self.buildset
    }

    async fn wait(&mut self) -> Result<stampmill_runtime::Outcome, Fault> {
        match self.state(|state| !matches!(state, TriggerState::Open { .. })).await? {
            TriggerState::Finished { outcome, .. } => Ok(outcome_for_plugin(outcome)),
            TriggerState::Refused { reason } => Err(Fault::Refused(reason)),
            TriggerState::Open { .. } => Ok(outcome_for_plugin(Outcome::Exception)),
        }
    }
}
