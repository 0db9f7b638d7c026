//! Every setting of every group, as key, as flag and as text.
