//! Tests the operations over a lab that accepts overlays and has no devices.

use super::api::Api;
use super::arn::Account;
use super::clock::now;
use super::desk::{Desk, Quotas};
use super::ground::{Ground, Unfit};
use super::store::Store;
use super::{Fault, FaultKind};
use crate::config::overlay::{OverlayEgress, OverlayService};
use crate::config::{Lab, Overlay};
use crate::daemon::bodies::{Bodies, Unread, Whole};
use crate::explain::ApiService;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "subnet-b"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
[[subnet]]
id = "subnet-x"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
[[security_group]]
id = "sg-a"
vpc = "vpc-a"
[[security_group]]
id = "sg-x"
vpc = "vpc-b"
[[vpc_connector]]
name = "file-connector"
subnets = ["subnet-a"]
[[service]]
name = "file-service"
"#;

/// A lab without devices, and its behaviour.
#[derive(Clone)]
struct Field(Arc<Mutex<State>>);

struct State {
    lab: Lab,
    /// The time that ENIs take to come up.
    startup: Duration,
    /// The error with which the next change is refused.
    unfit: Option<Unfit>,
    /// The connectors whose startup time was asked for.
    asked: Vec<String>,
    said: Vec<String>,
    /// The ENIs that were made, with the time that they still take.
    enis: Vec<(String, Duration)>,
    /// The rows of `egret services`.
    shown: Vec<ApiService>,
    /// Two signals: the first tells that the next change is at work, and the change then waits for
    /// the second.
    gate: Option<(Arc<Notify>, Arc<Notify>)>,
}

#[async_trait]
impl Ground for Field {
    async fn lab(&self) -> Lab {
        self.0.lock().unwrap().lab.clone()
    }

    async fn lay_over(&self, overlay: Overlay) -> Result<(), Unfit> {
        let gate = self.0.lock().unwrap().gate.take();
        if let Some((reached, go)) = gate {
            reached.notify_one();
            go.notified().await;
        }
        let mut state = self.0.lock().unwrap();
        if let Some(unfit) = state.unfit.take() {
            return Err(unfit);
        }
        state.lab = state.lab.with_overlay(overlay).map_err(|e| Unfit::Refused(e.to_string()))?;
        Ok(())
    }

    async fn startup(&self, connector: &str) -> Duration {
        let mut state = self.0.lock().unwrap();
        state.asked.push(connector.to_owned());
        state.startup
    }

    async fn known_enis(&self) -> Vec<(String, Duration)> {
        self.0.lock().unwrap().enis.clone()
    }

    async fn remember_enis(&self, enis: Vec<(String, Duration)>) {
        self.0.lock().unwrap().enis = enis;
    }

    async fn show(&self, services: Vec<ApiService>) {
        self.0.lock().unwrap().shown = services;
    }
}

/// An account in a directory of its own.
struct World {
    directory: tempfile::TempDir,
    field: Field,
    api: Api,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// Makes a world with more text in the lab file.
    fn with(more: &str) -> Self {
        let lab = Lab::parse("lab.toml", &format!("{LAB}{more}")).unwrap();
        let (asked, said) = (Vec::new(), Vec::new());
        let (enis, shown) = (Vec::new(), Vec::new());
        let startup = Duration::ZERO;
        let (unfit, gate) = (None, None);
        let state = State { lab, startup, unfit, asked, said, enis, shown, gate };
        let field = Field(Arc::new(Mutex::new(state)));
        let directory = tempfile::tempdir().unwrap();
        let api = opened(&directory, &field);
        Self { directory, field, api }
    }

    /// Restarts the process: everything except the store is new.
    fn restarted(self) -> Self {
        let Self { directory, field, api } = self;
        drop(api);
        let text = field.0.lock().unwrap().lab.source().to_owned();
        field.0.lock().unwrap().lab = Lab::parse("lab.toml", &text).unwrap();
        let api = opened(&directory, &field);
        Self { directory, field, api }
    }

    async fn call(&self, operation: &str, request: Value) -> Result<Value, Fault> {
        self.api.call(operation, Whole::from(request.to_string())).await
    }

    async fn ok(&self, operation: &str, request: Value) -> Value {
        self.call(operation, request).await.unwrap()
    }

