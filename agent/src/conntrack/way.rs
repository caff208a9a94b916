//! How the connections of some addresses are read.

/// How the connections of some addresses are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The one that is likely to take less time.
    #[default]
    Cheaper,
    /// One by one, by the kernel's filter, where it has one that can be relied on.
    Filtered,
    /// All at once, and looked through here.
    Whole,
}

/// How far the kernel's filters can be relied on. None can be that is only passed over, as old kernels do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filters {
    pub(super) works: bool,
    /// Kernels up to 6.18 and maybe later hand out just those connections that do not have the address, if it is of IPv6.
    pub(super) v6: SixFilter,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SixFilter {
    /// There was no connection of IPv6 to tell by.
    #[default]
    Unknown,
    Works,
    Inverted,
}
