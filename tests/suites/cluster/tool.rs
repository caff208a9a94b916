//! `make cluster` and `make cluster-down`.
