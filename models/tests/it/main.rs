//! Integration tests of scalesim, one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]

mod traffic;
