//! Tests of `[apprunner]`: the accepted settings, and the errors of others.

use super::*;
use crate::config::acceptance::Refusal;
use crate::config::apprunner::{Api, PublicSubnets, RefuseSubnets, StartupLatency};

#[test]
fn no_finding_shows_a_secret() {
    for text in [
        "[apprunner]\naccess_key = [{ id = \"AKIA/1\", secret = \"hush hush\" }]",
        "[[apprunner.access_key]]\nid = \"AKIA/1\"\nsecret = \"\"\"hush\nhush\"\"\"",
        "[[apprunner.access_key]]\nid = \"AKIA\"\nsecrets = \"hush \\\"hush\"",
        "[[apprunner.access_key]]\nid = \"AKIA\"\nsecret = 'hush hush",
        "[[apprunner.access_key]]\nid = \"AKIA\"\nsecret = hush",
        "[[apprunner.access_key]]\nid = \"AKIA\"\n\"secret\" = [\"hush\"]",
    ] {
        let found = Lab::parse("lab.toml", &format!("{MINIMAL}\n{text}")).unwrap_err();
        let json = serde_json::to_string(&found).unwrap();
        let shown = format!("{found}\n{found:?}\n{json}");
        assert!(!shown.contains("hush"), "{text}: {shown}");
        assert!(shown.contains("lab.toml"), "{shown}");
    }
}

#[test]
fn the_defaults_are_what_users_see() {
    let settings = lab(MINIMAL).spec.apprunner;
    assert_eq!(settings.startup_latency, None);
    assert_eq!(settings.public_subnets, PublicSubnets::Accept);
    assert!(settings.unsupported_availability_zones.is_empty());
    assert_eq!(settings.refuse_subnets, RefuseSubnets::Operation);
}

/// Statement 8: two to five minutes, if the lab file says so.
#[test]
fn a_latency_is_a_duration_or_a_range() {
    let read = |value: &str| {
        let lab = lab(&format!("{MINIMAL}\n[apprunner]\nstartup_latency = \"{value}\"\n"));
        lab.spec.apprunner.startup_latency.unwrap()
    };
    let minutes = |n: u64| Duration::from_secs(60 * n);
    assert_eq!(read("3m"), StartupLatency { shortest: minutes(3), longest: minutes(3) });
    let range = read("2m-5m");
    assert_eq!(range, StartupLatency { shortest: minutes(2), longest: minutes(5) });
    assert_eq!(range.of("eni-00000000000000000"), minutes(2));
    assert_eq!(range.of("eni-0ffffffff00000000"), minutes(5));
    let one = range.of("eni-07fffffff12345678");
    assert!(one > Duration::from_secs(209) && one < Duration::from_secs(211), "{one:?}");
    for bad in ["5m-2m", "2h", "soon", "1m-"] {
        let found = errors(&format!("{MINIMAL}\n[apprunner]\nstartup_latency = \"{bad}\"\n"));
        assert_eq!(found[0].rule, "bad-duration", "{bad}");
    }
    let found = errors(&format!("{MINIMAL}\n[apprunner]\nstartup = \"2m\"\n"));
    assert!(found[0].help.contains("startup_latency"), "{found}");
}

#[test]
fn subnets_that_app_runner_does_not_take_are_named_with_their_zones() {
    let text = based(
        "[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nroutes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]\n\
         [[subnet]]\nid = \"subnet-public\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1e\"\ncidr = \"10.0.9.0/24\"\n\
         route_table = \"rtb\"\n\
         [[vpc_connector]]\nname = \"file\"\nsubnets = [\"subnet-public\"]\n",
    );
    let all = ["subnet-a", "subnet-public", "subnet-unknown"];
    assert_eq!(lab(&text).spec.accept_subnets(&all), Ok(()));

    let strict = lab(&format!("{text}[apprunner]\npublic_subnets = \"refuse\"\n"));
    let refusal = strict.spec.accept_subnets(&all).unwrap_err();
    assert_eq!(refusal, Refusal::PublicSubnets(vec!["subnet-public".into()]));
    assert!(refusal.to_string().contains("internet gateway: subnet-public. Use private subnets"));
    assert_eq!(strict.spec.accept_subnets(&["subnet-a"]), Ok(()));

    let zones = "[apprunner]\nunsupported_availability_zones = [\"us-east-1e\"]\n";
    let zoned = lab(&format!("{text}{zones}"));
    let refusal = zoned.spec.accept_subnets(&all).unwrap_err().to_string();
    assert!(
        refusal.contains("of the VPC connector: subnet-public (us-east-1e). Remove"),
        "{refusal}"
    );
    let lint = zoned.lint();
    assert!(lint.iter().any(|d| d.rule == "unsupported-availability-zone"), "{lint:?}");
}

