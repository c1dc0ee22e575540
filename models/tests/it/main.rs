//! Integration tests of scalesim, one binary.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]

mod asg_vectors;
mod connections;
mod conservation;
mod determinism;
mod diagnostics;
mod dynamic;
mod forecast;
mod front_door;
mod golden;
mod hpa_vectors;
mod incidents;
mod job_tables;
mod jobs;
mod kernel;
mod kubernetes;
mod lifecycle;
mod llm;
mod llm_traces;
mod machine;
mod money;
mod overload;
mod polling_vectors;
mod real_traces;
mod releases;
mod replay;
mod runtimes;
mod scaling_vectors;
mod sessions;
mod target_groups;
mod theory;
mod theory_vectors;
mod timelines;
mod traces;
mod traffic;
mod weights_and_zones;
