//! Tests of files and folders: both layouts, pages, missing and broken files.

use super::super::{PublicAddress, describe};
use super::*;
use std::fs;
use std::path::Path;

const EXAMPLE: &str = "examples/vpc";
/// One of so many values is changed: all would take a minute. It is not a multiple of the number of
/// kinds of junk.
const EACH: usize = 3;

fn files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(EXAMPLE)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn read(files: &[(String, String)]) -> Result<(Account, Findings), ImportErrors> {
    describe::parse_files(files, &Options::default())
}

/// Returns the files of the example, one of them changed.
fn with(file: &str, change: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let mut files = files();
    let found = files.iter_mut().find(|(name, _)| name == file).unwrap();
    found.1 = change(&found.1);
    files
}

/// Returns the text without the comments that name places.
fn said(imported: &Imported) -> String {
    imported.text().lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// Makes an order for a lab whose name is not that of its source.
fn named(order: Order) -> Order {
    Order { lab: Some("shop".to_owned()), ..order }
}

#[test]
fn both_layouts_and_one_file_for_all_are_the_same_lab() {
    let flat = Imported::from_source(&named(Order { source: EXAMPLE.into(), ..Order::default() }))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let region = folder.path().join("aws_configs/us-east-1");
    fs::create_dir_all(&region).unwrap();
    let mut merged = serde_json::Map::new();
    for (name, text) in files() {
        // The names of this layout; the list's id stays in the name of its entries.
        let name = match name.strip_prefix("get-managed-prefix-list-entries-") {
            Some(list) => format!("Entries-{list}"),
            None => name.replace("describe-", "").replace('-', "_"),
        };
        fs::write(region.join(name), &text).unwrap();
        let answer: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).unwrap();
        merged.extend(answer.into_iter().filter(|(key, _)| key != "Entries"));
    }
    let order = named(Order { source: folder.path().to_owned(), ..Order::default() });
    let nested = Imported::from_source(&order).unwrap();
    assert_eq!(said(&nested), said(&flat));

    let lists = merged.get_mut("PrefixLists").unwrap().as_array_mut().unwrap();
    for (list, blocks) in lists.iter_mut().zip([
        vec!["16.15.176.0/20", "18.34.0.0/19", "52.216.0.0/15", "54.231.0.0/16"],
        vec!["192.0.2.0/28"],
    ]) {
        list["Cidrs"] = blocks.into();
    }
    let file = folder.path().join("all.json");
    fs::write(&file, serde_json::to_string(&merged).unwrap()).unwrap();
    let whole = Imported::from_source(&named(Order { source: file, ..Order::default() })).unwrap();
    assert_eq!(said(&whole), said(&flat));
}

#[test]
fn of_several_regions_one_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    for region in ["us-east-1", "eu-west-1"] {
        let path = folder.path().join("aws_configs").join(region);
        fs::create_dir_all(&path).unwrap();
        for (name, text) in files() {
            fs::write(path.join(name), text.replace("us-east-1", region)).unwrap();
        }
    }
    let mut order = Order { source: folder.path().to_owned(), ..Order::default() };
    let error = Imported::from_source(&order).unwrap_err().to_string();
    assert!(error.contains("choose one with --region: eu-west-1, us-east-1"), "{error}");
    order.options.region = Some("eu-west-1".into());
    assert_eq!(Imported::from_source(&order).unwrap().lab.spec.region, "eu-west-1");
    order.options.region = Some("mars-1".into());
    let error = Imported::from_source(&order).unwrap_err().to_string();
    assert!(error.contains("there is no region \"mars-1\" here"), "{error}");
}

#[test]
fn missing_files_are_listed_with_their_calls() {
    let without = |key: &str| {
        let files: Vec<_> = files().into_iter().filter(|(name, _)| !name.contains(key)).collect();
        read(&files)
    };
    let error = without("describe-route-tables").unwrap_err().to_string();
    assert!(
        error.contains("aws ec2 describe-route-tables > describe-route-tables.json"),
        "{error}"
    );
    let (_, findings) = without("describe-network-acls").unwrap();
    assert!(findings.has_not_understood());
    let (account, findings) = without("describe-network-interfaces").unwrap();
    assert!(!findings.has_not_understood());
    assert!(lines(&findings.all())[0].contains("the lab has no resources"));
    assert!(account.network_interfaces.is_empty());
    let (account, _) = without("describe-vpc-attribute").unwrap();
    assert_eq!(account.vpcs[0].enable_dns_support, None);
}

