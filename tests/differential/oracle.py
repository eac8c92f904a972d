"""Answers questions with Buildbot's own functions: a JSON array a line in, one out. The first line out is Buildbot's version."""

import datetime
import json
import os
import sys
import time
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import croniter
from twisted.internet import defer
from twisted.logger import globalLogBeginner

import buildbot
from buildbot.changes import changes
from buildbot.changes.filter import ChangeFilter
from buildbot.process import results
from buildbot.process.build import Build
from buildbot.process.properties import Properties
from buildbot.schedulers.base import BaseScheduler
from buildbot.schedulers.timed import NightlyBase

# The log would go to standard output.
globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


def now(deferred):
    """The result of something that waits for nothing."""
    done = []
    deferred.addCallbacks(done.append, lambda failure: failure.raiseException())
    return done[0]


# --- builds

FLAGS = ("haltOnFailure", "flunkOnFailure", "warnOnFailure", "flunkOnWarnings", "warnOnWarnings", "alwaysRun")
WORDS = results.Results


def step_of(number, case):
    step = SimpleNamespace(number=number, name=str(number), **{flag: case[flag] for flag in FLAGS})
    step.case, step.results = case, None
    step.getBuildResultSummary = lambda: defer.succeed({})
    step.interrupt = lambda reason: defer.succeed(None)
    return step


def run_build(case):
    """Which steps are run, and how the build ends."""
    build = SimpleNamespace(
        steps=[step_of(number, step) for number, step in enumerate(case["steps"])],
        conn=True, terminate=False, stopped=False, finished=False, results=results.SUCCESS, text=[], currentStep=None,
        _acquiringLock=None, _is_substantiating=False, stopped_reason=None,
    )
    ran = []
    while (step := Build.getNextStep(build)) is not None:
        build.currentStep = step
        # As `BuildStep.startStep` has it: a step whose `doStepIf` says no is skipped, and not run.
        result = results.SKIPPED
        if step.case["when"]:
            ran.append(step.number)
            result = WORDS.index(step.case["result"])
            if case["cancelAt"] == step.number:
                now(Build.stopBuild(build, "ann"))
                result = results.CANCELLED
            if case["lostAt"] == step.number:
                Build.lostRemote(build)
                result = results.RETRY
        step.results = result
        build.currentStep = None
        if now(Build.stepDone(build, result, step)):
            build.terminate = True
    return {"ran": ran, "result": WORDS[build.results]}


# --- nights


class Night(NightlyBase):
    """A nightly scheduler that belongs to no master."""

    def __init__(self, minute, hour, dayOfMonth, month, dayOfWeek):
        self.minute, self.hour, self.dayOfMonth, self.month, self.dayOfWeek = minute, hour, dayOfMonth, month, dayOfWeek


def next_night(case):
    """When Buildbot is next, and what its crontab says of the minutes of the clock on the wall until then."""
    os.environ["TZ"] = case["zone"]
    time.tzset()
    night = Night(*case["fields"])
    buildbots = int(now(night.getNextBuildTime(case["after"])))
    zone, cron = ZoneInfo(case["zone"]), night._times_to_cron_line(*case["fields"])
    offset = lambda ts: datetime.datetime.fromtimestamp(ts, zone).utcoffset()
    after, ours = case["after"], case["ours"]
    if offset(after) == offset(buildbots) == offset(ours):
        return {"buildbot": buildbots, "steady": True}
    until = max(buildbots, ours) + 7200
    # From minute to minute is slow.
    wall = on_the_wall(cron, zone, after, until) if until - after < LOOKED_THROUGH else None
    return {"buildbot": buildbots, "steady": False, "wall": wall}


LOOKED_THROUGH = 2 * 86400


def on_the_wall(cron, zone, after, until):
    """The first minute after `after` that the fields of the crontab allow, as people read clocks: a fixed time of the day that comes twice is
    the first, one that does not come is the first minute after the gap. `*` and steps take the hours as they come."""
    minute, hour = cron.split()[:2]
    is_fixed = not any(sign in minute + hour for sign in "*/")
    minutes, hours = croniter.croniter.expand(cron)[0][:2]
    days = {}

    def allows(here):
        is_of_clock = all(allowed in (["*"], here_is) or here_is in allowed
                          for allowed, here_is in ((minutes, here.minute), (hours, here.hour)))
        if not is_of_clock:
            return False
        day = here.date()
        if day not in days:
            days[day] = croniter.croniter.match(cron, here)
        return days[day]

    at = after - after % 60
    before = datetime.datetime.fromtimestamp(at, zone)
    while at <= until:
        at += 60
        here = datetime.datetime.fromtimestamp(at, zone)
        if is_fixed and here.utcoffset() > before.utcoffset():
            missing, end = before.replace(tzinfo=None) + datetime.timedelta(minutes=1), here.replace(tzinfo=None)
            while missing < end:
                if allows(missing):
                    return at
                missing += datetime.timedelta(minutes=1)
        before = here
        if not (is_fixed and here.fold == 1) and allows(here.replace(tzinfo=None, fold=0)):
            return at
    return None


# --- changes

CRITERIA = ("branch", "project", "repository", "category", "codebase")


def rule(files):
    """What people write as `fileIsImportant`."""
    if files is None:
        return None
    suffixes, folders = tuple(files["suffixes"]), tuple(files["folders"])

    def is_important(change):
        for name in change.files:
            if name.startswith(folders):
                continue
            if not suffixes or name.endswith(suffixes):
                return True
        return False

    return is_important


class Taker:
    """As much of a scheduler as `_changeCallback` uses."""

    def __init__(self, case):
        self.codebases = {name: {} for name in case["codebases"]}
        self.name, self.verdict, self._change_consumer = "quick", "ignored", True
        self._change_consumption_lock = defer.DeferredLock()
        change = case["change"]
        seen = changes.Change(None, None, [], "")
        for key, value in change.items():
            setattr(seen, key, value)
        seen.properties = Properties()
        self.change = seen
        database = SimpleNamespace(changes=SimpleNamespace(getChange=lambda _id: defer.succeed(seen)))
        self.master = SimpleNamespace(db=database)

    def gotChange(self, change, important):
        self.verdict = "important" if important else "unimportant"


def judge(case):
    """What becomes of a change."""
    taker = Taker(case)
    kept, changes.Change.fromChdict = changes.Change.fromChdict, lambda _master, change: defer.succeed(change)
    try:
        filters = ChangeFilter(**case["filter"])
        now(BaseScheduler._changeCallback(
            taker, None, {"changeid": 1}, rule(case["files"]), filters, case["onlyImportant"]))
    finally:
        changes.Change.fromChdict = kept
    return {"verdict": taker.verdict}


ANSWERS = {"build": run_build, "night": next_night, "change": judge}


def main():
    print(json.dumps(buildbot.version), flush=True)
    for line in sys.stdin:
        kind, cases = json.loads(line)
        print(json.dumps([ANSWERS[kind](case) for case in cases]), flush=True)


main()
