//! Pages and look-ups.

use std::sync::Arc;

use redb::ReadableTableMetadata as _;
use tempfile::TempDir;

use super::*;
use crate::Store;
use crate::samples::*;

fn store_with(writes: &[Write]) -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.commit(writes, Steady(1)).unwrap();
    (directory, store)
}

fn rows_in<K: redb::Key, V: redb::Value>(store: &Store, table: redb::TableDefinition<'static, K, V>) -> u64 {
    store.view(|view| Ok(view.transaction.open_table(table)?.len()?)).unwrap()
}

/// Sixty builds on three builders and two workers: every fifth is open, the others end in turn in each way.
fn sixty_builds() -> Vec<Build> {
    (1..=60)
        .map(|id| {
            let (_, _, build) = running(id, ["linux", "mac", "win"][id as usize % 3], ["w1", "w2"][id as usize % 2]);
            let mut build = (*build).clone();
            build.number = id.div_ceil(3);
            build.buildset = BuildsetId(id.div_ceil(4));
            build.request = RequestId(id.div_ceil(2));
            if id % 5 != 0 {
                let outcome = Outcome::BY_SEVERITY[id as usize % 7];
                build.state = BuildState::Finished { outcome, summary: String::new(), at: Wall(id) };
            }
            build
        })
        .collect()
}

fn build_writes(builds: &[Build]) -> Vec<Write> {
    let mut writes = Vec::new();
    for build in builds {
        // As it happens: first it runs, then it ends.
        writes.push(Write::Build(Arc::new(Build { state: BuildState::Running, ..build.clone() })));
        let request = Request {
            id: build.request,
            buildset: build.buildset,
            builder: build.builder.clone(),
            ..request_in(RequestState::Pending)
        };
        writes.push(Write::Request(Arc::new(request)));
    }
    writes
}

fn all_builds(store: &Store, filter: &BuildFilter, limit: usize) -> Vec<u64> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = store.read().unwrap().builds(filter, before, limit).unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|build| build.id.0));
        match page.next {
            Some(next) => before = Some(next),
            None => return found,
        }
    }
}

#[test]
fn pages_of_builds_hold_each_build_that_fits_once_newest_first() {
    let builds = sixty_builds();
    let (_directory, store) = store_with(&build_writes(&builds));
    let ends: Vec<_> = builds.iter().map(|build| Write::Build(Arc::new(build.clone()))).collect();
    store.commit(&ends, Steady(2)).unwrap();
    assert_eq!(rows_in(&store, crate::tables::BUILDS_BY_STATE), 60, "a build is in one state");

    let mut states = vec![BuildsIn::Any, BuildsIn::Open, BuildsIn::Finished];
    states.extend(Outcome::BY_SEVERITY.map(BuildsIn::Ended));
    let mut seen = 0;
    for state in states {
        for builder in [None, Some(BuilderName::from("mac")), Some("none".into())] {
            for worker in [None, Some(WorkerName::from("w1"))] {
                for (buildset, request) in [
                    (None, None),
                    (Some(BuildsetId(3)), None),
                    (None, Some(RequestId(5))),
                    (None, Some(RequestId(999))),
                ] {
                    let filter =
                        BuildFilter { builder: builder.clone(), worker: worker.clone(), buildset, request, state };
                    let expected: Vec<_> = builds
                        .iter()
                        .rev()
                        .filter(|build| builder.as_ref().is_none_or(|builder| build.builder == *builder))
                        .filter(|build| worker.as_ref().is_none_or(|worker| build.worker == *worker))
                        .filter(|build| buildset.is_none_or(|buildset| build.buildset == buildset))
                        .filter(|build| request.is_none_or(|request| build.request == request))
                        .filter(|build| match (state, &build.state) {
                            (BuildsIn::Any, _) => true,
                            (BuildsIn::Finished, BuildState::Finished { .. }) => true,
                            (BuildsIn::Ended(wanted), BuildState::Finished { outcome, .. }) => wanted == *outcome,
                            (BuildsIn::Open, state) => !matches!(state, BuildState::Finished { .. }),
                            _ => false,
                        })
                        .map(|build| build.id.0)
                        .collect();
                    seen += expected.len();
                    for limit in [1, 7, 1000] {
                        assert_eq!(all_builds(&store, &filter, limit), expected, "{filter:?} by {limit}");
                    }
                }
            }
        }
    }
    assert!(seen > 200);
}

