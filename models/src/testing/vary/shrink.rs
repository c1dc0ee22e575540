//! From a variant that fails to one that fails and is closer to the scenario.

use proptest::strategy::ValueTree;

use super::{Variation, Variations};

/// A variant and the search for a simpler one: first each path by itself is left as the scenario has it, then what is still
/// set is bisected towards the scenario's own value.
#[derive(Debug)]
pub struct Shrinking<'a> {
    variations: Variations<'a>,
    /// The number of each path's value; `None` where the scenario's own is left.
    values: Vec<Option<u64>>,
    current: Variation,
    /// What was there before the last step, which failed.
    before: Option<(Vec<Option<u64>>, Variation)>,
    step: Step,
}

/// What is tried next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// To leave this path as it is.
    Leave(usize),
    /// A value of this path nearer than the one that fails, and not so near as one that passed.
    Approach { place: usize, passed: Option<u64> },
}

impl<'a> Shrinking<'a> {
    /// Begins at a variant.
    pub(super) fn new(variations: Variations<'a>, values: Vec<Option<u64>>, current: Variation) -> Self {
        Shrinking { variations, values, current, before: None, step: Step::Leave(0) }
    }

    /// Goes on to the next simpler variant that is a scenario.
    fn next(&mut self) -> bool {
        while let Some((place, value)) = self.propose() {
            let mut values = self.values.clone();
            values[place] = value;
            match self.variations.read(&values) {
                Ok(variation) => {
                    let values = std::mem::replace(&mut self.values, values);
                    self.before = Some((values, std::mem::replace(&mut self.current, variation)));
                    return true;
                }
                Err(_) => self.passed(value), // what is no scenario does not fail
            }
        }
        false
    }

    /// The path and the value that are tried next.
    fn propose(&mut self) -> Option<(usize, Option<u64>)> {
        loop {
            match self.step {
                Step::Leave(place) if place < self.values.len() => {
                    self.step = Step::Leave(place + 1);
                    if self.values[place].is_some() && self.variations.choices[place].own().is_some() {
                        return Some((place, None));
                    }
                }
                Step::Leave(_) => self.step = self.approach(0),
                Step::Approach { place, .. } if place == self.values.len() => return None,
                Step::Approach { place, passed } => {
                    let next = match (self.values[place], passed) {
                        (Some(fails), None) if fails > 0 => Some(0),
                        (Some(fails), Some(passed)) if fails.abs_diff(passed) > 1 => {
                            Some(fails.midpoint(passed))
                        }
                        _ => None,
                    };
                    match next {
                        Some(value) => return Some((place, Some(value))),
                        None => self.step = self.approach(place + 1),
                    }
                }
            }
        }
    }

    /// The scenario's own value passes, or it would have been left.
    fn approach(&self, place: usize) -> Step {
        Step::Approach { place, passed: self.variations.choices.get(place).and_then(|choice| choice.own()) }
    }

    /// What was tried does not fail.
    fn passed(&mut self, value: Option<u64>) {
        if let Step::Approach { passed, .. } = &mut self.step {
            *passed = value;
        }
    }
}

impl ValueTree for Shrinking<'_> {
    type Value = Variation;

    fn current(&self) -> Variation {
        self.current.clone()
    }

    fn simplify(&mut self) -> bool {
        self.before = None;
        self.next()
    }

    fn complicate(&mut self) -> bool {
        let Some((values, current)) = self.before.take() else { return false };
        if let Step::Approach { place, .. } = self.step {
            let tried = self.values[place];
            self.passed(tried);
        }
        (self.values, self.current) = (values, current);
        self.next()
    }
}
