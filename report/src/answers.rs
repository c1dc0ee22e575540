//! The files of explanations and of recommendations.

use scalesim::experiment::explain::Explanation;
use scalesim::experiment::recommend::answer::Recommendation;

use crate::{Export, Style, json, plots, render_explanation};

/// All files of an explanation, and what makes each.
pub const EXPLANATION_ARTEFACTS: [(&str, Export<Explanation>); 4] = [
    ("explanation.json", json),
    ("explain.txt", |explanation| Ok(render_explanation(explanation, Style::Plain).into_bytes())),
    ("explain.svg", |explanation| Ok(plots::explanation_svg(explanation)?)),
    ("explain.png", |explanation| Ok(plots::explanation_png(explanation)?)),
];

/// All files of a recommendation but for the scenario that it recommends, and what makes each.
pub const RECOMMENDATION_ARTEFACTS: [(&str, Export<Recommendation>); 3] = [
    ("recommendation.json", json),
    ("candidates.svg", |answer| Ok(plots::recommendation_svg(answer)?)),
    ("candidates.png", |answer| Ok(plots::recommendation_png(answer)?)),
];