#[test]
fn a_build_of_several_requests_is_found_by_each_until_one_leaves_it() {
    let (_, _, build) = running(1, "linux", "w1");
    let merged = |(request, set)| Merged { request: RequestId(request), buildset: BuildsetId(set) };
    let build = Build { merged: [(2, 2), (3, 3)].map(merged).to_vec(), ..(*build).clone() };
    let requests = (1..=3).map(|id| Write::Request(running(id, "linux", "w1").1));
    let writes: Vec<_> = requests.chain([Write::Build(Arc::new(build.clone()))]).collect();
    let (_directory, store) = store_with(&writes);
    let found = |state| -> Vec<usize> {
        let of = |id: u64| {
            let by_request = BuildFilter { request: Some(RequestId(id)), state, ..BuildFilter::default() };
            let by_set = BuildFilter { buildset: Some(BuildsetId(id)), state, ..BuildFilter::default() };
            let found = all_builds(&store, &by_request, 10);
            assert_eq!(found, all_builds(&store, &by_set, 10));
            found.len()
        };
        (1..=3).map(of).collect()
    };
    assert_eq!(found(BuildsIn::Open), [1, 1, 1]);
    // The first leaves: the second is now the one whose turn it was.
    let left = Build { request: RequestId(2), buildset: BuildsetId(2), merged: vec![merged((3, 3))], ..build };
    store.commit(&[Write::Build(Arc::new(left.clone()))], Steady(2)).unwrap();
    assert_eq!(found(BuildsIn::Any), [0, 1, 1]);
    let ended = Build { state: finished_build().state, ..left };
    store.commit(&[Write::Build(Arc::new(ended))], Steady(3)).unwrap();
    assert_eq!(found(BuildsIn::Finished), [0, 1, 1]);
    assert_eq!(found(BuildsIn::Open), [0, 0, 0]);
}

#[test]
fn a_build_is_found_by_its_number_and_the_last_finished_one_by_its_builder() {
    let builds = sixty_builds();
    let (_directory, store) = store_with(&build_writes(&builds));
    let reader = store.read().unwrap();
    assert_eq!(reader.last_finished(&"mac".into()).unwrap(), None);
    drop(reader);
    // The newest ends first: an older one that ends later is not the newest.
    for build in builds.iter().rev() {
        store.commit(&[Write::Build(Arc::new(build.clone()))], Steady(2)).unwrap();
    }
    let reader = store.read().unwrap();
    for build in &builds {
        assert_eq!(reader.build_by_number(&build.builder, build.number).unwrap().as_ref(), Some(build));
    }
    assert_eq!(reader.build_by_number(&"mac".into(), 21).unwrap(), None);
    assert_eq!(reader.last_finished(&"mac".into()).unwrap().unwrap().id, BuildId(58));
    assert_eq!(reader.last_finished(&"linux".into()).unwrap().unwrap().id, BuildId(57), "60 is open");
}

#[test]
fn a_page_says_that_there_is_more_only_when_there_is() {
    let (_directory, store) = store_with(&build_writes(&sixty_builds()[..4]));
    let reader = store.read().unwrap();
    let page = |limit| reader.builds(&BuildFilter::default(), None, limit).unwrap();
    assert_eq!(page(3).next, Some(BuildId(2)));
    assert_eq!(page(4).next, None);
    assert_eq!(page(0).items.len(), 1, "a page of nothing would never end");
}

