//! Reports: a durable outbox of notices. Each is tried until it is delivered, refused or has had its tries.

use stampmill_model::{Build, BuilderName, NoticeId};

use crate::Engine;
use crate::config::{OccasionKind, Reporter};
use crate::input::Trouble;
use crate::outbox::Key;
use crate::output::{Effect, Notice, NoticeState, Subject, Write};
use crate::timers::Timer;

impl Engine {
    /// Tells the reporters that want to know of an open build or buildset.
    pub(crate) fn notify(&mut self, occasion: OccasionKind, subject: Subject) {
        if self.config.reporters.is_empty() {
            return;
        }
        let builders: Vec<BuilderName> = match subject {
            Subject::Build(id) => self.builds.get(&id).map(|open| open.build.builder.clone()).into_iter().collect(),
            Subject::Buildset(id) => {
                let requests = self.buildsets.get(&id).map_or(&[][..], |open| &open.set.requests);
                let requests = requests.iter().filter_map(|request| self.requests.get(request));
                requests.map(|request| request.builder.clone()).collect()
            }
        };
        self.notify_about(occasion, subject, &builders);
    }

    /// Tells the reporters that want to know of a build.
    pub(crate) fn notify_of_build(&mut self, occasion: OccasionKind, build: &Build) {
        self.notify_about(occasion, Subject::Build(build.id), std::slice::from_ref(&build.builder));
    }

    fn notify_about(&mut self, occasion: OccasionKind, subject: Subject, builders: &[BuilderName]) {
        let config = std::sync::Arc::clone(&self.config);
        for reporter in config.reporters.iter().filter(|reporter| wants(reporter, occasion, builders)) {
            let id = self.last.notice.next();
            self.last.notice = id;
            let reporter = reporter.name.clone();
            let notice = Notice { id, reporter, occasion, subject, attempt: 1, state: NoticeState::Sending };
            self.outbox.effect(Effect::Report { notice: notice.clone() });
            self.outbox.mark(Key::Notice(id));
            self.notices.insert(id, notice);
        }
    }

    /// A reporter was told, or could not be.
    pub(crate) fn reported(&mut self, id: NoticeId, attempt: u32, result: Result<(), Trouble>) {
        let Some(notice) = self.notices.get_mut(&id) else { return };
        if notice.attempt != attempt || notice.state != NoticeState::Sending {
            return;
        }
        match result {
            Ok(()) => {
                self.notices.remove(&id);
                self.outbox.put(Key::Notice(id), Write::NoticeDone(id));
            }
            Err(trouble) if trouble.retry && attempt < self.config.limits.report_attempts => {
                let until = self.now.steady + self.pause_after(attempt, &trouble);
                if let Some(notice) = self.notices.get_mut(&id) {
                    notice.state = NoticeState::Waiting { until, error: trouble.message };
                    self.outbox.mark(Key::Notice(id));
                    self.timers.set(Timer::Report(id), until);
                }
            }
            Err(trouble) => self.bury(id, trouble.message),
        }
    }

    /// A notice goes to the dead-letter list.
    fn bury(&mut self, id: NoticeId, error: String) {
        let Some(mut notice) = self.notices.remove(&id) else { return };
        let (reporter, attempt) = (&notice.reporter, notice.attempt);
        self.outbox
            .warn(format!("reporter `{reporter}` can't be told of notice {id}, given up at try {attempt}: {error}"));
        notice.state = NoticeState::Dead { error, at: self.now.wall };
        self.outbox.put(Key::Notice(id), Write::Notice(notice));
    }

    /// The next try of a notice is due.
    pub(crate) fn report_again(&mut self, id: NoticeId) {
        let Some(notice) = self.notices.get_mut(&id) else { return };
        notice.attempt += 1;
        notice.state = NoticeState::Sending;
        let notice = notice.clone();
        self.outbox.mark(Key::Notice(id));
        self.outbox.effect(Effect::Report { notice });
    }

    /// Takes up the notices that were not delivered when the host stopped.
    pub(crate) fn resume_notices(&mut self) {
        for notice in self.notices.values() {
            match &notice.state {
                NoticeState::Sending => self.outbox.effect(Effect::Report { notice: notice.clone() }),
                NoticeState::Waiting { until, .. } => self.timers.set(Timer::Report(notice.id), *until),
                NoticeState::Dead { .. } => {}
            }
        }
    }
}

fn wants(reporter: &Reporter, occasion: OccasionKind, builders: &[BuilderName]) -> bool {
    reporter.on.contains(&occasion)
        && (reporter.builders.is_empty() || builders.iter().any(|builder| reporter.builders.contains(builder)))
}
