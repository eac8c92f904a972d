//! An external id that comes again while its buildset is open makes no second one.

use super::{Finding, Invariant, expect};
use crate::facts::{Facts, Step};
use crate::records::Written;

pub(super) struct ExternalIds;

impl Invariant for ExternalIds {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        for written in step.written {
            let Written::Buildset { before: None, after } = written else { continue };
            let Some(key) = &after.external_id else { continue };
            let open = facts.said.open_buildsets.iter().map(|id| &facts.said.buildsets[id]);
            let mut others = open.filter(|it| it.id != after.id && it.external_id.as_ref() == Some(key));
            let other = others.next().map(|it| it.id);
            expect(other.is_none(), || format!("external id {key} has buildsets {} and {other:?}", after.id))?;
        }
        Ok(())
    }
}
