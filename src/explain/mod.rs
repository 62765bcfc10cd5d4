//! Floor 5: evidence to text and JSON.
