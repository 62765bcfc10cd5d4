//! Floor 5: the lab file, validated and lowered to a `vpc::Snapshot`.
