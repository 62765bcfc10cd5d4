//! Floor 3: what is remembered. The flow table, TCP state, port leases, expiry.