#[test]
fn patches_are_stored_once_and_come_back_with_every_row_that_has_them() {
    let (_directory, store) = store_with(&[]);
    let (buildset, request, build) = running(1, "linux", "w1");
    for _ in 0..3 {
        store
            .commit(
                &[
                    Write::Build(Arc::clone(&build)),
                    Write::Buildset(Arc::clone(&buildset)),
                    Write::Request(Arc::clone(&request)),
                ],
                Steady(1),
            )
            .unwrap();
    }
    let reader = store.read().unwrap();
    assert_eq!(reader.build(build.id).unwrap().as_ref(), Some(&*build));
    assert_eq!(reader.buildset(buildset.id).unwrap().as_ref(), Some(&*buildset));
    assert_eq!(rows_in(&store, crate::tables::PATCHES), 1);
}

#[test]
fn changes_are_found_by_branch_codebase_and_source_together() {
    let change = |id: u64, source: Option<&str>, branch: Option<&str>, codebase: Option<&str>| {
        let mut change = full_change();
        change.id = ChangeId(id);
        change.source = source.map(Into::into);
        change.seen.branch = branch.map(Into::into);
        change.codebase = codebase.map(Into::into);
        change
    };
    let changes = [
        change(1, Some("forge"), Some("main"), Some("app")),
        change(2, None, Some("main"), Some("core")),
        change(3, Some("forge"), None, Some("app")),
        change(4, Some("poller"), Some("main"), None),
        change(5, Some("forge"), Some("mainline"), Some("app")),
    ];
    let (_directory, store) = store_with(&[]);
    for change in changes {
        // The codebase is known later than the rest.
        let arrived = Change { codebase: None, decided: false, ..change.clone() };
        store.commit(&[Write::Change(Arc::new(arrived))], Steady(1)).unwrap();
        store.commit(&[Write::Change(Arc::new(change))], Steady(1)).unwrap();
    }
    let reader = store.read().unwrap();
    let found = |source: Option<&str>, branch: Option<&str>, codebase: Option<&str>| -> Vec<u64> {
        let filter = ChangeFilter {
            source: source.map(Into::into),
            branch: branch.map(Into::into),
            codebase: codebase.map(Into::into),
        };
        let page = reader.changes(&filter, None, 10).unwrap();
        assert_eq!(page.next, None);
        page.items.iter().map(|change| change.id.0).collect()
    };
    assert_eq!(found(None, None, None), [5, 4, 3, 2, 1]);
    assert_eq!(found(Some("forge"), None, None), [5, 3, 1]);
    assert_eq!(found(None, Some("main"), None), [4, 2, 1]);
    assert_eq!(found(None, None, Some("app")), [5, 3, 1]);
    assert_eq!(found(Some("forge"), Some("main"), Some("app")), [1]);
    assert_eq!(found(Some("poller"), None, Some("app")), [0; 0]);
    let page = reader.changes(&ChangeFilter::default(), Some(ChangeId(3)), 1).unwrap();
    assert_eq!((page.items[0].id, page.next), (ChangeId(2), Some(ChangeId(2))));
}