    #[track_caller]
    fn refused(outcome: Result<Value, Fault>, kind: FaultKind, part: &str) {
        let fault = outcome.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(part), "{fault}");
    }

    async fn connector(&self, name: &str) -> String {
        let request = json!({"VpcConnectorName": name, "Subnets": ["subnet-a", "subnet-b"],
            "SecurityGroups": ["sg-a"]});
        let made = self.ok("CreateVpcConnector", request).await;
        made["VpcConnector"]["VpcConnectorArn"].as_str().unwrap().to_owned()
    }

    /// Creates a service that runs, by the connector or with App Runner's own egress; returns its
    /// ARN.
    async fn service(&self, name: &str, connector: Option<&str>) -> String {
        let made = self.ok("CreateService", create(name, connector)).await;
        assert_eq!(made["Service"]["Status"], "OPERATION_IN_PROGRESS");
        let arn = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
        assert_eq!(self.settled(&arn).await["Status"], "RUNNING");
        arn
    }

    /// Returns the service once no operation is in progress.
    async fn settled(&self, arn: &str) -> Value {
        loop {
            let found = self.ok("DescribeService", json!({"ServiceArn": arn})).await;
            if found["Service"]["Status"] != "OPERATION_IN_PROGRESS" {
                return found["Service"].clone();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the last operation on a service: its type and status.
    async fn last(&self, arn: &str) -> (String, String) {
        let list = self.ok("ListOperations", json!({"ServiceArn": arn, "MaxResults": 1})).await;
        let last = &list["OperationSummaryList"][0];
        let word = |member: &str| last[member].as_str().unwrap().to_owned();
        (word("Type"), word("Status"))
    }

    fn said(&self) -> Vec<String> {
        self.field.0.lock().unwrap().said.clone()
    }

    fn overlay(&self) -> Overlay {
        self.field.0.lock().unwrap().lab.overlay.clone()
    }
}

fn opened(directory: &tempfile::TempDir, field: &Field) -> Api {
    let account = Account { id: "123456789012".to_owned(), region: "us-east-1".to_owned() };
    let store = Store::open(&directory.path().join("store"), &account).unwrap();
    let said = field.clone();
    Api::begin(Desk {
        account,
        quotas: Quotas { services: 3, vpc_connectors: 2 },
        memory: Duration::from_secs(3600),
        ground: Arc::new(field.clone()),
        say: Arc::new(move |line| said.0.lock().unwrap().said.push(line.to_owned())),
        store: tokio::sync::Mutex::new(store),
        turn: tokio::sync::Mutex::new(()),
    })
    .unwrap()
}

fn create(name: &str, connector: Option<&str>) -> Value {
    let mut request = json!({"ServiceName": name, "SourceConfiguration": {"ImageRepository": {
        "ImageIdentifier": "public.ecr.aws/aws-containers/hello-app-runner:latest",
        "ImageRepositoryType": "ECR_PUBLIC"}}});
    if let Some(arn) = connector {
        request["NetworkConfiguration"] = network(arn);
    }
    request
}

fn network(arn: &str) -> Value {
    json!({"EgressConfiguration": {"EgressType": "VPC", "VpcConnectorArn": arn}})
}

fn named(arn: &str) -> Value {
    json!({ "ServiceArn": arn })
}

#[tokio::test]
async fn a_connector_from_its_creation_to_its_end() {
    let world = World::new();
    let request = json!({"VpcConnectorName": "prod", "Subnets": ["subnet-a"]});
    let made = world.ok("CreateVpcConnector", request).await["VpcConnector"].clone();
    assert_eq!(made["Status"], "ACTIVE");
    assert_eq!(made["VpcConnectorRevision"], 1);
    // The VPC's default group, if none is requested.
    assert_eq!(made["SecurityGroups"], json!(["vpc-a/default"]));
    let arn = json!({"VpcConnectorArn": made["VpcConnectorArn"]});
    assert_eq!(world.ok("DescribeVpcConnector", arn.clone()).await["VpcConnector"], made);
    assert_eq!(world.ok("ListVpcConnectors", json!({})).await["VpcConnectors"], json!([made]));
    assert_eq!(world.overlay().connectors[0].name, "prod");

    let deleted = world.ok("DeleteVpcConnector", arn.clone()).await["VpcConnector"].clone();
    assert_eq!(deleted["Status"], "INACTIVE");
    assert!(deleted["DeletedAt"].is_f64());
    assert_eq!(world.ok("DescribeVpcConnector", arn.clone()).await["VpcConnector"], deleted);
    assert_eq!(world.ok("ListVpcConnectors", json!({})).await["VpcConnectors"], json!([]));
    assert_eq!(world.overlay(), Overlay::default());
    let again = world.call("DeleteVpcConnector", arn).await;
    World::refused(again, FaultKind::ResourceNotFound, "no VPC connector");
    // The name is free again.
    world.connector("prod").await;
}

/// Statement 6.
#[tokio::test]
async fn connectors_that_do_not_fit_the_lab() {
    let world = World::new();
    for (subnets, groups, part) in [
        (json!([]), json!([]), "at least one"),
        (json!(["subnet-q", "subnet-a", "subnet-r"]), json!([]), "no subnet subnet-q, subnet-r"),
        (json!(["subnet-a", "subnet-x"]), json!([]), "different VPCs (vpc-a and vpc-b)"),
        (json!(["subnet-a", "subnet-a"]), json!([]), "Subnets names subnet-a twice"),
        (json!(["subnet-a"]), json!(["sg-q"]), "no security group sg-q"),
        (json!(["subnet-a"]), json!(["sg-x"]), "sg-x is in VPC vpc-b"),
        (json!(["subnet-a"]), json!(["sg-a", "sg-a"]), "SecurityGroups names sg-a twice"),
    ] {
        let request =
            json!({"VpcConnectorName": "prod", "Subnets": subnets, "SecurityGroups": groups});
        let outcome = world.call("CreateVpcConnector", request).await;
        World::refused(outcome, FaultKind::InvalidRequest, part);
    }
    let request = json!({"VpcConnectorName": "file-connector", "Subnets": ["subnet-a"]});
    let outcome = world.call("CreateVpcConnector", request).await;
    World::refused(outcome, FaultKind::InvalidRequest, "the lab file has");
    assert_eq!(world.overlay(), Overlay::default());
}

/// Statement 43, Statement 44.
#[tokio::test]
async fn one_revision_of_a_name_and_the_quota() {
    let world = World::new();
    world.connector("prod").await;
    let create = |name: &str| json!({"VpcConnectorName": name, "Subnets": ["subnet-a"]});
    let outcome = world.call("CreateVpcConnector", create("prod")).await;
    World::refused(outcome, FaultKind::InvalidRequest, "one revision per name");
    world.connector("other").await;
    let outcome = world.call("CreateVpcConnector", create("third")).await;
    World::refused(outcome, FaultKind::ServiceQuotaExceeded, "vpc_connector_quota");
}

#[tokio::test]
async fn a_service_from_its_creation_to_its_end() {
    let world = World::new();
    let connector = world.connector("prod").await;
    let service = world.service("web1", Some(&connector)).await;
    let by = |connector: Option<&str>, tasks| {
        let vpc = |name: &str| OverlayEgress::Vpc { connector: name.to_owned() };
        let egress = connector.map_or(OverlayEgress::Default, vpc);
        vec![OverlayService { name: "web1".to_owned(), egress, tasks }]
    };
    assert_eq!(world.overlay().services, by(Some("prod"), 1));

    let mut request = named(&service);
    request["NetworkConfiguration"] = json!({"EgressConfiguration": {"EgressType": "DEFAULT"}});
    let updated = world.ok("UpdateService", request).await;
    // The answer has the new values while the lab still has the old ones.
    let egress = |service: &Value| service["NetworkConfiguration"]["EgressConfiguration"].clone();
    assert_eq!(egress(&updated["Service"]), json!({"EgressType": "DEFAULT"}));
    assert!(updated["OperationId"].is_string());
    world.settled(&service).await;
    assert_eq!(world.overlay().services, by(None, 1));

    let mut request = named(&service);
    // A partial ARN names the connector too; the answer has the whole one.
    request["NetworkConfiguration"] = network(connector.rsplit_once("/1/").unwrap().0);
    let updated = world.ok("UpdateService", request).await;
    assert_eq!(egress(&updated["Service"])["VpcConnectorArn"], json!(connector));
    world.settled(&service).await;
    assert_eq!(world.overlay().services, by(Some("prod"), 1));

    world.ok("PauseService", named(&service)).await;
    assert_eq!(world.settled(&service).await["Status"], "PAUSED");
    assert_eq!(world.overlay().services, by(Some("prod"), 0));
    let outcome = world.call("UpdateService", named(&service)).await;
    World::refused(outcome, FaultKind::InvalidState, "is PAUSED; this needs RUNNING");
    let outcome = world.call("PauseService", named(&service)).await;
    World::refused(outcome, FaultKind::InvalidState, "is PAUSED");
    world.ok("ResumeService", named(&service)).await;
    assert_eq!(world.settled(&service).await["Status"], "RUNNING");
    assert_eq!(world.overlay().services, by(Some("prod"), 1));
    let outcome = world.call("ResumeService", named(&service)).await;
    World::refused(outcome, FaultKind::InvalidState, "this needs PAUSED");

    let in_use = world.call("DeleteVpcConnector", json!({"VpcConnectorArn": connector})).await;
    let sentence = "Provided VPC connector arn is being used by other services. ARN: ";
    World::refused(
        in_use,
        FaultKind::InvalidRequest,
        &format!("{sentence}{connector}. Services: web1"),
    );

    let deleted = world.ok("DeleteService", named(&service)).await;
    assert!(deleted["OperationId"].is_string());
    let end = world.settled(&service).await;
    assert_eq!(end["Status"], "DELETED");
    assert!(end["DeletedAt"].is_f64());
    assert_eq!(world.overlay().services, []);
    assert_eq!(world.ok("ListServices", json!({})).await["ServiceSummaryList"], json!([]));
    let outcome = world.call("DeleteService", named(&service)).await;
    World::refused(outcome, FaultKind::InvalidState, "is DELETED");
    world.ok("DeleteVpcConnector", json!({"VpcConnectorArn": connector})).await;

    let operations = world.ok("ListOperations", named(&service)).await;
    let operations = operations["OperationSummaryList"].as_array().unwrap().clone();
    let types: Vec<&str> = operations.iter().map(|o| o["Type"].as_str().unwrap()).collect();
    let expected = [
        "DELETE_SERVICE",
        "RESUME_SERVICE",
        "PAUSE_SERVICE",
        "UPDATE_SERVICE",
        "UPDATE_SERVICE",
        "CREATE_SERVICE",
    ];
    assert_eq!(types, expected);
    assert!(operations.iter().all(|o| o["Status"] == "SUCCEEDED" && o["EndedAt"].is_f64()));
}

#[tokio::test]
async fn services_that_cannot_be() {
    let world = World::new();
    let connector = world.connector("prod").await;
    let service = world.service("web1", None).await;
    let outcome = world.call("CreateService", create("web1", None)).await;
    World::refused(outcome, FaultKind::InvalidRequest, "a service with the name web1");
    let outcome = world.call("CreateService", create("file-service", None)).await;
    World::refused(outcome, FaultKind::InvalidRequest, "the lab file has");
    let stranger = connector.replace("/prod/", "/other/");
    let outcome = world.call("CreateService", create("web2", Some(&stranger))).await;
    World::refused(outcome, FaultKind::InvalidRequest, "no active VPC connector");
    let outcome = world.call("CreateService", create("web2", Some(&service))).await;
    World::refused(outcome, FaultKind::InvalidRequest, "not of a VPC connector");
    world.service("web2", None).await;
    world.service("web3", None).await;
    let outcome = world.call("CreateService", create("web4", None)).await;
    World::refused(outcome, FaultKind::ServiceQuotaExceeded, "service_quota");
    for operation in
        ["DescribeService", "UpdateService", "PauseService", "ResumeService", "ListOperations"]
    {
        let outcome = world.call(operation, named(&format!("{service}0"))).await;
        World::refused(outcome, FaultKind::ResourceNotFound, "no service with the ARN");
    }
}

/// Statement 25.
#[tokio::test]
async fn an_input_that_app_runner_does_not_take_fails_and_an_update_rolls_back() {
    let world = World::with("[apprunner]\nunsupported_availability_zones = [\"us-east-1b\"]");
    let connector = world.connector("prod").await;
    let public = world.service("web1", None).await;

    let made = world.ok("CreateService", create("web2", Some(&connector))).await;
    let failed = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
    assert_eq!(world.settled(&failed).await["Status"], "CREATE_FAILED");
    assert_eq!(world.last(&failed).await, ("CREATE_SERVICE".to_owned(), "FAILED".to_owned()));
    let outcome = world.call("UpdateService", named(&failed)).await;
    World::refused(outcome, FaultKind::InvalidState, "is CREATE_FAILED");
    // It uses its connector until it is deleted.
    let in_use = world.call("DeleteVpcConnector", json!({"VpcConnectorArn": connector})).await;
    World::refused(in_use, FaultKind::InvalidRequest, "Services: web2");

    let mut request = named(&public);
    request["NetworkConfiguration"] = network(&connector);
    world.ok("UpdateService", request).await;
    let after = world.settled(&public).await;
    assert_eq!(after["Status"], "RUNNING");
    let egress = &after["NetworkConfiguration"]["EgressConfiguration"];
    assert_eq!(*egress, json!({"EgressType": "DEFAULT"}));
    let rolled_back = ("UPDATE_SERVICE".to_owned(), "ROLLBACK_SUCCEEDED".to_owned());
    assert_eq!(world.last(&public).await, rolled_back);
    let said = world.field.0.lock().unwrap().said.clone();
    assert!(said[0].starts_with("App Runner: service web2 failed to create: "), "{said:?}");
    assert!(said[1].contains("web1 was rolled back to what it was before: "), "{said:?}");
    assert!(said.iter().all(|line| line.contains("subnet-b (us-east-1b)")), "{said:?}");
    world.ok("DeleteService", named(&failed)).await;
    assert_eq!(world.settled(&failed).await["Status"], "DELETED");
}

/// Statement 26.
#[tokio::test]
async fn a_request_names_the_subnets_that_are_not_taken_if_the_lab_file_asks_for_it() {
    let keys = "unsupported_availability_zones = [\"us-east-1b\"]\nrefuse_subnets = \"request\"";
    let world = World::with(&format!("[apprunner]\n{keys}"));
    let both = world.connector("both-zones").await;
    let refused =
        |outcome| World::refused(outcome, FaultKind::InvalidRequest, "subnet-b (us-east-1b)");
    refused(world.call("CreateService", create("web1", Some(&both))).await);
    // Nothing was made, so the name is free.
    let service = world.service("web1", None).await;
    let update = |connector: &str| {
        let mut request = named(&service);
        request["NetworkConfiguration"] = network(connector);
        request
    };
    refused(world.call("UpdateService", update(&both)).await);
    assert_eq!(world.last(&service).await.0, "CREATE_SERVICE");
    let wanted = json!({"VpcConnectorName": "one-zone", "Subnets": ["subnet-a"]});
    let made = world.ok("CreateVpcConnector", wanted).await;
    let one = made["VpcConnector"]["VpcConnectorArn"].as_str().unwrap().to_owned();
    world.ok("UpdateService", update(&one)).await;
    world.settled(&service).await;
    assert_eq!(world.last(&service).await.1, "SUCCEEDED");
}

#[tokio::test]
async fn an_input_that_the_lab_does_not_take_changes_nothing() {
    let world = World::new();
    let unfit = |unfit| world.field.0.lock().unwrap().unfit = Some(unfit);
    let request = json!({"VpcConnectorName": "prod", "Subnets": ["subnet-a"]});
    unfit(Unfit::Refused("no room".to_owned()));
    let outcome = world.call("CreateVpcConnector", request.clone()).await;
    World::refused(outcome, FaultKind::InvalidRequest, "no room");
    unfit(Unfit::Failed("no device".to_owned()));
    let outcome = world.call("CreateVpcConnector", request).await;
    World::refused(outcome, FaultKind::InternalServiceError, "no device");
    assert_eq!(world.ok("ListVpcConnectors", json!({})).await["VpcConnectors"], json!([]));

    let service = world.service("web1", None).await;
    unfit(Unfit::Failed("no device".to_owned()));
    world.ok("PauseService", named(&service)).await;
    assert_eq!(world.settled(&service).await["Status"], "RUNNING");
    assert_eq!(world.last(&service).await, ("PAUSE_SERVICE".to_owned(), "FAILED".to_owned()));
    unfit(Unfit::Failed("no device".to_owned()));
    world.ok("DeleteService", named(&service)).await;
    assert_eq!(world.settled(&service).await["Status"], "DELETE_FAILED");
    world.ok("DeleteService", named(&service)).await;
    assert_eq!(world.settled(&service).await["Status"], "DELETED");
}

#[tokio::test]
async fn the_lab_has_no_object_that_the_store_cannot_keep() {
    let world = World::new();
    // A constraint that is checked when the transaction ends.
    world.api.0.store.lock().await.meddle(
        "CREATE TABLE parent(a PRIMARY KEY);
         CREATE TABLE child(a REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER full AFTER INSERT ON connector BEGIN INSERT INTO child VALUES(1); END",
    );
    let request = json!({"VpcConnectorName": "prod", "Subnets": ["subnet-a"]});
    let outcome = world.call("CreateVpcConnector", request.clone()).await;
    World::refused(outcome, FaultKind::InternalServiceError, "FOREIGN KEY");
    assert_eq!(world.overlay(), Overlay::default());
    assert_eq!(world.ok("ListVpcConnectors", json!({})).await["VpcConnectors"], json!([]));
    world.api.0.store.lock().await.meddle("DROP TRIGGER full");
    world.ok("CreateVpcConnector", request).await;
    assert_eq!(world.overlay().connectors.len(), 1);
}

#[tokio::test]
async fn lookups_are_answered_while_the_lab_is_changed() {
    let world = World::new();
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    world.field.0.lock().unwrap().gate = Some((Arc::clone(&reached), Arc::clone(&go)));
    let api = world.api.clone();
    let request = json!({"VpcConnectorName": "prod", "Subnets": ["subnet-a"]}).to_string();
    let create =
        tokio::spawn(async move { api.call("CreateVpcConnector", Whole::from(request)).await });
    reached.notified().await;
    let look = world.ok("ListVpcConnectors", json!({}));
    let looked = tokio::time::timeout(Duration::from_secs(60), look).await.unwrap();
    assert_eq!(looked["VpcConnectors"], json!([]), "it is not there before the lab has it");
    go.notify_one();
    create.await.unwrap().unwrap();
    let list = world.ok("ListVpcConnectors", json!({})).await;
    assert_eq!(list["VpcConnectors"].as_array().unwrap().len(), 1);
}

/// Otherwise clients that hang up would make the lab keep any number of requests.
#[tokio::test]
async fn a_call_keeps_its_room_until_it_is_done_whatever_its_caller_does() {
    let world = World::new();
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    world.field.0.lock().unwrap().gate = Some((Arc::clone(&reached), Arc::clone(&go)));
    let request = json!({"VpcConnectorName": "prod", "Subnets": ["subnet-a"]}).to_string();
    let bodies = Bodies::new(request.len(), Duration::from_secs(60));
    let read = async |text: String| bodies.read(text.into(), 1 << 20).await;
    let (api, body) = (world.api.clone(), read(request.clone()).await.unwrap());
    let caller = tokio::spawn(async move { api.call("CreateVpcConnector", body).await });
    reached.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert_eq!(read(request.clone()).await.unwrap_err(), Unread::Busy);
    go.notify_one();
    // The next change waits for the end of that one.
    world.connector("other").await;
    assert!(read(request).await.is_ok());
}

/// The ENIs are recorded after the lab has changed.
#[tokio::test]
async fn where_enis_cannot_be_kept_the_lab_goes_back() {
    let world = World::new();
    world.field.0.lock().unwrap().enis = vec![("eni-1".to_owned(), Duration::from_secs(1))];
    world.api.0.store.lock().await.meddle(
        "CREATE TRIGGER full BEFORE INSERT ON eni BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    let request = json!({"VpcConnectorName": "prod", "Subnets": ["subnet-a"]});
    let outcome = world.call("CreateVpcConnector", request).await;
    World::refused(outcome, FaultKind::InternalServiceError, "no room");
    assert_eq!(world.overlay(), Overlay::default());
    assert_eq!(world.ok("ListVpcConnectors", json!({})).await["VpcConnectors"], json!([]));
}

#[tokio::test]
async fn an_operation_that_the_store_refuses_is_tried_again() {
    let world = World::new();
    world.api.0.store.lock().await.meddle(
        "CREATE TRIGGER full BEFORE UPDATE ON operation BEGIN SELECT RAISE(ABORT, 'full'); END",
    );
    let made = world.ok("CreateService", create("web1", None)).await;
    let service = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
    let said = || world.field.0.lock().unwrap().said.clone();
    while said().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(said()[0].contains("is tried again") && said()[0].contains("full"), "{:?}", said());
    let found = world.ok("DescribeService", named(&service)).await;
    assert_eq!(found["Service"]["Status"], "OPERATION_IN_PROGRESS");
    world.api.0.store.lock().await.meddle("DROP TRIGGER full");
    assert_eq!(world.settled(&service).await["Status"], "RUNNING");
}

const SLOW: &str = "[apprunner]\nstartup_latency = \"2m-5m\"";

#[tokio::test]
async fn while_an_operation_is_in_progress_others_wait() {
    let world = World::with(SLOW);
    let connector = world.connector("prod").await;
    let other = world.connector("other").await;
    let old = world.service("web2", Some(&other)).await;
    world.field.0.lock().unwrap().startup = Duration::from_secs(3600);
    let made = world.ok("CreateService", create("web1", Some(&connector))).await;
    let service = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
    let mut request = named(&old);
    request["NetworkConfiguration"] = network(&connector);
    world.ok("UpdateService", request).await;
    while world.field.0.lock().unwrap().asked.len() < 3 {
        tokio::task::yield_now().await;
    }
    for operation in ["UpdateService", "PauseService", "ResumeService", "DeleteService"] {
        let outcome = world.call(operation, named(&service)).await;
        World::refused(outcome, FaultKind::InvalidState, "is OPERATION_IN_PROGRESS");
    }
    let list = world.ok("ListOperations", named(&service)).await;
    let operation = &list["OperationSummaryList"][0];
    assert_eq!(
        (&operation["Status"], &operation["EndedAt"]),
        (&json!("IN_PROGRESS"), &Value::Null)
    );
    // The ENIs come up for a service without tasks, and beside the one that still leaves by the
    // other connector.
    let services = world.overlay().services.into_iter().map(|service| match service.egress {
        OverlayEgress::Vpc { connector } => (service.name, connector, service.tasks),
        OverlayEgress::Default => (service.name, String::new(), service.tasks),
    });
    let expected = [("web2", "other", 1), ("1-is-starting", "prod", 0), ("web1", "prod", 0)];
    let expected = expected.map(|(name, by, tasks)| (name.to_owned(), by.to_owned(), tasks));
    assert_eq!(services.collect::<Vec<_>>(), expected);
    let in_use = world.call("DeleteVpcConnector", json!({"VpcConnectorArn": other})).await;
    World::refused(in_use, FaultKind::InvalidRequest, "Services: web2");
}

#[test]
fn an_operation_goes_on_after_a_restart() {
    let process = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = process();
    let (world, service) = first.block_on(async {
        let world = World::with(SLOW);
        let connector = world.connector("prod").await;
        world.field.0.lock().unwrap().startup = Duration::from_secs(5);
        let made = world.ok("CreateService", create("web1", Some(&connector))).await;
        let service = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
        while world.field.0.lock().unwrap().asked.is_empty() {
            tokio::task::yield_now().await;
        }
        // This is answered once that is recorded.
        world.ok("DescribeService", named(&service)).await;
        (world, service)
    });
    // All that was at work has ended with its runtime, and with it the store.
    drop(first);
    process().block_on(async {
        let world = world.restarted();
        let found = world.ok("DescribeService", named(&service)).await;
        assert_eq!(found["Service"]["Status"], "OPERATION_IN_PROGRESS");
        while world.overlay().services.iter().all(|service| service.tasks == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.settled(&service).await["Status"], "RUNNING");
        // The time that they take was asked for once.
        assert_eq!(world.field.0.lock().unwrap().asked, ["prod"]);
    });
}

/// Statement 37.
#[tokio::test]
async fn tags_of_both_kinds_of_resources() {
    let world = World::new();
    let connector = world.connector("prod").await;
    let mut request = create("web1", None);
    request["Tags"] = json!([{"Key": "team", "Value": "net"}, {"Key": "empty"}]);
    let made = world.ok("CreateService", request).await;
    let service = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
    let tags = async |arn: &str| {
        let list = world.ok("ListTagsForResource", json!({"ResourceArn": arn})).await;
        list["Tags"].clone()
    };
    let begin = json!([{"Key": "empty", "Value": ""}, {"Key": "team", "Value": "net"}]);
    assert_eq!(tags(&service).await, begin);
    let more = json!([{"Key": "team", "Value": "web"}, {"Key": "z", "Value": "1"}]);
    world.ok("TagResource", json!({"ResourceArn": service, "Tags": more})).await;
    world.ok("UntagResource", json!({"ResourceArn": service, "TagKeys": ["empty", "none"]})).await;
    assert_eq!(tags(&service).await, more);
    assert_eq!(tags(&connector).await, json!([]));

    let many: Vec<Value> = (0..49).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect();
    let outcome = world.call("TagResource", json!({"ResourceArn": service, "Tags": many})).await;
    World::refused(outcome, FaultKind::InvalidRequest, "50 tags, and these would be 51");
    assert_eq!(tags(&service).await, more);
    for (tags, part) in [
        (json!([{"Key": "aws:a", "Value": ""}]), "^(?!aws:).+"),
        (json!([{"Value": "a"}]), "needs a Key"),
        (json!([{"Key": "a"}, {"Key": "a"}]), "given twice"),
    ] {
        let request = json!({"ResourceArn": service, "Tags": tags});
        World::refused(world.call("TagResource", request).await, FaultKind::InvalidRequest, part);
    }
    let request = json!({"ResourceArn": service, "TagKeys": ["aws:a"]});
    World::refused(
        world.call("UntagResource", request).await,
        FaultKind::InvalidRequest,
        "^(?!aws:).+",
    );

    world.ok("DeleteVpcConnector", json!({"VpcConnectorArn": connector})).await;
    let removed = json!({"ResourceArn": connector, "Tags": more});
    World::refused(world.call("TagResource", removed).await, FaultKind::InvalidState, "is deleted");
    let stranger = json!({"ResourceArn": connector.replace("/prod/", "/dorp/")});
    let outcome = world.call("ListTagsForResource", stranger).await;
    World::refused(outcome, FaultKind::ResourceNotFound, "there is no VPC connector");
}

#[tokio::test]
async fn deleted_objects_are_forgotten_in_the_end() {
    let world = World::new();
    let connector = world.connector("prod").await;
    let arn = json!({"VpcConnectorArn": connector});
    world.ok("DeleteVpcConnector", arn.clone()).await;
    {
        let account = Account { id: "123456789012".to_owned(), region: "us-east-1".to_owned() };
        let World { directory, field, api } = world;
        drop(api);
        let store = Store::open(&directory.path().join("store"), &account).unwrap();
        let mut deleted = store.connector(&connector).unwrap().unwrap();
        deleted.deleted_at = deleted.deleted_at.map(|at| super::records::Moment(at.0 - 3_601_000));
        store.put_connector(&deleted).unwrap();
        drop(store);
        let api = opened(&directory, &field);
        let world = World { directory, field, api };
        let outcome = world.call("DescribeVpcConnector", arn).await;
        World::refused(outcome, FaultKind::ResourceNotFound, "no VPC connector");
    }
    assert!(now().0 > 0);
}

#[tokio::test]
async fn requests_that_are_no_calls_are_refused() {
    let world = World::new();
    let outcome = world.call("StartDeployment", json!({})).await;
    World::refused(outcome, FaultKind::UnknownOperation, "egret does not serve StartDeployment");
    let outcome = world.call("Dance", json!({})).await;
    World::refused(outcome, FaultKind::UnknownOperation, "egret serves CreateVpcConnector, ");
    for body in [&b"{"[..], b"\xff", b"[1]", b"{} {}", "[".repeat(5000).as_bytes()] {
        let outcome = world.api.call("ListServices", Whole::from(body)).await;
        assert_eq!(outcome.unwrap_err().kind, FaultKind::Serialization);
    }
    assert!(world.api.call("ListServices", Whole::from("")).await.is_ok());
}

/// Returns a request for a private image of ECR without the role that App Runner gets it with.
fn private_image(name: &str) -> Value {
    let mut request = create(name, None);
    request["SourceConfiguration"]["ImageRepository"] = json!({
        "ImageIdentifier": "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:latest",
        "ImageConfiguration": {"Port": "8000"},
        "ImageRepositoryType": "ECR"});
    request
}

#[tokio::test]
async fn an_image_without_its_role_runs_with_a_note() {
    let world = World::new();
    let made = world.ok("CreateService", private_image("private-1")).await;
    let arn = made["Service"]["ServiceArn"].as_str().unwrap();
    assert_eq!(world.settled(arn).await["Status"], "RUNNING");
    let said = world.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("App Runner: service private-1: App Runner refuses this"));
    assert!(said[0].contains("AccessRoleArn") && said[0].contains("access_role = \"require\""));
}

#[tokio::test]
async fn an_image_without_its_role_is_refused_if_the_lab_file_requires_it() {
    let world = World::with("[apprunner]\naccess_role = \"require\"\n");
    let outcome = world.call("CreateService", private_image("private-1")).await;
    World::refused(outcome, FaultKind::InvalidRequest, "AccessRoleArn");
    // Only the role is required.
    let mut odd = create("public-1", None);
    odd["SourceConfiguration"]["AutoDeploymentsEnabled"] = json!(true);
    world.ok("CreateService", odd.clone()).await;
    let world = World::with("[apprunner]\nsource = \"require\"\n");
    let outcome = world.call("CreateService", odd).await;
    World::refused(outcome, FaultKind::InvalidRequest, "AutoDeploymentsEnabled");
    world.ok("CreateService", private_image("private-1")).await;
}

/// Statement 35.
#[tokio::test]
async fn dual_stack_is_stored_and_returned_with_a_note() {
    let world = World::new();
    let mut request = create("dual-1", None);
    request["NetworkConfiguration"] = json!({"IpAddressType": "DUAL_STACK"});
    let made = world.ok("CreateService", request).await;
    let arn = made["Service"]["ServiceArn"].as_str().unwrap().to_owned();
    world.settled(&arn).await;
    let world = world.restarted();
    let found = world.ok("DescribeService", named(&arn)).await;
    assert_eq!(found["Service"]["NetworkConfiguration"]["IpAddressType"], "DUAL_STACK");
    assert!(world.said().iter().any(|line| line.contains("stay IPv4")), "{:?}", world.said());
}

#[tokio::test]
async fn a_second_connector_with_the_same_groups_is_refused_on_demand() {
    let wanted = |name: &str, subnet: &str| json!({"VpcConnectorName": name, "Subnets": [subnet], "SecurityGroups": ["sg-a"]});
    let world = World::with("[apprunner]\nsame_security_groups = \"refuse\"\n");
    world.ok("CreateVpcConnector", wanted("first", "subnet-a")).await;
    let outcome = world.call("CreateVpcConnector", wanted("second", "subnet-b")).await;
    World::refused(
        outcome,
        FaultKind::InvalidRequest,
        "the VPC connector first has these security groups",
    );
    let default = json!({"VpcConnectorName": "other", "Subnets": ["subnet-b"]});
    world.ok("CreateVpcConnector", default).await;
    let world = World::new();
    world.ok("CreateVpcConnector", wanted("first", "subnet-a")).await;
    world.ok("CreateVpcConnector", wanted("second", "subnet-b")).await;
}

#[tokio::test]
async fn when_enis_are_up_is_kept_the_first_time() {
    let world = World::new();
    let eni = |left: u64| vec![("eni-1".to_owned(), Duration::from_secs(left))];
    world.field.0.lock().unwrap().enis = eni(60);
    world.connector("first").await;
    world.field.0.lock().unwrap().enis = eni(600);
    world.connector("second").await;
    let store = world.api.0.store.lock().await;
    let kept = store.enis().unwrap();
    assert_eq!(kept.len(), 1);
    let left = kept[0].1.since(now());
    assert!(left > Duration::ZERO && left <= Duration::from_secs(60), "{left:?}");
}

#[tokio::test]
async fn egret_services_follows_every_operation() {
    let world = World::with("[apprunner]\npublic_subnets = \"refuse\"\n");
    let shown = || world.field.0.lock().unwrap().shown.clone();
    let connector = world.connector("first").await;
    let arn = world.service("web-1", Some(&connector)).await;
    let [web] = &shown()[..] else { panic!("{:?}", shown()) };
    assert_eq!((web.name.as_str(), web.status.as_str()), ("web-1", "RUNNING"));
    assert_eq!(web.connector.as_deref(), Some("first"));
    let operation = &web.operations[0];
    assert_eq!(
        (operation.kind.as_str(), operation.status.as_str()),
        ("CREATE_SERVICE", "SUCCEEDED")
    );
    assert!(operation.ended_at_ms.is_some() && operation.log.is_empty());

    world.ok("PauseService", named(&arn)).await;
    world.settled(&arn).await;
    assert_eq!(shown()[0].status, "PAUSED");
    assert_eq!(shown()[0].operations[0].kind, "PAUSE_SERVICE", "the newest first");
    world.ok("DeleteService", named(&arn)).await;
    world.settled(&arn).await;
    assert_eq!(shown(), []);
}

#[tokio::test]
async fn hostile_strings_of_a_call_reach_neither_lab_nor_terminal() {
    const HOSTILE: &str = "x\x1b]0;t\x07\r\nFORGED\u{202e}\u{9b}2K";
    let world = World::new();
    for (operation, request) in [
        ("CreateVpcConnector", json!({"VpcConnectorName": HOSTILE, "Subnets": ["subnet-a"]})),
        ("CreateVpcConnector", json!({"VpcConnectorName": "good", "Subnets": [HOSTILE]})),
        (
            "CreateVpcConnector",
            json!({"VpcConnectorName": "good", "Subnets": ["subnet-a"], "SecurityGroups": [HOSTILE]}),
        ),
        ("CreateService", create(HOSTILE, None)),
        ("CreateService", create("good", Some(HOSTILE))),
        ("DescribeService", json!({"ServiceArn": HOSTILE})),
    ] {
        world.call(operation, request).await.unwrap_err();
    }
    let mut request = create("hello", None);
    request["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"] = HOSTILE.into();
    world.call("CreateService", request).await.unwrap();
    let mut request = create("tagged", None);
    request["Tags"] = json!([{"Key": HOSTILE, "Value": HOSTILE}]);
    request["HealthCheckConfiguration"] = json!({"Path": HOSTILE});
    // Its acceptance is the model's business.
    let _ = world.call("CreateService", request).await;
    let said = world.said();
    assert!(said.iter().any(|line| line.contains("FORGED")), "{said:?}");
    for line in said {
        assert!(!line.contains(crate::edge::is_hidden), "{line:?}");
    }
}
