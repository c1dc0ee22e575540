//! The scenario that the tests of this crate are about. `README.md` says how to start a crate like it.

use scalesim::{Draft, NoFiles};

/// The evening of the sale, as it is planned.
pub fn sale() -> Draft<'static> {
    Draft::new("sale.toml", include_str!("../sale.toml"), &NoFiles)
}
