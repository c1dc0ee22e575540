//! Worked chains of the guides as whole runs.