#[test]
fn requests_and_buildsets_are_listed_open_or_all() {
    let request = |id: u64, builder: &str, state: RequestState| {
        Write::Request(Arc::new(Request { id: RequestId(id), builder: builder.into(), ..request_in(state) }))
    };
    let complete =
        || RequestState::Complete { outcome: Outcome::Success, build: None, at: Wall(1), reason: String::new() };
    let set = |id: u64, buildset: Buildset| Write::Buildset(Arc::new(Buildset { id: BuildsetId(id), ..buildset }));
    let (_directory, store) = store_with(&[
        request(1, "linux", RequestState::Pending),
        request(2, "linux", RequestState::Pending),
        request(3, "mac", RequestState::Building(BuildId(1))),
        request(4, "mac", RequestState::AwaitingApproval),
        request(5, "linux", RequestState::Pending),
        request(6, "linux", complete()),
        set(1, open_buildset()),
        set(2, open_buildset()),
        set(3, finished_buildset()),
    ]);
    store.commit(&[request(1, "linux", complete()), set(1, finished_buildset())], Steady(2)).unwrap();
    let reader = store.read().unwrap();
    let requests = |builder: Option<&str>, open_only: bool| -> Vec<u64> {
        let filter = RequestFilter { builder: builder.map(Into::into), open_only };
        reader.requests(&filter, None, 10).unwrap().items.iter().map(|request| request.id.0).collect()
    };
    assert_eq!(requests(None, false), [6, 5, 4, 3, 2, 1]);
    assert_eq!(requests(None, true), [5, 4, 3, 2]);
    assert_eq!(requests(Some("linux"), false), [6, 5, 2, 1]);
    assert_eq!(requests(Some("linux"), true), [5, 2]);
    assert_eq!(reader.pending().unwrap(), BTreeMap::from([("linux".into(), 2)]));
    let sets = |open_only| -> Vec<u64> {
        let filter = BuildsetFilter { open_only };
        reader.buildsets(&filter, None, 10).unwrap().items.iter().map(|set| set.id.0).collect()
    };
    assert_eq!(sets(false), [3, 2, 1]);
    assert_eq!(sets(true), [2]);
    let of: Vec<_> = reader.requests_of(BuildsetId(2)).unwrap().iter().map(|request| request.id.0).collect();
    assert_eq!(of, [5, 6]);
    assert_eq!(reader.requests_of(BuildsetId(77)).unwrap(), []);
}

#[test]
fn notices_are_open_until_they_are_delivered_or_dead() {
    let notices: Vec<_> = notices().into_iter().map(|(_, notice)| notice).collect();
    let writes: Vec<_> = notices.iter().map(|notice| Write::Notice(notice.clone())).collect();
    let (_directory, store) = store_with(&writes);
    let given_up = Notice { state: notices[3].state.clone(), ..notices[0].clone() };
    store.commit(&[Write::Notice(given_up.clone()), Write::NoticeDone(notices[1].id)], Steady(1)).unwrap();
    let reader = store.read().unwrap();
    assert_eq!(reader.open_notices().unwrap(), [notices[2].clone()]);
    let dead = reader.dead_notices(None, 1).unwrap();
    assert_eq!((dead.items, dead.next), (vec![notices[3].clone()], Some(NoticeId(4))));
    let dead = reader.dead_notices(Some(NoticeId(4)), 1).unwrap();
    assert_eq!((dead.items, dead.next), (vec![given_up.clone()], None));
    assert_eq!(reader.notice(given_up.id).unwrap(), Some(given_up));
    assert_eq!(reader.notice(notices[1].id).unwrap(), None);
    assert_eq!(reader.notice(notices[2].id).unwrap(), Some(notices[2].clone()));
    drop(reader);
    store.commit(&[Write::NoticeDone(NoticeId(4))], Steady(1)).unwrap();
    assert_eq!(
        store.read().unwrap().dead_notices(None, 9).unwrap().items.len(),
        1,
        "a dead one was delivered after all"
    );
}

#[test]
fn a_delivery_is_known_by_its_source_and_id() {
    let (_directory, store) = store_with(&[Write::Delivery(delivery("d1", 5))]);
    let reader = store.read().unwrap();
    assert_eq!(reader.delivery(&"forge".into(), "d1").unwrap(), Some(delivery("d1", 5)));
    assert_eq!(reader.delivery(&"forge".into(), "d2").unwrap(), None);
    assert_eq!(reader.delivery(&"other".into(), "d1").unwrap(), None);
}

#[test]
fn a_view_does_not_change_while_it_is_held() {
    let (_directory, store) = store_with(&[]);
    let reader = store.read().unwrap();
    store.commit(&[Write::Change(Arc::new(full_change()))], Steady(1)).unwrap();
    assert_eq!(reader.change(ChangeId(7)).unwrap(), None);
    assert_eq!(store.read().unwrap().change(ChangeId(7)).unwrap(), Some(full_change()));
}
