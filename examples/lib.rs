//! Rust examples of the scalesim library, each its own `cargo run -p scalesim-examples --example NAME`.
