//! Tests of the App Runner API's overlay: it is added to the file, keeps its choices, and objects
//! that do not fit are named.

use super::*;
use crate::config::overlay::{OverlayConnector, OverlayEgress, OverlayService};

fn connector(name: &str, subnets: &[&str], groups: &[&str]) -> OverlayConnector {
    let owned = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
    let (name, subnets, security_groups) = (name.to_owned(), owned(subnets), owned(groups));
    OverlayConnector { name, subnets, security_groups }
}

fn service(name: &str, by: Option<&str>) -> OverlayService {
    let vpc = |connector: &str| OverlayEgress::Vpc { connector: connector.to_owned() };
    let egress = by.map_or(OverlayEgress::Default, vpc);
    OverlayService { name: name.to_owned(), egress, tasks: 1 }
}

fn both(connectors: &[OverlayConnector], services: &[OverlayService]) -> Overlay {
    Overlay { connectors: connectors.to_vec(), services: services.to_vec(), ..Overlay::default() }
}

fn over(text: &str, overlay: Overlay) -> Result<Lab, Diagnostics> {
    Lab::parse_with(None, "lab.toml", text, overlay)
}

/// Returns rule and message of each finding; none of them has a line.
#[track_caller]
fn refused(text: &str, overlay: Overlay) -> Vec<(&'static str, String)> {
    let Err(found) = over(text, overlay) else { panic!("it fits") };
    let rendered = found.to_string();
    assert!(!rendered.contains("lab.toml"), "no line is to blame: {rendered}");
    found.into_iter().map(|d| (d.rule, format!("{} {}", d.line, d.message))).collect()
}

#[test]
fn a_connector_has_its_enis_once_a_service_uses_it_and_shares_them_with_the_file() {
    let file = lab(MINIMAL);
    let alone = both(&[connector("other", &["subnet-a"], &["sg-app"])], &[]);
    let with = file.with_overlay(alone).unwrap();
    assert_eq!(with.plan.enis, file.plan.enis, "nobody uses it yet");
    assert_eq!(with.lower(Generation(1)).parts().connectors.len(), 2);

    let other = connector("other", &["subnet-b", "subnet-a"], &["sg-app"]);
    let used = with.with_overlay(both(&[other], &[service("api", Some("other"))])).unwrap();
    assert_eq!(used.plan.enis, file.plan.enis, "the pairs are those of the file's connector");

    let own = connector("own", &["subnet-a"], &[]);
    let own = used.with_overlay(both(&[own], &[service("api", Some("own"))])).unwrap();
    let [.., new] = &*own.plan.enis else { panic!() };
    assert_eq!((own.plan.enis.len(), new.key.subnet.as_str()), (3, "subnet-a"));
    assert_eq!(new.key.security_groups, ["vpc-demo/default"], "no groups: the VPC's default group");
    assert!(own.overlay.has_service("api") && !own.overlay.has_service("web"));

    let default = own.with_overlay(both(&[], &[service("api", None)])).unwrap();
    assert_eq!(default.plan.enis, file.plan.enis);
    assert!(default.plan.apprunner_address.is_some(), "EgressType DEFAULT needs App Runner's own");
}

#[test]
fn a_service_of_the_api_without_tasks_is_at_rest_and_one_of_the_file_is_not() {
    let idle = OverlayService { tasks: 0, ..service("api", None) };
    let lab = over(MINIMAL, both(&[], &[idle])).unwrap();
    assert!(lab.overlay.is_at_rest("api"));
    assert!(lab.spec.services.iter().all(|s| *s.name == "api" || !lab.overlay.is_at_rest(&s.name)));
    assert!(!both(&[], &[service("api", None)]).is_at_rest("api"));
}

#[test]
fn an_eni_keeps_its_address_whatever_else_comes_and_goes() {
    let pair = |of: &[(&str, &str)]| {
        let connectors: Vec<_> =
            of.iter().map(|(n, sg)| connector(n, &["subnet-a"], &[sg])).collect();
        let services: Vec<_> =
            of.iter().map(|(n, _)| service(&format!("of-{n}"), Some(n))).collect();
        both(&connectors, &services)
    };
    let (a, b) = (("one", "sg-db"), ("two", "vpc-demo/default"));
    let first = lab(MINIMAL).with_overlay(pair(&[a, b])).unwrap();
    let kept = first.plan.enis.last().unwrap().clone();
    let second = first.with_overlay(pair(&[b])).unwrap();
    assert_eq!(second.plan.enis.last(), Some(&kept));

    // The choices are stored with the created objects, so a restart keeps them too.
    let text = serde_json::to_string(&(&second.plan, &second.overlay)).unwrap();
    let (plan, overlay): (plan::Plan, Overlay) = serde_json::from_str(&text).unwrap();
    let again = Lab::parse_with(Some(&plan), "lab.toml", MINIMAL, overlay).unwrap();
    assert_eq!(again.plan.enis, second.plan.enis);
    assert_ne!(over(MINIMAL, pair(&[b])).unwrap().plan.enis.last(), Some(&kept), "else it moves");

    let other = format!("# Another line\n{MINIMAL}");
    let fresh = over(&other, pair(&[b])).unwrap().with_time_scale(7.0);
    let following = fresh.following(&second).unwrap();
    assert_eq!(following.plan.enis, second.plan.enis);
    assert!((following.time_scale - 7.0).abs() < f64::EPSILON);
}