#[test]
fn an_answer_that_goes_on_is_not_understood() {
    let more = with("describe-subnets.json", |text| {
        text.replacen('{', "{\"NextToken\": \"eyJ2IjoiMiJ9\",", 1)
    });
    let (_, findings) = read(&more).unwrap();
    assert!(findings.has_not_understood());
    assert!(findings.all()[0].origin.to_string().ends_with("describe-subnets.json: NextToken"));
}

#[test]
fn pages_are_read_together_and_repeated_objects_count_once() {
    let mut files = files();
    let (_, subnets) = files.iter().find(|(name, _)| name == "describe-subnets.json").unwrap();
    files.push(("describe-subnets-2.json".into(), subnets.clone()));
    let (account, findings) = read(&files).unwrap();
    assert_eq!(account.subnets.len(), 6);
    assert_eq!(findings.all().iter().filter(|f| f.what == "it is there twice").count(), 6);
}

#[test]
fn repeated_objects_that_differ_are_not_understood() {
    let mut files = files();
    let (_, groups) = files.iter().find(|(name, _)| name.contains("security-groups")).unwrap();
    let changed = groups.replacen("5432", "5433", 2);
    assert_ne!(*groups, changed);
    files.push(("describe-security-groups-2.json".into(), changed));
    let (_, findings) = read(&files).unwrap();
    let of_kind = |kind| findings.all().into_iter().filter(|f| f.kind == kind).collect::<Vec<_>>();
    let differing = of_kind(FindingKind::NotUnderstood);
    assert_eq!(differing.len(), 1);
    assert!(differing[0].what.starts_with("it is there twice, with differences"));
}

#[test]
fn entries_of_a_list_that_no_call_describes_are_a_list() {
    let files: Vec<_> =
        files().into_iter().filter(|(name, _)| !name.contains("describe-managed")).collect();
    let (account, _) = read(&files).unwrap();
    assert!(!account.prefix_lists.is_empty());
    assert!(account.prefix_lists.iter().all(|list| list.entries.is_some()));
}

#[test]
fn broken_files_are_all_named_at_once() {
    let mut broken = with("describe-subnets.json", |text| text[..text.len() / 2].to_owned());
    let vpcs = broken.iter_mut().find(|(name, _)| name == "describe-vpcs.json").unwrap();
    vpcs.1 = vpcs.1.replace("\"10.20.0.0/16\"", "\"10.20.0.0\"");
    let groups =
        broken.iter_mut().find(|(name, _)| name == "describe-security-groups.json").unwrap();
    groups.1 = groups.1.replace("\"FromPort\": 5432", "\"FromPort\": \"5432\"");
    let said = read(&broken).unwrap_err().to_string();
    for part in [
        "describe-subnets.json: EOF while parsing",
        "describe-vpcs.json: Vpcs[0].CidrBlock: \"10.20.0.0\" is not a CIDR block",
        "describe-security-groups.json: SecurityGroups[1].IpPermissionsEgress[0].FromPort: this is a string",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

/// Any value in place of another gives an answer or an error, never a panic.
#[test]
fn any_value_may_be_anything() {
    let junk = [
        serde_json::json!(null),
        serde_json::json!(-1),
        serde_json::json!("\u{0}x"),
        serde_json::json!([[]]),
        serde_json::json!({}),
    ];
    let whole = files();
    for (position, (_, text)) in whole.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut pointers = Vec::new();
        walk(&value, String::new(), &mut pointers);
        for (turn, pointer) in pointers.iter().enumerate().step_by(EACH) {
            let mut changed = value.clone();
            *changed.pointer_mut(pointer).unwrap() = junk[turn % junk.len()].clone();
            let mut files = whole.clone();
            files[position].1 = changed.to_string();
            let Ok((account, findings)) = read(&files) else { continue };
            let outcome = Imported::from_account(account, findings, &order(true));
            // An error is an answer too.
            drop(outcome);
        }
    }
}

fn walk(value: &serde_json::Value, path: String, found: &mut Vec<String>) {
    if let Some(object) = value.as_object() {
        for (key, member) in object {
            let key = key.replace('~', "~0").replace('/', "~1");
            walk(member, format!("{path}/{key}"), found);
        }
    } else if let Some(list) = value.as_array() {
        for (at, element) in list.iter().enumerate() {
            walk(element, format!("{path}/{at}"), found);
        }
    }
    found.push(path);
}

#[test]
fn ten_thousand_rules_are_read() {
    let many = with("describe-security-groups.json", |text| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        let ranges: Vec<serde_json::Value> = (0..10_000_u32)
            .map(
                |n| serde_json::json!({"CidrIp": format!("10.{}.{}.0/24", n / 250 + 100, n % 250)}),
            )
            .collect();
        value["SecurityGroups"][1]["IpPermissionsEgress"][0]["IpRanges"] = ranges.into();
        value.to_string()
    });
    let (account, findings) = read(&many).unwrap();
    let imported = Imported::from_account(account, findings, &order(false)).unwrap();
    let id = "sg-005e081784b117b65";
    let group = imported.lab.spec.security_groups.iter().find(|group| *group.id == *id).unwrap();
    assert_eq!(group.egress.as_ref().unwrap().len(), 10_002);
}

