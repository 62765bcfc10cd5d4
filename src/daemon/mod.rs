//! Floor 7: a running lab.
