//! Numbers as people write them: `50M`, `1.5k`, `20%`.

/// A text that is no such number, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotANumber(String);

/// The largest number that is read.
const MOST: f64 = 1e15;

/// `50M`, `1.5k`, `2B`, `20_000`: at least 0, at most 10¹⁵.
///
/// ```
/// use scalesim::estimate::number;
/// assert_eq!(number("50M"), Ok(5e7));
/// assert!(number("50 mio").is_err());
/// ```
///
/// # Errors
/// What is wrong with it.
pub fn number(text: &str) -> Result<f64, NotANumber> {
    let text = text.trim();
    let factor = |last: char| match last {
        'k' | 'K' => Some(1e3),
        'M' => Some(1e6),
        'G' | 'B' => Some(1e9),
        _ => None,
    };
    let scaled = text
        .chars()
        .next_back()
        .and_then(|last| Some((&text[..text.len() - last.len_utf8()], factor(last)?)));
    let (digits, factor) = scaled.unwrap_or((text, 1.0));
    let plain = digits.trim().replace('_', "");
    let number: f64 = plain
        .parse()
        .map_err(|_| NotANumber(format!("`{text}` is not a number: write 1500, 20k, 50M or 1.2B")))?;
    let value = number * factor;
    if (0.0..=MOST).contains(&value) {
        Ok(value)
    } else {
        Err(NotANumber(format!("`{text}` is negative, or more than {MOST:e}")))
    }
}

/// `20%` or `0.2`: 0 to 1.
///
/// # Errors
/// What is wrong with it.
pub fn share(text: &str) -> Result<f64, NotANumber> {
    let text = text.trim();
    let bad = || NotANumber(format!("`{text}` is not a share: write 20% or 0.2"));
    let (digits, parts) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    let share = digits.trim().parse::<f64>().map_err(|_| bad())? / parts;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(NotANumber(format!("`{text}` is not between 0 and 100 %")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_letters_that_people_use() {
        let read = ["50M", "1.5k", "2B", "20_000", " 7 ", "0"].map(|text| number(text).unwrap());
        assert_eq!(read, [5e7, 1_500.0, 2e9, 20_000.0, 7.0, 0.0]);
        for bad in ["", "M", "50 mio", "-1", "1e300", "NaN", "inf", "5é", "5%"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_between_none_and_all() {
        assert_eq!([share("20%"), share("0.2"), share("100 %")].map(Result::unwrap), [0.2, 0.2, 1.0]);
        for bad in ["", "%", "101%", "20", "-1%", "x%", "NaN"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
