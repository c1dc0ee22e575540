//! What a command line compares: files, variants of the first of them, and what is set in all.

use std::path::Path;

use scalesim::Draft;
use scalesim::experiment::compare::Variant;

use super::CompareArgs;
use crate::{Failure, files};

/// A path and a value.
type Setting = (String, String);

/// Reads all that is to be compared, the baseline first.
pub fn read(args: &CompareArgs) -> Result<Vec<Variant>, Failure> {
    let settings: Result<Vec<Setting>, String> =
        args.set.iter().map(|text| setting(text, "--set", text)).collect();
    let mut settings = settings.map_err(Failure::Usage)?;
    let mut changed = Vec::new();
    for text in &args.variant {
        changed.push(variant(text).map_err(Failure::Usage)?);
    }
    if let ([_], []) = (args.files.as_slice(), args.variant.as_slice()) {
        if settings.is_empty() {
            return Err(Failure::Usage(
                "one scenario alone cannot be compared (hint: name a second file, or what to change in this one: \
                 `--variant group.web.max=12`)"
                    .to_string(),
            ));
        }
        changed.push((args.set.join("; "), std::mem::take(&mut settings)));
    }
    if args.files.iter().filter(|file| file.as_path() == Path::new("-")).count() > 1 {
        return Err(Failure::Usage("standard input can be one of the scenarios only".to_string()));
    }
    let mut variants: Vec<Variant> = Vec::new();
    let (first, others) = args.files.split_first().expect("the parser requires a file");
    let (name, text) = files::scenario_text(first)?;
    let beside = files::Beside::new(first);
    let baseline = with(Draft::new(name, text, &beside), &settings);
    add(&mut variants, name_of(first), &baseline)?;
    for file in others {
        let (name, text) = files::scenario_text(file)?;
        let beside = files::Beside::new(file);
        add(&mut variants, name_of(file), &with(Draft::new(name, text, &beside), &settings))?;
    }
    for (name, own) in changed {
        add(&mut variants, name, &with(baseline.clone(), &own))?;
    }
    Ok(variants)
}

fn with<'a>(draft: Draft<'a>, settings: &[Setting]) -> Draft<'a> {
    settings.iter().fold(draft, |draft, (path, value)| draft.with(path, value))
}

/// Reads a variant; one that has the name of another gets a number.
fn add(variants: &mut Vec<Variant>, name: String, draft: &Draft<'_>) -> Result<(), Failure> {
    let scenario = draft.read().map_err(|diagnostics| Failure::Scenario(Box::new(diagnostics)))?;
    let taken = |name: &str| variants.iter().any(|variant| variant.name == name);
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let name = [name.clone()].into_iter().chain(numbered).find(|name| !taken(name)).unwrap_or(name);
    variants.push(Variant { name, scenario });
    Ok(())
}

fn name_of(file: &Path) -> String {
    let stem = file.file_stem().filter(|stem| *stem != "-");
    stem.map_or("baseline".to_string(), |stem| stem.to_string_lossy().into_owned())
}

/// `[NAME:] PATH=VALUE; PATH=VALUE`: the name and what is set. A colon is the name's only before the first `=`, and neither
/// colon nor semicolon counts between quotes.
fn variant(text: &str) -> Result<(String, Vec<Setting>), String> {
    let first = unquoted(text, '=').next().unwrap_or(text.len());
    let colon = unquoted(text, ':').next().filter(|&colon| colon < first);
    let (name, rest) = match colon {
        Some(colon) => (text[..colon].trim(), &text[colon + 1..]),
        None => ("", text),
    };
    let ends: Vec<usize> = unquoted(rest, ';').chain([rest.len()]).collect();
    let mut from = 0;
    let mut settings = Vec::new();
    for end in ends {
        let part = rest[from..end].trim();
        from = (end + 1).min(rest.len());
        if !part.is_empty() {
            settings.push(setting(part, "--variant", text)?);
        }
    }
    if settings.is_empty() {
        return Err(format!(
            "`--variant {text}` changes nothing; write `--variant \"larger: group.web.max=16\"`"
        ));
    }
    let name = if name.is_empty() { rest.trim() } else { name };
    Ok((name.to_string(), settings))
}

/// Where a character stands that is not between quotes.
fn unquoted(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let mut quote = None;
    text.char_indices().filter_map(move |(at, c)| match quote {
        Some(open) => {
            if c == open {
                quote = None;
            }
            None
        }
        None if c == '"' || c == '\'' => {
            quote = Some(c);
            None
        }
        None => (c == wanted).then_some(at),
    })
}

fn setting(part: &str, option: &str, whole: &str) -> Result<Setting, String> {
    match unquoted(part, '=').next() {
        Some(at) => Ok((part[..at].trim().to_string(), part[at + 1..].trim().to_string())),
        None => Err(format!("`{part}` in `{option} {whole}` has no `=`; write `{option} group.web.max=8`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Vec<(String, String)>) {
        variant(text).unwrap()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_variant_has_a_name_and_what_it_sets() {
        assert_eq!(
            read("larger: group.web.max=16; group.web.min = 4"),
            ("larger".to_string(), pairs(&[("group.web.max", "16"), ("group.web.min", "4")]))
        );
        let unnamed = ("group.web.max=12".to_string(), pairs(&[("group.web.max", "12")]));
        assert_eq!(read("group.web.max=12"), unnamed);
        assert_eq!(read(" group.web.max=12 ;"), ("group.web.max=12 ;".to_string(), unnamed.1));
    }

    #[test]
    fn colons_and_semicolons_of_values_are_theirs() {
        assert_eq!(
            read("traffic.web.spikes.0.at=20:45; sla.0.name=\"a; b = c\"").1,
            pairs(&[("traffic.web.spikes.0.at", "20:45"), ("sla.0.name", "\"a; b = c\"")])
        );
        assert_eq!(
            read("service.api.endpoint.\"GET a:b=c\".size=1 KiB").1,
            pairs(&[("service.api.endpoint.\"GET a:b=c\".size", "1 KiB")])
        );
        assert_eq!(read("sla.0.objective=p99 <= 60ms").1, pairs(&[("sla.0.objective", "p99 <= 60ms")]));
    }

    #[test]
    fn what_sets_nothing_is_told() {
        for text in ["", "larger:", "larger", ";;", "larger: group.web.max"] {
            assert!(variant(text).is_err(), "{text}");
        }
    }
}
