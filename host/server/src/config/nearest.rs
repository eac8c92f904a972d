//! The name that was probably meant.

/// The known name nearest to a wrong one, if one is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase().replace('_', "-");
    let most = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The mend for a name that is not there: the nearest, or all of them.
pub(crate) fn did_you_mean<'a>(wrong: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 30;
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest(wrong, known.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    match known.len() {
        0 => format!("there are no {what} yet"),
        many if many > SHOWN => format!("the {what} begin with {}, …", quoted(&known[..SHOWN])),
        _ => format!("the {what} are {}", quoted(&known)),
    }
}

/// Names in backquotes with commas between.
pub(crate) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_another_word_finds_none() {
        let known = ["branch", "branches", "builders", "stable-for"];
        assert_eq!(nearest("brnach", known), Some("branch"));
        assert_eq!(nearest("stable_for", known), Some("stable-for"));
        assert_eq!(nearest("Builders", known), Some("builders"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(did_you_mean("x", "keys", []), "there are no keys yet");
    }
}
