//! Connections that policies allow no longer are cut, although they were made when they were allowed.

pub mod causes;
pub mod concerned;
