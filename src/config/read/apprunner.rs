//! `[apprunner]`.

use crate::config::apprunner::{AppRunner, PublicSubnets};
use crate::config::reader::Section;
use crate::config::text;

const KEYS: [&str; 3] = ["startup_latency", "public_subnets", "unsupported_availability_zones"];

pub(super) fn read(root: &Section<'_>) -> AppRunner {
    let Some(section) = root.get("apprunner").and_then(|v| v.table("[apprunner]", &KEYS)) else {
        return AppRunner::default();
    };
    let words = [("accept", PublicSubnets::Accept), ("refuse", PublicSubnets::Refuse)];
    let latency = section.get("startup_latency");
    let public = section.get("public_subnets").and_then(|v| v.one_of(&words));
    AppRunner {
        startup_latency: latency.and_then(|v| v.parse_number_too(text::latency)).map(|at| at.value),
        public_subnets: public.map_or_else(PublicSubnets::default, |at| at.value),
        unsupported_availability_zones: super::list(
            &section,
            "unsupported_availability_zones",
            |zone| zone.string(),
        ),
    }
}