#[test]
fn rules_may_come_from_the_call_for_rules() {
    let mut files = with("describe-security-groups.json", |text| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        let group = value["SecurityGroups"][1].as_object_mut().unwrap();
        group.remove("IpPermissions");
        group.remove("IpPermissionsEgress");
        value.to_string()
    });
    let rules = serde_json::json!({"SecurityGroupRules": [
        {"GroupId": "sg-005e081784b117b65", "IsEgress": true, "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432,
         "ReferencedGroupInfo": {"GroupId": "sg-09e69a81b106c1043"}},
        {"GroupId": "sg-005e081784b117b65", "IsEgress": true, "IpProtocol": "-1", "FromPort": -1, "ToPort": -1,
         "CidrIpv4": "192.0.2.0/24"},
        {"GroupId": "sg-09e69a81b106c1043", "IsEgress": false, "IpProtocol": "-1", "FromPort": -1, "ToPort": -1,
         "CidrIpv4": "0.0.0.0/0"},
    ]});
    files.push(("describe-security-group-rules.json".into(), rules.to_string()));
    let (account, _) = read(&files).unwrap();
    let rules = |id: &str| {
        let group = account.security_groups.iter().find(|group| group.id == id).unwrap();
        (group.ingress.len(), group.egress.len())
    };
    assert_eq!(rules("sg-005e081784b117b65"), (0, 2));
    // The group's own rules count if it has them; both calls have the same rules.
    assert_eq!(rules("sg-09e69a81b106c1043"), (2, 1));
}

/// Returns the error for a file of this name and text.
fn refused(name: &str, text: &str, options: Options) -> String {
    let order = Order { source: name.into(), options, ..Order::default() };
    Imported::from_text(text, &order).unwrap_err().to_string()
}

#[test]
fn a_region_that_the_zones_are_not_of_is_refused() {
    let mut order = Order { source: EXAMPLE.into(), ..Order::default() };
    order.options.region = Some("eu-west-1".into());
    let error = Imported::from_source(&order).unwrap_err().to_string();
    assert!(error.contains("of us-east-1, and --region is eu-west-1"), "{error}");
    order.options.region = Some("us-east-1".into());
    assert_eq!(Imported::from_source(&order).unwrap().lab.spec.region, "us-east-1");
}

