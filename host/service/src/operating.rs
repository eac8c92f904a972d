//! What operators switch while the host runs: schedulers on and off, and whether workers get builds.

use stampmill_model::SchedulerName;

use crate::asks::fit_reason;
use crate::door::Service;
use crate::error::{ServiceError, unknown};
use crate::host::Ask;
use crate::identity::Identity;
use crate::permission::Action;
use crate::view::{SchedulerNow, SchedulerView};

impl Service {
    /// Schedulers in the order of the configuration, each with what it waits with.
    pub async fn schedulers(&self, who: &Identity) -> Result<Vec<(SchedulerView, SchedulerNow)>, ServiceError> {
        who.require(Action::Read)?;
        let mut now = self.host.schedulers().await?;
        let mut with_state = |view: &SchedulerView| {
            // One that a reload has just brought is not in the engine yet.
            let position = now.iter().position(|now| now.name == view.name);
            let nothing = || SchedulerNow::idle(view.name.clone());
            (view.clone(), position.map_or_else(nothing, |position| now.swap_remove(position)))
        };
        Ok(self.catalogue().schedulers.iter().map(&mut with_state).collect())
    }

    /// Disables a scheduler: it starts nothing until somebody enables it.
    pub async fn disable_scheduler(&self, who: &Identity, name: &str, reason: String) -> Result<(), ServiceError> {
        who.require(Action::SwitchSchedulers)?;
        let scheduler = self.known_scheduler(name)?;
        let reason = fit_reason(reason)?;
        self.done(Ask::DisableScheduler { scheduler, by: who.name().to_owned(), reason }).await
    }

    /// Enables a scheduler again.
    pub async fn enable_scheduler(&self, who: &Identity, name: &str) -> Result<(), ServiceError> {
        who.require(Action::SwitchSchedulers)?;
        let scheduler = self.known_scheduler(name)?;
        self.done(Ask::EnableScheduler(scheduler)).await
    }

    /// Pauses a worker: it finishes what it has and gets no more builds until somebody resumes it.
    pub async fn pause_worker(&self, who: &Identity, name: &str, reason: String) -> Result<(), ServiceError> {
        who.require(Action::PauseWorkers)?;
        let worker = self.known_worker(name).await?;
        let reason = fit_reason(reason)?;
        self.done(Ask::PauseWorker { worker, by: who.name().to_owned(), reason }).await
    }

    /// Lets a worker have builds again.
    pub async fn resume_worker(&self, who: &Identity, name: &str) -> Result<(), ServiceError> {
        who.require(Action::PauseWorkers)?;
        let worker = self.known_worker(name).await?;
        self.done(Ask::ResumeWorker(worker)).await
    }

    fn known_scheduler(&self, name: &str) -> Result<SchedulerName, ServiceError> {
        let catalogue = self.catalogue();
        let all = || catalogue.schedulers.iter().map(|scheduler| &scheduler.name);
        match all().find(|scheduler| scheduler.as_str() == name) {
            Some(scheduler) => Ok(scheduler.clone()),
            None => Err(unknown("scheduler", name, all().map(|scheduler| scheduler.as_str()))),
        }
    }
}
