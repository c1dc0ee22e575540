//! The scalesim command.
fn main() {}
