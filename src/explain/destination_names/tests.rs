//! Tests words of destinations in small labs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::config::Lab;
use crate::vpc::Generation;

/// Two peers with a database each, an endpoint with private DNS that shadows a host, a zone that
/// only the first sees.
const LAB: &str = r#"
[[vpc]]
id = "vpc-app"
cidr = "10.0.0.0/16"
enable_dns_hostnames = true
[[vpc]]
id = "vpc-peer"
cidr = "172.31.0.0/16"
[[subnet]]
id = "app-a"
vpc = "vpc-app"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "app-b"
vpc = "vpc-app"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
[[subnet]]
id = "peer-a"
vpc = "vpc-peer"
availability_zone = "us-east-1a"
cidr = "172.31.16.0/20"
[[resource]]
name = "db"
aliases = ["db.c1.us-east-1.rds.amazonaws.com"]
subnet = "app-a"
address = "10.0.1.10"
listen = ["5432/tcp"]
[[resource]]
name = "redis"
aliases = ["redis.abc123.use1.cache.amazonaws.com"]
subnet = "peer-a"
address = "172.31.16.10"
listen = ["6379/tcp"]
[[vpc_endpoint]]
id = "vpce-sm"
vpc = "vpc-app"
kind = "interface"
service = "com.amazonaws.us-east-1.secretsmanager"
subnets = ["app-a", "app-b"]
addresses = ["10.0.1.200", "10.0.2.200"]
listen = ["443/tcp"]
[[prefix_list]]
id = "pl-s3"
entries = ["203.0.113.64/28", "203.0.113.96/28"]
[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc-app"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
[[private_zone]]
name = "corp.internal"
vpcs = ["vpc-app"]
records = [
    { name = "db", type = "CNAME", values = ["db.c1.us-east-1.rds.amazonaws.com"] },
    { name = "both", type = "A", values = ["10.0.1.10", "10.0.2.77"] },
    { name = "mixed", type = "A", values = ["10.0.1.10", "10.0.1.200"] },
    { name = "note", type = "TXT", values = ["no address"] },
    { name = "one", type = "CNAME", values = ["two.corp.internal"] },
    { name = "two", type = "CNAME", values = ["one.corp.internal"] },
]
[[internet_host]]
name = "secretsmanager.us-east-1.amazonaws.com"
address = "203.0.113.90"
listen = ["443/tcp"]
[[internet_host]]
name = "s3"
aliases = ["s3.us-east-1.amazonaws.com", "shadowed.corp.internal"]
address = "203.0.113.70"
listen = ["80/tcp", "443/tcp"]
"#;

const APP: Option<VpcIx> = Some(VpcIx(0));
const PEER: Option<VpcIx> = Some(VpcIx(1));
const SECRETS: &str = "secretsmanager.us-east-1.amazonaws.com";
const OF_ENDPOINT: [&str; 2] = ["10.0.1.200", "10.0.2.200"];

fn read(text: &str, word: &str, vpc: Option<VpcIx>) -> Result<Named, UnknownDestination> {
    read_name(word, vpc, &Lab::parse("lab.toml", text).unwrap().lower(Generation(1)))
}

fn named(word: &str, vpc: Option<VpcIx>) -> Named {
    read(LAB, word, vpc).unwrap()
}

fn meaning(addresses: &[&str], objects: &[&str], ports: &[u16]) -> Meaning {
    let tcp = |&port: &u16| Listen::new(crate::vpc::Speaks::Tcp, port);
    Meaning {
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        objects: objects.iter().map(|&name| name.to_owned()).collect(),
        listen: ports.iter().map(tcp).collect(),
    }
}

fn label(name: &str, meaning: Meaning, note: Option<&str>) -> Named {
    Named::Label { name: name.into(), meaning, note: note.map(str::to_owned) }
}

fn dns(name: &str, meaning: Meaning) -> Named {
    Named::Dns { name: name.into(), meaning }
}

fn not_resolved(name: &str, why: Unresolved, by_lab: Option<Meaning>) -> Named {
    Named::NotResolved { name: name.into(), why, by_lab }
}

#[test]
fn an_address_is_itself_with_what_the_lab_has_there() {
    assert_eq!(named("10.0.1.10", APP), Named::Address(meaning(&["10.0.1.10"], &["db"], &[5432])));
    assert_eq!(named("192.0.2.1", APP), Named::Address(meaning(&["192.0.2.1"], &[], &[])));
    assert_eq!(
        named("172.31.16.10", APP),
        Named::Address(meaning(&["172.31.16.10"], &["redis"], &[6379]))
    );
}

#[test]
fn an_address_of_two_vpcs_is_the_resource_of_the_tasks_own() {
    let twin = LAB.replace("172.31.0.0/16", "10.0.0.0/16").replace("172.31.16.0/20", "10.0.1.0/24");
    let twin = twin.replace("172.31.16.10", "10.0.1.10");
    let at = |vpc| read(&twin, "10.0.1.10", vpc).unwrap();
    assert_eq!(at(APP), Named::Address(meaning(&["10.0.1.10"], &["db"], &[5432])));
    assert_eq!(at(PEER), Named::Address(meaning(&["10.0.1.10"], &["redis"], &[6379])));
    assert_eq!(at(None), Named::Address(meaning(&["10.0.1.10"], &["db", "redis"], &[])));
}

#[test]
fn a_label_that_resolves_to_its_object_has_no_note() {
    let db = || meaning(&["10.0.1.10"], &["db"], &[5432]);
    assert_eq!(named("db", APP), label("db", db(), None));
    for name in ["DB", "db.", "db.c1.us-east-1.rds.amazonaws.com", "db.corp.internal"] {
        assert_eq!(named(name, APP), dns(name, db()), "{name}");
    }
    let s3 = meaning(&["203.0.113.70"], &["s3"], &[80, 443]);
    for vpc in [APP, PEER, None] {
        assert_eq!(named("s3", vpc), label("s3", s3.clone(), None));
    }
}

#[test]
fn a_word_without_a_dot_is_looked_up_in_the_search_domain_too() {
    let db = meaning(&["10.0.1.10"], &["db"], &[5432]);
    assert_eq!(named("ip-10-0-1-10", APP), dns("ip-10-0-1-10", db));
    assert!(read(LAB, "ip-10-0-1-10", None).is_err());
}

#[test]
fn a_label_of_a_peer_is_its_address_with_a_note_and_its_dns_name_does_not_resolve() {
    let redis = || meaning(&["172.31.16.10"], &["redis"], &[6379]);
    let note = "no DNS name in VPC vpc-app leads to redis, only its address does";
    assert_eq!(named("redis", APP), label("redis", redis(), Some(note)));
    let alias = "redis.abc123.use1.cache.amazonaws.com";
    assert_eq!(named(alias, APP), not_resolved(alias, Unresolved::NoSuchName, Some(redis())));
    assert_eq!(named(alias, PEER), dns(alias, redis()));
    let outside = "no public DNS name leads to redis, only its address does";
    assert_eq!(named("redis", None), label("redis", redis(), Some(outside)));
}

#[test]
fn a_label_that_a_private_zone_names_has_no_note() {
    let record = r#"{ name = "cache", type = "A", values = ["172.31.16.10"] },"#;
    let named_there = LAB.replace("records = [", &format!("records = [{record}"));
    let redis = || meaning(&["172.31.16.10"], &["redis"], &[6379]);
    assert_eq!(read(&named_there, "redis", APP).unwrap(), label("redis", redis(), None));
    let elsewhere = "cache.corp.internal";
    assert_eq!(
        read(&named_there, elsewhere, PEER).unwrap(),
        not_resolved(elsewhere, Unresolved::NoSuchName, Some(redis()))
    );
}

#[test]
fn a_hosts_name_that_an_endpoint_shadows_means_all_of_the_endpoints_addresses() {
    assert_eq!(named(SECRETS, APP), dns(SECRETS, meaning(&OF_ENDPOINT, &["vpce-sm"], &[443])));
    let host = meaning(&["203.0.113.90"], &[SECRETS], &[443]);
    for vpc in [PEER, None] {
        assert_eq!(named(SECRETS, vpc), dns(SECRETS, host.clone()));
    }
}

#[test]
fn a_public_name_resolves_from_a_peer_so_that_the_label_has_no_note() {
    let alias = "aliases = [\"redis.abc123.use1.cache.amazonaws.com\"]";
    let public = LAB.replace(alias, &format!("{alias}\npublic_dns_name = true"));
    let redis = || meaning(&["172.31.16.10"], &["redis"], &[6379]);
    let name = "redis.abc123.use1.cache.amazonaws.com";
    for vpc in [APP, PEER, None] {
        assert_eq!(read(&public, name, vpc).unwrap(), dns(name, redis()));
        assert_eq!(read(&public, "redis", vpc).unwrap(), label("redis", redis(), None));
    }
}

#[test]
fn a_public_name_means_the_public_address_outside_of_the_vpc_and_the_label_says_so() {
    let alias = "aliases = [\"redis.abc123.use1.cache.amazonaws.com\"]";
    let text =
        LAB.replace(alias, &format!("{alias}\npublic_dns_name = true\npublic_ip = \"192.0.2.10\""));
    let peer = "id = \"vpc-peer\"\n";
    let text = text.replacen(
        peer,
        &format!("{peer}internet_gateway = \"igw-peer\"\nenable_dns_hostnames = true\n"),
        1,
    );
    let name = "redis.abc123.use1.cache.amazonaws.com";
    let private = || meaning(&["172.31.16.10"], &["redis"], &[6379]);
    assert_eq!(read(&text, name, PEER).unwrap(), dns(name, private()));
    assert_eq!(read(&text, "redis", PEER).unwrap(), label("redis", private(), None));
    let public = || meaning(&["192.0.2.10"], &["redis"], &[6379]);
    let note = format!("{name} leads to the public address of redis, 192.0.2.10");
    for vpc in [APP, None] {
        assert_eq!(read(&text, name, vpc).unwrap(), dns(name, public()));
        assert_eq!(read(&text, "192.0.2.10", vpc).unwrap(), Named::Address(public()));
        assert_eq!(read(&text, "redis", vpc).unwrap(), label("redis", private(), Some(&note)));
    }
}

#[test]
fn a_label_without_a_public_name_has_a_note_about_its_public_address() {
    let alias = "aliases = [\"redis.abc123.use1.cache.amazonaws.com\"]\n";
    let text = LAB.replace(alias, "public_ip = \"192.0.2.10\"\n");
    let peer = "id = \"vpc-peer\"\n";
    let text = text.replacen(peer, &format!("{peer}internet_gateway = \"igw-peer\"\n"), 1);
    let redis = || meaning(&["172.31.16.10"], &["redis"], &[6379]);
    let note =
        "no public DNS name leads to redis, only its addresses do; the public one is 192.0.2.10";
    assert_eq!(read(&text, "redis", None).unwrap(), label("redis", redis(), Some(note)));
    assert_eq!(read(&text, "redis", PEER).unwrap(), label("redis", redis(), None));
}

#[test]
fn a_registrys_name_means_the_endpoint_of_image_registries() {
    let dkr = LAB.replace("us-east-1.secretsmanager\"", "us-east-1.ecr.dkr\"");
    let interfaces = || meaning(&OF_ENDPOINT, &["vpce-sm"], &[443]);
    let name = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    assert_eq!(read(&dkr, name, APP).unwrap(), dns(name, interfaces()));
    let elsewhere = not_resolved(name, Unresolved::NoSuchName, Some(interfaces()));
    assert_eq!(read(&dkr, name, PEER).unwrap(), elsewhere);
    let hidden = dkr.replace("enable_dns_hostnames = true", "");
    assert_eq!(read(&hidden, name, APP).unwrap(), elsewhere);
    assert!(read(&dkr, "dkr.ecr.us-east-1.amazonaws.com", PEER).is_err());
}

#[test]
fn an_endpoints_id_is_all_of_its_addresses() {
    let interfaces = meaning(&OF_ENDPOINT, &["vpce-sm"], &[443]);
    assert_eq!(named("vpce-sm", APP), label("vpce-sm", interfaces, None));
    let one = meaning(&["10.0.1.200"], &["vpce-sm"], &[443]);
    assert_eq!(named("vpce-sm-us-east-1a", APP), label("vpce-sm-us-east-1a", one, None));
}

#[test]
fn a_gateway_endpoints_id_is_its_prefix_list_with_the_hosts_in_it() {
    let Named::GatewayEndpoint { name, networks, meaning: hosts } = named("vpce-s3", APP) else {
        panic!("a gateway endpoint")
    };
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(
        (name.as_str(), networks.join(" ")),
        ("vpce-s3", "203.0.113.64/28 203.0.113.96/28".into())
    );
    assert_eq!(hosts, meaning(&["203.0.113.70"], &["s3"], &[80, 443]));
}

#[test]
fn ports_are_guessed_only_where_all_objects_listen_on_the_same() {
    let both = meaning(&["10.0.1.10", "10.0.2.77"], &["db"], &[5432]);
    assert_eq!(named("both.corp.internal", APP), dns("both.corp.internal", both));
    let mixed = meaning(&["10.0.1.10", "10.0.1.200"], &["db", "vpce-sm"], &[]);
    assert_eq!(named("mixed.corp.internal", APP), dns("mixed.corp.internal", mixed));
}

#[test]
fn a_name_that_exists_without_an_address_is_not_resolved() {
    for (name, why) in [
        ("note.corp.internal", Unresolved::NoData),
        ("one.corp.internal", Unresolved::Loop),
        ("nobody.corp.internal", Unresolved::NoSuchName),
        ("queue.secretsmanager.us-east-1.amazonaws.com", Unresolved::NoSuchName),
    ] {
        assert_eq!(named(name, APP), not_resolved(name, why, None));
    }
    let name = "shadowed.corp.internal";
    let host = || meaning(&["203.0.113.70"], &["s3"], &[80, 443]);
    assert_eq!(named(name, APP), not_resolved(name, Unresolved::NoSuchName, Some(host())));
    assert_eq!(named(name, PEER), dns(name, host()));
}

#[test]
fn a_name_of_a_private_zone_without_dns_hostnames_does_not_resolve_for_that_reason() {
    let off = LAB.replace("enable_dns_hostnames = true", "enable_dns_hostnames = false");
    let name = "both.corp.internal";
    let Named::NotResolved { why, .. } = read(&off, name, APP).unwrap() else {
        panic!("{name} resolves")
    };
    assert_eq!(why, Unresolved::DnsHostnamesOff, "{name}");
    assert!(why.to_string().contains("enable_dns_hostnames = false"), "{why}");
    assert!(why.hint().contains("enable_dns_hostnames = true"), "{}", why.hint());
    for name in ["nobody.corp.internal", "both.elsewherecorp.internal"] {
        assert!(read(&off, name, APP).is_err(), "{name} has no record in any zone");
    }
}

#[test]
fn without_dns_support_labels_have_a_note_and_names_do_not_resolve() {
    let off = LAB.replace("enable_dns_hostnames = true", "enable_dns_support = false");
    let read = |word| read(&off, word, APP).unwrap();
    let db = || meaning(&["10.0.1.10"], &["db"], &[5432]);
    let note = "VPC vpc-app has enable_dns_support = false: no name leads to db, \
                only its address does";
    assert_eq!(read("db"), label("db", db(), Some(note)));
    assert_eq!(read("10.0.1.10"), Named::Address(db()));
    let alias = "db.c1.us-east-1.rds.amazonaws.com";
    assert_eq!(read(alias), not_resolved(alias, Unresolved::DnsSupportOff, Some(db())));
    let host = meaning(&["203.0.113.90"], &[SECRETS], &[443]);
    assert_eq!(read(SECRETS), not_resolved(SECRETS, Unresolved::DnsSupportOff, Some(host)));
}

#[test]
fn a_label_that_is_also_a_dns_name_is_what_the_resolver_answers() {
    let host = "[[internet_host]]\nname = \"other\"\naliases = [\"redis\", \"db\"]\naddress = \"203.0.113.99\"\n";
    let text = format!("{LAB}{host}");
    let found = |word, vpc| read(&text, word, vpc).unwrap();
    let other = meaning(&["203.0.113.99"], &["other"], &[]);
    assert_eq!(found("redis", APP), dns("redis", other), "the label is another VPC's");
    let both = meaning(&["10.0.1.10", "203.0.113.99"], &["db", "other"], &[]);
    assert_eq!(found("db", APP), dns("db", both), "the resolver answers with both");
    let shadow = "[[private_zone]]\nname = \"s3\"\nvpcs = [\"vpc-app\"]\nrecords = [{ name = \"@\", type = \"A\", values = [\"10.0.1.10\"] }]\n";
    let text = format!("{LAB}{shadow}");
    let db = meaning(&["10.0.1.10"], &["db"], &[5432]);
    assert_eq!(read(&text, "s3", APP).unwrap(), dns("s3", db));
}

#[test]
fn a_resource_called_as_an_endpoint_is_the_resource() {
    let resource =
        "[[resource]]\nname = \"vpce-sm\"\nsubnet = \"peer-a\"\naddress = \"172.31.16.20\"\n";
    let found = read(&format!("{LAB}{resource}"), "vpce-sm", PEER).unwrap();
    assert_eq!(found, label("vpce-sm", meaning(&["172.31.16.20"], &["vpce-sm"], &[]), None));
}

#[test]
fn an_unknown_word_is_an_error_with_the_names_that_there_are() {
    let all = format!(
        "its resources, endpoints and internet hosts: db, redis, vpce-sm, {SECRETS}, s3, vpce-s3"
    );
    for word in ["rediss", "nobody.example.com", ""] {
        let error = read(LAB, word, APP).unwrap_err().to_string();
        let hint = match word {
            "rediss" => format!("did you mean `redis`? ({all})"),
            _ => all.clone(),
        };
        let is = format!("`{word}` is neither an IPv4 address nor a name in the lab; {hint}");
        assert_eq!(error, is);
    }
}

/// A packet for the address stays in the task's own VPC, where another resource has it.
#[test]
fn a_label_whose_address_is_one_of_the_tasks_own_vpc_leads_nowhere() {
    let equal =
        LAB.replace("172.31.0.0/16", "10.0.0.0/16").replace("172.31.16.0/20", "10.0.0.0/22");
    let equal = equal.replace("172.31.16.10", "10.0.1.10");
    let hidden = |vpc| not_resolved_of(&read(&equal, "redis", vpc).unwrap());
    assert_eq!(hidden(APP), Some(Unresolved::HiddenByOwnVpc));
    assert_eq!((hidden(PEER), hidden(None)), (None, None));
    let db = read(&equal, "db", PEER).unwrap();
    assert_eq!(not_resolved_of(&db), Some(Unresolved::HiddenByOwnVpc));
    assert_ne!(Unresolved::HiddenByOwnVpc.hint(), Unresolved::NoSuchName.hint());
}

fn not_resolved_of(named: &Named) -> Option<Unresolved> {
    match named {
        Named::NotResolved { why, .. } => Some(*why),
        Named::Address(_)
        | Named::Label { .. }
        | Named::GatewayEndpoint { .. }
        | Named::Dns { .. } => None,
    }
}
