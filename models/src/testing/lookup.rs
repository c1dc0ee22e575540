//! Finding things by name, and saying which may have been meant.

use crate::scenario::nearest_or_all;

/// Nothing has that name, or more than one thing has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(String);

impl NotFound {
    /// Nothing of this kind is called `name`; `known` are.
    pub fn new(what: &str, name: &str, known: &[&str]) -> NotFound {
        NotFound(format!("there is no {what} `{name}`: {}", nearest_or_all(name, known)))
    }
}

/// The place of the only one of that name.
pub fn only<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize, NotFound> {
    let mut found = known.clone().enumerate().filter(|(_, known)| *known == name);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => {
            Err(NotFound(format!("more than one {what} is called `{name}`: give each a `name` of its own")))
        }
        (None, _) => Err(NotFound::new(what, name, &known.collect::<Vec<_>>())),
    }
}

/// The place of an endpoint, by `service: endpoint` or, where one service only has it, by `endpoint`.
pub fn endpoint(name: &str, known: &[&str]) -> Result<usize, NotFound> {
    let bare: Vec<&str> =
        known.iter().map(|full| full.split_once(": ").map_or(*full, |(_, own)| own)).collect();
    let matches: Vec<usize> =
        (0..known.len()).filter(|&index| known[index] == name || bare[index] == name).collect();
    match matches[..] {
        [index] => Ok(index),
        [] => Err(NotFound::new("endpoint", name, &bare)),
        _ => {
            let full: Vec<&str> = matches.iter().map(|&index| known[index]).collect();
            Err(NotFound(format!("several services have `{name}`: write `{}`", full.join("` or `"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_have_is_no_name() {
        let find = |name: &str| only("objective", name, ["fast", "fast", "answered"].into_iter());
        assert_eq!(find("answered"), Ok(2));
        let both = find("fast").unwrap_err().to_string();
        assert_eq!(both, "more than one objective is called `fast`: give each a `name` of its own");
    }

    #[test]
    fn endpoints_go_by_their_own_name_where_that_is_enough() {
        let known = ["api: GET /", "api: GET /cart", "admin: GET /"];
        assert_eq!(endpoint("GET /cart", &known), Ok(1));
        assert_eq!(endpoint("admin: GET /", &known), Ok(2));
        let both = endpoint("GET /", &known).unwrap_err().to_string();
        assert_eq!(both, "several services have `GET /`: write `api: GET /` or `admin: GET /`");
    }
}
