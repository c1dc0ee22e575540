//! The files of an explanation.

use scalesim::experiment::explain::Explanation;

use crate::{ExportError, Style, explanation_png, explanation_svg, render_explanation};

/// Makes the contents of a file of an explanation.
pub type ExportExplanation = fn(&Explanation) -> Result<Vec<u8>, ExportError>;

/// All files of an explanation, and what makes each.
pub const EXPLANATION_ARTEFACTS: [(&str, ExportExplanation); 4] = [
    ("explanation.json", explanation_json),
    ("explain.txt", |explanation| Ok(render_explanation(explanation, Style::Plain).into_bytes())),
    ("explain.svg", |explanation| Ok(explanation_svg(explanation)?)),
    ("explain.png", |explanation| Ok(explanation_png(explanation)?)),
];

/// `explanation.json`: all of it, indented, the same bytes for the same explanation.
///
/// # Errors
/// Where a value has no JSON form.
pub fn explanation_json(explanation: &Explanation) -> Result<Vec<u8>, ExportError> {
    let mut bytes = serde_json::to_vec_pretty(explanation)?;
    bytes.push(b'\n');
    Ok(bytes)
}