#[test]
fn a_file_that_removes_a_needed_object_names_who_needs_it() {
    let overlay = both(
        &[connector("prod", &["subnet-a", "subnet-gone"], &["sg-gone"])],
        &[service("orders", Some("prod"))],
    );
    assert_eq!(
        refused(MINIMAL, overlay),
        [
            (
                "dangling-id",
                "0 VPC connector \"prod\" of the App Runner API uses subnet \"subnet-gone\", which does not exist"
                    .to_owned()
            ),
            (
                "dangling-id",
                "0 VPC connector \"prod\" of the App Runner API uses security group \"sg-gone\", which does not exist"
                    .to_owned()
            ),
        ],
        "the service is not blamed for its connector"
    );
    let lost = refused(MINIMAL, both(&[], &[service("orders", Some("prod"))]));
    let expected = "0 service \"orders\" of the App Runner API leaves by VPC connector \"prod\", which does not exist";
    assert_eq!(lost, [("dangling-id", expected.to_owned())]);
}

#[test]
fn names_are_the_file_s_before_they_are_the_api_s() {
    let rules = |overlay| refused(MINIMAL, overlay).into_iter().map(|f| f.0).collect::<Vec<_>>();
    assert_eq!(rules(both(&[connector("demo", &["subnet-a"], &[])], &[])), ["duplicate-id"]);
    assert_eq!(rules(both(&[], &[service("web", None)])), ["duplicate-id"]);
    assert_eq!(rules(both(&[], &[service("x", None), service("x", None)])), ["duplicate-id"]);
    assert_eq!(rules(both(&[], &[service("a b", None)])), ["bad-name"]);
    let twice = connector("own", &["subnet-a", "subnet-a"], &[]);
    assert_eq!(rules(both(&[twice], &[])), ["repeated"]);
    assert_eq!(rules(both(&[connector("own", &[], &["sg-app"])], &[])), ["empty-list"]);
}

#[test]
fn subnets_and_groups_are_of_one_vpc() {
    let text = based("[[security_group]]\nid = \"sg-b\"\nvpc = \"vpc-b\"\n");
    let mixed = connector("mixed", &["subnet-a", "subnet-b"], &["sg-b"]);
    let found = refused(&text, both(&[mixed], &[]));
    assert!(found.iter().all(|(rule, _)| *rule == "wrong-vpc"), "{found:?}");
    assert!(found[0].1.ends_with(
        "uses subnet \"subnet-b\" of VPC \"vpc-b\", while subnet \"subnet-a\" is in \"vpc-a\""
    ));
    assert_eq!(found.len(), 2);
}

#[test]
fn a_namespace_that_the_api_would_take_twice_is_named_with_its_service() {
    let text = "[[vpc]]\nid = \"web-1\"\ncidr = \"10.0.0.0/16\"\n";
    let Err(found) = over(text, both(&[], &[service("web", None)])) else { panic!("it fits") };
    assert!(found[0].message.contains("of service \"web\" of the App Runner API"), "{found}");
    assert_eq!(found[0].line, 2, "the VPC is the file's");
}

#[test]
fn a_warning_about_a_connector_of_the_api_names_it() {
    let text = based(
        "[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nmain = true\n\
         routes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]\n",
    );
    let prod = connector("prod", &["subnet-a", "subnet-a2"], &[]);
    let lab = over(&text, both(&[prod], &[service("orders", Some("prod"))])).unwrap();
    let lint = lab.lint();
    let found: Vec<_> = lint.iter().filter(|d| d.rule == "public-subnet-in-connector").collect();
    assert_eq!(found.len(), 2);
    assert!(found[0].message.starts_with("\"subnet-a\", of VPC connector \"prod\", is a public"));
    assert_eq!(found[0].line, 0);
    assert!(lab.spec.is_public(lab.spec.subnet("subnet-a").unwrap()));
    assert!(!lab.spec.is_public(lab.spec.subnet("subnet-b").unwrap()));
}