#[test]
fn settings_of_the_api_are_read() {
    let with = |keys: &str| lab(&format!("{MINIMAL}\n[apprunner]\n{keys}\n")).spec.apprunner.api;
    let aws = with("");
    assert_eq!((aws.service_quota, aws.vpc_connector_quota), (30, 10));
    assert_eq!((aws.listen, aws.account.as_str()), (None, "123456789012"));
    let given = with(
        "api = \"127.0.0.1:4566\"\naccount = \"210987654321\"\nstore = \"a.sqlite\"\nservice_quota = 5\n\
         vpc_connector_quota = 2\ndeleted_for = \"10m\"\n\
         [[apprunner.access_key]]\nid = \"AKIAEXAMPLE\"\nsecret = \"hush\"",
    );
    assert_eq!(given.listen.unwrap().to_string(), "127.0.0.1:4566");
    assert_eq!(
        (given.account.as_str(), given.store.as_deref()),
        ("210987654321", Some("a.sqlite"))
    );
    assert_eq!((given.service_quota, given.vpc_connector_quota), (5, 2));
    assert_eq!(given.deleted_for, Duration::from_secs(600));
    assert_eq!(
        (given.access_keys[0].id.as_str(), given.access_keys[0].secret.as_str()),
        ("AKIAEXAMPLE", "hush")
    );
    assert!(!format!("{given:?}").contains("hush"));
}

#[test]
fn wrong_settings_of_the_api_are_refused() {
    for (keys, rule) in [
        ("api = \"4566\"", "bad-address"),
        ("api = \"localhost:4566\"", "bad-address"),
        ("account = \"1234\"", "bad-account"),
        ("account = 123456789012", "wrong-type"),
        ("store = \"\"", "bad-path"),
        ("service_quota = 0", "out-of-range"),
        ("vpc_connector_quota = 1001", "out-of-range"),
        ("deleted_for = \"soon\"", "bad-duration"),
        ("access_key = [{ id = \"AKIA/1\", secret = \"hush\" }]", "bad-access-key"),
        ("access_key = [{ id = \"AKIA\", secret = \"\" }]", "bad-access-key"),
        ("access_key = [{ id = \"AKIA\" }]", "missing-key"),
        ("access_key = [{ id = \"AKIA\", secret = \"a\", color = 1 }]", "unknown-key"),
    ] {
        let found = errors(&format!("{MINIMAL}\n[apprunner]\n{keys}\n"));
        assert_eq!(found.iter().map(|error| error.rule).collect::<Vec<_>>(), [rule], "{keys}");
        assert!(!found.iter().any(|error| error.message.contains("hush")), "{keys}");
    }
}

#[test]
fn a_running_lab_hears_which_setting_of_the_api_differs() {
    let with = |keys: &str| lab(&format!("{MINIMAL}\n[apprunner]\n{keys}\n")).spec.apprunner.api;
    let key =
        |secret: &str| with(&format!("access_key = [{{ id = \"AKIA\", secret = \"{secret}\" }}]"));
    let differs = |before: &Api, after: &Api| {
        before.facts(after).into_iter().find(|(_, before, after)| before != after)
    };
    assert_eq!(differs(&key("a"), &key("a")), None);
    let (name, _, after) = differs(&key("a"), &key("b")).unwrap();
    assert_eq!((name, after.as_str()), ("apprunner.access_key", "AKIA with another secret"));
    assert_eq!(
        differs(&with(""), &with("service_quota = 5")).unwrap().0,
        "apprunner.service_quota"
    );
}