#[test]
fn a_parameter_of_what_is_no_template_is_refused() {
    let parameters = [("Size".to_owned(), "1".to_owned())].into();
    let options = Options { parameters, ..Options::default() };
    let order = Order { source: EXAMPLE.into(), options: options.clone(), ..Order::default() };
    let of_folder = Imported::from_source(&order).unwrap_err().to_string();
    for error in [of_folder, refused("all.json", "{\"Vpcs\": []}", options)] {
        assert!(
            error.contains("--parameter Size: this is not a CloudFormation template"),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_no_source_is_named_by_its_kind() {
    let lab = fs::read_to_string("examples/minimal.toml").unwrap();
    for name in ["lab.toml", "lab"] {
        let error = refused(name, &lab, Options::default());
        assert!(error.contains("this is a lab file already"), "{error}");
    }
    let error = refused("vpc.yml", "a: [1\nb: 2\n", Options::default());
    assert!(error.contains("vpc.yml:2"), "{error}");
    assert!(!error.contains("JSON"), "{error}");
}

#[test]
fn a_path_that_is_not_utf_8_is_said() {
    use std::os::unix::ffi::OsStrExt as _;
    let source = std::ffi::OsStr::from_bytes(b"vpc-\xff.json").into();
    let error = Imported::from_source(&Order { source, ..Order::default() }).unwrap_err();
    assert!(error.to_string().contains("the path is not UTF-8"), "{error}");
}

#[test]
fn one_part_is_one_and_two_are_two() {
    let finding = |id: &str| Finding {
        kind: FindingKind::NotUnderstood,
        object: id.to_owned(),
        what: "a".to_owned(),
        consequence: "b".to_owned(),
        origin: Origin::file("c"),
    };
    let one = ImportFailure::NotUnderstood(vec![finding("x")]).to_string();
    assert!(one.starts_with("1 part of the source is not understood"), "{one}");
    let two = ImportFailure::NotUnderstood(vec![finding("x"), finding("y")]).to_string();
    assert!(two.starts_with("2 parts of the source are not understood"), "{two}");
}

/// `describe-network-interfaces` has public addresses beside a private one, or for the interface as
/// a whole.
#[test]
fn public_addresses_come_from_the_associations() {
    let answer = serde_json::json!({ "NetworkInterfaces": [
        { "NetworkInterfaceId": "eni-1", "SubnetId": "subnet-1", "PrivateIpAddress": "10.0.0.5",
          "Association": { "PublicIp": "192.0.2.1" } },
        { "NetworkInterfaceId": "eni-2", "SubnetId": "subnet-1", "PrivateIpAddress": "10.0.0.6",
          "Association": { "PublicIp": "192.0.2.2" },
          "PrivateIpAddresses": [
            { "PrivateIpAddress": "10.0.0.7", "Primary": false, "Association": { "PublicIp": "192.0.2.3" } },
            { "PrivateIpAddress": "10.0.0.6", "Primary": true, "Association": { "PublicIp": "192.0.2.2" } },
          ] },
        { "NetworkInterfaceId": "eni-3", "SubnetId": "subnet-1", "PrivateIpAddress": "10.0.0.8" },
    ] });
    let files = with("describe-network-interfaces.json", |_| answer.to_string());
    let (account, _) = read(&files).unwrap();
    let of = |interface: usize, position| {
        account.network_interfaces[interface].public_address_at(position)
    };
    let known = |ip: &str| PublicAddress::Known(ip.parse().unwrap());
    assert_eq!(of(0, 0), known("192.0.2.1"));
    assert_eq!((of(1, 0), of(1, 1)), (known("192.0.2.2"), known("192.0.2.3")));
    assert_eq!(of(2, 0), PublicAddress::None);
}

#[test]
fn dns_resolution_of_a_peering_connection_comes_from_its_sides() {
    let answer = serde_json::json!({ "VpcPeeringConnections": [{
        "VpcPeeringConnectionId": "pcx-1",
        "RequesterVpcInfo": { "VpcId": "vpc-1", "PeeringOptions": { "AllowDnsResolutionFromRemoteVpc": true } },
        "AccepterVpcInfo": { "VpcId": "vpc-2", "PeeringOptions": { "AllowDnsResolutionFromRemoteVpc": false } },
        "Status": { "Code": "active" }
    }] });
    let mut files = files();
    files.push(("peerings.json".to_owned(), answer.to_string()));
    let (account, _) = read(&files).unwrap();
    let peering = &account.peering_connections[0];
    assert!(peering.requester_dns_resolution && !peering.accepter_dns_resolution);
}
