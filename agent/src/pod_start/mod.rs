//! A pod's first moment: what it may do before its rules are in the kernel, and who makes it wait until they are.
#![allow(dead_code)]

mod overlay;
