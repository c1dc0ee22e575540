//! Integration tests of scalesim, one binary.

mod traffic;
